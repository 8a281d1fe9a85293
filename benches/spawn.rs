//! What it costs to start a thread and to wait for its end: green ones beside kernel threads.
//!
//! ```text
//! cargo bench --bench spawn
//! RECORD=1 cargo bench --bench spawn    # and put table and picture into benches/
//! ```
//!
//! Times are per thread, from the call of `spawn` until it was joined. In `together` a thousand are
//! started before the first is joined, so that none finds a stack that is still warm unless another
//! ended in time. In `in turn` each is joined before the next starts: the best case for caches and for
//! the next slot, and with two workers it shows that nobody is woken for so little. The closure is
//! empty, and nothing here tells what a stack costs that was used.

mod support;

use std::{hint::black_box, thread, time::Duration};
use support::{Bench, runtime, timed};

const WORKERS: [(usize, &str); 2] = [(1, "1 worker"), (2, "2 workers")];
const CROWD: u64 = 1_000;
/// A process may not have as many kernel threads.
const KERNEL_CROWD: u64 = 100;

fn in_turn(rounds: u64) -> Duration {
    timed(|| {
        for round in 0..rounds {
            let thread = sward::spawn(move || black_box(round));
            assert_eq!(thread.join().expect("it returns"), round);
        }
    })
}

fn in_turn_kernel(rounds: u64) -> Duration {
    timed(|| {
        for round in 0..rounds {
            let thread = thread::spawn(move || black_box(round));
            assert_eq!(thread.join().expect("it returns"), round);
        }
    })
}

fn together<T>(crowd: u64, spawn: impl Fn(u64) -> T, join: impl Fn(T) -> u64) -> Duration {
    let mut threads = Vec::with_capacity(1_000);
    let mut sum = 0;
    let time = timed(|| {
        threads.extend((0..crowd).map(spawn));
        sum = threads.drain(..).map(join).sum();
    });
    assert_eq!(sum, crowd * (crowd - 1) / 2);
    time
}

fn together_green() -> Duration {
    let spawn = |it| sward::spawn(move || black_box(it));
    together(CROWD, spawn, |it| it.join().expect("it returns"))
}

fn together_kernel() -> Duration {
    let spawn = |it| thread::spawn(move || black_box(it));
    together(KERNEL_CROWD, spawn, |it| it.join().expect("it returns"))
}

fn main() {
    let mut bench = Bench::new("A thread, started and joined", 20, Duration::from_secs(2));
    for (workers, column) in WORKERS {
        let runtime = runtime(workers);
        bench.measure("in turn", column, |rounds| {
            (rounds, runtime.run(move || in_turn(rounds)))
        });
        bench.measure("together", column, |rounds| {
            let crowds = rounds.div_ceil(CROWD);
            let one = |_| runtime.run(together_green);
            (crowds * CROWD, (0..crowds).map(one).sum())
        });
    }
    bench.measure("in turn", "kernel threads", |rounds| {
        (rounds, in_turn_kernel(rounds))
    });
    bench.measure("together", "kernel threads", |rounds| {
        let crowds = rounds.div_ceil(KERNEL_CROWD);
        let time = (0..crowds).map(|_| together_kernel()).sum();
        (crowds * KERNEL_CROWD, time)
    });
    bench.finish("spawn");
}
