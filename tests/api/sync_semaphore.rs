//! What `Semaphore` promises.

use crate::support::{Home, on_every_home, on_every_real_home};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use sward::sync::Semaphore;

const LONG: Duration = Duration::from_secs(30);

/// Waits until somebody stands in the line: then even nothing is refused.
fn until_somebody_waits(home: Home, semaphore: &Semaphore) {
    while semaphore.try_acquire(0).is_some() {
        home.yield_now();
    }
}

#[test]
fn permits_go_back_when_dropped_and_not_when_forgotten() {
    let semaphore = Semaphore::new(3);
    let one = semaphore.acquire(1);
    let two = semaphore.try_acquire(2).expect("free");
    assert!(semaphore.try_acquire(1).is_none());
    assert!(semaphore.try_acquire(0).is_some());
    assert!(semaphore.acquire_timeout(1, Duration::ZERO).is_none());
    drop(two);
    one.forget();
    assert!(semaphore.try_acquire(3).is_none());
    assert!(semaphore.try_acquire(2).is_some());
    semaphore.add(1);
    assert!(semaphore.acquire_timeout(3, Duration::ZERO).is_some());
}

#[test]
fn never_more_are_inside_than_there_are_permits() {
    on_every_real_home(|home| {
        let shared = Arc::new((Semaphore::new(5), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..8_usize)
            .map(|seed| {
                let shared = Arc::clone(&shared);
                let work = move || {
                    for turn in 0..5_000 {
                        let count = 1 + (turn + seed) % 3;
                        let permits = shared.0.acquire(count);
                        assert!(shared.1.fetch_add(count, SeqCst) + count <= 5);
                        if turn % 64 == 0 {
                            std::thread::yield_now();
                        }
                        shared.1.fetch_sub(count, SeqCst);
                        drop(permits);
                    }
                };
                if seed % 2 == 0 {
                    home.spawn(work)
                } else {
                    Home::Threads.spawn(work)
                }
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert!(shared.0.try_acquire(5).is_some());
    });
}

/// A big request holds up small ones that come later, though they would fit.
#[test]
fn requests_are_met_in_order() {
    on_every_home(|home| {
        let shared = Arc::new((Semaphore::new(4), AtomicUsize::new(0)));
        let held: Vec<_> = (0..4).map(|_| shared.0.acquire(1)).collect();
        let big = home.spawn({
            let shared = Arc::clone(&shared);
            move || {
                let permits = shared.0.acquire(4);
                let before = shared.1.fetch_add(1, SeqCst);
                drop(permits);
                before
            }
        });
        until_somebody_waits(home, &shared.0);
        let small = home.spawn({
            let shared = Arc::clone(&shared);
            move || {
                let permits = shared.0.acquire(1);
                let before = shared.1.fetch_add(1, SeqCst);
                drop(permits);
                before
            }
        });
        for permit in held {
            assert!(shared.0.try_acquire(1).is_none());
            assert_eq!(shared.1.load(SeqCst), 0);
            drop(permit);
        }
        assert_eq!(big.join().expect("no panic"), 0);
        assert_eq!(small.join().expect("no panic"), 1);
    });
}

#[test]
fn a_big_request_that_gives_up_lets_small_ones_pass() {
    on_every_home(|home| {
        let semaphore = Arc::new(Semaphore::new(2));
        let held = semaphore.acquire(1);
        let began = Instant::now();
        let big = home.spawn({
            let semaphore = Arc::clone(&semaphore);
            move || {
                semaphore
                    .acquire_timeout(2, Duration::from_millis(20))
                    .is_none()
            }
        });
        let small = home.spawn({
            let semaphore = Arc::clone(&semaphore);
            move || semaphore.acquire_timeout(1, LONG).is_some()
        });
        assert!(big.join().expect("no panic"));
        assert!(small.join().expect("no panic"));
        assert!(began.elapsed() < LONG);
        drop(held);
        assert!(semaphore.try_acquire(2).is_some());
    });
}

#[test]
fn more_than_there_are_is_waited_for_until_it_is_added() {
    on_every_home(|home| {
        let semaphore = Arc::new(Semaphore::new(1));
        let waiter = home.spawn({
            let semaphore = Arc::clone(&semaphore);
            move || drop(semaphore.acquire(3))
        });
        until_somebody_waits(home, &semaphore);
        semaphore.add(1);
        assert!(semaphore.try_acquire(0).is_none());
        semaphore.add(1);
        waiter.join().expect("no panic");
        assert!(semaphore.try_acquire(3).is_some());
        assert!(catch_unwind(AssertUnwindSafe(|| semaphore.add(usize::MAX))).is_err());
        assert!(semaphore.try_acquire(4).is_none());
    });
}

#[test]
fn late_requests_take_no_permit_with_them() {
    on_every_home(|home| {
        let semaphore = Arc::new(Semaphore::new(2));
        let threads: Vec<_> = (0..4_usize)
            .map(|seed| {
                let semaphore = Arc::clone(&semaphore);
                home.spawn(move || {
                    for turn in 0..25_000_usize {
                        let count = 1 + (turn + seed) % 2;
                        if turn % 3 == 0 {
                            drop(semaphore.acquire(count));
                        } else {
                            let time = Duration::from_nanos(turn as u64 * 37 % 4_000);
                            drop(semaphore.acquire_timeout(count, time));
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert!(semaphore.try_acquire(2).is_some());
        assert!(semaphore.try_acquire(3).is_none());
    });
}
