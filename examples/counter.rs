//! One counter and many green threads: what goes wrong, why it does not compile, and what works.
//!
//! Shows the lost update. `total += 1` from two threads is a load, an addition and a store each; when they
//! interleave, one addition is lost. Rust refuses the program: two threads cannot both have `&mut total`,
//! and a shared `Cell` cannot be sent between them. The first counter makes the same mistake with atomics,
//! by loading and storing in two steps. The others are right: one atomic step, a mutex, or messages to a
//! thread that alone has the counter. Those come in three sizes: a message for each addition, one for each
//! hundred, and one for all that a thread has to say; and a chatty one, which waits for an answer to each.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example counter
//! ```
//!
//! The times go to stderr. It prints:
//!
//! ```text
//! load, then store: updates were lost
//! atomic: 100000
//! mutex: 100000
//! small messages: 100000
//! middling messages: 100000
//! large messages: 100000
//! chatty messages: 100000
//! ```

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Instant,
};
use sward::{
    channel::{self, Sender},
    sync::{Mutex, PoisonError},
};

const THREADS: usize = 20;
const EACH: usize = 5_000;

fn main() {
    sward::run(|| {
        let lossy = AtomicUsize::new(0);
        let total = timed("load, then store", || {
            all(|_| {
                for turn in 0..EACH {
                    let seen = lossy.load(Relaxed);
                    if turn % 100 == 0 {
                        // Long enough for others to come between.
                        sward::yield_now();
                    }
                    lossy.store(seen + 1, Relaxed);
                }
            });
            lossy.load(Relaxed)
        });
        let lost = if total < THREADS * EACH {
            "were"
        } else {
            "were not"
        };
        println!("load, then store: updates {lost} lost");

        let counter = AtomicUsize::new(0);
        print("atomic", || {
            all(|_| (0..EACH).for_each(|_| _ = counter.fetch_add(1, Relaxed)));
            counter.load(Relaxed)
        });
        let counter = Mutex::new(0);
        let add = |more| *counter.lock().unwrap_or_else(PoisonError::into_inner) += more;
        print("mutex", || {
            all(|_| (0..EACH).for_each(|_| add(1)));
            *counter.lock().unwrap_or_else(PoisonError::into_inner)
        });
        print("small messages", || by_messages(1));
        print("middling messages", || by_messages(100));
        print("large messages", || by_messages(EACH));
        print("chatty messages", by_conversation);
    });
}

/// Runs `f` in so many green threads, which borrow it, and waits for all.
fn all(f: impl Fn(usize) + Sync) {
    let f = &f;
    sward::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || f(thread));
        }
    });
}

/// Each sends what it counted after every `size` additions.
fn by_messages(size: usize) -> usize {
    let (tx, rx) = channel::bounded(64);
    let owner = sward::spawn(move || rx.iter().sum());
    all(|_| {
        for _ in 0..EACH / size {
            if tx.send(size).is_err() {
                return;
            }
        }
    });
    drop(tx);
    owner.join().unwrap_or_default()
}

/// Each sends an addition and a channel for the answer, and waits for that.
fn by_conversation() -> usize {
    let (tx, rx) = channel::bounded::<(usize, Sender<usize>)>(0);
    let owner = sward::spawn(move || {
        let mut total = 0;
        for (more, answer) in rx {
            total += more;
            // Who asked waits for it.
            _ = answer.send(total);
        }
        total
    });
    all(|_| {
        let (answer, answers) = channel::bounded(1);
        for _ in 0..EACH {
            if tx.send((1, answer.clone())).is_err() || answers.recv().is_err() {
                return;
            }
        }
    });
    drop(tx);
    owner.join().unwrap_or_default()
}

fn print(name: &str, f: impl FnOnce() -> usize) {
    println!("{name}: {}", timed(name, f));
}

fn timed(name: &str, f: impl FnOnce() -> usize) -> usize {
    let start = Instant::now();
    let total = f();
    eprintln!("{name}: {:?}", start.elapsed());
    total
}
