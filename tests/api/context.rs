//! What `Context` promises.

use crate::support::{Home, Rng, on_every_home, runtime, seeds, watched};
use std::{
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};
use sward::{
    channel::{self, TryRecvError},
    context::{
        Context,
        ContextError::{Canceled, DeadlineExceeded},
    },
    select, time,
};

const LONG: Duration = Duration::from_hours(1);

fn is_done(context: &Context) -> bool {
    context.done().try_recv() == Err(TryRecvError::Disconnected)
}

fn cause(context: &Context) -> Option<String> {
    context.cause().map(ToString::to_string)
}

/// Counts what is alive.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn a_background_has_not_ended_and_has_no_deadline() {
    let (one, two) = (Context::background(), Context::default());
    assert_eq!((one.err(), one.deadline()), (None, None));
    assert!(one.cause().is_none() && !is_done(&one));
    one.cancel(Canceled);
    assert_eq!((one.err(), two.err()), (Some(Canceled), None));
    assert_eq!(cause(&one).as_deref(), Some("context canceled"));
    assert_eq!(format!("{DeadlineExceeded}"), "context deadline exceeded");
    assert!(format!("{one:?}").contains("Canceled"));
}

#[test]
fn an_end_goes_down_and_never_up() {
    on_every_home(|_| {
        let root = Context::background();
        let (left, right) = (root.with_cancel(), root.with_value(1_u8));
        let (leaf, timed) = (left.with_value("leaf"), left.with_timeout(LONG));
        left.cancel("left");
        for ended in [&left, &leaf, &timed] {
            assert_eq!((ended.err(), is_done(ended)), (Some(Canceled), true));
            assert_eq!(cause(ended).as_deref(), Some("left"));
        }
        for alive in [&root, &right] {
            assert_eq!((alive.err(), is_done(alive)), (None, false));
        }
        root.cancel("root");
        assert_eq!(cause(&right).as_deref(), Some("root"));
        assert_eq!(cause(&leaf).as_deref(), Some("left"));
        // Born ended.
        let late = leaf.with_timeout(LONG).with_cancel().with_value(2_u8);
        assert_eq!((late.err(), is_done(&late)), (Some(Canceled), true));
        assert_eq!(cause(&late).as_deref(), Some("left"));
    });
}

/// A chain of a thousand, ten thousand beside each other, and ninety thousand below those.
#[test]
fn a_large_tree_has_ended_when_cancel_returns() {
    on_every_home(|_| {
        let root = Context::background();
        let mut all = vec![root.clone()];
        for depth in 0..1_000 {
            all.push(all[depth].with_cancel());
        }
        let bottom = all[1_000].clone();
        for _ in 0..10_000 {
            let wide = bottom.with_cancel();
            all.extend((0..9).map(|_| wide.with_cancel()));
            all.push(wide);
        }
        let watched: Vec<_> = all.iter().step_by(7).map(|it| it.done().clone()).collect();
        all[1].cancel("felled");
        assert_eq!(root.err(), None);
        assert!(all[1..].iter().all(|it| it.err() == Some(Canceled)));
        for done in &watched[1..] {
            assert_eq!(done.try_recv(), Err(TryRecvError::Disconnected));
        }
        assert!(all[1..].iter().step_by(5).all(is_done));
    });
}

#[test]
fn a_long_chain_goes_without_recursion() {
    let count = Arc::new(AtomicUsize::new(0));
    runtime(1)
        .run({
            let count = Arc::clone(&count);
            move || {
                let mut leaf = Context::background();
                for number in 0..200_000 {
                    leaf = if number % 200 == 0 {
                        leaf.with_value(Counted::new(&count))
                    } else {
                        leaf.with_cancel()
                    };
                }
                assert_eq!(count.load(SeqCst), 1_000);
                assert!(leaf.value::<Counted>().is_some());
                leaf
            }
        })
        .cancel("enough");
    assert_eq!(count.load(SeqCst), 0);
}

/// Two ends in one tree, from above and from its midst: each returns when all below has ended, whoever
/// ended it.
#[test]
fn an_end_that_meets_another_waits_for_nobody_and_misses_nothing() {
    on_every_home(|home| {
        for _ in 0..200 {
            let root = Context::background();
            let middle = root.with_cancel().with_cancel();
            let leaves: Vec<_> = (0..40)
                .map(|_| middle.with_cancel().with_cancel())
                .collect();
            let leaves = Arc::new(leaves);
            let enders: Vec<_> = [root.clone(), middle.clone(), middle, root]
                .into_iter()
                .map(|context| {
                    let leaves = Arc::clone(&leaves);
                    home.spawn(move || {
                        let _keep_done = leaves[3].done();
                        context.cancel("one of them");
                        leaves.iter().all(|it| it.err().is_some() && is_done(it))
                    })
                })
                .collect();
            for ender in enders {
                assert_eq!(ender.join().ok(), Some(true));
            }
        }
    });
}

#[test]
fn no_child_escapes_an_end() {
    on_every_home(|home| {
        let rounds = 5_000;
        let contexts: Arc<Vec<_>> = Arc::new((0..rounds).map(|_| Context::background()).collect());
        let turn = Arc::new(AtomicUsize::new(0));
        let maker = home.spawn({
            let (contexts, turn) = (Arc::clone(&contexts), Arc::clone(&turn));
            move || {
                let mut children = Vec::new();
                for (round, context) in contexts.iter().enumerate() {
                    turn.store(round + 1, SeqCst);
                    for _ in 0..8 {
                        let child = context.with_cancel();
                        children.push(child.with_timeout(LONG));
                        children.push(child);
                    }
                    if round % 16 == 0 {
                        home.yield_now();
                    }
                }
                children
            }
        });
        for (round, context) in contexts.iter().enumerate() {
            while turn.load(SeqCst) <= round {
                home.yield_now();
            }
            context.cancel("now");
        }
        let children = maker.join().expect("the maker");
        assert_eq!(children.len(), rounds * 16);
        assert!(children.iter().all(|it| it.err() == Some(Canceled)));
        assert!(children.iter().all(is_done));
    });
}

#[test]
fn whoever_sees_done_sees_why() {
    on_every_home(|home| {
        let contexts: Arc<Vec<_>> = Arc::new((0..5_000).map(|_| Context::background()).collect());
        let watchers: Vec<_> = (0..3)
            .map(|_| {
                let contexts = Arc::clone(&contexts);
                home.spawn(move || {
                    for context in contexts.iter() {
                        assert!(context.done().recv().is_err());
                        assert_eq!(context.err(), Some(Canceled));
                        assert_eq!(cause(context).as_deref(), Some("why"));
                    }
                })
            })
            .collect();
        for context in contexts.iter() {
            context.cancel("why");
        }
        for watcher in watchers {
            watcher.join().expect("a watcher");
        }
    });
}

/// Random trees, ended here and there, beside a model that is told the same.
#[test]
fn the_first_cause_wins() {
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let mut contexts = vec![Context::background()];
        let mut model = vec![(0, None::<String>)];
        for step in 0..600 {
            let at = rng.below(contexts.len());
            if rng.below(3) > 0 {
                contexts.push(match rng.below(3) {
                    0 => contexts[at].with_cancel(),
                    1 => contexts[at].with_timeout(LONG),
                    _ => contexts[at].with_value(step),
                });
                model.push((at, model[at].1.clone()));
            } else if at > 0 || rng.below(20) == 0 {
                let cause = format!("step {step}");
                contexts[at].cancel(cause.clone());
                model[at].1.get_or_insert(cause);
                for it in at + 1..model.len() {
                    if model[it].1.is_none() {
                        model[it].1 = model[model[it].0].1.clone();
                    }
                }
            }
        }
        for (context, (_, expected)) in contexts.iter().zip(&model) {
            assert_eq!(&cause(context), expected, "seed {seed}");
            assert_eq!(context.err(), expected.as_ref().map(|_| Canceled));
            assert_eq!(is_done(context), expected.is_some());
        }
    }
}

#[test]
fn a_cause_keeps_its_type() {
    #[derive(Debug)]
    struct Flood(u8);
    impl fmt::Display for Flood {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("flood")
        }
    }
    impl Error for Flood {}
    let context = Context::background();
    let child = context.with_cancel();
    context.cancel(Flood(7));
    context.cancel(Canceled);
    let flood = child.cause().and_then(|it| it.downcast_ref::<Flood>());
    assert_eq!(flood.map(|it| it.0), Some(7));
}

/// A cause that uses the context while it is dropped finds no lock held.
#[test]
fn a_cause_that_comes_second_is_dropped_outside_of_locks() {
    #[derive(Debug)]
    struct Nosy(Context, Arc<AtomicBool>);
    impl fmt::Display for Nosy {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("nosy")
        }
    }
    impl Error for Nosy {}
    impl Drop for Nosy {
        fn drop(&mut self) {
            self.0.cancel("again");
            drop(self.0.with_timeout(LONG));
            self.1.store(is_done(&self.0), SeqCst);
        }
    }
    let (context, saw) = (Context::background(), Arc::new(AtomicBool::new(false)));
    context.cancel("first");
    context.cancel(Nosy(context.clone(), Arc::clone(&saw)));
    assert!(saw.load(SeqCst));
}

#[test]
fn values_are_found_by_type_the_nearest_first() {
    let root = Context::background().with_value(1_u32).with_value("a");
    let leaf = root.with_cancel().with_value(2_u32).with_timeout(LONG);
    assert_eq!((leaf.value(), leaf.value()), (Some(&2_u32), Some(&"a")));
    assert_eq!((root.value::<u32>(), root.value::<u64>()), (Some(&1), None));
}

#[test]
fn what_is_dropped_leaves_nothing_behind() {
    on_every_home(|_| {
        let (root, count) = (Context::background(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..20_000 {
            let child = root.with_value(Counted::new(&count));
            let timed = child.with_timeout(LONG);
            let kept = Counted::new(&count);
            let after = timed.after_func(move || drop(kept));
            drop((child, timed));
            assert_eq!(count.load(Relaxed), 2);
            drop(after);
            assert_eq!(count.load(Relaxed), 0);
        }
        root.cancel(Canceled);
    });
}

#[test]
fn the_sooner_deadline_counts() {
    on_every_home(|_| {
        let (now, root) = (time::now(), Context::background());
        let far = root.with_deadline(now + LONG);
        assert_eq!(far.deadline(), Some(now + LONG));
        assert_eq!(far.with_deadline(now + 2 * LONG).deadline(), far.deadline());
        assert_eq!(far.with_value(()).deadline(), far.deadline());
        let near = far.with_timeout(LONG / 2);
        assert!(near.deadline() < far.deadline());
        assert_eq!(root.with_timeout(Duration::MAX).deadline(), None);
        assert_eq!(root.with_timeout(Duration::MAX).err(), None);
        for past in [now, now.checked_sub(Duration::from_secs(1)).unwrap_or(now)] {
            let late = root.with_deadline(past);
            assert_eq!((late.err(), is_done(&late)), (Some(DeadlineExceeded), true));
            late.cancel("too late");
            assert_eq!(cause(&late), Some(DeadlineExceeded.to_string()));
        }
        let soon = root.with_timeout(Duration::from_nanos(1));
        assert!(soon.done().recv().is_err());
        assert_eq!((far.err(), root.err()), (None, None));
    });
}

#[test]
fn a_deadline_ends_all_below_and_is_never_early() {
    on_every_home(|home| {
        let start = time::now();
        let waiters: Vec<_> = (1..=40_u32)
            .map(|number| {
                home.spawn(move || {
                    // The later ones are set first: each is earlier than those that are set.
                    let timeout = Duration::from_micros(u64::from(12_000 - 250 * number));
                    let context = Context::background().with_timeout(timeout);
                    let child = context.with_timeout(LONG);
                    select! {
                        recv(child.done()) -> end => assert!(end.is_err()),
                        recv(channel::after(LONG)) -> _ => panic!("an hour has passed"),
                    }
                    assert!(time::now() - start >= timeout);
                    assert_eq!(child.err(), Some(DeadlineExceeded));
                    assert!(Some(time::now()) >= child.deadline());
                })
            })
            .collect();
        for waiter in waiters {
            waiter.join().expect("it ended");
        }
    });
}

#[test]
fn a_deadline_outlives_the_runtime_that_set_it() {
    watched("outlives", Duration::from_mins(1), || {
        let runtime = runtime(2);
        let (context, ran) = runtime.run(|| {
            let context = Context::background().with_timeout(Duration::from_millis(30));
            let (tx, rx) = channel::bounded(1);
            drop(context.after_func(move || _ = tx.send(())));
            (context, rx)
        });
        drop(runtime);
        assert!(context.done().recv().is_err());
        assert_eq!(context.err(), Some(DeadlineExceeded));
        assert_eq!(ran.recv(), Ok(()));
    });
}

#[test]
fn what_is_to_run_runs_once_in_a_thread_of_its_own() {
    on_every_home(|_| {
        let context = Context::background();
        let child = context.with_cancel();
        let (tx, rx) = channel::unbounded();
        for number in 0..100 {
            let (tx, context) = (tx.clone(), child.clone());
            drop(child.after_func(move || {
                // It may use the context: nothing is locked.
                context.cancel("again");
                let id = sward::thread::current().id();
                _ = tx.send((number, id, is_done(&context)));
            }));
        }
        assert!(rx.is_empty());
        context.cancel("now");
        drop(child.after_func(move || {
            _ = tx.send((100, sward::thread::current().id(), true));
        }));
        let mut ran: Vec<_> = rx.iter().collect();
        let mut ids: Vec<_> = ran.iter().map(|it| it.1).collect();
        ids.push(sward::thread::current().id());
        ids.sort_unstable_by_key(|it| format!("{it:?}"));
        ids.dedup();
        assert_eq!(ids.len(), 102);
        ran.sort_unstable_by_key(|it| it.0);
        assert!(ran.iter().map(|it| it.0).eq(0..=100));
        assert!(ran.iter().all(|it| it.2));
    });
}

#[test]
fn what_was_stopped_does_not_run() {
    on_every_home(|_| {
        let context = Context::background();
        let (ran, count) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (told, kept) = (Arc::clone(&ran), Counted::new(&count));
        let after = context.after_func(move || {
            drop(kept);
            told.store(true, SeqCst);
        });
        assert!(after.stop());
        assert_eq!(count.load(SeqCst), 0);
        assert!(!after.stop());
        context.cancel(Canceled);
        assert!(!after.stop());
        assert!(!context.after_func(|| ()).stop());
        assert!(!ran.load(SeqCst));
    });
}

#[test]
fn it_was_stopped_or_it_runs() {
    on_every_home(|home| {
        let rounds = 5_000;
        let ran = Arc::new(AtomicUsize::new(0));
        let (to_stop, afters) = channel::bounded(0);
        let stopper = home.spawn(move || {
            afters
                .iter()
                .filter(sward::context::AfterFunc::stop)
                .count()
        });
        let all_ran = sward::sync::WaitGroup::new();
        for _ in 0..rounds {
            let context = Context::background();
            all_ran.add(1);
            let (ran, done) = (Arc::clone(&ran), all_ran.clone());
            let after = context.after_func(move || {
                ran.fetch_add(1, SeqCst);
                done.done();
            });
            to_stop.send(after).expect("the stopper");
            context.cancel(Canceled);
        }
        drop(to_stop);
        let stopped = stopper.join().expect("the stopper");
        all_ran.add(-isize::try_from(stopped).expect("few"));
        all_ran.wait();
        assert_eq!(ran.load(SeqCst) + stopped, rounds);
    });
}

#[test]
fn a_scope_returns_what_its_body_does_when_nobody_fails() {
    on_every_home(|_| {
        let context = Context::background();
        let words = ["sward", "turf"];
        let letters = context.scope(|scope| {
            let one = scope.spawn(|| Ok(words[0].len()));
            let two = scope.spawn(|| Ok::<_, String>(words[1].len()));
            Ok(one.join().ok().flatten().zip(two.join().ok().flatten()))
        });
        assert_eq!((letters, context.err()), (Ok(Some((5, 4))), None));
    });
}

#[test]
fn the_first_child_that_fails_cancels_the_context_and_all_are_waited_for() {
    on_every_home(|_| {
        let (context, ended) = (Context::background(), AtomicUsize::new(0));
        let result: Result<(), String> = context.scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    assert!(context.done().recv().is_err());
                    ended.fetch_add(1, SeqCst);
                    Err::<(), _>("later".to_owned())
                });
            }
            let nested = scope.clone();
            scope.spawn(move || {
                drop(nested.spawn(|| Err::<(), _>("first".to_owned())));
                Ok(())
            });
            Ok(())
        });
        assert_eq!((result, ended.load(SeqCst)), (Err("first".to_owned()), 20));
        assert_eq!(cause(&context).as_deref(), Some("first"));
    });
}

#[test]
fn a_body_that_fails_cancels_its_children() {
    on_every_home(|_| {
        let (context, parent) = {
            let parent = Context::background();
            (parent.with_cancel(), parent)
        };
        let result = context.scope(|scope| {
            scope.spawn(|| Ok(context.done().recv().is_err()));
            Err::<(), _>("body")
        });
        assert_eq!(result, Err("body"));
        assert_eq!(parent.err(), None);
        let body = catch_unwind(AssertUnwindSafe(|| {
            let context = parent.with_cancel();
            context.scope(|scope| -> Result<(), String> {
                scope.spawn(|| Ok(context.done().recv().is_err()));
                std::panic::resume_unwind(Box::new("body"));
            })
        }));
        assert_eq!(body.expect_err("it panicked").downcast_ref(), Some(&"body"));
    });
}

#[test]
fn a_child_that_panics_cancels_the_context_too() {
    on_every_home(|_| {
        let context = Context::background();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            context.scope(|scope| -> Result<(), String> {
                scope.spawn(|| -> Result<(), String> {
                    std::panic::resume_unwind(Box::new("child"));
                });
                assert!(context.done().recv().is_err());
                Ok(())
            })
        }));
        assert!(caught.is_err());
        assert_eq!(context.err(), Some(Canceled));
        // Joined, its panic is the joiner's business.
        let context = Context::background();
        let result = context.scope(|scope| {
            let child = scope.spawn(|| -> Result<(), String> {
                std::panic::resume_unwind(Box::new("child"));
            });
            Ok(child.join().is_err())
        });
        assert_eq!((result, context.err()), (Ok(true), Some(Canceled)));
    });
}

#[test]
fn many_make_and_end_children_of_one_root() {
    on_every_home(|home: Home| {
        let root = Context::background();
        let start = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..16)
            .map(|number| {
                let (root, start) = (root.clone(), Arc::clone(&start));
                home.spawn(move || {
                    start.fetch_add(1, SeqCst);
                    while start.load(SeqCst) < 16 {
                        home.yield_now();
                    }
                    for round in 0..500 {
                        let child = root.with_timeout(LONG);
                        if (round + number) % 3 > 0 {
                            child.cancel(Canceled);
                            assert!(is_done(&child));
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a maker");
        }
        assert_eq!(root.err(), None);
    });
}

/// A context that belongs to both worlds.
#[test]
fn a_kernel_thread_ends_what_green_threads_wait_for() {
    watched("both worlds", Duration::from_mins(1), || {
        let (context, both) = (Context::background(), Arc::new(Barrier::new(2)));
        let child = context.with_timeout(LONG);
        let green = sward::spawn({
            let both = Arc::clone(&both);
            move || {
                sward::blocking(|| both.wait());
                child.done().recv().is_err()
            }
        });
        both.wait();
        context.cancel("from outside");
        assert_eq!(green.join().ok(), Some(true));
    });
}
