//! Writes what a busy program does into a file for <https://ui.perfetto.dev>.
//!
//! ```text
//! cargo run --release --example trace -- trace.json
//! ```

use std::{env, io};
use sward::channel::{Receiver, bounded};

/// The prime numbers below a bound: a chain of green threads, each of which lets through what its own
/// prime does not divide.
fn primes(bound: u32) -> Vec<u32> {
    let (tx, mut candidates) = bounded(0);
    sward::spawn(move || (2..bound).try_for_each(|it| tx.send(it)));
    let mut found = Vec::new();
    while let Ok(prime) = candidates.recv() {
        found.push(prime);
        candidates = without_multiples(prime, candidates);
    }
    found
}

fn without_multiples(prime: u32, from: Receiver<u32>) -> Receiver<u32> {
    let (tx, rest) = bounded(0);
    sward::spawn(move || {
        for it in from.iter().filter(|it| it % prime != 0) {
            if tx.send(it).is_err() {
                break;
            }
        }
    });
    rest
}

fn main() -> io::Result<()> {
    let path = env::args().nth(1).unwrap_or_else(|| {
        let file = env::temp_dir().join("sward-trace.json");
        file.to_string_lossy().into_owned()
    });
    sward::trace::start(&path)?;
    let found = sward::run(|| primes(500));
    sward::trace::stop()?;
    println!(
        "{} primes, the last of which is {:?}",
        found.len(),
        found.last()
    );
    println!("look at it on https://ui.perfetto.dev");
    Ok(())
}
