//! The prime sieve: a chain of green threads, one for each prime.
//!
//! Each passes on the numbers that its prime does not divide; the first to come out at the end is the next.
//!
//! Shows channels as values: each new prime puts a filter of its own at the end of the chain, and the
//! channel out of that filter takes the place of the one into it. All channels are unbuffered, so every
//! number is handed from thread to thread. When nobody reads the last channel any more, its filter ends,
//! and then the one before, up to the source.
//!
//! Run it, with the number of primes or for 500:
//!
//! ```text
//! cargo run --release --example sieve -- 2000
//! ```
//!
//! Without a number it prints:
//!
//! ```text
//! 2 3 5 7 11 13 17 19 23 29 ..
//! prime number 500 is 3571
//! ```

use std::{env, mem};
use sward::channel::{Receiver, Sender, bounded};

fn main() {
    let count = env::args()
        .nth(1)
        .and_then(|it| it.parse().ok())
        .unwrap_or(500);
    let primes = sward::run(move || sieve(count));
    let first: Vec<_> = primes.iter().take(10).map(u64::to_string).collect();
    println!("{} ..", first.join(" "));
    if let Some(last) = primes.last() {
        println!("prime number {count} is {last}");
    }
}

fn sieve(count: usize) -> Vec<u64> {
    let (tx, mut numbers) = bounded(0);
    sward::spawn(move || generate(&tx));
    (0..count)
        .map_while(|_| {
            // The first number to come through all filters is prime.
            let prime = numbers.recv().ok()?;
            let (tx, rx) = bounded(0);
            let unfiltered = mem::replace(&mut numbers, rx);
            sward::spawn(move || filter(prime, &unfiltered, &tx));
            Some(prime)
        })
        .collect()
}

/// The source: 2, 3, 4 and so on, until nobody wants more.
fn generate(to: &Sender<u64>) {
    for number in 2.. {
        if to.send(number).is_err() {
            return;
        }
    }
}

/// Passes on what `prime` does not divide.
fn filter(prime: u64, numbers: &Receiver<u64>, to: &Sender<u64>) {
    for number in numbers {
        if number % prime != 0 && to.send(number).is_err() {
            return;
        }
    }
}
