//! What runtimes promise: building, several at once, and ends in bounded time with nothing left behind.

use crate::support::{in_child, runtime, watched};
use std::{
    io::{self, Read},
    panic::{catch_unwind, resume_unwind},
    sync::{
        Arc, Condvar, Mutex as StdMutex, MutexGuard as StdMutexGuard,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread as kernel,
    time::{Duration, Instant},
};
use sward::{
    Runtime, Shutdown, blocking, channel, net::unix::UnixStream, select, sync::Mutex, thread,
};

const MINUTE: Duration = Duration::from_mins(1);

/// A number that only grows, and that kernel threads may wait for.
#[derive(Default)]
struct Count {
    /// And how many are waited for.
    value: StdMutex<(usize, usize)>,
    reached: Condvar,
}

impl Count {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn lock(&self) -> StdMutexGuard<'_, (usize, usize)> {
        self.value.lock().expect("not poisoned")
    }

    fn add(&self) {
        let mut value = self.lock();
        value.0 += 1;
        if value.0 == value.1 {
            self.reached.notify_all();
        }
    }

    fn get(&self) -> usize {
        self.lock().0
    }

    /// Waits for it; one at a time may.
    fn reaches(&self, wanted: usize) {
        let mut value = self.lock();
        value.1 = wanted;
        let enough = self.reached.wait_while(value, |it| it.0 < wanted);
        drop(enough.expect("not poisoned"));
    }
}

/// Counts its drops.
struct Counted(Arc<Count>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.add();
    }
}

#[test]
fn bad_input_is_refused() {
    let error = |it: sward::RuntimeBuilder| it.build().expect_err("refused").kind();
    let builder = Runtime::builder;
    assert_eq!(error(builder().workers(0)), io::ErrorKind::InvalidInput);
    assert_eq!(
        error(builder().workers(usize::MAX)),
        io::ErrorKind::InvalidInput
    );
    assert_eq!(
        error(builder().workers(1).name("a\0b")),
        io::ErrorKind::InvalidInput
    );
    for bytes in [usize::MAX, usize::MAX / 2, 1 << 47] {
        assert!(
            builder().workers(1).stack_size(bytes).build().is_err(),
            "{bytes}"
        );
    }
    for bytes in [0, 1, 16 << 10] {
        let it = builder().workers(1).stack_size(bytes).build();
        assert_eq!(it.expect("the least size").run(|| 1), 1);
    }
    // The kernel cuts names that are long.
    let it = builder().workers(1).name("n".repeat(1_000)).build();
    assert_eq!(it.expect("a runtime").run(|| 1), 1);
}

#[test]
fn the_environment_says_how_many_workers() {
    for (text, works) in [
        ("3", true),
        (" 2 ", true),
        ("0", false),
        ("many", false),
        ("", false),
    ] {
        let ended = in_child::run("runtime::child_runs_globally", |it| {
            _ = it.env("SWARD_WORKERS", text);
        });
        let ran = ended.said.contains("1 passed");
        assert_eq!(ran, works, "{text:?} {ended:?}");
        if !works {
            assert!(
                ended.complained.contains("workers") || ended.complained.contains("SWARD_WORKERS"),
                "{ended:?}"
            );
        }
    }
}

#[test]
#[ignore = "run by another test"]
fn child_runs_globally() {
    assert_eq!(
        sward::run(|| sward::spawn(|| 1).join().expect("no panic")),
        1
    );
}

#[test]
fn run_returns_while_others_still_run() {
    let it = runtime(1);
    let parked = it.spawn(thread::park);
    assert_eq!(it.run(|| 5), 5);
    parked.thread().unpark();
    parked.join().expect("no panic");
    let payload = catch_unwind(std::panic::AssertUnwindSafe(|| {
        it.run(|| resume_unwind(Box::new(6_u8)));
    }));
    assert_eq!(
        payload.expect_err("it comes through").downcast_ref(),
        Some(&6_u8)
    );
}

#[test]
fn runtimes_wait_for_each_other() {
    watched("runtimes", MINUTE, || {
        let (one, two) = (runtime(1), runtime(2));
        let (go, wait) = channel::bounded(0);
        let far = two.spawn(move || {
            wait.recv().expect("it is sent");
            10
        });
        let near = one.spawn(move || {
            go.send(()).expect("it is awaited");
            far.join().expect("no panic") + 1
        });
        assert_eq!(near.join().expect("no panic"), 11);
        // A green thread of one builds, uses and drops another.
        let sum = one.run(|| {
            let inner = runtime(1);
            let outer = inner.run(|| 3);
            let parked = inner.spawn(thread::park);
            drop(inner);
            assert!(parked.join().expect_err("ended").is::<Shutdown>());
            outer + 1
        });
        assert_eq!(sum, 4);
    });
}

#[test]
fn a_drop_unwinds_the_parked_and_drops_the_fresh() {
    in_child::succeeds("runtime::child_shuts_down");
}

/// In a process of its own, for the panic hook.
#[test]
#[ignore = "run by another test"]
fn child_shuts_down() {
    std::panic::set_hook(Box::new(|it| {
        eprintln!("the hook ran: {it}");
        std::process::abort();
    }));
    for workers in [1, 2, 4] {
        let it = runtime(workers);
        let dropped = Count::new();
        let counted = || Counted(Arc::clone(&dropped));
        let lock = Arc::new(Mutex::new(()));
        let scoped = Count::new();
        let waiting = Count::new();
        let mut handles = Vec::new();
        for number in 0..100 {
            let (mark, lock, waiting) = (counted(), Arc::clone(&lock), Arc::clone(&waiting));
            let scoped = Arc::clone(&scoped);
            handles.push(it.spawn(move || {
                let _mark = mark;
                waiting.add();
                match number % 6 {
                    0 => thread::park(),
                    1 => thread::sleep(Duration::from_hours(1)),
                    2 => {
                        // The first of these holds it as it unwinds; none may poison it.
                        let held = lock.lock().expect("not poisoned");
                        thread::park();
                        drop(held);
                    }
                    3 => drop(sward::spawn(thread::park).join()),
                    4 => thread::scope(|scope| {
                        for _ in 0..3 {
                            scope.spawn(|| {
                                let _last = Counted(Arc::clone(&scoped));
                                waiting.add();
                                thread::park();
                            });
                        }
                        // Called off with the lock held over the wait for the children.
                        thread::park();
                    }),
                    _ => {
                        let result = catch_unwind(thread::park);
                        let payload = result.expect_err("called off");
                        assert!(payload.is::<Shutdown>());
                        resume_unwind(payload);
                    }
                }
            }));
        }
        // Each sixth of them has three children.
        waiting.reaches(100 + 3 * 16);
        let start = Instant::now();
        it.shutdown_timeout(Duration::from_secs(30));
        assert!(start.elapsed() < Duration::from_secs(10));
        for (number, handle) in handles.into_iter().enumerate() {
            let result = handle.join();
            // Who joins a child that ended first comes back with its error, and then ends by itself.
            if number % 6 != 3 {
                assert!(result.expect_err("called off").is::<Shutdown>(), "{number}");
            }
        }
        assert_eq!(dropped.get(), 100);
        assert!(!lock.is_poisoned());
        assert_eq!(scoped.get(), 3 * 16);
    }
    // Fresh ones: their worker is busy until the runtime closes.
    let it = runtime(1);
    let dropped = Count::new();
    let (busy, go) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let spawner = it.spawn({
        let (busy, go, dropped) = (Arc::clone(&busy), Arc::clone(&go), Arc::clone(&dropped));
        move || {
            busy.store(true, SeqCst);
            while !go.load(SeqCst) {
                thread::yield_now();
            }
            loop {
                let mark = Counted(Arc::clone(&dropped));
                let fresh = sward::spawn(move || drop(mark));
                // Ran, or dropped as the runtime was closing by then.
                if fresh.join().is_err_and(|it| it.is::<Shutdown>()) {
                    break;
                }
                thread::yield_now();
            }
        }
    });
    while !busy.load(SeqCst) {
        kernel::yield_now();
    }
    go.store(true, SeqCst);
    it.shutdown_timeout(Duration::from_secs(30));
    assert!(spawner.is_finished());
    assert!(dropped.get() > 0);
    drop(std::panic::take_hook());
}

#[test]
fn a_scope_called_off_waits_and_poisons_nothing() {
    watched("scope", MINUTE, || {
        for _ in 0..50 {
            let it = runtime(4);
            let lock = Arc::new(Mutex::new(0));
            let ready = Count::new();
            let parents: Vec<_> = (0..8)
                .map(|_| {
                    let (own, ready) = (Arc::new(Mutex::new(0)), Arc::clone(&ready));
                    let lock = Arc::clone(&own);
                    let handle = it.spawn(move || {
                        let _held = lock.lock().expect("not poisoned");
                        let mut cells = [0; 4];
                        thread::scope(|scope| {
                            for cell in &mut cells {
                                let ready = &ready;
                                scope.spawn(move || {
                                    ready.add();
                                    let caught = catch_unwind(thread::park);
                                    // It borrows as long as it lives.
                                    kernel::sleep(Duration::from_micros(100));
                                    *cell = 1;
                                    if let Err(payload) = caught {
                                        resume_unwind(payload);
                                    }
                                });
                            }
                            thread::park();
                        });
                    });
                    (own, handle)
                })
                .collect();
            ready.reaches(32);
            drop(it);
            for (own, handle) in parents {
                assert!(handle.join().expect_err("called off").is::<Shutdown>());
                assert!(!own.is_poisoned());
            }
            assert!(lock.lock().is_ok());
        }
    });
}

/// What waits in scopes alone ends with the runtime too: a child that was called off, or never ran, has not
/// done what its parent relies on.
#[test]
fn a_scope_does_not_return_without_its_childrens_work() {
    watched("scope's work", MINUTE, || {
        for workers in [1, 2] {
            let it = runtime(workers);
            let (rounds, wrong) = (Count::new(), Arc::new(AtomicBool::new(false)));
            let parents: Vec<_> = (0..4_u64)
                .map(|number| {
                    let (rounds, wrong) = (Arc::clone(&rounds), Arc::clone(&wrong));
                    it.spawn(move || {
                        loop {
                            let mut cells = [0; 3];
                            thread::scope(|scope| {
                                for cell in &mut cells {
                                    scope.spawn(move || {
                                        thread::sleep(Duration::from_micros(20 * number));
                                        *cell = 1;
                                    });
                                }
                            });
                            if cells != [1; 3] {
                                wrong.store(true, SeqCst);
                            }
                            rounds.add();
                        }
                    })
                })
                .collect();
            rounds.reaches(100);
            it.shutdown_timeout(Duration::from_secs(50));
            for parent in parents {
                let parent: kernel::Result<()> = parent.join();
                assert!(parent.expect_err("called off").is::<Shutdown>());
            }
            assert!(!wrong.load(SeqCst));
        }
    });
}

#[test]
fn a_runtime_may_be_dropped_by_its_own_green_thread() {
    watched("own", MINUTE, || {
        for workers in [1, 2] {
            let it = runtime(workers);
            let dropped = Count::new();
            let (send, receive) = mpsc::channel::<Runtime>();
            let mark = Counted(Arc::clone(&dropped));
            let other = it.spawn(move || {
                let _mark = mark;
                thread::park();
            });
            let own = it.spawn(move || {
                let it = blocking(|| receive.recv()).expect("sent below");
                drop(it);
                // It goes on until it waits.
                let after = 1 + 1;
                thread::park();
                after
            });
            send.send(it).expect("it listens");
            assert!(own.join().expect_err("called off").is::<Shutdown>());
            assert!(other.join().expect_err("called off").is::<Shutdown>());
            assert_eq!(dropped.get(), 1);
        }
    });
}

/// Nor does a thread with a kernel thread of its own wait for itself.
#[test]
fn a_runtime_may_be_dropped_by_its_own_pinned_thread() {
    watched("own pinned", MINUTE, || {
        let it = runtime(1);
        let (send, receive) = mpsc::channel::<Runtime>();
        let own = it.run(move || {
            thread::Builder::new()
                .spawn_pinned(move || {
                    let it = receive.recv().expect("sent below");
                    // With no time-out at all: it would never end if it waited.
                    it.shutdown_timeout(Duration::MAX);
                    1
                })
                .expect("a kernel thread")
        });
        send.send(it).expect("it listens");
        assert_eq!(own.join().expect("it never waits"), 1);
    });
}

#[test]
fn those_in_blocking_calls_are_abandoned_in_time() {
    watched("abandoned", MINUTE, || {
        let it = runtime(2);
        let dropped = Count::new();
        let (inside, back) = (Count::new(), Count::new());
        let mut calls = Vec::new();
        for _ in 0..64 {
            let (end, wait) = mpsc::channel::<()>();
            let (inside, back) = (Arc::clone(&inside), Arc::clone(&back));
            drop(it.spawn(move || {
                blocking(|| {
                    inside.add();
                    _ = wait.recv();
                    back.add();
                });
            }));
            calls.push(end);
        }
        let parked: Vec<_> = (0..100)
            .map(|_| {
                let mark = Counted(Arc::clone(&dropped));
                it.spawn(move || {
                    let _mark = mark;
                    thread::park();
                })
            })
            .collect();
        inside.reaches(64);
        let start = Instant::now();
        it.shutdown_timeout(Duration::from_millis(300));
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_secs(10),
            "{took:?}"
        );
        // The others were unwound meanwhile.
        for handle in parked {
            assert!(handle.join().expect_err("called off").is::<Shutdown>());
        }
        assert_eq!(dropped.get(), 100);
        // Who comes back finds nothing, harms nothing, and goes.
        drop(calls);
        back.reaches(64);
        assert_eq!(runtime(1).run(|| 1), 1);
    });
}

#[test]
fn those_who_never_wait_are_abandoned_in_time() {
    watched("never wait", MINUTE, || {
        let stop = Arc::new(AtomicBool::new(false));
        let it = runtime(2);
        for kind in 0..6 {
            let stop = Arc::clone(&stop);
            drop(it.spawn(move || {
                while !stop.load(SeqCst) {
                    match kind % 3 {
                        0 => thread::yield_now(),
                        1 => blocking(|| ()),
                        _ => std::hint::spin_loop(),
                    }
                }
            }));
        }
        let start = Instant::now();
        it.shutdown_timeout(Duration::from_millis(50));
        assert!(start.elapsed() < Duration::from_secs(10));
        stop.store(true, SeqCst);
    });
}

#[test]
fn a_hundred_thousand_parked_end_in_bounded_time() {
    in_child::succeeds("runtime::child_ends_a_hundred_thousand");
}

#[test]
#[ignore = "run by another test"]
fn child_ends_a_hundred_thousand() {
    /// Those below this number whose turn it is wait for a socket: they share one.
    const SOCKETS: usize = 6_000;
    let it = runtime(2);
    let dropped = Count::new();
    let waiting = Count::new();
    let lock = Arc::new(Mutex::new(()));
    let (open, gate) = (Arc::clone(&lock), Arc::clone(&waiting));
    let held = it.spawn(move || {
        let _held = open.lock();
        gate.add();
        thread::park();
    });
    let never = Arc::new(it.spawn(thread::park));
    waiting.reaches(1);
    let (_tx, silence) = channel::bounded::<()>(0);
    let (near, _far) = UnixStream::pair().expect("a pair");
    let near = Arc::new(near);
    let count = 100_000;
    for number in 0..count {
        let (mark, waiting) = (Counted(Arc::clone(&dropped)), Arc::clone(&waiting));
        let (lock, never) = (Arc::clone(&lock), Arc::clone(&never));
        let (silence, near) = (silence.clone(), Arc::clone(&near));
        drop(it.spawn(move || {
            let _mark = mark;
            waiting.add();
            match number % 6 {
                0 => thread::park(),
                1 => thread::sleep(Duration::from_hours(1)),
                2 => drop(lock.lock()),
                3 => drop(silence.recv()),
                4 if number < SOCKETS => drop((&*near).read(&mut [0])),
                4 => {
                    _ = select! {
                        recv(silence) -> it => it,
                        recv(channel::never()) -> it => it,
                    };
                }
                _ => {
                    let child = sward::spawn(move || {
                        let _never = never;
                        thread::park();
                    });
                    drop(child.join());
                }
            }
        }));
    }
    // And 64 in blocking calls, which nobody can call off: they come back when the others have ended.
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    for _ in 0..64 {
        let (waiting, released) = (Arc::clone(&waiting), Arc::clone(&released));
        drop(it.spawn(move || {
            blocking(|| {
                waiting.add();
                released.lock().is_ok_and(|it| it.recv().is_ok())
            })
        }));
    }
    waiting.reaches(1 + count + 64);
    let releaser = kernel::spawn({
        let dropped = Arc::clone(&dropped);
        move || {
            dropped.reaches(count);
            drop(release);
        }
    });
    let start = Instant::now();
    it.shutdown_timeout(Duration::from_mins(1));
    releaser.join().expect("no panic");
    let took = start.elapsed();
    assert_eq!(dropped.get(), count);
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(held.join().is_err());
    assert!(!lock.is_poisoned());
}

/// Whoever joins a green thread that was left behind is told, before it comes back and after.
#[test]
fn join_of_what_was_left_behind_is_told() {
    watched("left behind", MINUTE, || {
        let (go, wait) = mpsc::channel::<()>();
        let (tx, started) = mpsc::channel();
        let runtime = runtime(1);
        let stuck = runtime.spawn(move || {
            tx.send(()).expect("the test waits");
            // A call that nobody can end.
            _ = wait.recv();
            String::from("too late")
        });
        started.recv().expect("it runs");
        let joiner = kernel::spawn(move || stuck.join());
        runtime.shutdown_timeout(Duration::from_millis(20));
        let told = joiner.join().expect("the joiner");
        assert!(told.expect_err("no result").is::<Shutdown>());
        drop(go);
    });
}
