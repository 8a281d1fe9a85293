//! Everybody has their turn: beside pairs, hogs, floods of timers, on one worker too.

use crate::support::{runtime, watched};
use std::{
    hint::spin_loop,
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread as kernel,
    time::Duration,
};
use sward::{
    channel::{self, after, select},
    net::unix::UnixStream,
    observe::State,
    spawn,
    sync::Barrier,
    thread,
};

const MINUTE: Duration = Duration::from_mins(1);

/// A flag that ends what goes on beside.
fn stop() -> (Arc<AtomicBool>, impl Fn() -> bool + Clone + Send + 'static) {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    (stop, move || stopped.load(Relaxed))
}

/// Those of a pair wake each other for ever through the next slot: who comes from outside, and who has given
/// way, has a turn all the same.
#[test]
fn a_pair_that_wakes_each_other_starves_nobody() {
    watched("one worker", MINUTE, || {
        let runtime = runtime(1);
        let (stop, stopped) = stop();
        let ((to, calls), (back, answers)) = (channel::bounded(0), channel::bounded(0));
        let asks = runtime.spawn(move || {
            while !stopped() && to.send(()).is_ok() {
                answers.recv().expect("it answers");
            }
        });
        let answers = runtime.spawn(move || calls.iter().try_for_each(|()| back.send(())));
        for _ in 0..200 {
            // From a kernel thread, by the injector.
            runtime.spawn(|| ()).join().expect("no panic");
        }
        let yields = runtime.spawn(|| (0..200).for_each(|_| sward::yield_now()));
        yields.join().expect("no panic");
        stop.store(true, Relaxed);
        asks.join().expect("no panic");
        answers.join().expect("no panic").expect("it listens");
    });
}

/// Green threads that spawn each other for ever do not keep others from their turns either.
#[test]
fn a_chain_of_spawns_starves_nobody() {
    fn chain(stopped: impl Fn() -> bool + Clone + Send + 'static, ended: channel::Sender<()>) {
        if stopped() {
            drop(ended);
        } else {
            drop(spawn(move || chain(stopped, ended)));
        }
    }
    watched("one worker", MINUTE, || {
        let runtime = runtime(1);
        let (stop, stopped) = stop();
        let (ended, wait) = channel::bounded(0);
        runtime.spawn(move || chain(stopped, ended));
        let yields = runtime.spawn(|| (0..200).for_each(|_| sward::yield_now()));
        yields.join().expect("no panic");
        stop.store(true, Relaxed);
        assert!(wait.recv().is_err());
    });
}

/// Who was woken by one that then computes for ever, and so lies in its worker's next slot, is run by another.
#[test]
fn who_was_woken_by_a_hog_does_not_wait_for_it() {
    for workers in [1, 2] {
        watched("a hog", MINUTE, move || {
            runtime(workers).run(|| {
                for _ in 0..20 {
                    let (tx, rx) = channel::bounded(0);
                    let ran = Arc::new(AtomicBool::new(false));
                    let woken = spawn({
                        let ran = Arc::clone(&ran);
                        move || {
                            rx.recv().expect("it is sent");
                            ran.store(true, Relaxed);
                        }
                    });
                    // It waits for the message then, and takes the next slot when that comes.
                    sward::yield_now();
                    tx.send(()).expect("it waits");
                    while !ran.load(Relaxed) {
                        spin_loop();
                    }
                    woken.join().expect("no panic");
                }
            });
        });
    }
}

/// With a long queue the next few are out of it early, where no thief finds them. They do not wait for one that
/// holds its kernel thread: neither where the processor goes to another thread, nor where others are idle.
#[test]
fn those_out_of_the_queue_early_do_not_wait_for_one_that_blocks() {
    const CROWD: usize = 300;
    for workers in [1, 2, 4] {
        watched(&format!("{workers} workers"), MINUTE, move || {
            let runtime = runtime(workers);
            for blocks_in in [0, 3, 7, 40] {
                // std's: whoever waits there blocks its kernel thread, behind the runtime's back.
                let (come, all_have_come) = mpsc::channel::<()>();
                let gate = Arc::new(Barrier::new(CROWD + 1));
                let crowd: Vec<_> = (0..CROWD)
                    .map(|_| {
                        let (come, gate) = (come.clone(), Arc::clone(&gate));
                        runtime.spawn(move || {
                            gate.wait();
                            (0..=blocks_in).for_each(|_| sward::yield_now());
                            drop(come);
                        })
                    })
                    .collect();
                drop(come);
                let blocks = runtime.spawn(move || {
                    gate.wait();
                    (0..blocks_in).for_each(|_| sward::yield_now());
                    assert!(all_have_come.recv().is_err(), "nothing is sent");
                });
                for thread in crowd {
                    thread.join().expect("no panic");
                }
                blocks.join().expect("no panic");
            }
        });
    }
}

/// As many as there are workers run at the same time: they wait for each other without giving way.
#[test]
fn as_many_as_there_are_workers_run_at_once() {
    const ROUNDS: usize = 1000;
    watched("two workers", MINUTE, || {
        runtime(2).run(|| {
            let turn = Arc::new(AtomicUsize::new(0));
            let threads: Vec<_> = (0..2)
                .map(|own| {
                    let turn = Arc::clone(&turn);
                    spawn(move || {
                        for round in 0..ROUNDS {
                            while turn.load(Relaxed) != 2 * round + own {
                                spin_loop();
                            }
                            turn.fetch_add(1, Relaxed);
                        }
                    })
                })
                .collect();
            for it in threads {
                it.join().expect("no panic");
            }
            assert_eq!(turn.load(Relaxed), 2 * ROUNDS);
        });
    });
}

/// Timers that are set again and again, and looks that do not wait, keep nobody from waking or running.
#[test]
fn floods_of_timers_and_of_looks_starve_nobody() {
    for workers in [1, 2] {
        watched("a flood", MINUTE, move || {
            let runtime = runtime(workers);
            let (stop, stopped) = stop();
            let mut floods = Vec::new();
            for _ in 0..2 {
                let is_over = stopped.clone();
                floods.push(runtime.spawn(move || {
                    while !is_over() {
                        _ = after(Duration::from_micros(1)).recv();
                    }
                }));
                let is_over = stopped.clone();
                floods.push(runtime.spawn(move || {
                    let (_tx, rx) = channel::bounded::<()>(0);
                    while !is_over() {
                        select! {
                            recv(rx) -> _ => unreachable!("nobody sends"),
                            default => sward::yield_now(),
                        }
                    }
                }));
            }
            let sleeps = runtime.spawn(|| {
                for _ in 0..20 {
                    thread::sleep(Duration::from_millis(1));
                }
            });
            for _ in 0..100 {
                runtime.spawn(|| ()).join().expect("no panic");
            }
            sleeps.join().expect("no panic");
            stop.store(true, Relaxed);
            for it in floods {
                it.join().expect("no panic");
            }
        });
    }
}

/// A pinned green thread that gives way all the time, and one that sleeps, leave the worker to others.
#[test]
fn pinned_threads_take_no_turns_of_others() {
    watched("one worker", MINUTE, || {
        let (stop, stopped) = stop();
        runtime(1).run(move || {
            let pinned = thread::Builder::new().spawn_pinned(move || {
                while !stopped() {
                    sward::yield_now();
                }
            });
            let turns = spawn(|| (0..1000).for_each(|_| sward::yield_now()));
            turns.join().expect("no panic");
            stop.store(true, Relaxed);
            pinned.expect("a kernel thread").join().expect("no panic");
        });
    });
}

/// The kernel thread of a pinned one ends with it, with all that belongs to it, and is not used again.
#[test]
fn a_pinned_threads_kernel_thread_ends_with_it() {
    static GONE: AtomicU32 = AtomicU32::new(0);
    struct Counts;
    impl Drop for Counts {
        fn drop(&mut self) {
            GONE.fetch_add(1, Relaxed);
        }
    }
    thread_local! {
        static OWN: Counts = const { Counts };
    }
    watched("one worker", MINUTE, || {
        runtime(1).run(|| {
            let mut ids = Vec::new();
            for _ in 0..10 {
                let pinned = thread::Builder::new().spawn_pinned(|| {
                    OWN.with(|_| ());
                    kernel::current().id()
                });
                ids.push(pinned.expect("a kernel thread").join().expect("no panic"));
            }
            while GONE.load(Relaxed) < 10 {
                sward::yield_now();
            }
            ids.dedup();
            assert_eq!(ids.len(), 10);
        });
    });
}

/// Alarms and descriptors of a worker that a hog has are served by others.
#[test]
fn sleepers_and_sockets_of_a_hogged_worker_are_served() {
    for workers in [1, 2] {
        watched("hogs", MINUTE, move || {
            runtime(workers).run(move || {
                let (mut here, mut there) = UnixStream::pair().expect("a pair");
                let answers = spawn(move || {
                    let mut byte = [0];
                    while there.read(&mut byte).expect("it is there") == 1 {
                        there.write_all(&byte).expect("it is there");
                    }
                });
                for _ in 0..5 {
                    let served = Arc::new(AtomicU32::new(0));
                    let sleeps = spawn({
                        let served = Arc::clone(&served);
                        move || {
                            thread::sleep(Duration::from_millis(1));
                            served.fetch_add(1, Relaxed);
                        }
                    });
                    let asks = spawn({
                        let served = Arc::clone(&served);
                        move || {
                            here.write_all(&[7]).expect("it is there");
                            here.read_exact(&mut [0]).expect("an answer");
                            served.fetch_add(1, Relaxed);
                            here
                        }
                    });
                    // They begin to wait, and then every worker is hogged.
                    sward::yield_now();
                    let hogs: Vec<_> = (0..workers)
                        .map(|_| {
                            let served = Arc::clone(&served);
                            spawn(move || {
                                while served.load(Relaxed) < 2 {
                                    spin_loop();
                                }
                            })
                        })
                        .collect();
                    for it in hogs {
                        it.join().expect("no panic");
                    }
                    sleeps.join().expect("no panic");
                    here = asks.join().expect("no panic");
                }
                drop(here);
                answers.join().expect("no panic");
            });
        });
    }
}

/// Those who compute and those in blocking calls hold up no dump.
#[test]
fn a_dump_needs_no_worker() {
    const BLOCKED: usize = 64;
    watched("hogs", MINUTE, || {
        let runtime = runtime(2);
        let (stop, stopped) = stop();
        let mut threads = Vec::new();
        let (let_go, held) = mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        for _ in 0..BLOCKED {
            let held = Arc::clone(&held);
            threads.push(runtime.spawn(move || {
                sward::blocking(|| _ = held.lock().expect("not poisoned").recv());
            }));
        }
        for _ in 0..4 {
            let stopped = stopped.clone();
            threads.push(runtime.spawn(move || {
                while !stopped() {
                    spin_loop();
                }
            }));
        }
        loop {
            let dump = runtime.dump();
            let all = dump.green_threads();
            let count = |state| all.iter().filter(|it| it.state == state).count();
            assert!(all.len() <= threads.len(), "{dump}");
            if (count(State::Blocking), count(State::Running)) == (BLOCKED, 4) {
                break;
            }
            kernel::yield_now();
        }
        stop.store(true, Relaxed);
        drop(let_go);
        for it in threads {
            it.join().expect("no panic");
        }
    });
}
