//! What `Group`, `WaitGroup::go`, `SingleFlight` and `Pool` promise.

use crate::support::{Home, on_every_home};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use sward::{
    context::{Context, ContextError},
    sync::{Barrier, Group, Pool, SingleFlight, WaitGroup},
};

#[test]
fn a_wait_group_counts_what_it_spawns_even_if_it_panics() {
    on_every_home(|_| {
        let (group, done) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        for index in 0..100 {
            let done = Arc::clone(&done);
            group.go(move || {
                done.fetch_add(1, SeqCst);
                assert!(index % 10 != 3, "on purpose");
            });
        }
        group.wait();
        assert_eq!(done.load(SeqCst), 100);
    });
}

#[test]
fn a_group_waits_for_all_and_returns_the_first_error() {
    on_every_home(|_| {
        let (group, ended) = (Group::new(), Arc::new(AtomicUsize::new(0)));
        let first = WaitGroup::new();
        first.add(1);
        for index in 0..1_000 {
            let (count, released) = (Arc::clone(&ended), first.clone());
            group.go(move || {
                // Number 9 fails only after number 7 has ended.
                let result = match index {
                    7 => Err(7),
                    9 => {
                        released.wait();
                        Err(9)
                    }
                    _ => Ok(()),
                };
                count.fetch_add(1, SeqCst);
                result
            });
            if index == 7 {
                while ended.load(SeqCst) < 8 || format!("{group:?}") != "Group { active: 0, .. }" {
                    sward::yield_now();
                }
                first.done();
            }
        }
        assert_eq!(group.wait(), Err(7));
        assert_eq!(ended.load(SeqCst), 1_000);
        // It is as new.
        assert_eq!(group.wait(), Ok(()));
        group.go(|| Ok(()));
        assert_eq!(group.wait(), Ok(()));
    });
}

#[test]
fn a_group_passes_a_panic_on_after_all_have_ended() {
    on_every_home(|_| {
        let (group, ended) = (Group::<()>::default(), Arc::new(AtomicUsize::new(0)));
        for index in 0..10 {
            let ended = Arc::clone(&ended);
            group.go(move || {
                if index == 0 {
                    std::panic::panic_any(42);
                }
                for _ in 0..10 {
                    sward::yield_now();
                }
                ended.fetch_add(1, SeqCst);
                Ok(())
            });
        }
        let payload = catch_unwind(AssertUnwindSafe(|| group.wait())).expect_err("it panicked");
        assert_eq!(payload.downcast_ref(), Some(&42));
        assert_eq!(ended.load(SeqCst), 9);
    });
}

#[test]
fn a_limit_is_kept() {
    on_every_home(|_| {
        let group = Group::<()>::new();
        group.limit(10);
        let active = Arc::new(AtomicUsize::new(0));
        for _ in 0..500 {
            let active = Arc::clone(&active);
            group.go(move || {
                assert!(active.fetch_add(1, SeqCst) < 10);
                sward::yield_now();
                active.fetch_sub(1, SeqCst);
                Ok(())
            });
        }
        assert_eq!(group.wait(), Ok(()));
        // It may change only while nobody is active.
        let gate = Arc::new(Barrier::new(2));
        group.go({
            let gate = Arc::clone(&gate);
            move || {
                gate.wait();
                Ok(())
            }
        });
        assert!(catch_unwind(AssertUnwindSafe(|| group.limit(3))).is_err());
        gate.wait();
        assert_eq!(group.wait(), Ok(()));
        group.limit(3);
    });
}

#[test]
fn threads_of_a_group_that_never_ran_have_failed() {
    let group = Group::<()>::new();
    let inner = group.clone();
    let runtime = crate::support::runtime(1);
    runtime.run(move || {
        for _ in 0..10 {
            inner.go(|| {
                sward::thread::park();
                Ok(())
            });
        }
    });
    drop(runtime);
    let payload = catch_unwind(AssertUnwindSafe(|| group.wait())).expect_err("they were ended");
    assert!(payload.is::<sward::Shutdown>());
}

/// Go's `TestGoLimit` with zero: nobody is let in, and who waits to be let in can be called off.
#[test]
fn a_limit_of_none_lets_nobody_in() {
    let group = Group::<()>::new();
    group.limit(0);
    let runtime = crate::support::runtime(1);
    let (ran, witness) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
    let about = Arc::new(AtomicUsize::new(0));
    let spawners: Vec<_> = (0..100)
        .map(|_| {
            let (group, about) = (group.clone(), Arc::clone(&about));
            let (ran, witness) = (Arc::clone(&ran), Arc::clone(&witness));
            runtime.spawn(move || {
                about.fetch_add(1, SeqCst);
                group.go(move || {
                    ran.fetch_add(1, SeqCst);
                    drop(witness);
                    Ok(())
                });
            })
        })
        .collect();
    while about.load(SeqCst) < 100 {
        std::thread::yield_now();
    }
    // None is active: there is nothing to wait for.
    assert_eq!(group.wait(), Ok(()));
    drop(runtime);
    for spawner in spawners {
        let payload = spawner.join().expect_err("it was called off");
        assert!(payload.is::<sward::Shutdown>());
    }
    assert_eq!((ran.load(SeqCst), Arc::strong_count(&witness)), (0, 1));
    group.limit(1);
    group.go(|| Ok(()));
    assert_eq!(group.wait(), Ok(()));
}

/// Go's `TestDoDupSuppress`: who comes while it is made gets what is made, and all are told that they share.
#[test]
fn callers_of_one_key_share_one_run() {
    on_every_home(|home| {
        let count = if home == Home::Threads { 50 } else { 1_000 };
        let shared = Arc::new((
            SingleFlight::<&str, usize>::new(),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        ));
        let callers: Vec<_> = (0..count)
            .map(|_| {
                let shared = Arc::clone(&shared);
                home.spawn(move || {
                    shared.1.fetch_add(1, SeqCst);
                    shared.0.run("key", || {
                        while shared.1.load(SeqCst) < count {
                            home.yield_now();
                        }
                        shared.2.fetch_add(1, SeqCst)
                    })
                })
            })
            .collect();
        let mut got: Vec<_> = callers
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .collect();
        got.sort_unstable();
        // Who came late, after it had been made, made it anew.
        let runs = shared.2.load(SeqCst);
        assert_eq!(got.last().map(|it| it.0 + 1), Some(runs));
        if home == Home::Green(1) {
            assert_eq!(runs, 1);
        }
        for of_one_run in got.chunk_by(|one, other| one.0 == other.0) {
            let expected = of_one_run.len() > 1;
            assert!(of_one_run.iter().all(|it| it.1 == expected));
        }
        // What was made is not kept.
        assert_eq!(shared.0.run("key", || 7), (7, false));
    });
}

#[test]
fn different_keys_do_not_wait_for_each_other() {
    let flights = SingleFlight::new();
    let (outer, shared) = flights.run(1, || flights.run(2, || 20).0 + 1);
    assert_eq!((outer, shared), (21, false));
}

#[test]
fn a_panic_reaches_all_who_share() {
    on_every_home(|home| {
        let shared = Arc::new((SingleFlight::<i32, ()>::new(), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..20)
            .map(|_| {
                let shared = Arc::clone(&shared);
                home.spawn(move || {
                    shared.1.fetch_add(1, SeqCst);
                    shared.0.run(1, || {
                        while shared.1.load(SeqCst) < 20 {
                            home.yield_now();
                        }
                        panic!("on purpose");
                    })
                })
            })
            .collect();
        for thread in threads {
            let payload = thread.join().expect_err("all panic");
            let said = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            assert_eq!(said, Some("on purpose"));
        }
        assert_eq!(shared.0.run(1, || ()), ((), false));
    });
}

#[test]
fn no_value_of_a_pool_is_had_twice_at_once() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    on_every_home(|home| {
        let before = MADE.load(SeqCst);
        let pool = Arc::new(Pool::new(|| {
            MADE.fetch_add(1, SeqCst);
            AtomicUsize::new(0)
        }));
        let threads: Vec<_> = (0..8)
            .map(|index| {
                let pool = Arc::clone(&pool);
                let work = move || {
                    for turn in 0..5_000 {
                        let value = pool.get();
                        assert_eq!(value.fetch_add(1, SeqCst), 0);
                        if turn % 50 == 0 {
                            std::thread::yield_now();
                        }
                        value.fetch_sub(1, SeqCst);
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
        assert!(MADE.load(SeqCst) - before < 20_000);
    });
}

#[test]
fn a_pool_keeps_what_was_used() {
    static POOL: Pool<Vec<u8>> = Pool::new(Vec::new);
    POOL.get().extend([1, 2, 3]);
    assert_eq!(*POOL.get(), [1, 2, 3]);
    // Not if its user panicked.
    let caught = catch_unwind(|| {
        let _value = POOL.get();
        panic!("on purpose");
    });
    assert!(caught.is_err());
    assert!(POOL.get().is_empty());
}

/// What a pool has no room for is dropped outside its locks: it may use the pool.
#[test]
fn values_of_a_pool_may_use_it_when_dropped() {
    struct Nested(Option<Arc<Pool<Nested>>>);
    impl Drop for Nested {
        fn drop(&mut self) {
            if let Some(pool) = self.0.take() {
                drop(pool.get());
            }
        }
    }
    let pool = Arc::new(Pool::new(|| Nested(None)));
    let all: Vec<_> = (0..1_000)
        .map(|_| {
            let mut value = pool.get();
            value.0 = Some(Arc::clone(&pool));
            value
        })
        .collect();
    drop(all);
    // The values in the pool hold the pool: take that apart again.
    while let Some(inner) = pool.get().0.take() {
        drop(inner);
        drop(catch_unwind(AssertUnwindSafe(|| {
            let _dropped = pool.get();
            std::panic::resume_unwind(Box::new(()));
        })));
    }
}

#[test]
fn the_first_to_fail_cancels_the_groups_context() {
    on_every_home(|_| {
        let root = Context::background();
        let (group, context) = Group::with_context(&root);
        for _ in 0..50 {
            let context = context.clone();
            group.go(move || {
                assert!(context.done().recv().is_err());
                Err(format!(
                    "after: {:?}",
                    context.cause().map(ToString::to_string)
                ))
            });
        }
        group.go(|| Err("first".to_owned()));
        assert_eq!(group.wait(), Err("first".to_owned()));
        assert_eq!(
            context.cause().map(ToString::to_string).as_deref(),
            Some("first")
        );
        assert_eq!(root.err(), None);
    });
}

#[test]
fn a_panic_and_the_end_of_the_wait_cancel_the_groups_context() {
    on_every_home(|_| {
        let (group, context) = Group::<String>::with_context(&Context::background());
        group.go(|| std::panic::resume_unwind(Box::new("on purpose")));
        assert!(context.done().recv().is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| group.wait())).is_err());
        let (group, context) = Group::<String>::with_context(&Context::background());
        group.go(|| Ok(()));
        assert_eq!(
            (group.wait(), context.err()),
            (Ok(()), Some(ContextError::Canceled))
        );
        // A parent's end reaches it.
        let parent = Context::background();
        let (group, context) = Group::<String>::with_context(&parent);
        group.go(move || Err(format!("{:?}", context.done().recv())));
        parent.cancel("parent");
        assert_eq!(group.wait(), Err("Err(RecvError)".to_owned()));
    });
}
