//! Green threads that hold on to their kernel threads, computing or blocked: the others go on.

use crate::{
    compute, micros, storm,
    support::{Home, Rng},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread as kernel,
    time::Duration,
};
use sward::thread;

/// Four times as many hogs as workers, in bursts, spawning while they are stuck; between them sleepers
/// and pairs must come on.
#[test]
fn bursts_of_hogs_are_taken_over_and_come_back() {
    const OTHERS: usize = 8;
    storm("hogs", |rng, workers| {
        let done = Arc::new(AtomicBool::new(false));
        let spawned = Arc::new(AtomicUsize::new(0));
        // How many others have had no turn yet: as long, the hogs go on.
        let waiting = Arc::new(AtomicUsize::new(OTHERS));
        let hogs: Vec<_> = (0..4 * workers.min(4))
            .map(|_| {
                let (seed, spawned) = (rng.next(), Arc::clone(&spawned));
                let waiting = Arc::clone(&waiting);
                sward::spawn(move || {
                    let mut rng = Rng::new(seed);
                    let mut children = Vec::new();
                    let mut bursts = 0;
                    while bursts < 4 || waiting.load(SeqCst) > 0 {
                        bursts += 1;
                        match rng.below(4) {
                            0 => compute(micros(&mut rng, 6_000)),
                            // A system call that nobody announced.
                            1 => kernel::sleep(micros(&mut rng, 3_000)),
                            2 => compute(micros(&mut rng, 300)),
                            _ => sward::blocking(|| kernel::sleep(micros(&mut rng, 2_000))),
                        }
                        for _ in 0..rng.below(4) {
                            let spawned = Arc::clone(&spawned);
                            children.push(sward::spawn(move || {
                                spawned.fetch_add(1, SeqCst);
                            }));
                            // The monitor may come in between.
                            compute(micros(&mut rng, 100));
                        }
                        match rng.below(3) {
                            0 => thread::yield_now(),
                            1 => thread::sleep(micros(&mut rng, 200)),
                            _ => {}
                        }
                    }
                    let count = children.len();
                    for child in children {
                        child.join().expect("no panic");
                    }
                    count
                })
            })
            .collect();
        let others: Vec<_> = (0..OTHERS)
            .map(|number| {
                let (done, waiting) = (Arc::clone(&done), Arc::clone(&waiting));
                sward::spawn(move || {
                    let mut had_a_turn = false;
                    while !done.load(SeqCst) {
                        if number % 2 == 0 {
                            thread::sleep(Duration::from_micros(300));
                        } else {
                            thread::yield_now();
                        }
                        if !std::mem::replace(&mut had_a_turn, true) {
                            waiting.fetch_sub(1, SeqCst);
                        }
                    }
                })
            })
            .collect();
        let children: usize = hogs
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum();
        assert_eq!(children, spawned.load(SeqCst));
        done.store(true, SeqCst);
        for other in others {
            other.join().expect("no panic");
        }
    });
}

/// Bursts of blocking calls of all lengths, some of them nested, some waiting for green threads.
#[test]
fn bursts_of_blocking_calls() {
    storm("blocking", |rng, _| {
        let threads: Vec<_> = (0..60)
            .map(|_| {
                let seed = rng.next();
                sward::spawn(move || {
                    let mut rng = Rng::new(seed);
                    let mut sum = 0_u64;
                    for turn in 0..8_u64 {
                        sum += sward::blocking(|| match rng.below(6) {
                            0 => 1,
                            1 => {
                                kernel::sleep(micros(&mut rng, 500));
                                1
                            }
                            2 => sward::blocking(|| sward::spawn(|| 1).join().expect("no panic")),
                            3 => {
                                thread::sleep(micros(&mut rng, 300));
                                1
                            }
                            4 => sward::spawn(move || {
                                thread::yield_now();
                                u64::from(turn < 100)
                            })
                            .join()
                            .expect("no panic"),
                            _ => {
                                compute(micros(&mut rng, 100));
                                1
                            }
                        });
                    }
                    sum
                })
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().expect("no panic"), 8);
        }
    });
}

/// Pinned green threads, others, and kernel threads unpark and join each other.
#[test]
fn pinned_threads_take_part() {
    storm("pinned", |rng, _| {
        let threads: Vec<_> = (0..6)
            .map(|_| {
                let seed = rng.next();
                let pinned = thread::Builder::new().spawn_pinned(move || {
                    let mut rng = Rng::new(seed);
                    let before = kernel::current().id();
                    for _ in 0..20 {
                        let me = thread::current();
                        let child = sward::spawn(move || {
                            thread::yield_now();
                            me.unpark();
                        });
                        match rng.below(3) {
                            0 => thread::sleep(micros(&mut rng, 100)),
                            1 => thread::park_timeout(micros(&mut rng, 100)),
                            _ => thread::park(),
                        }
                        child.join().expect("no panic");
                        // A token may be left over from this round.
                        thread::park_timeout(Duration::ZERO);
                    }
                    kernel::current().id() == before
                });
                pinned.expect("a kernel thread")
            })
            .collect();
        for thread in threads {
            assert!(thread.join().expect("no panic"));
        }
    });
}

/// Threads that look at a kernel thread's own things across blocking calls, and pass work to and fro
/// between green and kernel threads.
#[test]
fn kernel_and_green_threads_wait_for_each_other() {
    fn relay(seed: u64, left: usize) -> usize {
        let mut rng = Rng::new(seed);
        if left == 0 {
            return 0;
        }
        let home = if rng.below(2) == 0 {
            Home::Threads
        } else {
            Home::Green(0)
        };
        let seed = rng.next();
        let next = home.spawn(move || relay(seed, left - 1));
        let joined = if rng.below(2) == 0 {
            next.join()
        } else {
            sward::blocking(|| next.join())
        };
        1 + joined.expect("no panic")
    }
    storm("relay", |rng, _| {
        let relays: Vec<_> = (0..8)
            .map(|_| {
                let seed = rng.next();
                sward::spawn(move || relay(seed, 12))
            })
            .collect();
        for it in relays {
            assert_eq!(it.join().expect("no panic"), 12);
        }
    });
}
