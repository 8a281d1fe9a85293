//! How runs end that cannot go on, and what is said of them.

use crate::complaint;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};
use sward::{
    channel::{bounded, unbounded},
    sim::{self, Explorer},
    spawn,
    sync::Mutex,
    thread, time,
};

/// Counts its drops.
struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_deadlock_names_all_who_wait() {
    let report = sim::run(3, || {
        let (_tx, rx) = bounded::<()>(0);
        let name = "reader".to_owned();
        let reader = thread::Builder::new().name(name).spawn(move || rx.recv());
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().expect("no panic");
        let locker = spawn({
            let lock = Arc::clone(&lock);
            move || drop(lock.lock())
        });
        drop(reader.expect("memory").join());
        drop((held, locker));
    });
    let text = report.to_string();
    assert!(
        text.contains("all green threads are asleep - deadlock!"),
        "{text}"
    );
    for line in [
        "  1 waits: join, spawned at tests/simulated/limits.rs",
        "  2 'reader' waits: channel receive, spawned at tests/simulated/limits.rs",
        "  3 waits: mutex lock, spawned at tests/simulated/limits.rs",
        "to replay: sim::replay(3, ..)",
        "2 runs",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert_eq!(report.left(), 3);
}

#[test]
fn a_panic_comes_with_its_seed_and_what_happened() {
    let said = complaint(|| {
        sim::explore(40..50, || {
            time::sleep(Duration::from_millis(1_500));
            panic!("of course");
        });
    });
    let said = said.expect("it panicked");
    assert!(said.starts_with("seed 40 fails: of course\n"), "{said}");
    assert!(
        said.contains("at 1.500000000 s") && said.contains("waits: sleep"),
        "{said}"
    );
    let said = complaint(|| Explorer::new().pct(2).replay(7, || panic!("again")));
    assert!(
        said.expect("it panicked")
            .contains("in the run that counts")
    );
}

#[test]
fn a_run_without_an_end_fails() {
    let spinning = || loop {
        sward::yield_now();
    };
    let report = Explorer::new().most_steps(1_000).report(1, spinning);
    assert_eq!(report.failure(), Some("no end after 1000 steps"));
    let lock = Mutex::new(());
    let locking = || loop {
        drop(lock.lock());
    };
    let report = Explorer::new().most_steps(1_000).report(1, locking);
    assert_eq!(report.failure(), Some("no end after 1000 steps"));
    let ticking = || loop {
        time::sleep(Duration::from_secs(1));
    };
    let report = Explorer::new().most_steps(1_000).report(1, ticking);
    assert_eq!(report.failure(), Some("no end after 1000 steps"));
}

#[test]
fn who_is_left_is_called_off_and_unwinds() {
    for seed in 0..50 {
        let dropped = Arc::new(AtomicU32::new(0));
        let report = sim::run(seed, || {
            let (tx, rx) = unbounded::<()>();
            for kind in 0..5 {
                let counted = Counted(Arc::clone(&dropped));
                let (tx, rx) = (tx.clone(), rx.clone());
                spawn(move || {
                    let _counted = counted;
                    match kind {
                        0 => _ = rx.recv(),
                        1 => thread::park(),
                        2 => time::sleep(Duration::from_hours(1)),
                        3 => loop {
                            sward::yield_now();
                        },
                        _ => sward::scope(|scope| {
                            scope.spawn(|| _ = rx.recv());
                            _ = tx.send(());
                            thread::park();
                        }),
                    }
                });
            }
            sward::yield_now();
        });
        assert_eq!(report.failure(), None);
        assert!(report.left() >= 5 - 1, "seed {seed}: {}", report.left());
        assert_eq!(dropped.load(SeqCst), 5, "seed {seed}");
    }
}

#[test]
fn one_that_never_unwinds_is_abandoned() {
    let report = sim::run(1, || {
        spawn(|| {
            loop {
                drop(catch_unwind(thread::park));
            }
        });
        sward::yield_now();
    });
    assert_eq!((report.failure(), report.left()), (None, 1));
}

#[test]
fn a_wake_up_from_outside_is_a_failure() {
    let report = sim::run(1, || {
        let main = thread::current();
        let waking = std::thread::spawn(move || main.unpark());
        // It is woken as soon as it sleeps, or in the midst of its sleep, which is over at once.
        sward::blocking(|| waking.join()).expect("no panic");
        thread::park();
    });
    assert_eq!(report.failure(), None, "a token is no wake-up");
    let done = Arc::new(AtomicBool::new(false));
    let report = Explorer::new().most_steps(1 << 40).report(1, || {
        let (main, done) = (thread::current(), Arc::clone(&done));
        // Again and again: a token that is there before it sleeps wakes nobody.
        std::thread::spawn(move || {
            while !done.load(Relaxed) {
                main.unpark();
                std::thread::yield_now();
            }
        });
        spawn(|| {
            loop {
                time::sleep(Duration::from_secs(1));
            }
        });
        loop {
            thread::park();
        }
    });
    done.store(true, Relaxed);
    let failure = report.failure().expect("it was woken");
    assert!(
        failure.contains("woken by another kernel thread"),
        "{failure}"
    );
}

#[test]
fn a_simulation_inside_another_is_refused() {
    let said = complaint(|| sim::explore(0..1, || sim::explore(0..1, || {})));
    let said = said.expect("it is refused");
    assert!(said.contains("cannot run inside another"), "{said}");
}

#[test]
fn a_wait_in_a_destructor_passes_in_virtual_time() {
    struct Sleepy;
    impl Drop for Sleepy {
        fn drop(&mut self) {
            time::sleep(Duration::from_hours(1));
        }
    }
    let report = sim::run(1, || {
        let start = time::now();
        let failing = spawn(|| {
            let _sleepy = Sleepy;
            std::panic::resume_unwind(Box::new("gone"));
        });
        failing.join().expect_err("it panicked");
        assert_eq!(time::now() - start, Duration::from_hours(1));
    });
    assert_eq!(report.failure(), None);
}

#[test]
fn handles_outlive_their_simulation() {
    let kept = AssertUnwindSafe(std::sync::Mutex::new(None));
    let report = sim::run(1, || {
        let handle = spawn(thread::park);
        sward::yield_now();
        *kept.lock().expect("no panic") = Some(handle);
    });
    assert_eq!(report.left(), 1);
    let handle = kept.lock().expect("no panic").take().expect("it was kept");
    handle.thread().unpark();
    let payload = handle.join().expect_err("it was called off");
    assert!(payload.is::<sward::Shutdown>());
}

/// Nobody else can run while one unwinds, so only time can pass.
#[test]
fn who_parks_as_it_unwinds_is_woken_by_virtual_time() {
    struct Parks;
    impl Drop for Parks {
        fn drop(&mut self) {
            thread::park_timeout(Duration::from_hours(1));
        }
    }
    sim::explore(0..4, || {
        let start = time::now();
        let unwinds = spawn(|| {
            let _parks = Parks;
            std::panic::resume_unwind(Box::new("gone"));
        });
        drop(unwinds.join());
        assert!(time::now() - start >= Duration::from_hours(1));
    });
}
