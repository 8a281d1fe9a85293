//! What a context switch costs: green threads that give way, beside a bare switch and kernel threads.
//!
//! ```text
//! cargo bench --bench switch
//! cargo bench --bench switch -- yield          # one group
//! ```
//!
//! Times are per turn: a thread gives way, others run, it runs again; that is one switch away from its
//! stack and one back to it. `yield` is the runtime's whole work on it, for so many green threads in one
//! queue or two; more threads mean more stacks, and more of them outside of the caches. `corosensei` is
//! what of that no scheduler can save: resume and suspend, in the same number. `kernel` is a token that
//! two kernel threads hand to and fro, by `park` and `unpark`: half a round trip. None of this tells what
//! it costs to wake a worker that sleeps; `channel` does.

use corosensei::{Coroutine, CoroutineResult, stack::DefaultStack};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread,
    time::{Duration, Instant},
};
use sward::{Runtime, sync::Barrier, yield_now};

const WORKERS: [usize; 2] = [1, 2];
const THREADS: [usize; 3] = [2, 1_000, 10_000];

/// Fewer turns than this, for each thread, would measure how they start.
const LEAST_TURNS: u64 = 100;

/// The stack of a bare coroutine: as little as there is.
const BARE_STACK_BYTES: usize = 16 << 10;

/// The time of `rounds`, from that of `done`.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of turns are far from 2^52"
)]
fn scale(time: Duration, rounds: u64, done: u64) -> Duration {
    time.mul_f64(rounds as f64 / done as f64)
}

/// How often each of so many threads has its turn.
fn turns_each(rounds: u64, threads: usize) -> u64 {
    rounds.div_ceil(threads as u64).max(LEAST_TURNS)
}

fn yields(c: &mut Criterion) {
    let mut group = c.benchmark_group("yield");
    for workers in WORKERS {
        let runtime = Runtime::builder()
            .workers(workers)
            .build()
            .expect("a runtime starts");
        for threads in THREADS {
            let name = BenchmarkId::new(format!("{threads} threads"), format!("{workers} workers"));
            group.bench_function(name, |b| {
                b.iter_custom(|rounds| {
                    let each = turns_each(rounds, threads);
                    let time = runtime.run(move || yield_by(threads, each));
                    scale(time, rounds, each * threads as u64)
                });
            });
        }
    }
    group.finish();
}

/// So many green threads that give way so many times each.
fn yield_by(threads: usize, each: u64) -> Duration {
    let ready = Arc::new(Barrier::new(threads + 1));
    let turns = Arc::new(AtomicU64::new(0));
    let all: Vec<_> = (0..threads)
        .map(|_| {
            let (ready, turns) = (Arc::clone(&ready), Arc::clone(&turns));
            sward::spawn(move || {
                ready.wait();
                for _ in 0..each {
                    yield_now();
                }
                turns.fetch_add(each, Relaxed);
            })
        })
        .collect();
    ready.wait();
    let start = Instant::now();
    for thread in all {
        thread.join().expect("it only gives way");
    }
    let time = start.elapsed();
    assert_eq!(turns.load(Relaxed), each * threads as u64);
    time
}

fn bare(c: &mut Criterion) {
    let mut group = c.benchmark_group("corosensei");
    for threads in THREADS {
        group.bench_function(
            BenchmarkId::from_parameter(format!("{threads} stacks")),
            |b| {
                let mut stacks: Vec<_> = (0..threads).map(|_| coroutine()).collect();
                b.iter_custom(|rounds| {
                    let each = turns_each(rounds, threads);
                    let start = Instant::now();
                    for _ in 0..each {
                        for stack in &mut stacks {
                            stack.resume(true).as_yield().expect("it goes on");
                        }
                    }
                    scale(start.elapsed(), rounds, each * threads as u64)
                });
                for stack in &mut stacks {
                    let CoroutineResult::Return(turns) = stack.resume(false) else {
                        panic!("it was told to end");
                    };
                    assert!(turns >= LEAST_TURNS, "it had its turns");
                }
            },
        );
    }
    group.finish();
}

/// A coroutine that counts its turns until it is told to end.
fn coroutine() -> Coroutine<bool, (), u64> {
    let stack = DefaultStack::new(BARE_STACK_BYTES).expect("there is memory for a small stack");
    Coroutine::with_stack(stack, |yielder, mut go_on| {
        let mut turns = 0;
        while go_on {
            turns += 1;
            go_on = yielder.suspend(());
        }
        turns
    })
}

fn kernel(c: &mut Criterion) {
    c.benchmark_group("kernel")
        .bench_function("2 threads", |b| {
            b.iter_custom(|rounds| {
                let each = turns_each(rounds, 2);
                scale(hand_over(each), rounds, each * 2)
            });
        });
}

/// Two kernel threads with one token, which each hands over so many times.
fn hand_over(each: u64) -> Duration {
    // Even: it is the first one's turn. Odd: the other's.
    let token = Arc::new(AtomicU64::new(0));
    let first = thread::current();
    let other = {
        let token = Arc::clone(&token);
        thread::spawn(move || take_turns(&token, 1, each, &first))
    };
    let start = Instant::now();
    take_turns(&token, 0, each, other.thread());
    other.join().expect("it only takes turns");
    let time = start.elapsed();
    assert_eq!(token.load(Relaxed), each * 2);
    time
}

fn take_turns(token: &AtomicU64, mine: u64, each: u64, other: &thread::Thread) {
    for turn in 0..each {
        while token.load(Acquire) != turn * 2 + mine {
            thread::park();
        }
        token.store(turn * 2 + mine + 1, Release);
        other.unpark();
    }
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
    targets = yields, bare, kernel
}
criterion_main!(benches);
