//! Workers that share one queue of jobs, ended by a last job that says so.
//!
//! Shows the oldest way to end workers, a *sentinel*: a message that means "no more". One for all will do,
//! if each worker puts it back for the next. In Rust an `Option` or an enum says it, so that no job is
//! mistaken for it. It is the way where senders never go: here each worker may add jobs itself, and so
//! holds a sender, and the channel would never be closed by itself.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example sentinel
//! ```
//!
//! It adds up the sizes of all source files of this project, directory by directory, and then once more
//! without any threads. The sizes, and who read how much, go to stderr. It prints:
//!
//! ```text
//! 4 workers and 1 agree
//! ```

use std::{
    array, env, fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};
use sward::channel;

const WORKERS: usize = 4;

enum Job {
    Directory(PathBuf),
    /// The sentinel: there is no more, for anybody.
    Over,
}

fn main() -> io::Result<()> {
    let root = env::args_os().nth(1).map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("runtime"),
        PathBuf::from,
    );
    let expected = sizes(&root)?;
    let total = sward::run(move || {
        let (tx, jobs) = channel::unbounded();
        // Directories that are in the queue or in somebody's hands.
        let pending = AtomicUsize::new(1);
        drop(tx.send(Job::Directory(root)));
        let work = |worker: usize| {
            let mut sum = 0;
            while let Ok(Job::Directory(path)) = jobs.recv() {
                let (bytes, inner) = sward::blocking(|| list(&path)).unwrap_or_default();
                sum += bytes;
                pending.fetch_add(inner.len(), Ordering::Relaxed);
                for path in inner {
                    drop(tx.send(Job::Directory(path)));
                }
                // Counted after what it led to: when none is left, none will come.
                if pending.fetch_sub(1, Ordering::AcqRel) == 1 {
                    break;
                }
            }
            drop(tx.send(Job::Over));
            eprintln!("worker {worker} found {sum} bytes");
            sum
        };
        let work = &work;
        sward::scope(|scope| {
            let workers: [_; WORKERS] = array::from_fn(|worker| scope.spawn(move || work(worker)));
            workers.map(|it| it.join().unwrap_or(0)).iter().sum::<u64>()
        })
    });
    eprintln!("{total} bytes of {expected}");
    println!(
        "{WORKERS} workers and 1 {}",
        if total == expected {
            "agree"
        } else {
            "do not agree"
        }
    );
    Ok(())
}

/// The size of a directory's own files, and its directories.
fn list(path: &Path) -> io::Result<(u64, Vec<PathBuf>)> {
    let (mut bytes, mut inner) = (0, Vec::new());
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            inner.push(entry.path());
        } else {
            bytes += entry.metadata()?.len();
        }
    }
    Ok((bytes, inner))
}

/// The size of all that a directory holds.
fn sizes(path: &Path) -> io::Result<u64> {
    let (mut bytes, inner) = list(path)?;
    for path in inner {
        bytes += sizes(&path)?;
    }
    Ok(bytes)
}
