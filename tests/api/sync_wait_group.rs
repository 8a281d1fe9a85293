//! What `WaitGroup` promises.

use crate::support::on_every_home;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use sward::sync::WaitGroup;

#[test]
fn nothing_to_wait_for_is_not_waited_for() {
    WaitGroup::new().wait();
    WaitGroup::default().wait();
    assert!(WaitGroup::new().wait_timeout(Duration::ZERO));
}

#[test]
fn all_are_done_when_wait_returns() {
    on_every_home(|home| {
        let (group, done) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        for round in 1..=100 {
            group.add(16);
            for _ in 0..16 {
                let (group, done) = (group.clone(), Arc::clone(&done));
                drop(home.spawn(move || {
                    done.fetch_add(1, SeqCst);
                    group.done();
                }));
            }
            group.wait();
            assert_eq!(done.load(SeqCst), 16 * round);
        }
    });
}

#[test]
fn a_hundred_waiters_are_released_together() {
    on_every_home(|home| {
        let (group, waiting) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        group.add(2);
        let waiters: Vec<_> = (0..100)
            .map(|_| {
                let (group, waiting) = (group.clone(), Arc::clone(&waiting));
                home.spawn(move || {
                    waiting.fetch_add(1, SeqCst);
                    group.wait();
                    waiting.fetch_sub(1, SeqCst);
                })
            })
            .collect();
        while waiting.load(SeqCst) < 100 {
            home.yield_now();
        }
        group.done();
        assert_eq!(waiting.load(SeqCst), 100);
        group.add(-1);
        for waiter in waiters {
            waiter.join().expect("released");
        }
    });
}

/// Two groups play ping-pong: whoever returns from `wait` counts up again at once.
#[test]
fn a_group_is_used_again_at_once() {
    on_every_home(|home| {
        let (ping, pong) = (WaitGroup::new(), WaitGroup::new());
        let turns = 10_000;
        ping.add(1);
        let worker = home.spawn({
            let (ping, pong) = (ping.clone(), pong.clone());
            move || {
                for _ in 0..turns {
                    ping.wait();
                    ping.add(1);
                    pong.done();
                }
            }
        });
        for _ in 0..turns {
            pong.add(1);
            ping.done();
            pong.wait();
        }
        worker.join().expect("no panic");
        assert!(!ping.wait_timeout(Duration::ZERO));
    });
}

#[test]
fn below_zero_panics_in_the_caller_and_changes_nothing() {
    let group = WaitGroup::new();
    let below = |delta| catch_unwind(AssertUnwindSafe(|| group.add(delta))).is_err();
    assert!(below(-1));
    group.add(2);
    assert!(below(-3));
    assert!(below(isize::MAX));
    assert!(!group.wait_timeout(Duration::ZERO));
    group.add(-2);
    assert!(catch_unwind(AssertUnwindSafe(|| group.done())).is_err());
    group.wait();
}

#[test]
fn a_wait_with_a_time_limit_is_late_or_in_time() {
    on_every_home(|home| {
        let group = WaitGroup::new();
        group.add(1);
        let began = sward::time::now();
        assert!(!group.wait_timeout(Duration::from_millis(2)));
        assert!(sward::time::now() - began >= Duration::from_millis(2));
        let waiter = home.spawn({
            let group = group.clone();
            move || group.wait_timeout(Duration::MAX)
        });
        home.yield_now();
        group.done();
        assert!(waiter.join().expect("no panic"));
    });
}

/// `done` against a time-out: who is late finds things left, and nobody sleeps for ever.
#[test]
fn time_outs_race_with_done() {
    on_every_home(|home| {
        let (group, turns) = (WaitGroup::new(), 100_000_u64);
        let threads = [0, 1].map(|seed| {
            let group = group.clone();
            home.spawn(move || {
                for turn in 0..turns / 2 {
                    group.add(1);
                    if (turn + seed) % 16 == 0 {
                        home.yield_now();
                    }
                    group.done();
                }
            })
        });
        let waiters = [0, 1].map(|seed| {
            let group = group.clone();
            home.spawn(move || {
                for turn in 0..turns / 2 {
                    _ = group.wait_timeout(Duration::from_nanos((turn + seed) * 41 % 4_000));
                    if turn % 64 == 0 {
                        group.wait();
                    }
                }
            })
        });
        for thread in threads.into_iter().chain(waiters) {
            thread.join().expect("no panic");
        }
        assert!(group.wait_timeout(Duration::ZERO));
    });
}
