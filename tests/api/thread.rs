//! What `thread` promises: the documented behaviour of `std::thread`, on green threads.

use crate::support::{Home, in_child, on_every_home, on_every_real_home, runtime, watched};
use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, Location, catch_unwind, panic_any, resume_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use sward::thread::{self, Builder};

const MINUTE: Duration = Duration::from_mins(1);

/// Sets its flag when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn a_result_of_any_type_comes_back() {
    on_every_home(|_| {
        assert_eq!(sward::spawn(|| 42).join().expect("no panic"), 42);
        sward::spawn(|| ()).join().expect("no panic");
        let text = String::from("moved in");
        let out = sward::spawn(move || text + " and out").join();
        assert_eq!(out.expect("no panic"), "moved in and out");
        let large = sward::spawn(|| [7_u8; 10_000]).join().expect("no panic");
        assert!(large.iter().all(|it| *it == 7));
        assert_eq!(
            sward::spawn(|| Box::new([1_u64; 8]))
                .join()
                .expect("no panic")[7],
            1
        );
    });
}

#[test]
fn the_payload_of_a_panic_is_the_error() {
    on_every_home(|_| {
        let text = sward::spawn(|| {
            if true {
                resume_unwind(Box::new("a str"));
            }
        });
        let payload = text.join().expect_err("it panicked");
        assert_eq!(payload.downcast_ref(), Some(&"a str"));
        let number = sward::spawn(|| -> u8 { resume_unwind(Box::new(7_u64)) });
        let payload = number.join().expect_err("it panicked");
        assert_eq!(payload.downcast_ref(), Some(&7_u64));
    });
}

#[test]
fn a_detached_thread_goes_on() {
    on_every_home(|home| {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Flag(Arc::clone(&dropped));
        drop(sward::spawn(move || {
            thread::yield_now();
            flag
        }));
        while !dropped.load(SeqCst) {
            home.yield_now();
        }
    });
}

#[test]
fn is_finished_becomes_true_by_itself() {
    on_every_home(|home| {
        let go = Arc::new(AtomicBool::new(false));
        let handle = sward::spawn({
            let go = Arc::clone(&go);
            move || {
                while !go.load(SeqCst) {
                    thread::yield_now();
                }
            }
        });
        assert!(!handle.is_finished());
        go.store(true, SeqCst);
        while !handle.is_finished() {
            home.yield_now();
        }
        handle.join().expect("no panic");
    });
}

#[test]
fn what_a_thread_did_is_seen_by_who_joins_it() {
    on_every_home(|_| {
        for _ in 0..200 {
            let cell = Arc::new(AtomicUsize::new(0));
            let handle = sward::spawn({
                let cell = Arc::clone(&cell);
                move || cell.store(1, std::sync::atomic::Ordering::Relaxed)
            });
            handle.join().expect("no panic");
            assert_eq!(cell.load(std::sync::atomic::Ordering::Relaxed), 1);
        }
    });
}

#[test]
fn a_name_is_the_threads_own() {
    on_every_home(|_| {
        let named = Builder::new().name("émile".to_owned()).spawn(|| {
            thread::yield_now();
            thread::current().name().map(str::to_owned)
        });
        let named = named.expect("memory");
        assert_eq!(named.thread().name(), Some("émile"));
        assert_eq!(named.join().expect("no panic").as_deref(), Some("émile"));
        let unnamed = sward::spawn(|| thread::current().name().map(str::to_owned));
        assert_eq!(unnamed.join().expect("no panic"), None);
        let empty = Builder::new().name(String::new()).spawn(|| ());
        assert_eq!(empty.expect("memory").thread().name(), Some(""));
        let long = "n".repeat(100_000);
        let handle = Builder::new().name(long.clone()).spawn(|| ());
        assert_eq!(handle.expect("memory").thread().name(), Some(&*long));
    });
}

#[test]
fn a_name_with_a_zero_byte_panics() {
    let result = catch_unwind(|| Builder::new().name("a\0b".to_owned()));
    assert!(result.is_err());
}

#[test]
fn ids_are_unique_and_stay() {
    on_every_home(|_| {
        let ids: Vec<_> = (0..1_000)
            .map(|_| {
                sward::spawn(|| {
                    let before = thread::current().id();
                    thread::yield_now();
                    assert_eq!(thread::current().id(), before);
                    before
                })
            })
            .map(|it| {
                let id = it.thread().id();
                assert_eq!(it.join().expect("no panic"), id);
                id
            })
            .collect();
        let mut seen: HashSet<_> = ids.iter().collect();
        assert_eq!(seen.len(), ids.len());
        let own = thread::current().id();
        assert!(seen.insert(&own));
        assert_eq!(own, thread::current().id());
    });
}

#[test]
fn a_kernel_threads_handle_is_stds() {
    let inside = std::thread::Builder::new()
        .name("plain".to_owned())
        .spawn(|| {
            let me = thread::current();
            assert_eq!(me.name(), Some("plain"));
            me.unpark();
            thread::park();
        });
    inside.expect("a thread").join().expect("no panic");
}

#[test]
fn a_token_that_comes_first_is_kept_and_tokens_do_not_add_up() {
    on_every_home(|_| {
        thread::current().unpark();
        thread::current().unpark();
        thread::park();
        let start = Instant::now();
        // On a kernel thread it may come back early.
        while start.elapsed() < Duration::from_millis(2) {
            thread::park_timeout(Duration::from_millis(2));
        }
        assert!(start.elapsed() >= Duration::from_millis(2));
    });
}

#[test]
fn a_green_park_waits_for_its_token() {
    runtime(2).run(|| {
        for _ in 0..1_000 {
            let told = Arc::new(AtomicBool::new(false));
            let parked = sward::spawn({
                let told = Arc::clone(&told);
                move || {
                    thread::park();
                    assert!(told.load(SeqCst), "a token too early");
                }
            });
            thread::yield_now();
            told.store(true, SeqCst);
            parked.thread().unpark();
            parked.join().expect("no panic");
        }
    });
}

#[test]
fn sleep_is_never_short_and_zero_returns() {
    on_every_home(|_| {
        for micros in [1, 50, 999, 1_000, 1_001, 5_000] {
            let (start, time) = (sward::time::now(), Duration::from_micros(micros));
            thread::sleep(time);
            assert!(sward::time::now() - start >= time);
        }
        thread::sleep(Duration::ZERO);
        let until = sward::time::now() + Duration::from_millis(1);
        thread::sleep_until(until);
        assert!(sward::time::now() >= until);
        thread::sleep_until(until);
    });
}

#[test]
fn a_sleep_for_ever_does_not_end() {
    let it = runtime(1);
    let sleeper = it.spawn(|| thread::sleep(Duration::MAX));
    let parked = it.spawn(|| thread::park_timeout(Duration::MAX));
    it.run(|| thread::sleep(Duration::from_millis(2)));
    assert!(!sleeper.is_finished());
    assert!(!parked.is_finished());
    drop(it);
    assert!(sleeper.join().is_err());
    assert!(parked.join().is_err());
}

/// Sets so many alarms out of order, lets them all become due while the only worker is busy, and returns
/// deadlines and numbers in the order in which they ran. None if `head_start` was too short to set them.
fn run_all_due_at_once(count: usize, head_start: Duration) -> Option<Vec<(Instant, usize)>> {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let first = sward::time::now() + head_start;
    // Every third has the deadline of the one before it.
    let after = |number: usize| {
        let micros = u64::try_from(number - number % 3 / 2).expect("small");
        first + Duration::from_micros(micros)
    };
    let numbers = (0..count).step_by(2).chain((1..count).step_by(2));
    let sleepers: Vec<_> = numbers
        .map(|number| {
            let (ran, until) = (Arc::clone(&ran), after(number));
            let sleeper = sward::spawn(move || {
                thread::sleep_until(until);
                ran.lock().expect("not poisoned").push((until, number));
            });
            // It sleeps before the next one is there.
            thread::yield_now();
            sleeper
        })
        .collect();
    let in_time = sward::time::now() < first;
    while sward::time::now() < after(count) {
        std::hint::spin_loop();
    }
    for sleeper in sleepers {
        sleeper.join().expect("no panic");
    }
    let ran = Arc::into_inner(ran).expect("all ended").into_inner();
    in_time.then(|| ran.expect("not poisoned"))
}

/// Of equal deadlines the one goes first that was set first.
#[test]
fn sleepers_that_are_due_at_once_run_in_the_order_of_their_deadlines() {
    watched("sleepers", MINUTE, || {
        let it = runtime(1);
        for count in [2, 3, 40, 300] {
            let mut head_start = Duration::from_millis(1);
            // A busy machine lets few attempts pass undisturbed, so they are short and many.
            let mut attempts = (0..1_000).filter_map(|_| {
                let before = it.metrics().take_overs;
                let Some(ran) = it.run(move || run_all_due_at_once(count, head_start)) else {
                    head_start = (head_start * 2).min(Duration::from_millis(256));
                    return None;
                };
                // At a take-over the machine may have held up a sleeper in the midst of its turn, and others ran
                // beside it.
                (it.metrics().take_overs == before).then_some(ran)
            });
            let ran = attempts.next().expect("time enough at last");
            assert_eq!(ran.len(), count);
            // Even numbers were set before odd ones.
            let key = |&(until, number): &(Instant, usize)| (until, number % 2, number);
            let wrong = ran.windows(2).find(|it| key(&it[0]) > key(&it[1]));
            assert_eq!(wrong, None, "of {count}");
        }
    });
}

#[test]
fn a_yield_lets_the_others_run_first() {
    runtime(1).run(|| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let begun = Arc::new(AtomicUsize::new(0));
        let threads = [1, 2, 3].map(|number| {
            let (order, begun) = (Arc::clone(&order), Arc::clone(&begun));
            sward::spawn(move || {
                // Those who have never run are a queue of their own, with turns of its own.
                begun.fetch_add(1, SeqCst);
                while begun.load(SeqCst) < 3 {
                    thread::yield_now();
                }
                for _ in 0..3 {
                    order.lock().expect("no panic").push(number);
                    thread::yield_now();
                }
            })
        });
        for thread in threads {
            thread.join().expect("no panic");
        }
        let order = order.lock().expect("no panic");
        for round in order.chunks(3) {
            assert_eq!(round.iter().sum::<i32>(), 6, "{order:?}");
        }
    });
}

#[test]
fn green_and_kernel_threads_spawn_on_several_runtimes_at_once() {
    watched("several", MINUTE, || {
        let runtimes: Vec<_> = [1, 2, 3].map(runtime).into_iter().map(Arc::new).collect();
        let kernels: Vec<_> = (0..4)
            .map(|number| {
                let runtimes = runtimes.clone();
                std::thread::spawn(move || {
                    (0..300)
                        .map(|turn| {
                            let on = &runtimes[(number + turn) % runtimes.len()];
                            let other = Arc::clone(&runtimes[turn % runtimes.len()]);
                            let outer = on.spawn(move || {
                                let same = sward::spawn(|| 1);
                                let another = other.spawn(|| 1);
                                // The runtimes' last owners must be kernel threads' or tasks', both are well.
                                drop(other);
                                same.join().expect("no panic") + another.join().expect("no panic")
                            });
                            outer.join().expect("no panic")
                        })
                        .sum::<usize>()
                })
            })
            .collect();
        for kernel in kernels {
            assert_eq!(kernel.join().expect("no panic"), 600);
        }
    });
}

#[test]
fn a_plain_threads_spawn_goes_to_the_global_runtime() {
    let (one, two) = (sward::spawn(|| 1), sward::spawn(|| 2));
    assert_eq!(
        one.join().expect("no panic") + two.join().expect("no panic"),
        3
    );
    assert_eq!(
        sward::run(|| sward::spawn(|| 4).join().expect("no panic")),
        4
    );
    let payload = catch_unwind(|| sward::run(|| resume_unwind(Box::new(5_i32)))).err();
    let payload = payload.expect("the panic comes through");
    assert_eq!(payload.downcast_ref(), Some(&5_i32));
}

#[test]
fn large_aligned_and_empty_closures_run() {
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    fn nothing() {}
    on_every_home(|_| {
        // The parent has room for its copies as well.
        let parent = Builder::new().stack_size(64 << 20).spawn(|| {
            #[expect(clippy::large_stack_arrays, reason = "that is the test")]
            let megabyte = [3_u8; 1 << 20];
            sward::spawn(move || megabyte.iter().map(|it| u32::from(*it)).sum::<u32>())
        });
        let sum = parent.expect("memory").join().expect("no panic");
        assert_eq!(sum.join().expect("no panic"), 3 << 20);
        let page = Page([5; 4096]);
        let aligned = sward::spawn(move || {
            assert_eq!((&raw const page).addr() % 4096, 0);
            page
        });
        let page = aligned.join().expect("no panic");
        assert_eq!((&raw const page).addr() % 4096, 0);
        assert!(page.0.iter().all(|it| *it == 5));
        sward::spawn(nothing).join().expect("no panic");
    });
}

#[test]
fn a_stack_is_as_large_as_one_asks() {
    /// Uses a kilobyte and more for each level.
    fn deep(level: usize) -> usize {
        let frame = std::hint::black_box([1_u8; 1024]);
        if level == 0 {
            0
        } else {
            usize::from(frame[level % 1024]) + deep(level - 1)
        }
    }
    on_every_home(|_| {
        let handle = Builder::new().stack_size(16 << 20).spawn(|| deep(4_000));
        assert_eq!(handle.expect("memory").join().expect("no overflow"), 4_000);
        for small in [0, 1, 4096] {
            let handle = Builder::new().stack_size(small).spawn(|| deep(1));
            assert_eq!(handle.expect("memory").join().expect("no overflow"), 1);
        }
    });
}

#[test]
fn an_absurd_stack_is_an_error_and_drops_the_closure() {
    on_every_home(|_| {
        for size in [usize::MAX, usize::MAX / 2, 1 << 47] {
            let dropped = Arc::new(AtomicBool::new(false));
            let flag = Flag(Arc::clone(&dropped));
            let handle = Builder::new().stack_size(size).spawn(move || drop(flag));
            assert!(handle.is_err(), "{size}");
            assert!(dropped.load(SeqCst));
        }
    });
}

#[test]
fn a_thousand_panics_leave_the_runtime_whole() {
    in_child::succeeds("thread::child_panics_a_thousand_times");
}

#[test]
#[ignore = "run by another test"]
fn child_panics_a_thousand_times() {
    let hooked = Arc::new(AtomicUsize::new(0));
    std::panic::set_hook({
        let hooked = Arc::clone(&hooked);
        Box::new(move |_| _ = hooked.fetch_add(1, SeqCst))
    });
    let it = runtime(2);
    let handles: Vec<_> = (0..1_000_usize)
        .map(|number| {
            it.spawn(move || {
                thread::yield_now();
                if number % 2 == 0 {
                    panic_any(number);
                }
                panic!("number {number}");
            })
        })
        .collect();
    for (number, handle) in handles.into_iter().enumerate() {
        let payload = handle.join().expect_err("it panicked");
        if number % 2 == 0 {
            assert_eq!(payload.downcast_ref(), Some(&number));
        } else {
            assert_eq!(payload.downcast_ref(), Some(&format!("number {number}")));
        }
    }
    assert_eq!(hooked.load(SeqCst), 1_000);
    assert_eq!(it.run(|| sward::spawn(|| 1).join().expect("no panic")), 1);
    drop(std::panic::take_hook());
}

/// Runs its closure when it is dropped.
struct Last<F: FnMut()>(F);

impl<F: FnMut()> Drop for Last<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn destructors_may_wait_while_their_thread_unwinds() {
    on_every_real_home(|home| {
        let lock = Arc::new(sward::sync::Mutex::new(0));
        let threads: Vec<_> = (0..20_usize)
            .map(|number| {
                let lock = Arc::clone(&lock);
                home.spawn(move || {
                    let _last = Last(move || {
                        thread::sleep(Duration::from_micros(200));
                        thread::yield_now();
                        let child = sward::spawn(|| {
                            thread::yield_now();
                            3
                        });
                        assert_eq!(child.join().expect("no panic"), 3);
                        let held = lock.lock();
                        let mut held = held.unwrap_or_else(std::sync::PoisonError::into_inner);
                        thread::sleep(Duration::from_micros(50));
                        *held += 1;
                        drop(held);
                        assert_eq!(sward::blocking(|| 7), 7);
                        thread::scope(|scope| {
                            scope.spawn(thread::yield_now);
                        });
                    });
                    resume_unwind(Box::new(number));
                })
            })
            .collect();
        for (number, thread) in threads.into_iter().enumerate() {
            let payload = thread.join().expect_err("it panicked");
            assert_eq!(payload.downcast_ref(), Some(&number));
        }
        let counted = lock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        assert_eq!(*counted, 20);
    });
}

#[test]
fn a_destructor_parks_while_its_thread_unwinds() {
    on_every_real_home(|home| {
        for _ in 0..20 {
            let parked = sward::spawn(|| {
                let _last = Last(|| {
                    thread::park();
                    thread::park_timeout(Duration::from_micros(100));
                });
                resume_unwind(Box::new(1));
            });
            home.yield_now();
            while !parked.is_finished() {
                parked.thread().unpark();
                home.yield_now();
            }
            assert!(parked.join().is_err());
        }
    });
}

/// A payload, or a result, whose destructor panics.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        if !std::thread::panicking() {
            resume_unwind(Box::new("from a destructor"));
        }
    }
}

#[test]
fn payloads_and_results_may_panic_as_they_go() {
    on_every_home(|home| {
        let dropped = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let bomb = Bomb(Arc::clone(&dropped));
            drop(sward::spawn(move || {
                if true {
                    resume_unwind(Box::new(bomb));
                }
            }));
            let bomb = Bomb(Arc::clone(&dropped));
            drop(sward::spawn(move || bomb));
        }
        while dropped.load(SeqCst) < 20 {
            home.yield_now();
        }
        // Dropped by the handle, after the end.
        let bomb = Bomb(Arc::clone(&dropped));
        let handle = sward::spawn(move || bomb);
        while !handle.is_finished() {
            home.yield_now();
        }
        drop(handle);
        assert_eq!(dropped.load(SeqCst), 21);
        // Joined, it is the caller's.
        let bomb = Bomb(Arc::clone(&dropped));
        let joined = sward::spawn(move || bomb).join();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(joined))).is_err());
        assert_eq!(sward::spawn(|| 1).join().expect("no panic"), 1);
    });
}

#[test]
fn a_panic_is_the_threads_own_over_switches() {
    on_every_home(|_| {
        let threads: Vec<_> = (0..100)
            .map(|number| {
                sward::spawn(move || {
                    for _ in 0..20 {
                        assert!(!thread::panicking());
                        let caught = catch_unwind(|| {
                            let _last = Last(|| {
                                assert!(thread::panicking());
                                thread::yield_now();
                            });
                            resume_unwind(Box::new(number));
                        });
                        assert!(caught.is_err());
                        thread::yield_now();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
    });
}

#[test]
fn many_joins_from_kernel_threads() {
    watched("joins", MINUTE, || {
        let it = Arc::new(runtime(2));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for turn in 0..1_000 {
                        let handle = it.spawn(move || {
                            if turn % 3 == 0 {
                                thread::yield_now();
                            }
                            turn
                        });
                        assert_eq!(handle.join().expect("no panic"), turn);
                    }
                });
            }
        });
    });
}

#[test]
fn handles_are_debug_send_and_sync() {
    fn check<T: Send + Sync + std::fmt::Debug>(it: &T) {
        assert!(!format!("{it:?}").is_empty());
    }
    check(&sward::spawn(|| std::cell::Cell::new(1)));
    check(&thread::current());
    check(&thread::current().id());
    check(&Builder::new());
    check(&Location::caller());
    assert_ne!(Home::Threads, Home::Green(1));
}
