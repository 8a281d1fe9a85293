//! What `blocking` promises, and what the monitor does for those who do not call it.

use crate::support::{on_every_home, on_every_real_home, runtime, watched};
use std::{
    hint::{self, black_box},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread as kernel,
    time::{Duration, Instant},
};
use sward::{blocking, channel, thread};

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn it_borrows_nests_and_needs_no_send() {
    on_every_home(|_| {
        let mut text = String::from("a");
        let shared = Rc::new(1);
        let sum = blocking(|| {
            text.push('b');
            let inner = Rc::clone(&shared);
            *inner + blocking(|| blocking(|| *shared + 1))
        });
        assert_eq!((sum, &*text), (3, "ab"));
    });
}

#[test]
fn a_panic_passes_through() {
    on_every_home(|_| {
        for depth in [1, 2] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                blocking(|| {
                    if depth == 2 {
                        blocking(|| resume_unwind(Box::new(depth)));
                    }
                    resume_unwind(Box::new(depth));
                });
            }));
            let payload = result.expect_err("it panicked");
            assert_eq!(payload.downcast_ref(), Some(&depth));
        }
        assert_eq!(blocking(|| 1), 1);
    });
}

#[test]
fn it_stays_on_its_kernel_thread() {
    on_every_real_home(|_| {
        for _ in 0..50 {
            blocking(|| {
                let before = kernel::current().id();
                thread::yield_now();
                thread::sleep(Duration::from_micros(20));
                assert_eq!(sward::spawn(|| 1).join().expect("no panic"), 1);
                blocking(|| assert_eq!(kernel::current().id(), before));
                assert_eq!(kernel::current().id(), before);
            });
        }
    });
}

#[test]
fn the_stack_is_the_kernel_threads_own() {
    fn deep(level: usize) -> usize {
        let frame = black_box([1_u8; 1024]);
        if level == 0 {
            0
        } else {
            usize::from(frame[level % 1024]) + deep(level - 1)
        }
    }
    // Four megabytes, on a stack of sixteen kilobytes.
    let it = sward::Runtime::builder().workers(1).stack_size(16 << 10);
    let it = it.build().expect("a runtime");
    assert_eq!(it.run(|| blocking(|| deep(2_000))), 2_000);
}

#[test]
fn others_go_on_meanwhile() {
    on_every_real_home(|home| {
        let (go, gone) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let other = home.spawn({
            let (go, gone) = (Arc::clone(&go), Arc::clone(&gone));
            move || {
                while !go.load(SeqCst) {
                    thread::sleep(Duration::from_micros(50));
                }
                gone.store(true, SeqCst);
            }
        });
        blocking(|| {
            go.store(true, SeqCst);
            while !gone.load(SeqCst) {
                kernel::yield_now();
            }
        });
        other.join().expect("no panic");
    });
}

#[test]
fn sixty_four_at_one_worker_finish_together() {
    watched("64", MINUTE, || {
        runtime(1).run(|| {
            let together = Arc::new(Barrier::new(64));
            let threads: Vec<_> = (0..64)
                .map(|_| {
                    let together = Arc::clone(&together);
                    sward::spawn(move || blocking(|| together.wait().is_leader()))
                })
                .collect();
            let leaders = threads
                .into_iter()
                .filter(|_| true)
                .map(|it| usize::from(it.join().expect("no panic")))
                .sum::<usize>();
            assert_eq!(leaders, 1);
        });
    });
}

#[test]
fn a_storm_of_ten_thousand_completes() {
    for workers in [1, 4] {
        watched("storm", MINUTE, move || {
            runtime(workers).run(|| {
                let threads: Vec<_> = (0..10_000_u64)
                    .map(|number| {
                        sward::spawn(move || {
                            blocking(|| {
                                kernel::sleep(Duration::from_micros(100));
                                number
                            })
                        })
                    })
                    .collect();
                let sum: u64 = threads
                    .into_iter()
                    .map(|it| it.join().expect("no panic"))
                    .sum();
                assert_eq!(sum, 10_000 * 9_999 / 2);
            });
        });
    }
}

#[test]
fn one_thread_makes_any_number_of_calls() {
    for workers in [1, 2] {
        watched("calls", MINUTE, move || {
            runtime(workers).run(|| {
                let mut count = 0;
                for _ in 0..200_000 {
                    blocking(|| count += 1);
                }
                assert_eq!(count, 200_000);
            });
        });
    }
}

/// How many are somewhere now, and how many were at most.
#[derive(Default)]
struct Count {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Count {
    fn enter(&self) {
        self.most
            .fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, SeqCst);
    }
}

#[test]
fn at_the_bound_nothing_is_lost() {
    for bound in [0, 1, 3] {
        watched("bound", MINUTE, move || {
            let it = sward::Runtime::builder().workers(2).max_blocking(bound);
            let it = it.build().expect("a runtime");
            let count = Arc::new(Count::default());
            let threads: Vec<_> = (0..100)
                .map(|_| {
                    let count = Arc::clone(&count);
                    it.spawn(move || {
                        blocking(|| {
                            count.enter();
                            kernel::sleep(Duration::from_millis(1));
                            count.leave();
                        });
                        thread::yield_now();
                        thread::sleep(Duration::from_micros(100));
                    })
                })
                .collect();
            for thread in threads {
                thread.join().expect("no panic");
            }
            // Each worker may hold up one more.
            let most = count.most.load(SeqCst);
            assert!(most <= bound + 2, "{most} at once");
            let metrics = it.metrics();
            assert!(bound > 0 || metrics.take_overs_refused > 0, "{metrics:?}");
        });
    }
}

/// Threads that lost their processor because they computed are no way around the bound.
#[test]
fn who_computed_first_is_bound_as_well() {
    for (bound, workers) in [(0, 1), (1, 2), (3, 1)] {
        watched("computed first", MINUTE, move || {
            let it = sward::Runtime::builder()
                .workers(workers)
                .max_blocking(bound);
            let it = it.build().expect("a runtime");
            let (spinning, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(Count::default()));
            let threads: Vec<_> = (0..12)
                .map(|_| {
                    let (spinning, count) = (Arc::clone(&spinning), Arc::clone(&count));
                    it.spawn(move || {
                        // Only take-over lets all of them be here at once.
                        spinning.fetch_add(1, SeqCst);
                        while spinning.load(SeqCst) < 12 {
                            hint::spin_loop();
                        }
                        for _ in 0..5 {
                            blocking(|| {
                                count.enter();
                                kernel::sleep(Duration::from_micros(500));
                                count.leave();
                            });
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().expect("no panic");
            }
            let most = count.most.load(SeqCst);
            assert!(most <= bound + workers, "{most} at once");
        });
    }
}

/// Whatever the bound: what it waits for may need the processor that it holds up.
#[test]
fn who_waits_inside_for_another_needs_no_place() {
    for (bound, workers) in [(0, 1), (0, 2), (1, 1), (3, 4)] {
        watched("inside", MINUTE, move || {
            let it = sward::Runtime::builder()
                .workers(workers)
                .max_blocking(bound);
            let it = it.build().expect("a runtime");
            let threads: Vec<_> = (0..40_usize)
                .map(|number| {
                    it.spawn(move || {
                        blocking(|| {
                            let (tx, rx) = channel::bounded(0);
                            let child = sward::spawn(move || {
                                thread::yield_now();
                                tx.send(number).expect("it waits");
                                blocking(|| number)
                            });
                            let one = rx.recv().expect("sent");
                            let parent = thread::current();
                            let done = AtomicBool::new(false);
                            sward::scope(|scope| {
                                scope.spawn(|| {
                                    thread::sleep(Duration::from_micros(100));
                                    done.store(true, SeqCst);
                                    parent.unpark();
                                });
                                while !done.load(SeqCst) {
                                    thread::park();
                                }
                            });
                            one + blocking(|| child.join().expect("no panic"))
                        })
                    })
                })
                .collect();
            let sum: usize = threads
                .into_iter()
                .map(|it| it.join().expect("no panic"))
                .sum();
            assert_eq!(sum, 40 * 39);
        });
    }
}

/// The same for destructors that wait while their thread unwinds, which cannot leave their kernel thread.
#[test]
fn who_waits_as_it_unwinds_needs_no_place() {
    struct Waits;

    impl Drop for Waits {
        fn drop(&mut self) {
            let (tx, rx) = channel::bounded(0);
            let child = sward::spawn(move || {
                thread::sleep(Duration::from_micros(100));
                tx.send(1)
            });
            assert_eq!(rx.recv(), Ok(1));
            let waits = thread::current();
            drop(sward::spawn(move || waits.unpark()));
            thread::park();
            child.join().expect("no panic").expect("it was received");
        }
    }

    for (bound, workers) in [(0, 1), (1, 2)] {
        watched("unwinding", MINUTE, move || {
            let it = sward::Runtime::builder()
                .workers(workers)
                .max_blocking(bound);
            let it = it.build().expect("a runtime");
            let threads: Vec<_> = (0..40_usize)
                .map(|number| {
                    it.spawn(move || {
                        let _waits = Waits;
                        resume_unwind(Box::new(number));
                    })
                })
                .collect();
            for (number, thread) in threads.into_iter().enumerate() {
                let payload = thread.join().expect_err("it unwound");
                assert_eq!(payload.downcast_ref(), Some(&number));
            }
        });
    }
}

/// Beyond 64 that compute, the others wait for one of them to give way.
#[test]
fn those_who_compute_are_bounded_apart() {
    watched("computing", MINUTE, || {
        // No place for calls: whoever is taken over counts as computing.
        let it = sward::Runtime::builder().workers(1).max_blocking(0);
        let it = it.build().expect("a runtime");
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(Count::default()));
        let hogs: Vec<_> = (0..80)
            .map(|_| {
                let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
                it.spawn(move || {
                    count.enter();
                    while !stop.load(SeqCst) {
                        hint::spin_loop();
                    }
                    count.leave();
                })
            })
            .collect();
        while count.now.load(SeqCst) < 65 || it.metrics().take_overs_refused == 0 {
            kernel::sleep(Duration::from_millis(5));
        }
        let metrics = it.metrics();
        assert!(metrics.threads <= 65, "{metrics:?}");
        stop.store(true, SeqCst);
        for hog in hogs {
            hog.join().expect("no panic");
        }
        assert_eq!(count.most.load(SeqCst), 65);
    });
}

#[test]
fn all_workers_stuck_and_the_others_go_on() {
    for workers in [1, 2] {
        watched("stuck", MINUTE, move || {
            runtime(workers).run(move || {
                let stop = Arc::new(AtomicBool::new(false));
                let hogs: Vec<_> = (0..4 * workers)
                    .map(|number| {
                        let stop = Arc::clone(&stop);
                        sward::spawn(move || {
                            while !stop.load(SeqCst) {
                                if number % 2 == 0 {
                                    kernel::sleep(Duration::from_millis(1));
                                } else {
                                    black_box(number);
                                }
                            }
                        })
                    })
                    .collect();
                for _ in 0..20 {
                    thread::sleep(Duration::from_micros(500));
                    assert_eq!(sward::spawn(|| 1).join().expect("no panic"), 1);
                }
                stop.store(true, SeqCst);
                for hog in hogs {
                    hog.join().expect("no panic");
                }
            });
        });
    }
}

#[test]
fn a_kernel_thread_just_calls_it() {
    let before = kernel::current().id();
    assert_eq!(blocking(|| blocking(|| kernel::current().id())), before);
}

#[test]
fn what_waits_inside_is_woken_though_all_sleeps() {
    // Longer than the monitor stays awake beside nothing.
    let start = Instant::now();
    runtime(1).run(|| {
        blocking(|| {
            kernel::sleep(Duration::from_millis(400));
            let (mut near, far) = sward::net::unix::UnixStream::pair().expect("descriptors");
            let far = kernel::spawn(move || {
                kernel::sleep(Duration::from_millis(5));
                std::io::Write::write_all(&mut &far, b"x").expect("room");
                far
            });
            let mut byte = [0];
            std::io::Read::read_exact(&mut near, &mut byte).expect("a byte");
            drop(far.join());
        });
    });
    assert!(start.elapsed() < MINUTE);
}
