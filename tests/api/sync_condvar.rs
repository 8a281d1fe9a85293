//! What `Condvar` promises.

use crate::support::{Handle, Home, on_every_home, on_every_real_home};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};
use sward::sync::{Condvar, Mutex};

const LONG: Duration = Duration::from_secs(30);

type Shared<T> = Arc<(Mutex<T>, Condvar)>;

fn shared<T>(value: T) -> Shared<T> {
    Arc::new((Mutex::new(value), Condvar::new()))
}

#[test]
fn a_notification_without_waiters_is_lost() {
    on_every_home(|_| {
        let shared = shared(());
        shared.1.notify_one();
        shared.1.notify_all();
        let guard = shared.0.lock().expect("not poisoned");
        let (guard, result) = shared
            .1
            .wait_timeout(guard, Duration::from_millis(1))
            .expect("not poisoned");
        assert!(result.timed_out());
        drop(guard);
    });
}

/// Each waiter is in the line before the next comes, as it unlocks the mutex only then.
#[test]
fn waiters_are_notified_in_order() {
    on_every_home(|home| {
        // How many wait, how many may go on, and who went on.
        let shared = shared((0, 0, Vec::new()));
        let waiters: Vec<_> = (0..100)
            .map(|index| {
                let waiter = home.spawn({
                    let shared = Arc::clone(&shared);
                    move || {
                        let mut guard = shared.0.lock().expect("not poisoned");
                        guard.0 += 1;
                        guard = shared.1.wait(guard).expect("not poisoned");
                        guard.2.push(index);
                    }
                });
                while shared.0.lock().expect("not poisoned").0 <= index {
                    home.yield_now();
                }
                waiter
            })
            .collect();
        for index in 0..100 {
            shared.1.notify_one();
            while shared.0.lock().expect("not poisoned").2.len() <= index {
                home.yield_now();
            }
        }
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
        assert_eq!(
            shared.0.lock().expect("not poisoned").2,
            (0..100).collect::<Vec<_>>()
        );
    });
}

/// As many wake as were notified: no spurious wake-up, none lost.
#[test]
fn wake_ups_are_as_many_as_notifications() {
    on_every_home(|home| {
        let shared = shared((0, 0));
        let waiters: Vec<_> = (0..20)
            .map(|_| {
                let shared = Arc::clone(&shared);
                home.spawn(move || {
                    let mut guard = shared.0.lock().expect("not poisoned");
                    guard.0 += 1;
                    guard = shared.1.wait(guard).expect("not poisoned");
                    guard.1 += 1;
                })
            })
            .collect();
        while shared.0.lock().expect("not poisoned").0 < 20 {
            home.yield_now();
        }
        for woken in 1..=10 {
            shared.1.notify_one();
            while shared.0.lock().expect("not poisoned").1 < woken {
                home.yield_now();
            }
            home.yield_now();
            assert_eq!(shared.0.lock().expect("not poisoned").1, woken);
        }
        shared.1.notify_all();
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
        assert_eq!(*shared.0.lock().expect("not poisoned"), (20, 20));
    });
}

#[test]
fn who_comes_after_notify_all_waits() {
    on_every_home(|_| {
        let shared = shared(());
        shared.1.notify_all();
        let guard = shared.0.lock().expect("not poisoned");
        let (guard, result) = shared
            .1
            .wait_timeout(guard, Duration::from_millis(1))
            .expect("not poisoned");
        assert!(result.timed_out());
        drop(guard);
    });
}

#[test]
fn ping_pong_loses_nothing() {
    on_every_real_home(|home| {
        let shared = shared(0_u32);
        let turns = 20_000;
        let player = |mine: u32, shared: Shared<u32>| {
            move || {
                for _ in 0..turns {
                    let guard = shared.0.lock().expect("not poisoned");
                    let mut guard = shared
                        .1
                        .wait_while(guard, |it| *it % 2 != mine)
                        .expect("not poisoned");
                    *guard += 1;
                    drop(guard);
                    shared.1.notify_one();
                }
            }
        };
        let one = home.spawn(player(0, Arc::clone(&shared)));
        let two = Home::Threads.spawn(player(1, Arc::clone(&shared)));
        one.join().expect("no panic");
        two.join().expect("no panic");
        assert_eq!(*shared.0.lock().expect("not poisoned"), 2 * turns);
    });
}

/// A bounded buffer whose consumers give up early: what they were notified of others get.
#[test]
fn late_waiters_take_no_notification_with_them() {
    on_every_home(|home| {
        // Permits to take; every one is announced by one notification.
        let shared = shared(0_u64);
        let turns = 50_000_u64;
        let impatient = home.spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut taken = 0;
                for turn in 0..turns {
                    let guard = shared.0.lock().expect("not poisoned");
                    let time = Duration::from_nanos(turn * 41 % 3_000);
                    let (mut guard, _) = shared
                        .1
                        .wait_timeout_while(guard, time, |it| *it == 0)
                        .expect("not poisoned");
                    if *guard > 0 {
                        *guard -= 1;
                        taken += 1;
                    }
                }
                taken
            }
        });
        let producer = home.spawn({
            let shared = Arc::clone(&shared);
            move || {
                for _ in 0..2 * turns {
                    *shared.0.lock().expect("not poisoned") += 1;
                    shared.1.notify_one();
                }
            }
        });
        let patient = home.spawn({
            let shared = Arc::clone(&shared);
            move || {
                for _ in 0..turns {
                    let guard = shared.0.lock().expect("not poisoned");
                    *shared
                        .1
                        .wait_while(guard, |it| *it == 0)
                        .expect("not poisoned") -= 1;
                }
            }
        });
        producer.join().expect("no panic");
        patient.join().expect("no panic");
        let taken = impatient.join().expect("no panic");
        assert_eq!(*shared.0.lock().expect("not poisoned"), turns - taken);
    });
}

#[test]
fn waits_with_a_time_limit_say_how_they_ended() {
    on_every_home(|home| {
        let shared = shared(false);
        let guard = shared.0.lock().expect("not poisoned");
        let began = sward::time::now();
        let limit = Duration::from_millis(3);
        let (guard, result) = shared
            .1
            .wait_timeout_while(guard, limit, |it| !*it)
            .expect("not poisoned");
        assert!(result.timed_out() && sward::time::now() - began >= limit && !*guard);
        drop(guard);
        let other = home.spawn({
            let shared = Arc::clone(&shared);
            move || {
                *shared.0.lock().expect("not poisoned") = true;
                shared.1.notify_all();
            }
        });
        let guard = shared.0.lock().expect("not poisoned");
        let (guard, result) = shared
            .1
            .wait_timeout_while(guard, LONG, |it| !*it)
            .expect("not poisoned");
        assert!(!result.timed_out() && *guard);
        // What holds already needs no time.
        let (guard, result) = shared
            .1
            .wait_timeout_while(guard, Duration::ZERO, |it| !*it)
            .expect("not poisoned");
        assert!(!result.timed_out() && *guard);
        drop(guard);
        other.join().expect("no panic");
    });
}

/// Waiters that are inside of `wait` when this returns: each unlocks the mutex only then.
fn waiting<R: Send + 'static>(
    home: Home,
    shared: &Shared<usize>,
    count: usize,
    wait: impl Fn(&(Mutex<usize>, Condvar)) -> R + Clone + Send + 'static,
) -> Vec<Handle<R>> {
    let waiters = (0..count)
        .map(|_| {
            let (shared, wait) = (Arc::clone(shared), wait.clone());
            home.spawn(move || wait(&shared))
        })
        .collect();
    while *shared.0.lock().expect("not poisoned") < count {
        home.yield_now();
    }
    waiters
}

/// Go's `TestCondBroadcast`, larger.
#[test]
fn thousands_are_notified_at_once_and_each_gets_the_mutex() {
    on_every_real_home(|home| {
        let count = if home == Home::Threads { 200 } else { 10_000 };
        let shared = shared(0);
        let waiters = waiting(home, &shared, count, |shared| {
            let mut guard = shared.0.lock().expect("not poisoned");
            *guard += 1;
            guard = shared.1.wait(guard).expect("not poisoned");
            *guard -= 1;
        });
        shared.1.notify_all();
        // Whoever comes now was not meant.
        let guard = shared.0.lock().expect("not poisoned");
        let late = shared.1.wait_timeout(guard, Duration::from_millis(1));
        assert!(late.expect("not poisoned").1.timed_out());
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
        assert_eq!(*shared.0.lock().expect("not poisoned"), 0);
    });
}

/// Once all were notified no time is too short, however long the mutex is held; and who does not come any
/// more keeps nobody from it.
#[test]
fn who_was_notified_is_in_time_although_the_mutex_is_late() {
    on_every_home(|home| {
        let shared = shared(0);
        let waiters = waiting(home, &shared, 9, |shared| {
            let mut guard = shared.0.lock().expect("not poisoned");
            *guard += 1;
            // Some are patient, and stand among those whose time ends in the mutex's line.
            let time = match *guard % 3 {
                0 => LONG,
                more => Duration::from_millis(20 * more as u64),
            };
            let (guard, result) = shared.1.wait_timeout(guard, time).expect("not poisoned");
            drop(guard);
            result.timed_out()
        });
        let guard = shared.0.lock().expect("not poisoned");
        shared.1.notify_all();
        sward::thread::sleep(Duration::from_millis(60));
        drop(guard);
        let late = waiters.into_iter().map(|it| it.join().expect("no panic"));
        // On a busy machine some may have been late before they were notified; in a simulation no time goes by.
        let least = if home == Home::Simulated { 9 } else { 3 };
        assert!(late.filter(|it| !it).count() >= least);
        drop(shared.0.try_lock().expect("free"));
    });
}

#[test]
fn who_was_notified_learns_of_the_poison() {
    on_every_home(|home| {
        let shared = shared(0);
        let waiters = waiting(home, &shared, 5, |shared| {
            let mut guard = shared.0.lock().expect("not poisoned");
            *guard += 1;
            shared.1.wait(guard).map(drop).is_err()
        });
        let other = Arc::clone(&shared);
        let panicking = home.spawn(move || {
            let _guard = other.0.lock();
            other.1.notify_all();
            panic!("on purpose");
        });
        drop(panicking.join().expect_err("it panics"));
        for waiter in waiters {
            assert!(waiter.join().expect("no panic"));
        }
    });
}

/// Go's `TestCondSignalStealing`: who comes later does not get what an earlier one was notified of.
#[test]
fn a_later_waiter_steals_no_notification() {
    on_every_home(|home| {
        for _ in 0..100 {
            let shared = shared(0);
            let first = waiting(home, &shared, 1, |shared| {
                let mut guard = shared.0.lock().expect("not poisoned");
                *guard += 1;
                drop(shared.1.wait(guard));
            });
            shared.1.notify_one();
            let thief = waiting(home, &shared, 1, |shared| {
                let mut guard = shared.0.lock().expect("not poisoned");
                *guard += 1;
                drop(shared.1.wait(guard));
            });
            // It was for the first, although the other may have waited before that had the mutex.
            for waiter in first {
                waiter.join().expect("no panic");
            }
            while *shared.0.lock().expect("not poisoned") < 2 {
                home.yield_now();
            }
            shared.1.notify_one();
            for waiter in thief {
                waiter.join().expect("no panic");
            }
        }
    });
}

#[test]
fn a_poisoned_mutex_is_an_error_of_the_wait() {
    on_every_home(|home| {
        let shared = shared(0);
        let waiter = home.spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut guard = shared.0.lock().expect("not poisoned");
                *guard = 1;
                shared.1.wait(guard).map(drop).is_err()
            }
        });
        while *shared.0.lock().expect("not poisoned") == 0 {
            home.yield_now();
        }
        let other = Arc::clone(&shared);
        let panicking = home.spawn(move || {
            let _guard = other.0.lock();
            panic!("on purpose");
        });
        drop(panicking.join().expect_err("it panics"));
        shared.1.notify_one();
        assert!(waiter.join().expect("no panic"));
    });
}

#[test]
fn two_mutexes_at_once_are_refused() {
    on_every_home(|home| {
        let shared = shared(false);
        let waiter = home.spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut guard = shared.0.lock().expect("not poisoned");
                *guard = true;
                drop(shared.1.wait(guard));
            }
        });
        while !*shared.0.lock().expect("not poisoned") {
            home.yield_now();
        }
        let other = Mutex::new(());
        let caught = catch_unwind(AssertUnwindSafe(|| {
            drop(shared.1.wait(other.lock().expect("not poisoned")));
        }));
        assert!(caught.is_err());
        shared.1.notify_one();
        waiter.join().expect("no panic");
        // One after the other is well.
        other.clear_poison();
        let guard = other.lock().expect("cleared");
        assert!(
            shared
                .1
                .wait_timeout(guard, Duration::ZERO)
                .expect("cleared")
                .1
                .timed_out()
        );
    });
}
