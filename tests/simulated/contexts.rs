//! Contexts under every order, with deadlines that are hours away and exact.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use sward::{
    channel::{after, select, unbounded},
    context::{
        Context,
        ContextError::{Canceled, DeadlineExceeded},
    },
    sim, spawn, thread, time,
};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn deadlines_are_exact_in_whatever_order_they_are_set() {
    sim::explore(0..200, || {
        let start = time::now();
        let root = Context::background().with_timeout(10 * HOUR);
        let waiters: Vec<_> = [3, 1, 20, 2, 2]
            .map(|hours| {
                let context = root.with_timeout(hours * HOUR);
                // Called off at once: nobody is early for it.
                root.with_timeout(HOUR / 2).cancel(Canceled);
                spawn(move || {
                    let hours = hours.min(10);
                    assert_eq!(context.deadline(), Some(start + hours * HOUR));
                    assert!(context.done().recv().is_err());
                    assert_eq!(context.err(), Some(DeadlineExceeded));
                    assert_eq!(time::now(), start + hours * HOUR);
                })
            })
            .into();
        for waiter in waiters {
            waiter.join().expect("its deadline came");
        }
        assert!(root.err().is_some());
    });
}

#[test]
fn an_end_and_a_deadline_at_the_same_moment_end_it_once() {
    let ends = [AtomicUsize::new(0), AtomicUsize::new(0)];
    sim::explore(0..300, || {
        let context = Context::background().with_timeout(HOUR);
        let (tx, calls) = unbounded();
        drop(context.after_func(move || _ = tx.send("called")));
        let canceller = spawn({
            let context = context.clone();
            move || {
                thread::sleep(HOUR);
                context.cancel("the bell");
            }
        });
        select! {
            recv(context.done()) -> _ => {}
            recv(after(2 * HOUR)) -> _ => panic!("late"),
        }
        canceller.join().expect("it cancels");
        let cause = context.cause().map(ToString::to_string);
        match context.err() {
            Some(Canceled) => assert_eq!(cause.as_deref(), Some("the bell")),
            Some(DeadlineExceeded) => assert_eq!(cause, Some(DeadlineExceeded.to_string())),
            None => panic!("done, and no end"),
        }
        ends[usize::from(context.err() == Some(Canceled))].fetch_add(1, SeqCst);
        assert!(calls.iter().eq(["called"]));
    });
    assert!(ends.iter().all(|it| it.load(SeqCst) > 0), "{ends:?}");
}

#[test]
fn children_stops_and_ends_in_every_order() {
    let stops = [AtomicUsize::new(0), AtomicUsize::new(0)];
    sim::explore(0..500, || {
        let (root, ran) = (Context::background(), Arc::new(AtomicUsize::new(0)));
        let middle = root.with_cancel();
        let maker = spawn({
            let middle = middle.clone();
            move || {
                let child = middle.with_cancel();
                (child.with_timeout(HOUR), child)
            }
        });
        let stopper = spawn({
            let (middle, ran) = (middle.clone(), Arc::clone(&ran));
            move || {
                let after = middle.after_func(move || _ = ran.fetch_add(1, SeqCst));
                usize::from(after.stop())
            }
        });
        let enders = [root, middle].map(|context| {
            spawn(move || {
                context.cancel("ended");
                assert!(context.with_cancel().err().is_some());
            })
        });
        for ender in enders {
            ender.join().expect("it ends");
        }
        let (timed, child) = maker.join().expect("it makes");
        for context in [timed, child] {
            assert_eq!(context.err(), Some(Canceled));
            assert!(context.done().recv().is_err());
        }
        let stopped = stopper.join().expect("it stops");
        // Time stands still until all that can run has.
        thread::sleep(HOUR);
        assert_eq!(ran.load(SeqCst) + stopped, 1);
        stops[stopped].fetch_add(1, SeqCst);
    });
    assert!(stops.iter().all(|it| it.load(SeqCst) > 0), "{stops:?}");
}

#[test]
fn a_scope_ends_with_its_first_failure() {
    sim::explore(0..300, || {
        let start = time::now();
        let context = Context::background();
        let result = context.scope(|scope| {
            for hours in [3, 2, 5] {
                let context = scope.context().clone();
                scope.spawn(move || {
                    select! {
                        recv(context.done()) -> _ => Ok(()),
                        recv(after(hours * HOUR)) -> _ => Err(format!("{hours} hours")),
                    }
                });
            }
            Ok(())
        });
        assert_eq!(result, Err("2 hours".to_owned()));
        assert_eq!(time::now(), start + 2 * HOUR);
    });
}
