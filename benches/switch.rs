//! What a context switch costs: green threads beside a bare switch and kernel threads.
//!
//! ```text
//! cargo bench --bench switch
//! cargo bench --bench switch -- 'give way'     # some rows
//! RECORD=1 cargo bench --bench switch          # and put table and picture into benches/
//! ```
//!
//! Times are per turn: a thread stops, others run, it runs again; that is one switch away from its stack
//! and one back to it. At the end stand all medians in a table; the picture is `target/switch.svg`.
//!
//! - `give way`: the runtime's whole work on `yield_now`, for so many green threads in one queue or two; more
//!   threads mean more stacks, and more of them outside of the caches. `corosensei` is what of that no
//!   scheduler can save: resume and suspend, in the same number.
//! - `ping-pong`: half of a round trip through two channels without buffers: a message, and the other runs.
//! - `hand over`: half of a round trip of a token, by `park` and `unpark`. With `2 workers` the scheduler is
//!   free to keep both on one, and does. `across workers` it is not: each is in a runtime of its own, whose
//!   one worker has nothing else to do and sleeps, so the kernel has to wake it, as it has to wake a
//!   `kernel thread`. In `hand over, busy` another thread gives way all the time on each worker; so none
//!   sleeps, but what comes from outside waits its turn: a shared queue is looked at every 63rd.
//!
//! None of this tells what a switch costs after which the data are cold: see `scale`.

mod support;
#[path = "support/threads.rs"]
mod threads;

use corosensei::{Coroutine, CoroutineResult, stack::DefaultStack};
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread,
    time::{Duration, Instant},
};
use support::{Bench, runtime, timed};
use sward::{Runtime, channel::bounded, sync::Barrier, yield_now};
use threads::{Spawn, green, kernel};

const WORKERS: [(usize, &str); 2] = [(1, "1 worker"), (2, "2 workers")];
const THREADS: [u64; 3] = [2, 1_000, 10_000];

/// Fewer turns than this, for each thread, would measure how they start.
const LEAST_TURNS: u64 = 100;

/// The stack of a bare coroutine: as little as there is.
const BARE_STACK_BYTES: usize = 16 << 10;

/// How often each of so many threads has its turn.
fn turns_each(rounds: u64, threads: u64) -> u64 {
    rounds.div_ceil(threads).max(LEAST_TURNS)
}

/// So many green threads that give way so many times each.
fn give_way(threads: u64, each: u64) -> Duration {
    let ready = Arc::new(Barrier::new(usize::try_from(threads + 1).expect("a few")));
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
    assert_eq!(turns.load(Relaxed), each * threads);
    time
}

/// So many turns of each of these coroutines.
fn bare(stacks: &mut [Coroutine<bool, (), u64>], each: u64) -> Duration {
    timed(|| {
        for _ in 0..each {
            for stack in &mut *stacks {
                stack.resume(true).as_yield().expect("it goes on");
            }
        }
    })
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

/// So many messages to another thread, each of which comes back.
fn ping_pong(rounds: u64, spawn: Spawn) -> Duration {
    let (to_it, calls) = bounded(0);
    let (to_us, answers) = bounded(0);
    let partner = spawn(Box::new(move || {
        let answer = |it: u64| to_us.send(it).expect("we listen");
        calls.iter().map(answer).count() as u64
    }));
    let time = timed(|| {
        for round in 0..rounds {
            to_it.send(round).expect("it listens");
            assert_eq!(answers.recv(), Ok(round));
        }
    });
    drop(to_it);
    assert_eq!(partner(), rounds);
    time
}

/// The token that two threads hand to and fro. Even: it is the first one's turn. Odd: the other's.
static TOKEN: AtomicU64 = AtomicU64::new(0);

/// One end: so many turns, from `mine` on.
fn take_turns(mine: u64, each: u64, park: impl Fn(), unpark: impl Fn()) {
    for turn in 0..each {
        while TOKEN.load(Acquire) != turn * 2 + mine {
            park();
        }
        TOKEN.store(turn * 2 + mine + 1, Release);
        unpark();
    }
}

/// Two green threads of one runtime or of two, whose token each hands over so many times.
fn hand_over(one: &Runtime, other: &Runtime, each: u64) -> Duration {
    TOKEN.store(0, Relaxed);
    let (tell, told) = bounded(0);
    let (tell_back, told_back) = bounded(0);
    let second = other.spawn(move || {
        tell.send(sward::thread::current()).expect("it listens");
        let first: sward::thread::Thread = told_back.recv().expect("it says who it is");
        take_turns(1, each, sward::thread::park, || first.unpark());
    });
    let first = one.spawn(move || {
        let second = told.recv().expect("it says who it is");
        tell_back
            .send(sward::thread::current())
            .expect("it listens");
        timed(|| take_turns(0, each, sward::thread::park, || second.unpark()))
    });
    let time = first.join().expect("it only takes turns");
    second.join().expect("it only takes turns");
    assert_eq!(TOKEN.load(Relaxed), each * 2);
    time
}

/// The same, with somebody else on each worker who never stops.
fn hand_over_busy(one: &Runtime, other: &Runtime, each: u64) -> Duration {
    let stop = Arc::new(AtomicBool::new(false));
    let busy = [one, other].map(|it| {
        let stop = Arc::clone(&stop);
        it.spawn(move || {
            while !stop.load(Relaxed) {
                yield_now();
            }
        })
    });
    let time = hand_over(one, other, each);
    stop.store(true, Relaxed);
    for thread in busy {
        thread.join().expect("it only gives way");
    }
    time
}

/// The same with kernel threads.
fn hand_over_kernel(each: u64) -> Duration {
    TOKEN.store(0, Relaxed);
    let first = thread::current();
    let second = thread::spawn(move || take_turns(1, each, thread::park, || first.unpark()));
    let time = timed(|| take_turns(0, each, thread::park, || second.thread().unpark()));
    second.join().expect("it only takes turns");
    assert_eq!(TOKEN.load(Relaxed), each * 2);
    time
}

fn main() {
    let mut bench = Bench::new("A context switch", 20, Duration::from_secs(2));
    for threads in THREADS {
        let row = format!("give way, {threads} threads");
        for (workers, column) in WORKERS {
            let runtime = runtime(workers);
            bench.measure(&row, column, |rounds| {
                let each = turns_each(rounds, threads);
                let time = runtime.run(move || give_way(threads, each));
                (each * threads, time)
            });
        }
        let mut stacks: Vec<_> = (0..threads).map(|_| coroutine()).collect();
        bench.measure(&row, "corosensei", |rounds| {
            let each = turns_each(rounds, threads);
            (each * threads, bare(&mut stacks, each))
        });
        for stack in &mut stacks {
            assert!(matches!(stack.resume(false), CoroutineResult::Return(_)));
        }
    }
    for (workers, column) in WORKERS {
        let runtime = runtime(workers);
        bench.measure("ping-pong", column, |rounds| {
            let each = turns_each(rounds, 2);
            (each * 2, runtime.run(move || ping_pong(each, green)))
        });
        bench.measure("hand over", column, |rounds| {
            let each = turns_each(rounds, 2);
            (each * 2, hand_over(&runtime, &runtime, each))
        });
        bench.measure("hand over, busy", column, |rounds| {
            let each = turns_each(rounds, 2);
            (each * 2, hand_over_busy(&runtime, &runtime, each))
        });
    }
    let [one, other] = [1, 1].map(runtime);
    bench.measure("hand over", "across workers", |rounds| {
        let each = turns_each(rounds, 2);
        (each * 2, hand_over(&one, &other, each))
    });
    bench.measure("hand over, busy", "across workers", |rounds| {
        let each = turns_each(rounds, 2);
        (each * 2, hand_over_busy(&one, &other, each))
    });
    bench.measure("ping-pong", "kernel threads", |rounds| {
        let each = turns_each(rounds, 2);
        (each * 2, ping_pong(each, kernel))
    });
    bench.measure("hand over", "kernel threads", |rounds| {
        let each = turns_each(rounds, 2);
        (each * 2, hand_over_kernel(each))
    });
    bench.finish("switch");
}
