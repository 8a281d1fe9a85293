//! What is right under every order; times are exact.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex as Kernel, PoisonError},
    time::{Duration, Instant},
};
use sward::{
    channel::{self, RecvTimeoutError, after, bounded, select},
    sim::{self, Explorer},
    spawn,
    sync::{Mutex, WaitGroup},
    thread, time,
};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn all_orders_of_three_are_seen() {
    for explorer in [Explorer::new(), Explorer::new().pct(2)] {
        let orders = Kernel::new(HashSet::new());
        explorer.seeds(0..100).run(|| {
            let order = Arc::new(Kernel::new(Vec::new()));
            let all: Vec<_> = (0..3)
                .map(|number| {
                    let order = Arc::clone(&order);
                    spawn(move || order.lock().expect("no panic").push(number))
                })
                .collect();
            for one in all {
                one.join().expect("no panic");
            }
            let order = order.lock().expect("no panic").clone();
            orders.lock().expect("no panic").insert(order);
        });
        let orders = orders.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(orders.len(), 6, "{orders:?}");
    }
}

#[test]
fn all_arms_of_a_select_are_drawn() {
    let arms = Kernel::new([0; 3]);
    sim::explore(0..300, || {
        let (tx, rx) = bounded(1);
        tx.send(()).expect("room for one");
        let arm = select! {
            recv(rx) -> _ => 0,
            recv(rx) -> _ => 1,
            recv(rx) -> _ => 2,
        };
        arms.lock().expect("no panic")[arm] += 1;
    });
    let arms = arms.into_inner().expect("no panic");
    assert!(arms.iter().all(|it| (60..140).contains(it)), "{arms:?}");
}

#[test]
fn sleeps_are_exact_and_take_no_time() {
    let real = Instant::now();
    sim::explore(0..10, || {
        let start = time::now();
        let sleepers: Vec<_> = (1..=100)
            .map(|number| {
                spawn(move || {
                    let step = Duration::from_nanos(number);
                    for round in 1..=10 {
                        time::sleep(step);
                        assert_eq!(time::now() - start, step * round);
                    }
                })
            })
            .collect();
        for sleeper in sleepers {
            sleeper.join().expect("exact");
        }
        assert_eq!(time::now() - start, Duration::from_micros(1));
        time::sleep_until(start + 100_000 * HOUR);
        assert_eq!(time::now() - start, 100_000 * HOUR);
    });
    let report = sim::run(0, || (0..100_000).for_each(|_| time::sleep(HOUR)));
    assert_eq!(report.elapsed(), 100_000 * HOUR);
    assert!(
        real.elapsed() < Duration::from_secs(20),
        "{:?}",
        real.elapsed()
    );
}

#[test]
fn what_is_due_at_the_same_time_comes_in_any_order() {
    let outcomes = Kernel::new(HashSet::new());
    sim::explore(0..100, || {
        let (tx, rx) = bounded(1);
        let sender = spawn(move || {
            time::sleep(HOUR);
            _ = tx.send(());
        });
        let got = rx.recv_timeout(HOUR);
        assert!(matches!(got, Ok(()) | Err(RecvTimeoutError::Timeout)));
        outcomes.lock().expect("no panic").insert(got.is_ok());
        drop(rx);
        sender.join().expect("no panic");
    });
    assert_eq!(outcomes.into_inner().expect("no panic").len(), 2);
}

#[test]
fn a_timer_is_exact_in_a_select() {
    sim::explore(0..50, || {
        let start = time::now();
        let (_tx, rx) = bounded::<()>(0);
        let late = after(HOUR);
        select! {
            recv(rx) -> _ => panic!("nobody sends"),
            recv(late) -> at => assert_eq!(at.expect("a time"), start + HOUR),
        }
        assert_eq!(time::now(), start + HOUR);
    });
}

#[test]
fn sections_exclude_each_other() {
    for explorer in [Explorer::new(), Explorer::new().pct(3)] {
        explorer.seeds(0..200).run(|| {
            let count = Arc::new(Mutex::new(0));
            let group = WaitGroup::new();
            for _ in 0..4 {
                let count = Arc::clone(&count);
                group.go(move || {
                    for _ in 0..3 {
                        let mut count = count.lock().expect("no panic");
                        let before = *count;
                        sward::yield_now();
                        *count = before + 1;
                    }
                });
            }
            group.wait();
            assert_eq!(*count.lock().expect("no panic"), 12);
        });
    }
}

#[test]
fn values_pass_in_order_through_every_channel() {
    for capacity in [0, 1, 3] {
        sim::explore(0..100, || {
            let (tx, rx) = bounded(capacity);
            let sender = spawn(move || (0..20).try_for_each(|it| tx.send(it)));
            let got: Vec<_> = rx.iter().collect();
            assert_eq!(got, (0..20).collect::<Vec<_>>());
            sender.join().expect("no panic").expect("all were taken");
        });
    }
}

#[test]
fn tokens_are_not_lost() {
    sim::explore(0..200, || {
        let sleeper = spawn(|| {
            thread::park();
            let start = time::now();
            thread::park_timeout(HOUR);
            time::now() - start
        });
        sleeper.thread().unpark();
        assert!(sleeper.join().expect("it was woken") <= HOUR);
    });
}

#[test]
fn children_borrow_from_a_scope() {
    sim::explore(0..100, || {
        let mut words = ["b", "c", "a"];
        let (one, rest) = words.split_at_mut(1);
        sward::scope(|scope| {
            scope.spawn(|| one[0] = "z");
            scope.spawn(|| rest.sort_unstable());
        });
        assert_eq!(words, ["z", "a", "c"]);
    });
}

#[test]
fn a_blocking_call_runs_in_place() {
    sim::explore(0..20, || {
        let other = spawn(|| sward::blocking(|| 6 * 7));
        assert_eq!(sward::blocking(|| 1), 1);
        assert_eq!(other.join().expect("no panic"), 42);
    });
}

#[test]
fn a_loop_that_yields_ends_under_priorities_too() {
    Explorer::new().pct(3).seeds(0..100).run(|| {
        let (tx, rx) = bounded(1);
        let sender = spawn(move || tx.send(1));
        while rx.try_recv().is_err() {
            sward::yield_now();
        }
        sender.join().expect("no panic").expect("it was taken");
    });
}

/// What is due, or was, needs no time; what is due at a moment is there then, and not a nanosecond before.
#[test]
fn the_past_is_there_and_the_future_is_not() {
    const NANO: Duration = Duration::from_nanos(1);
    const JUST_NOT: Duration = Duration::new(3599, 999_999_999);
    sim::explore(0..50, || {
        time::sleep(HOUR);
        let first = time::now();
        time::sleep(HOUR);
        let start = time::now();
        for when in [start, first + NANO, first] {
            assert_eq!(channel::at(when).recv(), Ok(when));
        }
        assert!(after(Duration::ZERO).recv().is_ok());
        let timer = channel::Timer::new(HOUR);
        timer.reset(Duration::ZERO);
        assert!(timer.receiver().recv().is_ok());
        time::sleep_until(first);
        time::sleep(Duration::ZERO);
        assert_eq!(time::now(), start);
        let timer = after(HOUR);
        time::sleep(JUST_NOT);
        assert!(timer.try_recv().is_err());
        time::sleep(NANO);
        assert_eq!(timer.recv(), Ok(start + HOUR));
        assert_eq!(time::now(), start + HOUR);
    });
}

/// A timer that is still set, and one that ticks, end with the run, and do not let it go on.
#[test]
fn a_run_ends_with_its_main_whatever_still_ticks() {
    let report = sim::run(1, || {
        let ticks = spawn(|| {
            let ticker = channel::Ticker::new(HOUR);
            ticker.receiver().iter().count()
        });
        let far = after(1000 * HOUR);
        time::sleep(HOUR * 3 / 2);
        drop((ticks, far));
    });
    assert_eq!(report.elapsed(), HOUR * 3 / 2);
}
