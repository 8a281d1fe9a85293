//! What `scope` promises: `std::thread::scope`, green.

use crate::support::on_every_home;
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};
use sward::thread::{self, Builder};

#[test]
fn children_borrow_and_the_scope_waits() {
    on_every_home(|_| {
        let mut numbers = vec![1, 2, 3];
        let (mut sum, count) = (0, AtomicUsize::new(0));
        let value = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_micros(500));
                sum = numbers.iter().sum();
            });
            for _ in 0..10 {
                scope.spawn(|| {
                    thread::yield_now();
                    count.fetch_add(1, SeqCst);
                });
            }
            "value"
        });
        numbers.push(4);
        assert_eq!((value, sum, count.into_inner()), ("value", 6, 10));
    });
}

#[test]
fn children_spawn_children() {
    on_every_home(|_| {
        let count = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        scope.spawn(|| {
                            thread::yield_now();
                            scope.spawn(|| count.fetch_add(1, SeqCst));
                        });
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 16);
    });
}

#[test]
fn scopes_nest() {
    on_every_home(|_| {
        let mut cells = [0_u32; 8];
        thread::scope(|outer| {
            for pair in cells.chunks_mut(2) {
                outer.spawn(move || {
                    let (one, two) = pair.split_at_mut(1);
                    thread::scope(|inner| {
                        inner.spawn(|| one[0] = 1);
                        inner.spawn(|| two[0] = 2);
                    });
                    assert_eq!(pair, [1, 2]);
                });
            }
        });
        assert_eq!(cells.iter().sum::<u32>(), 12);
    });
}

#[test]
fn a_joined_child_returns_what_it_borrowed() {
    on_every_home(|_| {
        let text = String::from("one two");
        let first = thread::scope(|scope| {
            let child = scope.spawn(|| text.split(' ').next());
            child.join().expect("no panic")
        });
        assert_eq!(first, Some("one"));
        thread::scope(|scope| {
            let named = Builder::new()
                .name("child".to_owned())
                .spawn_scoped(scope, || thread::current().name().map(str::to_owned))
                .expect("memory");
            assert_eq!(named.thread().name(), Some("child"));
            while !named.is_finished() {
                thread::yield_now();
            }
            assert_eq!(named.join().expect("no panic").as_deref(), Some("child"));
        });
    });
}

/// Fails, without a word from the panic hook.
fn fail() {
    resume_unwind(Box::new("a child"));
}

#[test]
fn a_joined_panic_is_an_error_and_the_scope_goes_on() {
    on_every_home(|_| {
        let value = thread::scope(|scope| {
            let payload = scope.spawn(fail).join().expect_err("it panicked");
            assert_eq!(payload.downcast_ref(), Some(&"a child"));
            1
        });
        assert_eq!(value, 1);
    });
}

#[test]
fn an_unjoined_panic_is_the_scopes_after_all_have_ended() {
    on_every_home(|_| {
        let ended = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            thread::scope(|scope| {
                scope.spawn(fail);
                drop(scope.spawn(fail));
                for _ in 0..4 {
                    scope.spawn(|| {
                        thread::sleep(Duration::from_micros(300));
                        ended.fetch_add(1, SeqCst);
                    });
                }
            });
        }));
        let payload = result.expect_err("the scope panics");
        assert_eq!(payload.downcast_ref(), Some(&"a scoped thread panicked"));
        assert_eq!(ended.into_inner(), 4);
    });
}

#[test]
fn the_closures_own_panic_waits_for_the_children() {
    on_every_home(|_| {
        let ended = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(Duration::from_micros(500));
                    ended.fetch_add(1, SeqCst);
                });
                resume_unwind(Box::new("the parent"));
            });
        }));
        let payload = result.expect_err("it panicked");
        assert_eq!(payload.downcast_ref(), Some(&"the parent"));
        assert_eq!(ended.into_inner(), 1);
    });
}

#[test]
fn many_scopes_of_many_children() {
    on_every_home(|_| {
        for size in [0, 1, 2, 100, 1_000] {
            let mut cells = vec![0_u8; size];
            thread::scope(|scope| {
                for cell in &mut cells {
                    scope.spawn(move || *cell += 1);
                }
            });
            assert!(cells.iter().all(|it| *it == 1));
        }
    });
}

#[test]
fn a_result_that_borrows_is_gone_before_the_scope_ends() {
    struct Touch<'a>(&'a AtomicUsize);
    impl Drop for Touch<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    on_every_home(|_| {
        for _ in 0..100 {
            let touched = AtomicUsize::new(0);
            thread::scope(|scope| {
                scope.spawn(|| Touch(&touched));
                drop(scope.spawn(|| Touch(&touched)));
            });
            assert_eq!(touched.into_inner(), 2);
        }
    });
}
