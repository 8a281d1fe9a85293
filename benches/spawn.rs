//! What it costs to start a thread and to wait for its end: green ones beside kernel threads.
//!
//! ```text
//! cargo bench --bench spawn
//! ```
//!
//! Times are per thread, from the call of `spawn` until it was joined. In `together` a thousand are
//! started before the first is joined, so that none finds a stack that is still warm unless another
//! ended in time. In `in turn` each is joined before the next starts: the best case for caches and for
//! the next slot, and with two workers it shows that nobody is woken for so little. The closure is
//! empty, and nothing here tells what a stack costs that was used.

use criterion::{Criterion, criterion_group, criterion_main};
use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};
use sward::Runtime;

const WORKERS: [usize; 2] = [1, 2];
const CROWD: u64 = 1_000;
/// A process may not have as many kernel threads.
const KERNEL_CROWD: u64 = 100;

fn green(c: &mut Criterion) {
    for workers in WORKERS {
        let runtime = Runtime::builder()
            .workers(workers)
            .build()
            .expect("a runtime starts");
        let name = format!("green, {workers} workers");
        c.bench_function(&format!("in turn/{name}"), |b| {
            b.iter_custom(|rounds| runtime.run(move || green_in_turn(rounds)));
        });
        c.bench_function(&format!("together/{name}"), |b| {
            b.iter_custom(|rounds| {
                let crowds = rounds.div_ceil(CROWD);
                let time: Duration = (0..crowds).map(|_| runtime.run(green_together)).sum();
                time.mul_f64(fraction(rounds, crowds * CROWD))
            });
        });
    }
}

fn green_in_turn(rounds: u64) -> Duration {
    let start = Instant::now();
    for round in 0..rounds {
        let thread = sward::spawn(move || black_box(round));
        assert_eq!(thread.join().expect("it returns"), round);
    }
    start.elapsed()
}

fn green_together() -> Duration {
    let mut threads = Vec::with_capacity(1_000);
    let start = Instant::now();
    threads.extend((0..CROWD).map(|it| sward::spawn(move || black_box(it))));
    let sum: u64 = threads
        .drain(..)
        .map(|it| it.join().expect("it returns"))
        .sum();
    let time = start.elapsed();
    assert_eq!(sum, CROWD * (CROWD - 1) / 2);
    time
}

fn kernel(c: &mut Criterion) {
    c.bench_function("in turn/kernel threads", |b| {
        b.iter(|| thread::spawn(|| black_box(7)).join().expect("it returns"));
    });
    c.bench_function("together/kernel threads", |b| {
        b.iter_custom(|rounds| {
            let crowds = rounds.div_ceil(KERNEL_CROWD);
            let time: Duration = (0..crowds).map(|_| kernel_together()).sum();
            time.mul_f64(fraction(rounds, crowds * KERNEL_CROWD))
        });
    });
}

fn kernel_together() -> Duration {
    let start = Instant::now();
    let threads: Vec<_> = (0..KERNEL_CROWD)
        .map(|it| thread::spawn(move || black_box(it)))
        .collect();
    let sum: u64 = threads
        .into_iter()
        .map(|it| it.join().expect("it returns"))
        .sum();
    let time = start.elapsed();
    assert_eq!(sum, KERNEL_CROWD * (KERNEL_CROWD - 1) / 2);
    time
}

#[expect(clippy::cast_precision_loss, reason = "counts are far from 2^52")]
fn fraction(wanted: u64, done: u64) -> f64 {
    wanted as f64 / done as f64
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = benches;
    config = quick();
    targets = green, kernel
}
criterion_main!(benches);
