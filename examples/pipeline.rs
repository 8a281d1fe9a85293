//! Counts the words of a tree of real text files, by a pipeline that many green threads work on.
//!
//! Shows fan-out and fan-in: one stage walks the directories, several read and count files beside each
//! other, and all counts flow into one table. Each stage ends when its input does, and the end runs
//! through the pipeline by itself. Then the same once more, cut short: the consumer closes `quit` after a
//! few results, and every stage ends at once, wherever it waits.
//!
//! Run it, with a directory or for this project's own sources:
//!
//! ```text
//! cargo run --release --example pipeline -- ~/texts
//! ```
//!
//! The most frequent words go to stderr. It prints, whatever the files are:
//!
//! ```text
//! the pipeline counted what one thread counts
//! cut short after 3 files, and all stages have ended
//! ```

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
};
use sward::channel::{self, Receiver, never, pipeline};

const READERS: usize = 4;

type Counts = HashMap<String, usize>;

fn main() {
    let root = env::args_os().nth(1).map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("runtime"),
        PathBuf::from,
    );
    let mut expected = Counts::new();
    walk(&root, &mut |path| {
        add(&mut expected, count(&path));
        true
    });
    sward::run(move || {
        let counts = counted(&root, &never());
        let mut total = Counts::new();
        for file in &counts {
            add(&mut total, file);
        }
        let verdict = if total == expected {
            "what"
        } else {
            "not what"
        };
        println!("the pipeline counted {verdict} one thread counts");
        let mut frequent: Vec<_> = total.into_iter().collect();
        frequent.sort_unstable_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
        for (word, times) in frequent.iter().take(8) {
            eprintln!("{times:8}  {word}");
        }

        let (quit_to, quit) = channel::bounded(0);
        let counts = counted(&root, &quit);
        let few = counts.iter().take(3).count();
        quit_to.close();
        // The last stage has ended when its output is closed.
        while counts.recv().is_ok() {}
        println!("cut short after {few} files, and all stages have ended");
    });
}

/// The whole pipeline: paths, and the words of each file.
fn counted(root: &Path, quit: &Receiver<()>) -> Receiver<Counts> {
    let (to, paths) = channel::bounded(16);
    let root = root.to_owned();
    sward::spawn(move || sward::blocking(|| walk(&root, &mut |path| to.send(path).is_ok())));
    // Reading blocks a kernel thread, so the runtime is told.
    pipeline::fan_out(paths, READERS, 4, quit, |path| {
        sward::blocking(|| count(&path))
    })
}

/// Finds all files, in no certain order, until `found` wants no more.
fn walk(directory: &Path, found: &mut impl FnMut(PathBuf) -> bool) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return true;
    };
    entries.flatten().all(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => walk(&entry.path(), found),
        Ok(kind) if kind.is_file() => found(entry.path()),
        _ => true,
    })
}

/// The words of one file; what is no text has none.
fn count(path: &Path) -> Counts {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut counts = Counts::new();
    for word in text.split(|it: char| !it.is_alphabetic()) {
        if word.len() > 3 {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    counts
}

fn add(total: &mut Counts, file: Counts) {
    for (word, times) in file {
        *total.entry(word).or_default() += times;
    }
}
