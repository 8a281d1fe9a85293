//! Wake-ups of every kind against each other: tokens, timers, joins, from green and kernel threads.

use crate::{
    compute, micros, storm,
    support::{Home, Rng},
};
use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use sward::thread::{self, Thread};

/// Each of a ring waits for the one before it, round after round: a lost token stops the ring.
#[test]
fn a_ring_of_tokens() {
    storm("ring", |rng, _| {
        let length = 2 + rng.below(30);
        let rounds = 100;
        let ring: Arc<Vec<OnceLock<Thread>>> =
            Arc::new((0..length).map(|_| OnceLock::new()).collect());
        let turn = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..length)
            .map(|place| {
                let (ring, turn) = (Arc::clone(&ring), Arc::clone(&turn));
                let home = match rng.below(6) {
                    0 => Home::Threads,
                    _ => Home::Green(0),
                };
                home.spawn(move || {
                    ring[place].set(thread::current()).expect("set once");
                    let next = loop {
                        match ring[(place + 1) % length].get() {
                            Some(next) => break next.clone(),
                            None => thread::yield_now(),
                        }
                    };
                    for round in 0..rounds {
                        while turn.load(SeqCst) != round * length + place {
                            thread::park();
                        }
                        turn.fetch_add(1, SeqCst);
                        next.unpark();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(turn.load(SeqCst), rounds * length);
    });
}

/// Unparks from everywhere, and time-outs of the same length as they take: whoever parks for ever is woken.
#[test]
fn tokens_race_with_time_outs() {
    storm("tokens and time-outs", |rng, _| {
        let done = Arc::new(AtomicBool::new(false));
        let parked: Vec<_> = (0..8)
            .map(|_| {
                let seed = rng.next();
                let home = if rng.below(4) == 0 {
                    Home::Threads
                } else {
                    Home::Green(0)
                };
                let own: Arc<Mutex<Option<Thread>>> = Arc::default();
                let (slot, done) = (Arc::clone(&own), Arc::clone(&done));
                let handle = home.spawn(move || {
                    let mut rng = Rng::new(seed);
                    *slot.lock().expect("no panic") = Some(thread::current());
                    let mut parks = 0_u64;
                    while !done.load(SeqCst) {
                        match rng.below(3) {
                            0 => thread::park(),
                            1 => thread::park_timeout(micros(&mut rng, 60)),
                            _ => thread::park_timeout(Duration::from_hours(1)),
                        }
                        parks += 1;
                    }
                    parks
                });
                (own, handle)
            })
            .collect();
        let wakers: Vec<_> = (0..4)
            .map(|number| {
                let targets: Vec<_> = parked.iter().map(|it| Arc::clone(&it.0)).collect();
                let home = if number == 0 {
                    Home::Threads
                } else {
                    Home::Green(0)
                };
                let seed = rng.next();
                home.spawn(move || {
                    let mut rng = Rng::new(seed);
                    for _ in 0..500 {
                        let target = rng.below(targets.len());
                        if let Some(thread) = &*targets[target].lock().expect("no panic") {
                            thread.unpark();
                        }
                        match rng.below(8) {
                            0 => thread::sleep(micros(&mut rng, 60)),
                            1 => compute(micros(&mut rng, 30)),
                            2 => thread::yield_now(),
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        for waker in wakers {
            waker.join().expect("no panic");
        }
        done.store(true, SeqCst);
        for (own, handle) in parked {
            // One token is enough, once it is set: it is kept.
            loop {
                if let Some(thread) = &*own.lock().expect("no panic") {
                    thread.unpark();
                    break;
                }
                thread::yield_now();
            }
            handle.join().expect("no panic");
        }
    });
}

/// Sleepers of all lengths, among computing: none comes early, and all come.
#[test]
fn sleeps_end_and_never_early() {
    storm("sleeps", |rng, _| {
        let threads: Vec<_> = (0..200)
            .map(|_| {
                let seed = rng.next();
                sward::spawn(move || {
                    let mut rng = Rng::new(seed);
                    for _ in 0..5 {
                        let time = micros(&mut rng, 3_000);
                        let start = Instant::now();
                        thread::sleep(time);
                        assert!(start.elapsed() >= time);
                        if rng.below(8) == 0 {
                            compute(micros(&mut rng, 100));
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
    });
}

/// Kernel threads spawn and join while the runtime falls asleep again and again.
#[test]
fn pushes_from_outside_race_with_falling_asleep() {
    crate::plans("pushes from outside", |rng, workers| {
        let runtime = Arc::new(crate::runtime(workers));
        let kernels: Vec<_> = (0..3)
            .map(|_| {
                let (runtime, seed) = (Arc::clone(&runtime), rng.next());
                std::thread::spawn(move || {
                    let mut rng = Rng::new(seed);
                    for turn in 0..200_u64 {
                        assert_eq!(runtime.spawn(move || turn).join().expect("no panic"), turn);
                        // About as long as it takes a worker to lie down.
                        compute(micros(&mut rng, 40));
                    }
                })
            })
            .collect();
        for kernel in kernels {
            kernel.join().expect("no panic");
        }
    });
}
