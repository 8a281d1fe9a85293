//! Seeded storms over the scheduler: whatever happens at once, nothing is lost, doubled or hung.
//!
//! Each test runs a plan made from a seed, under a watchdog, with 1, 2, 4 and 16 workers. A failure names
//! seed and workers; `SWARD_SEEDS=1..=200` runs more of them, and `SWARD_SEEDS=17..=17` one again.

#[path = "../support/mod.rs"]
mod support;

mod called_off;
mod counts;
mod hogs;
mod late;
mod runtimes;
mod sockets;
mod trees;
mod wakes;

use std::{
    hint::black_box,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};
use support::{Rng, runtime, seeds, watched};

/// How long one plan may take, however loaded the machine is.
const LIMIT: Duration = Duration::from_mins(2);

/// Runs `plan` for each seed as the main green thread of runtimes of several sizes.
fn storm(what: &'static str, plan: fn(&mut Rng, usize)) {
    plans(what, move |rng, workers| {
        let seed = rng.next();
        runtime(workers).run(move || plan(&mut Rng::new(seed), workers));
    });
}

/// Runs `plan` for each seed and number of workers, on a kernel thread.
fn plans(what: &'static str, plan: impl Fn(&mut Rng, usize) + Copy + Send + 'static) {
    for seed in seeds() {
        for workers in [1, 2, 4, 16] {
            watched(
                &format!("{what}, seed {seed}, {workers} workers"),
                LIMIT,
                move || {
                    let run = || plan(&mut Rng::new(seed), workers);
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
                        eprintln!("{what}: SWARD_SEEDS={seed}..={seed}, {workers} workers");
                        resume_unwind(payload);
                    }
                },
            );
        }
    }
}

/// Computes for about that long, without ever giving way.
fn compute(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        for it in 0..1_000_u32 {
            black_box(it);
        }
    }
}

/// A short time, of up to `most` microseconds.
fn micros(rng: &mut Rng, most: usize) -> Duration {
    Duration::from_micros(rng.below(most) as u64)
}
