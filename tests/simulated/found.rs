//! Bugs that are there on purpose are found within a thousand seeds, and fail again when replayed.

use crate::{complaint, seed_in};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
};
use sward::{
    channel::{bounded, select, unbounded},
    sim::{self, Explorer},
    spawn,
    sync::{Condvar, Mutex},
    thread,
};

/// Asserts that `test` fails for one of the seeds, by lot and by priorities, in the way that `why` says,
/// and again when that seed is replayed.
#[track_caller]
fn is_found(why: &str, test: impl Fn()) {
    let by_lot = complaint(|| sim::explore(0..1000, &test)).expect("a bug, found by lot");
    assert!(by_lot.contains(why), "{by_lot}");
    let again = complaint(|| sim::replay(seed_in(&by_lot), &test)).expect("the bug again");
    assert_eq!(by_lot.lines().next(), again.lines().next());
    let fine = (0..1000).any(|seed| sim::run(seed, &test).failure().is_none());
    assert!(fine, "it needs no certain order");

    let explorer = Explorer::new().pct(3);
    let by_priorities =
        complaint(|| explorer.clone().run(&test)).expect("a bug, found by priorities");
    assert!(by_priorities.contains(why), "{by_priorities}");
    if !by_priorities.contains("in the run that counts") {
        let again = complaint(|| explorer.replay(seed_in(&by_priorities), &test));
        let again = again.expect("the bug again");
        assert_eq!(by_priorities.lines().next(), again.lines().next());
    }
}

#[test]
fn a_lost_wake_up() {
    is_found("deadlock", || {
        let ready = Arc::new(AtomicBool::new(false));
        let changed = Arc::new((Mutex::new(()), Condvar::new()));
        let waiter = spawn({
            let (ready, changed) = (Arc::clone(&ready), Arc::clone(&changed));
            move || {
                // Wrong: the flag may be set between the look and the wait.
                if !ready.load(SeqCst) {
                    let guard = changed.0.lock().expect("no panic");
                    drop(changed.1.wait(guard).expect("no panic"));
                }
            }
        });
        ready.store(true, SeqCst);
        changed.1.notify_all();
        waiter.join().expect("it was woken");
    });
}

#[test]
fn an_order_bug_among_three() {
    is_found("the third came between", || {
        let place = Arc::new(Mutex::new(0));
        let write = |number: u32, before: u32| {
            let place = Arc::clone(&place);
            spawn(move || {
                let mut place = place.lock().expect("no panic");
                if *place == before {
                    *place = number;
                }
            })
        };
        // Only in this very order does the last one win.
        let all = [write(3, 2), write(1, 0), write(2, 1)];
        for one in all {
            one.join().expect("no panic");
        }
        let last = *place.lock().expect("no panic");
        assert_ne!(last, 3, "the third came between");
    });
}

#[test]
fn a_deadlock_by_the_order_of_locks() {
    is_found("deadlock", || {
        let locks = Arc::new((Mutex::new(0), Mutex::new(0)));
        let other = spawn({
            let locks = Arc::clone(&locks);
            move || {
                let one = locks.1.lock().expect("no panic");
                let two = locks.0.lock().expect("no panic");
                drop((one, two));
            }
        });
        let one = locks.0.lock().expect("no panic");
        let two = locks.1.lock().expect("no panic");
        drop((one, two));
        other.join().expect("no panic");
    });
}

#[test]
fn a_deadlock_far_inside_a_long_run() {
    // The window is two steps wide, among hundreds.
    let test = || {
        let locks = Arc::new((Mutex::new(0), Mutex::new(0)));
        let other = spawn({
            let locks = Arc::clone(&locks);
            move || {
                for _ in 0..100 {
                    drop(locks.0.lock().expect("no panic"));
                }
                let one = locks.1.lock().expect("no panic");
                drop(locks.0.lock().expect("no panic"));
                drop(one);
            }
        });
        let one = locks.0.lock().expect("no panic");
        drop(locks.1.lock().expect("no panic"));
        drop(one);
        other.join().expect("no panic");
    };
    let found = complaint(|| Explorer::new().pct(2).run(test)).expect("a bug");
    assert!(
        found.contains("deadlock") && found.contains("mutex lock"),
        "{found}"
    );
}

#[test]
fn a_counter_that_is_not_counted_up_at_once() {
    is_found("an update was lost", || {
        let count = Arc::new(AtomicU32::new(0));
        let adders: Vec<_> = (0..2)
            .map(|_| {
                let count = Arc::clone(&count);
                spawn(move || {
                    let before = count.load(SeqCst);
                    sward::yield_now();
                    count.store(before + 1, SeqCst);
                })
            })
            .collect();
        for adder in adders {
            adder.join().expect("no panic");
        }
        assert_eq!(count.load(SeqCst), 2, "an update was lost");
    });
}

#[test]
fn a_select_that_forgets_what_is_left() {
    is_found("a message was lost", || {
        let (work, inbox) = unbounded();
        let (stop, stopped) = bounded::<()>(1);
        let worker = spawn(move || {
            let mut sum = 0;
            loop {
                select! {
                    recv(inbox) -> it => sum += it.unwrap_or(0),
                    // Wrong: the inbox may hold more.
                    recv(stopped) -> _ => return sum,
                }
            }
        });
        for number in 1..=3 {
            work.send(number).expect("it listens");
        }
        stop.send(()).expect("it listens");
        assert_eq!(worker.join().expect("no panic"), 6, "a message was lost");
    });
}

#[test]
fn a_token_that_is_taken_by_another_wait() {
    is_found("deadlock", || {
        let done = Arc::new(AtomicBool::new(false));
        let main = thread::current();
        let helper = spawn({
            let done = Arc::clone(&done);
            move || {
                // Wrong: the token may be taken before the flag is set.
                main.unpark();
                done.store(true, SeqCst);
            }
        });
        while !done.load(SeqCst) {
            thread::park();
        }
        helper.join().expect("no panic");
    });
}
