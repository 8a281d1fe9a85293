//! A program of ordinary kernel threads with a runtime inside it; both worlds share everything.
//!
//! Shows that a runtime can be added to a program that has threads already. Kernel threads send the
//! lines of a text down a channel; green threads count their words into one table under a mutex; a wait
//! group tells when all are counted; a kernel thread joins the green threads; at last a green thread
//! asks and a kernel thread answers. The calls are the same in both worlds: each parks its caller,
//! whatever that is.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example embed
//! ```
//!
//! It prints the same each time:
//!
//! ```text
//! 4 kernel threads wrote 40000 lines, 1000 green threads counted 240000 words
//! the longest line has 36 bytes
//!    40000  a
//!    40000  lends
//!    40000  the
//!    40000  to
//!    10000  anvil
//! ```

use std::{collections::BTreeMap, io, sync::Arc, thread};

use sward::{
    Runtime, channel,
    sync::{Mutex, MutexGuard, PoisonError, WaitGroup},
};

const WRITERS: usize = 4;
const LINES: usize = 10_000;
const COUNTERS: usize = 1_000;

type Table = BTreeMap<String, usize>;

fn main() -> io::Result<()> {
    let runtime = Runtime::builder().workers(2).build()?;
    let table = Arc::new(Mutex::new(Table::new()));
    let counted = WaitGroup::new();
    // Small, so that the two worlds often wait for each other.
    let (line_to, lines) = channel::bounded(64);

    // Green threads, which end when the last kernel thread has dropped its sender.
    let counters: Vec<_> = (0..COUNTERS)
        .map(|_| {
            let (lines, table, counted) = (lines.clone(), Arc::clone(&table), counted.clone());
            runtime.spawn(move || count(&lines, &table, &counted))
        })
        .collect();
    drop(lines);

    // Kernel threads, which know nothing of runtimes.
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (line_to, counted) = (line_to.clone(), counted.clone());
            thread::spawn(move || write_lines(writer, &line_to, &counted))
        })
        .collect();
    drop(line_to);

    // A kernel thread that waits for green threads, each by its handle.
    let joiner = thread::spawn(move || {
        let mut longest = 0;
        for counter in counters {
            longest = longest.max(counter.join().expect("a counter does not panic"));
        }
        longest
    });
    let mut written = 0;
    for writer in writers {
        written += writer.join().expect("a writer does not panic");
    }
    // A line counts as done when its words stand in the table.
    counted.wait();
    let words: usize = lock(&table).values().sum();
    println!(
        "{WRITERS} kernel threads wrote {written} lines, {COUNTERS} green threads counted {words} words"
    );
    let longest = joiner.join().expect("the joiner does not panic");
    println!("the longest line has {longest} bytes");

    // The other way round: a green thread asks, a kernel thread answers, main joins both.
    let (question_to, questions) = channel::bounded::<usize>(0);
    let (answer_to, answers) = channel::bounded(0);
    let librarian = thread::spawn(move || {
        let mut frequent: Vec<_> = lock(&table).clone().into_iter().collect();
        frequent.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        for rank in questions {
            let (word, times) = &frequent[rank];
            if answer_to.send(format!("{times:8}  {word}")).is_err() {
                break;
            }
        }
    });
    let asked = runtime.spawn(move || {
        let ask = |rank| {
            question_to
                .send(rank)
                .ok()
                .and_then(|()| answers.recv().ok())
        };
        (0..5).map_while(ask).collect::<Vec<String>>()
    });
    for line in asked.join().expect("the asker does not panic") {
        println!("{line}");
    }
    librarian.join().expect("the librarian does not panic");
    // All its green threads have ended, so the runtime is dropped without cutting any off.
    drop(runtime);
    Ok(())
}

/// A kernel thread's part: so many lines, each announced before it is sent.
fn write_lines(writer: usize, line_to: &channel::Sender<String>, counted: &WaitGroup) -> usize {
    const TRADES: [&str; 4] = ["carpenter", "baker", "weaver", "smith"];
    const THINGS: [&str; 4] = ["ladder", "oven", "loom", "anvil"];
    for line in 0..LINES {
        let (trade, thing) = (TRADES[writer % 4], THINGS[line % 4]);
        counted.add(1);
        let text = format!("the {trade} lends a {thing} to {line}");
        if line_to.send(text).is_err() {
            // Every counter is gone: nobody will count this line or any after it.
            counted.done();
            return line;
        }
    }
    LINES
}

/// A green thread's part: counts lines while there are any; the longest that it saw.
fn count(lines: &channel::Receiver<String>, table: &Mutex<Table>, counted: &WaitGroup) -> usize {
    let mut longest = 0;
    for line in lines {
        longest = longest.max(line.len());
        let mut table = lock(table);
        for word in line
            .split_whitespace()
            .filter(|it| !it.starts_with(|it: char| it.is_ascii_digit()))
        {
            *table.entry(word.to_owned()).or_default() += 1;
        }
        drop(table);
        counted.done();
    }
    longest
}

/// The table, whatever became of who held it last.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
