//! Runtimes that start and stop in the midst of everything.

use crate::{
    compute, micros, plans,
    support::{Rng, runtime},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread as kernel,
    time::{Duration, Instant},
};
use sward::thread;

/// Counts how many are alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// A runtime is dropped while its green threads wait in every way, spawn, and compute a little: all of
/// them end, and every destructor has run.
#[test]
fn shutdown_under_load() {
    plans("shutdown", |rng, workers| {
        for _ in 0..6 {
            let alive = Arc::new(AtomicUsize::new(0));
            let other = runtime(workers);
            let mut handles = Vec::new();
            for _ in 0..100 {
                let (seed, mark) = (rng.next(), Alive::new(&alive));
                let counted = Arc::clone(&alive);
                handles.push(other.spawn(move || {
                    let _mark = mark;
                    let mut rng = Rng::new(seed);
                    loop {
                        match rng.below(8) {
                            0 => thread::park(),
                            1 => thread::sleep(micros(&mut rng, 2_000)),
                            2 => compute(micros(&mut rng, 50)),
                            3 => drop(sward::spawn({
                                let mark = Alive::new(&counted);
                                move || {
                                    let _mark = mark;
                                    thread::park();
                                }
                            })),
                            4 => sward::blocking(|| kernel::sleep(micros(&mut rng, 200))),
                            5 => thread::scope(|scope| {
                                for _ in 0..2 {
                                    scope.spawn(|| {
                                        let _mark = Alive::new(&counted);
                                        thread::sleep(Duration::from_micros(500));
                                    });
                                }
                            }),
                            6 => {
                                let child = sward::spawn(|| thread::sleep(Duration::from_mins(1)));
                                drop(child.join());
                                return;
                            }
                            _ => thread::yield_now(),
                        }
                    }
                }));
            }
            kernel::sleep(micros(rng, 3_000));
            let start = Instant::now();
            other.shutdown_timeout(Duration::from_mins(1));
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "it took {:?}",
                start.elapsed()
            );
            for handle in handles {
                if let Err(payload) = handle.join() {
                    assert!(payload.is::<sward::Shutdown>());
                }
            }
            assert_eq!(alive.load(SeqCst), 0);
        }
    });
}

/// A runtime is dropped while all of its workers are stuck, and pinned threads wait: who comes back in time
/// ends, and the rest is abandoned in bounded time.
#[test]
fn shutdown_beside_hogs() {
    plans("shutdown beside hogs", |rng, workers| {
        for _ in 0..4 {
            let alive = Arc::new(AtomicUsize::new(0));
            let it = runtime(workers.min(4));
            for _ in 0..8 {
                let (seed, mark) = (rng.next(), Alive::new(&alive));
                drop(it.spawn(move || {
                    let _mark = mark;
                    let mut rng = Rng::new(seed);
                    for _ in 0..4 {
                        compute(micros(&mut rng, 3_000));
                        kernel::sleep(micros(&mut rng, 2_000));
                        thread::yield_now();
                    }
                    thread::park();
                }));
            }
            let mark = Alive::new(&alive);
            let pinned = it.spawn(|| {
                thread::Builder::new().spawn_pinned(move || {
                    let _mark = mark;
                    thread::park();
                })
            });
            kernel::sleep(micros(rng, 4_000));
            let start = Instant::now();
            it.shutdown_timeout(Duration::from_mins(1));
            assert!(start.elapsed() < Duration::from_secs(30));
            assert_eq!(alive.load(SeqCst), 0);
            // Not begun when it was closed, or pinned by then.
            if let Ok(Ok(pinned)) = pinned.join() {
                drop(pinned.join());
            }
        }
    });
}

/// Several runtimes at once, each built, used and dropped by green threads of another.
#[test]
fn runtimes_start_and_stop_within_runtimes() {
    fn nest(seed: u64, depth: usize) -> usize {
        let mut rng = Rng::new(seed);
        let inner = runtime(1 + rng.below(3));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let seed = rng.next();
                inner.spawn(move || {
                    let mut rng = Rng::new(seed);
                    thread::sleep(micros(&mut rng, 300));
                    if depth > 0 && rng.below(2) == 0 {
                        nest(seed, depth - 1)
                    } else {
                        1
                    }
                })
            })
            .collect();
        let sum = threads
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum();
        if rng.below(2) == 0 {
            // Within one of its own.
            let (send, receive) = std::sync::mpsc::channel::<sward::Runtime>();
            let last = inner.spawn(move || {
                let own = sward::blocking(|| receive.recv());
                drop(own);
                // The next wait ends this.
                thread::park();
            });
            drop(send.send(inner));
            drop(last.join());
        }
        sum
    }
    plans("runtimes", |rng, workers| {
        for _ in 0..4 {
            let seed = rng.next();
            assert!(runtime(workers).run(move || nest(seed, 2)) >= 4);
        }
    });
}

/// Runtimes come and go while kernel threads wait on them and others run.
#[test]
fn runtimes_come_and_go() {
    plans("come and go", |rng, workers| {
        let seeds: Vec<_> = (0..3).map(|_| rng.next()).collect();
        kernel::scope(|scope| {
            for seed in seeds {
                scope.spawn(move || {
                    let mut rng = Rng::new(seed);
                    for _ in 0..10 {
                        let it = runtime(workers.min(4));
                        let sum: u64 = (0..10)
                            .map(|number| it.spawn(move || number))
                            .collect::<Vec<_>>()
                            .into_iter()
                            .map(|it| it.join().expect("no panic"))
                            .sum();
                        assert_eq!(sum, 45);
                        if rng.below(2) == 0 {
                            let sleeper = it.spawn(thread::park);
                            drop(it);
                            assert!(sleeper.join().is_err());
                        }
                    }
                });
            }
        });
    });
}
