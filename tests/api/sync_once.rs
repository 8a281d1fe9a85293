//! What `Once`, `OnceLock`, `LazyLock` and `Barrier` promise.

use crate::support::on_every_home;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use sward::sync::{Barrier, LazyLock, Once, OnceLock};

fn panics<T>(f: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(|| drop(f()))).is_err()
}

#[test]
fn one_of_many_callers_runs_and_all_see_it() {
    on_every_home(|home| {
        let shared = Arc::new((Once::new(), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..200)
            .map(|_| {
                let shared = Arc::clone(&shared);
                home.spawn(move || {
                    shared.0.call_once(|| {
                        home.yield_now();
                        shared.1.fetch_add(1, SeqCst);
                    });
                    shared.1.load(SeqCst)
                })
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().expect("no panic"), 1);
        }
        assert!(shared.0.is_completed());
    });
}

#[test]
fn a_panic_poisons_a_once_until_it_is_forced() {
    let once = Once::new();
    assert!(panics(|| once.call_once(|| panic!("on purpose"))));
    assert!(!once.is_completed());
    assert!(panics(|| once.call_once(|| ())));
    assert!(panics(|| once.wait()));
    assert!(panics(|| once.call_once_force(|state| {
        assert!(state.is_poisoned());
        panic!("on purpose");
    })));
    let mut runs = 0;
    once.call_once_force(|state| {
        assert!(state.is_poisoned());
        runs += 1;
    });
    once.call_once_force(|_| runs += 1);
    once.call_once(|| runs += 1);
    once.wait();
    once.wait_force();
    assert_eq!(runs, 1);
    Once::new().call_once_force(|state| assert!(!state.is_poisoned()));
}

#[test]
fn waiters_of_a_once_wait_for_a_run_that_ends_well() {
    on_every_home(|home| {
        let once = Arc::new(Once::new());
        let waiters: Vec<_> = (0..10)
            .map(|index| {
                let once = Arc::clone(&once);
                home.spawn(move || {
                    if index % 2 == 0 {
                        once.wait_force();
                    } else {
                        once.call_once_force(|_| ());
                    }
                    once.is_completed()
                })
            })
            .collect();
        for waiter in waiters {
            assert!(waiter.join().expect("no panic"));
        }
    });
}

#[test]
fn who_waits_for_a_run_that_panics_panics_or_tries_again() {
    on_every_home(|home| {
        let once = Arc::new(Once::new());
        let waiters: Vec<_> = (0..10)
            .map(|index| {
                let once = Arc::clone(&once);
                home.spawn(move || {
                    if index % 2 == 0 {
                        once.wait_force();
                    } else {
                        once.wait();
                    }
                })
            })
            .collect();
        assert!(panics(|| once.call_once(|| {
            home.yield_now();
            panic!("on purpose");
        })));
        once.call_once_force(|_| ());
        for (index, waiter) in waiters.into_iter().enumerate() {
            let ended = waiter.join();
            // One that only came after the second run did not see the first.
            assert!(ended.is_ok() || index % 2 == 1);
        }
    });
}

#[test]
fn a_once_lock_is_set_once() {
    let lock = OnceLock::new();
    assert_eq!(lock.get(), None);
    assert_eq!(lock.set(1), Ok(()));
    assert_eq!(lock.set(2), Err(2));
    assert_eq!(lock.get(), Some(&1));
    assert_eq!(lock.get_or_init(|| 3), &1);
    assert_eq!(lock.wait(), &1);
    let mut lock = lock.clone();
    *lock.get_mut().expect("set") = 4;
    assert_eq!(
        format!("{lock:?}"),
        format!("{:?}", std::sync::OnceLock::from(4))
    );
    assert_eq!(lock.take(), Some(4));
    assert_eq!(lock.take(), None);
    assert_eq!(
        format!("{lock:?}"),
        format!("{:?}", std::sync::OnceLock::<i32>::new())
    );
    assert_eq!(lock, OnceLock::default());
    assert_ne!(lock, OnceLock::from(5));
    assert_eq!(OnceLock::from(5).into_inner(), Some(5));
    assert_eq!(OnceLock::<i32>::new().clone().into_inner(), None);
}

#[test]
fn a_panic_leaves_a_once_lock_empty() {
    let lock = OnceLock::new();
    assert!(panics(|| lock.get_or_init(|| panic!("on purpose"))));
    assert_eq!(lock.get(), None);
    assert_eq!(lock.get_or_init(|| 7), &7);
    let lock = OnceLock::new();
    assert!(panics(|| lock.get_or_init(|| panic!("on purpose"))));
    assert_eq!(lock.set(8), Ok(()));
}

#[test]
fn a_once_lock_is_waited_for() {
    on_every_home(|home| {
        let lock = Arc::new(OnceLock::new());
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                let lock = Arc::clone(&lock);
                home.spawn(move || *lock.wait())
            })
            .collect();
        let setters: Vec<_> = (0..10)
            .map(|index| {
                let lock = Arc::clone(&lock);
                home.spawn(move || lock.set(index).is_ok())
            })
            .collect();
        let set = setters
            .into_iter()
            .filter_map(|it| it.join().ok())
            .filter(|it| *it);
        assert_eq!(set.count(), 1);
        for waiter in waiters {
            assert_eq!(waiter.join().ok().as_ref(), lock.get());
        }
    });
}

/// What made the value is dropped as soon as it has run, also if it panicked.
#[test]
fn a_lazy_lock_makes_its_value_once() {
    on_every_home(|home| {
        let (witness, runs) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
        let lazy = Arc::new(LazyLock::new({
            let (witness, runs) = (Arc::clone(&witness), Arc::clone(&runs));
            move || {
                home.yield_now();
                drop(witness);
                runs.fetch_add(1, SeqCst) + 41
            }
        }));
        assert_eq!(LazyLock::get(&lazy), None);
        assert_eq!(Arc::strong_count(&witness), 2);
        let threads: Vec<_> = (0..50)
            .map(|_| {
                let lazy = Arc::clone(&lazy);
                home.spawn(move || **lazy)
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().expect("no panic"), 41);
        }
        assert_eq!((runs.load(SeqCst), Arc::strong_count(&witness)), (1, 1));
    });
}

#[test]
fn a_lazy_lock_whose_making_panics_stays_poisoned() {
    let witness = Arc::new(());
    let kept = Arc::clone(&witness);
    let lazy: LazyLock<i32, _> =
        LazyLock::new(move || panic!("on purpose, with {} of them", Arc::strong_count(&kept)));
    assert!(panics(|| *lazy));
    assert_eq!(Arc::strong_count(&witness), 1);
    assert!(panics(|| *LazyLock::force(&lazy)));
    assert_eq!(LazyLock::get(&lazy), None);
}

#[test]
fn the_value_of_a_lazy_lock_can_be_changed_by_its_owner() {
    let mut lazy: LazyLock<i32> = LazyLock::default();
    assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
    assert_eq!(LazyLock::get_mut(&mut lazy), None);
    *lazy += 1;
    *LazyLock::force_mut(&mut lazy) += 1;
    assert_eq!(format!("{lazy:?}"), "LazyLock(2)");
    assert_eq!(LazyLock::get_mut(&mut lazy), Some(&mut 2));
}

#[test]
fn a_barrier_is_used_round_after_round() {
    on_every_home(|home| {
        let (size, rounds) = (8, 200);
        let shared = Arc::new((Barrier::new(size), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..size)
            .map(|_| {
                let shared = Arc::clone(&shared);
                home.spawn(move || {
                    let mut led = 0;
                    for round in 1..=rounds {
                        shared.1.fetch_add(1, SeqCst);
                        led += usize::from(shared.0.wait().is_leader());
                        // Nobody comes to the next round before all have looked.
                        assert_eq!(shared.1.load(SeqCst), size * round);
                        shared.0.wait();
                    }
                    led
                })
            })
            .collect();
        let led: usize = threads
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum();
        assert_eq!(led, rounds);
    });
}

#[test]
fn a_barrier_for_one_or_none_holds_nobody() {
    for size in [0, 1] {
        let barrier = Barrier::new(size);
        assert!(barrier.wait().is_leader());
        assert!(barrier.wait().is_leader());
    }
}
