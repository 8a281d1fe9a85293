//! What `RwLock` promises.

use crate::support::{Home, on_every_home, on_every_real_home};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use sward::sync::{Barrier, RwLock, RwLockWriteGuard, TryLockError};

const LONG: Duration = Duration::from_secs(30);

/// Waits until `what` stands so in the lock: the one thing that shows from outside that a writer waits
/// is that readers are refused.
fn until_a_writer_waits(home: Home, lock: &RwLock<impl Sized>) {
    while lock.try_read().is_ok() {
        home.yield_now();
    }
}

#[test]
fn readers_are_inside_together() {
    on_every_home(|home| {
        for readers in [1, 3, 4, 10] {
            let shared = Arc::new((RwLock::new(5), Barrier::new(readers)));
            let threads: Vec<_> = (0..readers)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    home.spawn(move || {
                        let guard = shared.0.read().expect("not poisoned");
                        shared.1.wait();
                        *guard
                    })
                })
                .collect();
            for thread in threads {
                assert_eq!(thread.join().expect("no panic"), 5);
            }
        }
    });
}

#[test]
fn a_writer_excludes_all() {
    on_every_real_home(|home| {
        let lock = Arc::new(RwLock::new((0_u64, 0_u64)));
        let threads: Vec<_> = (0..8_u64)
            .map(|index| {
                let lock = Arc::clone(&lock);
                let work = move || {
                    for turn in 0..5_000_u64 {
                        if (turn + index) % 4 == 0 {
                            let mut guard = lock.write().expect("not poisoned");
                            guard.0 += 1;
                            if turn % 100 == 0 {
                                std::thread::yield_now();
                            }
                            guard.1 += 1;
                        } else {
                            let guard = lock.read().expect("not poisoned");
                            assert_eq!(guard.0, guard.1);
                        }
                    }
                };
                if index % 2 == 0 {
                    home.spawn(work)
                } else {
                    Home::Threads.spawn(work)
                }
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(*lock.read().expect("not poisoned"), (10_000, 10_000));
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn tries_never_wait() {
    on_every_home(|_| {
        let lock = RwLock::new(1);
        let reader = lock.read().expect("not poisoned");
        assert!(lock.try_read().is_ok());
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        drop(reader);
        let writer = lock.write().expect("not poisoned");
        assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        drop(writer);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn a_waiting_writer_holds_up_new_readers() {
    on_every_home(|home| {
        let (lock, entered) = (Arc::new(RwLock::new(0)), Arc::new(AtomicUsize::new(0)));
        let readers: Vec<_> = (0..10)
            .map(|_| lock.read().expect("not poisoned"))
            .collect();
        let writer = home.spawn({
            let (lock, entered) = (Arc::clone(&lock), Arc::clone(&entered));
            move || {
                let mut guard = lock.write().expect("not poisoned");
                *guard = entered.fetch_add(1, SeqCst) + 1;
            }
        });
        until_a_writer_waits(home, &lock);
        let late = home.spawn({
            let (lock, entered) = (Arc::clone(&lock), Arc::clone(&entered));
            move || {
                let guard = lock.read().expect("not poisoned");
                entered.fetch_add(1, SeqCst);
                *guard
            }
        });
        for reader in readers {
            assert_eq!(entered.load(SeqCst), 0);
            drop(reader);
        }
        writer.join().expect("no panic");
        assert_eq!(late.join().expect("no panic"), 1);
    });
}

/// A writer leaves while readers and a second writer wait: the readers go first, all of them.
#[test]
fn a_writer_lets_all_waiting_readers_in() {
    on_every_home(|home| {
        for _ in 0..50 {
            let lock = Arc::new(RwLock::new(0));
            let waiting = Arc::new(AtomicUsize::new(0));
            let first = lock.write().expect("not poisoned");
            let second = home.spawn({
                let (lock, waiting) = (Arc::clone(&lock), Arc::clone(&waiting));
                move || {
                    waiting.fetch_add(1, SeqCst);
                    *lock.write().expect("not poisoned") += 1;
                }
            });
            let readers: Vec<_> = (0..5)
                .map(|_| {
                    let (lock, waiting) = (Arc::clone(&lock), Arc::clone(&waiting));
                    home.spawn(move || {
                        waiting.fetch_add(1, SeqCst);
                        lock.read_timeout(LONG).map(|it| *it).ok()
                    })
                })
                .collect();
            while waiting.load(SeqCst) < 6 {
                home.yield_now();
            }
            drop(first);
            second.join().expect("no panic");
            for reader in readers {
                assert!(reader.join().expect("no panic").is_some_and(|it| it <= 1));
            }
            assert_eq!(*lock.read().expect("not poisoned"), 1);
        }
    });
}

#[test]
fn a_writer_that_gives_up_holds_up_nobody() {
    on_every_home(|home| {
        let lock = Arc::new(RwLock::new(0));
        let reader = lock.read().expect("not poisoned");
        let began = Instant::now();
        let writer = home.spawn({
            let lock = Arc::clone(&lock);
            move || lock.write_timeout(Duration::from_millis(20)).is_err()
        });
        // It waits until the writer is gone, though nobody unlocks.
        let second = home.spawn({
            let lock = Arc::clone(&lock);
            move || lock.read_timeout(LONG).is_ok()
        });
        assert!(writer.join().expect("no panic"));
        assert!(second.join().expect("no panic"));
        assert!(began.elapsed() < LONG);
        drop(reader);
        assert!(lock.try_write().is_ok());
        assert!(lock.write_timeout(Duration::ZERO).is_ok());
        assert!(lock.read_timeout(Duration::ZERO).is_ok());
    });
}

#[test]
fn late_waiters_lose_no_wake_up() {
    on_every_home(|home| {
        let lock = Arc::new(RwLock::new(0_u64));
        let threads: Vec<_> = (0..4_u64)
            .map(|seed| {
                let lock = Arc::clone(&lock);
                home.spawn(move || {
                    let mut wrote = 0;
                    for turn in 0..25_000_u64 {
                        let time = Duration::from_nanos(turn * 37 % 5_000);
                        match (turn + seed) % 4 {
                            0 => drop(lock.read()),
                            1 => drop(lock.read_timeout(time)),
                            2 => {
                                *lock.write().expect("not poisoned") += 1;
                                wrote += 1;
                            }
                            _ => {
                                if let Ok(mut guard) = lock.write_timeout(time) {
                                    *guard += 1;
                                    wrote += 1;
                                }
                            }
                        }
                    }
                    wrote
                })
            })
            .collect();
        let wrote: u64 = threads
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum();
        assert_eq!(*lock.try_write().expect("free"), wrote);
    });
}

#[test]
fn the_other_kind_lets_readers_pass_a_writer() {
    on_every_home(|home| {
        let lock = Arc::new(RwLock::read_preferring(0));
        let reader = lock.read().expect("not poisoned");
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = home.spawn({
            let (lock, waiting) = (Arc::clone(&lock), Arc::clone(&waiting));
            move || {
                waiting.fetch_add(1, SeqCst);
                *lock.write().expect("not poisoned") += 1;
            }
        });
        while waiting.load(SeqCst) == 0 {
            home.yield_now();
        }
        for _ in 0..100 {
            assert_eq!(*lock.read().expect("not poisoned"), 0);
            home.yield_now();
        }
        drop(reader);
        writer.join().expect("no panic");
        assert_eq!(*lock.read().expect("not poisoned"), 1);
    });
}

#[test]
fn a_writer_becomes_a_reader_with_no_writer_between() {
    on_every_home(|home| {
        let lock = Arc::new(RwLock::new(0));
        let mut writer = lock.write().expect("not poisoned");
        let others: Vec<_> = (0..4)
            .map(|index| {
                let lock = Arc::clone(&lock);
                home.spawn(move || {
                    if index % 2 == 0 {
                        *lock.write().expect("not poisoned") += 1;
                    } else {
                        drop(lock.read().expect("not poisoned"));
                    }
                })
            })
            .collect();
        home.yield_now();
        *writer = 7;
        let reader = RwLockWriteGuard::downgrade(writer);
        assert_eq!(*reader, 7);
        assert!(lock.try_write().is_err());
        drop(reader);
        for other in others {
            other.join().expect("no panic");
        }
        assert_eq!(*lock.read().expect("not poisoned"), 9);
    });
}

#[test]
fn a_panic_while_writing_poisons_and_one_while_reading_does_not() {
    let mut lock = RwLock::new(3);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.read();
        panic!("on purpose");
    }));
    drop(caught.expect_err("it panics"));
    assert!(!lock.is_poisoned());
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.write();
        panic!("on purpose");
    }));
    drop(caught.expect_err("it panics"));
    assert!(lock.is_poisoned());
    assert_eq!(**lock.read().expect_err("poisoned").get_ref(), 3);
    assert_eq!(**lock.write().expect_err("poisoned").get_ref(), 3);
    assert!(matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
    assert!(matches!(lock.try_write(), Err(TryLockError::Poisoned(_))));
    assert!(matches!(
        lock.read_timeout(LONG),
        Err(TryLockError::Poisoned(_))
    ));
    assert!(matches!(
        lock.write_timeout(LONG),
        Err(TryLockError::Poisoned(_))
    ));
    assert!(lock.get_mut().is_err());
    lock.clear_poison();
    assert_eq!(lock.into_inner().expect("cleared"), 3);
}

#[test]
fn the_texts_are_those_of_std() {
    let (ours, theirs) = (RwLock::new(5), std::sync::RwLock::new(5));
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    {
        let (our, their) = (ours.read().expect("free"), theirs.read().expect("free"));
        assert_eq!(format!("{our:?} {our}"), format!("{their:?} {their}"));
    }
    let (our, their) = (ours.write().expect("free"), theirs.write().expect("free"));
    assert_eq!(format!("{our:?} {our}"), format!("{their:?} {their}"));
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    let (from, default) = (RwLock::from(6), RwLock::<i32>::default());
    assert_eq!(
        (*from.read().expect("free"), *default.read().expect("free")),
        (6, 0)
    );
    let lock: &RwLock<[i32]> = &RwLock::new([1, 2]);
    lock.write().expect("free")[0] = 3;
    assert_eq!(lock.read().expect("free").len(), 2);
}
