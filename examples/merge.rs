//! Merges sorted inputs that end one after another, by arms that are switched off.
//!
//! Shows `if` in a `select!` arm. A closed channel is always ready, so an arm that receives from one must
//! be switched off, or it is chosen for ever. Here an arm is also off while its input's next number has not
//! been used: each input is read ahead by one, and only the one that is needed is waited for.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example merge
//! ```
//!
//! It prints the same each time, though the inputs come at random speeds:
//!
//! ```text
//! squares are over
//! cubes are over
//! triangles are over
//! 1 1 1 3 4 6 8 9 10 15 16 21 25 27 28 36 36 45 49 55 64 64 66 78 91
//! ```

use std::time::Duration;
use sward::{
    channel::{self, Receiver},
    select, thread,
};

/// An input, and what was read from it ahead.
struct Input {
    name: &'static str,
    numbers: Receiver<u64>,
    next: Option<u64>,
    is_open: bool,
}

fn main() {
    let (merged, over) = sward::run(|| {
        let mut squares = input("squares", (1..=8).map(|it| it * it));
        let mut cubes = input("cubes", (1..=4).map(|it| it * it * it));
        let mut triangles = input("triangles", (1..=13).map(|it| it * (it + 1) / 2));
        let (mut merged, mut over) = (Vec::new(), Vec::new());
        loop {
            let all = [&mut squares, &mut cubes, &mut triangles];
            if all.iter().all(|it| it.is_full()) {
                // The least of what was read is the next of all; `None`, of an input that is over, counts last.
                let least = all
                    .into_iter()
                    .filter(|it| it.next.is_some())
                    .min_by_key(|it| it.next);
                let Some(number) = least.and_then(|it| it.next.take()) else {
                    return (merged, over);
                };
                merged.push(number.to_string());
                continue;
            }
            select! {
                recv(squares.numbers) -> it if !squares.is_full() => over.extend(squares.fill(it.ok())),
                recv(cubes.numbers) -> it if !cubes.is_full() => over.extend(cubes.fill(it.ok())),
                recv(triangles.numbers) -> it if !triangles.is_full() => over.extend(triangles.fill(it.ok())),
            }
        }
    });
    for name in over {
        println!("{name} are over");
    }
    println!("{}", merged.join(" "));
}

impl Input {
    /// Nothing more can be, or needs to be, read ahead.
    fn is_full(&self) -> bool {
        self.next.is_some() || !self.is_open
    }

    /// Takes what came. Returns the name if it was the end.
    fn fill(&mut self, number: Option<u64>) -> Option<&'static str> {
        self.is_open = number.is_some();
        self.next = number;
        (!self.is_open).then_some(self.name)
    }
}

fn input(name: &'static str, numbers: impl Iterator<Item = u64> + Send + 'static) -> Input {
    let (tx, rx) = channel::bounded(0);
    sward::spawn(move || {
        for number in numbers {
            // As fast or slow as numbers are.
            thread::sleep(Duration::from_micros(number * 37 % 900));
            if tx.send(number).is_err() {
                return;
            }
        }
    });
    Input {
        name,
        numbers: rx,
        next: None,
        is_open: true,
    }
}
