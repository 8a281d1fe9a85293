//! Multiplies matrices in steps that all green threads take together: the powers of a matrix.
//!
//! Shows a cyclic barrier. Each green thread computes its band of rows of the next power, and needs all
//! bands of the one before; so all wait for each other after every step, and one of them, the barrier's
//! leader, does what is to be done once. The matrix counts the ways through a network, of as many steps
//! as the power, so the result can be checked: on a ring with chords, each place has 4^n ways of n steps.
//!
//! Run it, with the number of places or for 96:
//!
//! ```text
//! cargo run --release --example matmul -- 400
//! ```
//!
//! It prints, for any number:
//!
//! ```text
//! after 1 step there are 4 ways from each place
//! after 2 steps there are 16 ways from each place
//! after 4 steps there are 256 ways from each place
//! after 8 steps there are 65536 ways from each place
//! after 16 steps there are 4294967296 ways from each place
//! ```

use std::{env, mem};
use sward::sync::{Barrier, PoisonError, RwLock};

const THREADS: usize = 4;
const SQUARINGS: u32 = 4;

type Row = Vec<u64>;

/// The powers: the one at hand, which all read, and the bands of the next, each of which one writes.
struct Work {
    power: RwLock<Vec<Row>>,
    bands: [RwLock<Vec<Row>>; THREADS],
    computed: Barrier,
    replaced: Barrier,
}

fn main() {
    let places = env::args().nth(1).and_then(|it| it.parse().ok());
    let places: usize = places.unwrap_or(96).max(8);
    sward::run(move || {
        let work = Work {
            power: RwLock::new(network(places)),
            bands: Default::default(),
            computed: Barrier::new(THREADS),
            replaced: Barrier::new(THREADS),
        };
        report(
            0,
            &work.power.read().unwrap_or_else(PoisonError::into_inner),
        );
        sward::scope(|scope| {
            for band in 0..THREADS {
                let work = &work;
                scope.spawn(move || {
                    for squaring in 1..=SQUARINGS {
                        work.square(band);
                        if work.computed.wait().is_leader() {
                            work.replace(squaring);
                        }
                        // Nobody goes on with the old power.
                        work.replaced.wait();
                    }
                });
            }
        });
    });
}

/// A ring of places, each linked to its neighbours and to the two that are three further on.
fn network(places: usize) -> Vec<Row> {
    (0..places)
        .map(|from| {
            let mut row = vec![0; places];
            for step in [1, 3, places - 1, places - 3] {
                row[(from + step) % places] += 1;
            }
            row
        })
        .collect()
}

impl Work {
    /// Computes one band of the square of the power at hand.
    fn square(&self, band: usize) {
        let power = self.power.read().unwrap_or_else(PoisonError::into_inner);
        let rows = power.len();
        let part = rows * band / THREADS..rows * (band + 1) / THREADS;
        let product = part.map(|row| {
            let mut sums = vec![0; rows];
            for (factor, other) in power[row].iter().zip(power.iter()) {
                for (sum, value) in sums.iter_mut().zip(other) {
                    *sum += factor * value;
                }
            }
            sums
        });
        let product = product.collect();
        *self.bands[band]
            .write()
            .unwrap_or_else(PoisonError::into_inner) = product;
    }

    /// Puts the bands together. Once for all, when all are computed.
    fn replace(&self, squaring: u32) {
        let mut power = self.power.write().unwrap_or_else(PoisonError::into_inner);
        power.clear();
        for band in &self.bands {
            let mut band = band.write().unwrap_or_else(PoisonError::into_inner);
            power.extend(mem::take(&mut *band));
        }
        report(squaring, &power);
    }
}

fn report(squaring: u32, power: &[Row]) {
    let steps = 1 << squaring;
    let plural = if steps == 1 { "step" } else { "steps" };
    let ways: u64 = power.iter().take(1).flatten().sum();
    if power.iter().all(|row| row.iter().sum::<u64>() == ways) {
        println!("after {steps} {plural} there are {ways} ways from each place");
    } else {
        println!("after {steps} {plural} the places differ");
    }
}
