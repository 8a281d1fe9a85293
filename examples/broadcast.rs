//! One stream of lines, heard by several green threads, each of which wants something else of it.
//!
//! Shows the two broadcasts. `pipeline::broadcast` gives every message to every receiver, each at its own
//! speed, up to a buffer; one that has heard enough goes, and the others do not notice. Closing a channel
//! tells all its receivers at once, however many they are and wherever they wait: here it is the starting
//! gun.
//!
//! Run it, with a text file or for this file itself:
//!
//! ```text
//! cargo run --release --example broadcast -- README.md
//! ```
//!
//! For this file, it prints:
//!
//! ```text
//! all listeners wait
//! the title: One stream of lines, heard by several green threads, each of which wants something else of it.
//! the lines, counted twice: equal
//! the letters, counted twice: equal
//! ```

use std::{env, fs, io};
use sward::{
    channel::{self, Receiver, never, pipeline},
    sync::WaitGroup,
};

fn main() -> io::Result<()> {
    let text = match env::args_os().nth(1) {
        Some(path) => fs::read_to_string(path)?,
        None => include_str!("broadcast.rs").to_owned(),
    };
    let (lines, letters) = (text.lines().count(), count_letters(&text));
    sward::run(move || {
        let (to, stream) = channel::bounded(0);
        let mut ears = pipeline::broadcast(stream, 3, 8, &never());
        let (start_to, start) = channel::bounded::<()>(0);
        let ready = WaitGroup::new();

        let title = listen(&mut ears, &ready, &start, |lines| {
            lines.iter().find(|it| it.len() > 2).unwrap_or_default()
        });
        let counted = listen(&mut ears, &ready, &start, |lines| lines.iter().count());
        let sum = listen(&mut ears, &ready, &start, |lines| {
            lines.iter().map(|it| count_letters(&it)).sum::<usize>()
        });
        ready.wait();
        println!("all listeners wait");
        start_to.close();

        for line in text.lines() {
            if to.send(line.to_owned()).is_err() {
                break;
            }
        }
        // The end of the stream.
        drop(to);
        if let Ok(title) = title.recv() {
            println!(
                "the title: {}",
                title.trim_start_matches(['/', '!', '#', ' '])
            );
        }
        println!(
            "the lines, counted twice: {}",
            verdict(counted.recv() == Ok(lines))
        );
        println!(
            "the letters, counted twice: {}",
            verdict(sum.recv() == Ok(letters))
        );
    });
    Ok(())
}

/// A listener, which starts when all do, and sends what it made of the lines.
fn listen<T: Send + 'static>(
    ears: &mut Vec<Receiver<String>>,
    ready: &WaitGroup,
    start: &Receiver<()>,
    make: impl FnOnce(&Receiver<String>) -> T + Send + 'static,
) -> Receiver<T> {
    let lines = ears.pop().unwrap_or_else(never);
    let (tx, rx) = channel::bounded(1);
    let (ready, start) = (ready.clone(), start.clone());
    ready.add(1);
    sward::spawn(move || {
        ready.done();
        // Nothing is ever sent: it ends when the channel is closed.
        _ = start.recv();
        tx.send(make(&lines))
    });
    rx
}

fn count_letters(line: &str) -> usize {
    line.chars().filter(|it| it.is_alphabetic()).count()
}

fn verdict(is_equal: bool) -> &'static str {
    if is_equal { "equal" } else { "different" }
}
