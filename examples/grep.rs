//! Searches all files below a directory for a text: a green thread for each directory and each file.
//!
//! Shows a `WaitGroup` for work that is not known beforehand: whoever finds more adds it before its own
//! part is done, so the count reaches zero when everything is searched and never before. Reading a file
//! blocks a kernel thread, so `sward::blocking` tells the runtime; a semaphore keeps the number of open
//! files within what a process may have.
//!
//! Run it, with a text and a directory, or without for a search in this project:
//!
//! ```text
//! cargo run --release --example grep -- 'fn main' examples
//! ```
//!
//! It prints the lines in the order of the files, then how many there are. Without arguments, it looks
//! for itself:
//!
//! ```text
//! examples/grep.rs:36: const NEEDLE: &str = ..
//! 1 line in 1 file
//! ```

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use sward::{
    channel::{Sender, unbounded},
    sync::{Semaphore, WaitGroup},
};

/// How many files may be open at a time.
const OPEN: usize = 100;

/// What is looked for if nothing else is asked for.
const NEEDLE: &str = "a needle in a haystack, and only here";

/// A search, and what its green threads share.
struct Search {
    needle: String,
    pending: WaitGroup,
    open: Semaphore,
    found: Sender<(PathBuf, usize, String)>,
}

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let needle = arguments.next().unwrap_or_else(|| NEEDLE.to_owned());
    let root = if let Some(root) = arguments.next() {
        PathBuf::from(root)
    } else {
        env::set_current_dir(env!("CARGO_MANIFEST_DIR"))?;
        PathBuf::from("examples")
    };
    let mut lines = sward::run(move || {
        let (tx, rx) = unbounded();
        let search = Arc::new(Search {
            needle,
            pending: WaitGroup::new(),
            open: Semaphore::new(OPEN),
            found: tx,
        });
        Search::spawn(&search, root);
        search.pending.wait();
        rx.try_iter().collect::<Vec<_>>()
    });
    lines.sort_unstable();
    for (path, number, line) in &lines {
        println!("{}:{number}: {line}", path.display());
    }
    let total = lines.len();
    lines.dedup_by(|one, other| one.0 == other.0);
    let plural = |count, one, many| if count == 1 { one } else { many };
    println!(
        "{total} {} in {} {}",
        plural(total, "line", "lines"),
        lines.len(),
        plural(lines.len(), "file", "files")
    );
    Ok(())
}

impl Search {
    /// Searches `path` in a green thread of its own.
    fn spawn(search: &Arc<Self>, path: PathBuf) {
        let own = Arc::clone(search);
        search.pending.go(move || {
            if let Err(error) = own.look_into(&path) {
                eprintln!("{}: {error}", path.display());
            }
        });
    }

    fn look_into(self: &Arc<Self>, path: &Path) -> io::Result<()> {
        let permit = self.open.acquire(1);
        if sward::blocking(|| fs::symlink_metadata(path))?.is_dir() {
            for entry in sward::blocking(|| fs::read_dir(path))? {
                Self::spawn(self, entry?.path());
            }
            return Ok(());
        }
        let bytes = sward::blocking(|| fs::read(path))?;
        drop(permit);
        // What is no text may hold it all the same, but no line that could be shown.
        let text = String::from_utf8(bytes).unwrap_or_default();
        for (number, line) in (1..).zip(text.lines()) {
            if line.contains(&self.needle) {
                let line = line.trim().to_owned();
                drop(self.found.send((path.to_owned(), number, line)));
            }
        }
        Ok(())
    }
}
