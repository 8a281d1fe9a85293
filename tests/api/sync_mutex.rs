//! What `Mutex` promises.

use crate::support::{Home, on_every_home, on_every_real_home};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use sward::sync::{Mutex, MutexGuard, TryLockError};

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(30);

/// Poisons it.
fn poison<T: Send + 'static>(home: Home, mutex: &Arc<Mutex<T>>) -> Box<dyn Any + Send> {
    let mutex = Arc::clone(mutex);
    home.spawn(move || {
        let _guard = mutex.lock().expect("not poisoned yet");
        panic!("on purpose");
    })
    .join()
    .expect_err("it panics")
}

#[test]
fn a_static_mutex_needs_no_start() {
    static COUNT: Mutex<u32> = Mutex::new(7);
    *COUNT.lock().expect("not poisoned") += 1;
    assert_eq!(*COUNT.lock().expect("not poisoned"), 8);
    assert!(size_of::<Mutex<()>>() <= 48, "{}", size_of::<Mutex<()>>());
}

#[test]
fn a_held_mutex_is_refused_to_others_and_to_the_holder() {
    on_every_home(|home| {
        let mutex = Arc::new(Mutex::new(1));
        let guard = mutex.try_lock().expect("it is free");
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        let other = Arc::clone(&mutex);
        let refused = home.spawn(move || other.try_lock().is_err()).join();
        assert!(refused.expect("no panic"));
        drop(guard);
        assert_eq!(*mutex.try_lock().expect("it is free again"), 1);
    });
}

#[test]
fn exact_counts_from_many_threads() {
    on_every_real_home(|home| {
        let mutex = Arc::new(Mutex::new(0_usize));
        let threads: Vec<_> = (0..8)
            .map(|index| {
                let mutex = Arc::clone(&mutex);
                let add = move || {
                    for turn in 0..10_000 {
                        let mut guard = mutex.lock().expect("not poisoned");
                        let seen = *guard;
                        if turn % 1_000 == 0 {
                            std::thread::yield_now();
                        }
                        *guard = seen + 1;
                    }
                };
                // Half of them are always kernel threads.
                if index % 2 == 0 {
                    home.spawn(add)
                } else {
                    Home::Threads.spawn(add)
                }
            })
            .collect();
        for thread in threads {
            thread.join().expect("it only adds");
        }
        assert_eq!(*mutex.lock().expect("not poisoned"), 80_000);
    });
}

#[test]
fn a_mutex_may_be_held_over_a_wait() {
    on_every_home(|home| {
        let gate = Arc::new(Mutex::new(()));
        let mutex = Arc::new(Mutex::new(0));
        let closed = gate.lock().expect("not poisoned");
        let holds = Arc::new(AtomicBool::new(false));
        let holder = home.spawn({
            let (gate, mutex, holds) = (Arc::clone(&gate), Arc::clone(&mutex), Arc::clone(&holds));
            move || {
                let mut guard = mutex.lock().expect("not poisoned");
                holds.store(true, SeqCst);
                drop(gate.lock());
                *guard += 1;
            }
        });
        while !holds.load(SeqCst) {
            home.yield_now();
        }
        assert!(mutex.try_lock().is_err());
        drop(closed);
        holder.join().expect("no panic");
        assert_eq!(*mutex.lock().expect("not poisoned"), 1);
    });
}

#[test]
fn a_wait_with_a_time_limit_is_late_or_in_time() {
    on_every_home(|home| {
        let mutex = Arc::new(Mutex::new(0));
        let guard = mutex.lock().expect("not poisoned");
        for timeout in [Duration::ZERO, SHORT] {
            let began = sward::time::now();
            let late = mutex.lock_timeout(timeout);
            assert!(matches!(late, Err(TryLockError::WouldBlock)));
            assert!(sward::time::now() - began >= timeout);
        }
        let waiter = home.spawn({
            let mutex = Arc::clone(&mutex);
            move || *mutex.lock_timeout(LONG).expect("in time") += 1
        });
        home.yield_now();
        drop(guard);
        waiter.join().expect("in time");
        // No time at all is enough for what is free; and for ever is not too long.
        assert_eq!(*mutex.lock_timeout(Duration::ZERO).expect("free"), 1);
        assert_eq!(*mutex.lock_timeout(Duration::MAX).expect("free"), 1);
    });
}

#[test]
fn late_waiters_lose_no_wake_up() {
    on_every_home(|home| {
        let mutex = Arc::new(Mutex::new(0_usize));
        let threads: Vec<_> = (0..4_u64)
            .map(|seed| {
                let mutex = Arc::clone(&mutex);
                home.spawn(move || {
                    let mut locked = 0_usize;
                    for turn in 0..25_000_u64 {
                        let guard = if (turn + seed) % 2 == 0 {
                            mutex
                                .lock_timeout(Duration::from_nanos(turn * 37 % 5_000))
                                .ok()
                        } else {
                            mutex.lock().ok()
                        };
                        if let Some(mut guard) = guard {
                            *guard += 1;
                            locked += 1;
                        }
                    }
                    locked
                })
            })
            .collect();
        let locked: usize = threads
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum();
        assert_eq!(*mutex.lock().expect("not poisoned"), locked);
        assert!(locked >= 50_000);
    });
}

#[test]
fn a_hog_does_not_starve_others() {
    on_every_home(|home| {
        let mutex = Arc::new(Mutex::new(()));
        let stop = Arc::new(AtomicBool::new(false));
        let hog = home.spawn({
            let (mutex, stop) = (Arc::clone(&mutex), Arc::clone(&stop));
            move || {
                while !stop.load(SeqCst) {
                    let _guard = mutex.lock();
                    // With one worker a hog must give way for others to run at all.
                    home.yield_now();
                }
            }
        });
        let began = Instant::now();
        let others: Vec<_> = (0..4)
            .map(|_| {
                let mutex = Arc::clone(&mutex);
                home.spawn(move || {
                    for _ in 0..10 {
                        drop(mutex.lock());
                        home.yield_now();
                    }
                })
            })
            .collect();
        for other in others {
            other.join().expect("no panic");
        }
        stop.store(true, SeqCst);
        hog.join().expect("no panic");
        assert!(began.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn a_panic_poisons_until_the_poison_is_cleared() {
    on_every_home(|home| {
        let mutex = Arc::new(Mutex::new(3));
        assert!(!mutex.is_poisoned());
        drop(poison(home, &mutex));
        assert!(mutex.is_poisoned());
        assert_eq!(**mutex.lock().expect_err("poisoned").get_ref(), 3);
        assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
        assert!(matches!(
            mutex.lock_timeout(LONG),
            Err(TryLockError::Poisoned(_))
        ));
        // A held one is not free, poisoned or not.
        let guard = mutex.lock();
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        drop(guard);
        mutex.clear_poison();
        assert!(!mutex.is_poisoned());
        assert_eq!(*mutex.lock().expect("cleared"), 3);
    });
}

#[test]
fn the_value_comes_out_through_the_poison() {
    on_every_home(|home| {
        let mut mutex = Arc::new(Mutex::new(3));
        *Arc::get_mut(&mut mutex)
            .expect("alone")
            .get_mut()
            .expect("not poisoned") = 4;
        drop(poison(home, &mutex));
        while Arc::strong_count(&mutex) > 1 {
            home.yield_now();
        }
        let mut mutex = Arc::into_inner(mutex).expect("alone again");
        assert_eq!(**mutex.get_mut().expect_err("poisoned").get_ref(), 4);
        assert_eq!(mutex.into_inner().expect_err("poisoned").into_inner(), 4);
        assert_eq!(Mutex::new(5).into_inner().expect("not poisoned"), 5);
    });
}

/// Destructors that lock during an unwinding do not poison, unless they panic themselves.
#[test]
fn a_section_begun_while_unwinding_does_not_poison() {
    struct LockInDrop(Arc<Mutex<i32>>);
    impl Drop for LockInDrop {
        fn drop(&mut self) {
            *self.0.lock().expect("not poisoned") += 1;
        }
    }
    on_every_home(|home| {
        let mutex = Arc::new(Mutex::new(1));
        let other = Arc::clone(&mutex);
        let thread = home.spawn(move || {
            let _later = LockInDrop(other);
            panic!("on purpose");
        });
        drop(thread.join().expect_err("it panics"));
        assert_eq!(*mutex.lock().expect("not poisoned"), 2);
    });
}

#[test]
fn a_panic_caught_inside_the_section_does_not_poison() {
    let mutex = Mutex::new(1);
    let guard = mutex.lock().expect("not poisoned");
    drop(catch_unwind(|| panic!("on purpose")).expect_err("it panics"));
    drop(guard);
    assert!(!mutex.is_poisoned());
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.lock();
        panic!("on purpose");
    }));
    drop(caught.expect_err("it panics"));
    assert!(mutex.is_poisoned());
}

#[test]
fn an_unsized_value_can_be_locked() {
    let mutex: &Mutex<[i32]> = &Mutex::new([1, 2, 3]);
    mutex.lock().expect("not poisoned")[0] = 4;
    assert_eq!(&*mutex.lock().expect("not poisoned"), &[4, 2, 3]);
}

#[test]
fn the_value_is_dropped_once() {
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let mutex = Mutex::new(Count(Arc::clone(&drops)));
    let value = mutex.into_inner().expect("not poisoned");
    assert_eq!(drops.load(SeqCst), 0);
    drop(value);
    drop(Mutex::new(Count(Arc::clone(&drops))));
    assert_eq!(drops.load(SeqCst), 2);
}

#[test]
fn the_texts_are_those_of_std() {
    let (ours, theirs) = (Mutex::new(5), std::sync::Mutex::new(5));
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    let (our, their) = (ours.lock().expect("free"), theirs.lock().expect("free"));
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    assert_eq!(format!("{our:?} {our}"), format!("{their:?} {their}"));
    let (from, default) = (Mutex::from(6), Mutex::<i32>::default());
    assert_eq!(
        (*from.lock().expect("free"), *default.lock().expect("free")),
        (6, 0)
    );
}

#[test]
fn threads_may_share_what_can_be_sent() {
    fn sent<T: Send>() {}
    fn shared<T: Sync>() {}
    sent::<Mutex<std::cell::Cell<i32>>>();
    shared::<Mutex<std::cell::Cell<i32>>>();
    shared::<MutexGuard<'_, i32>>();
}
