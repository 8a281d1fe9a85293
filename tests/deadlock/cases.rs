//! The programs, and what each must come to.

use crate::End;
use std::{
    io::Read,
    os::unix::net::UnixStream as StdStream,
    panic,
    sync::Arc,
    thread as kernel,
    time::{Duration, Instant},
};
use sward::{
    Runtime,
    channel::{self, never, select},
    context::{Context, ContextError},
    net::unix::UnixStream,
    signal,
    sync::{Condvar, Mutex, RwLock, Semaphore, WaitGroup},
    thread,
};

/// Longer than it takes to find a deadlock.
const LONG: Duration = Duration::from_millis(400);

/// Each case's name, what it does, and how it ends.
pub(crate) const ALL: &[(&str, fn(), End)] = &[
    (
        "receive",
        receive,
        deadlock(&["parked (channel receive) for 0.", "cases.rs:"]),
    ),
    ("send", send, deadlock(&["parked (channel send)"])),
    (
        "select_of_two",
        select_of_two,
        deadlock(&["parked (select)"]),
    ),
    (
        "select_of_nothing",
        select_of_nothing,
        deadlock(&["parked (never)"]),
    ),
    (
        "receive_from_never",
        receive_from_never,
        deadlock(&["parked (never)"]),
    ),
    (
        "mutex_locked_twice",
        mutex_locked_twice,
        deadlock(&["parked (mutex lock)"]),
    ),
    (
        "rwlock_read_then_write",
        rwlock_read_then_write,
        deadlock(&["parked (rwlock write)"]),
    ),
    (
        "condition_variable",
        condition_variable,
        deadlock(&["parked (condition variable)"]),
    ),
    ("wait_group", wait_group, deadlock(&["parked (wait group)"])),
    ("semaphore", semaphore, deadlock(&["parked (semaphore)"])),
    ("park", park, deadlock(&["parked (park)"])),
    (
        "join_of_a_cycle",
        join_of_a_cycle,
        deadlock(&["parked (join)", "\"knot\""]),
    ),
    (
        "a_destructor_that_parks",
        a_destructor_that_parks,
        deadlock(&["parked (join)", "2 green threads", "parked (park)"]),
    ),
    (
        "a_destructor_that_receives",
        a_destructor_that_receives,
        deadlock(&[
            "parked (join)",
            "2 green threads",
            "parked (channel receive)",
        ]),
    ),
    (
        "scope_whose_child_waits",
        scope_whose_child_waits,
        deadlock(&["parked (scope)"]),
    ),
    (
        "a_crossed_pair_of_locks",
        a_crossed_pair_of_locks,
        deadlock(&["3 green threads"]),
    ),
    (
        "many_workers",
        many_workers,
        deadlock(&["101 green threads"]),
    ),
    (
        "over_two_runtimes",
        over_two_runtimes,
        deadlock(&["2 green threads"]),
    ),
    (
        "with_a_pinned_thread",
        with_a_pinned_thread,
        deadlock(&["2 green threads"]),
    ),
    (
        "with_an_open_socket",
        with_an_open_socket,
        deadlock(&["parked (channel receive)"]),
    ),
    (
        "with_a_timer_nobody_reads",
        with_a_timer_nobody_reads,
        deadlock(&["parked (channel receive)"]),
    ),
    (
        "with_a_timer_taken_back",
        with_a_timer_taken_back,
        deadlock(&["parked (channel receive)"]),
    ),
    (
        "with_deadlines_called_off",
        with_deadlines_called_off,
        deadlock(&["parked (channel receive)"]),
    ),
    ("after_a_sleep", after_a_sleep, deadlock(&["parked (park)"])),
    (
        "after_a_blocking_call",
        after_a_blocking_call,
        deadlock(&["parked (park)"]),
    ),
    (
        "inside_a_blocking_call",
        inside_a_blocking_call,
        deadlock(&["blocking (blocking call)"]),
    ),
    (
        "beside_a_thread_that_receives",
        beside_a_thread_that_receives,
        deadlock(&["parked (park)"]),
    ),
    (
        "beside_a_thread_that_ends_later",
        beside_a_thread_that_ends_later,
        deadlock(&["parked (park)"]),
    ),
    (
        "beside_a_thread_that_parks",
        beside_a_thread_that_parks,
        deadlock(&["parked (park)"]),
    ),
    (
        "with_signals_nobody_receives",
        with_signals_nobody_receives,
        deadlock(&["parked (park)"]),
    ),
    (
        "with_signals_that_nobody_wants_any_more",
        with_signals_that_nobody_wants_any_more,
        deadlock(&["parked (park)"]),
    ),
    (
        "after_a_signal",
        after_a_signal,
        deadlock(&["parked (park)"]),
    ),
    ("where_it_waits", where_it_waits, deadlock(&[WAITS])),
    (
        "every_run_panics_and_the_program_goes_on",
        every_run_panics,
        End::Recovers,
    ),
    ("a_dump_on_a_signal", a_dump_on_a_signal, DUMPED),
    ("a_sleeper", a_sleeper, End::Fine),
    ("a_time_out", a_time_out, End::Fine),
    ("a_timer", a_timer, End::Fine),
    ("a_deadline", a_deadline, End::Fine),
    (
        "a_thread_that_could_send",
        a_thread_that_could_send,
        End::Fine,
    ),
    (
        "a_thread_that_waits_with_a_time_out",
        a_thread_that_waits_with_a_time_out,
        End::Fine,
    ),
    ("a_socket", a_socket, End::Fine),
    ("a_signal", a_signal, End::Fine),
    ("a_blocking_call", a_blocking_call, End::Fine),
    ("a_pinned_sleeper", a_pinned_sleeper, End::Fine),
    ("a_computation", a_computation, End::Fine),
    ("much_ado", much_ado, End::Fine),
];

/// What a dump says of [`a_dump_on_a_signal`]'s green threads, in a runtime of its own and in another.
const DUMPED: End = End::Says(&[
    "sward: 2 green threads\n",
    "\"signalled\": parked (park) for ",
    "parked (sleep) for ",
]);

/// The line on which [`where_it_waits`] does.
const WAITS: &str = "waits at tests/deadlock/cases.rs:220:";

const fn deadlock(words: &'static [&'static str]) -> End {
    End::Deadlock(words)
}

fn where_it_waits() {
    sward::run(wait_here);
}

fn wait_here() {
    let (_tx, rx) = channel::unbounded::<()>();
    _ = rx.recv(); // This is the line.
}

fn runtime(workers: usize) -> Runtime {
    let builder = Runtime::builder().workers(workers);
    builder.build().expect("a runtime")
}

fn receive() {
    sward::run(|| {
        let (_tx, rx) = channel::unbounded::<()>();
        rx.recv()
    })
    .expect("never");
}

fn send() {
    sward::run(|| {
        let (tx, _rx) = channel::bounded(1);
        tx.send(1).and_then(|()| tx.send(2))
    })
    .expect("never");
}

fn select_of_two() {
    sward::run(|| {
        let (_tx, rx) = channel::unbounded::<()>();
        let (tx, _rx) = channel::bounded(0);
        select! {
            recv(rx) -> it => _ = it,
            send(tx, 1) -> it => _ = it,
        }
    });
}

fn select_of_nothing() {
    sward::run(|| select! {});
}

fn receive_from_never() {
    sward::run(|| never::<()>().recv()).expect("never");
}

fn mutex_locked_twice() {
    sward::run(|| {
        let mutex = Mutex::new(());
        let _first = mutex.lock();
        drop(mutex.lock());
    });
}

fn rwlock_read_then_write() {
    sward::run(|| {
        let lock = RwLock::new(());
        let _first = lock.read();
        drop(lock.write());
    });
}

fn condition_variable() {
    sward::run(|| {
        let (mutex, condition) = (Mutex::new(()), Condvar::new());
        drop(condition.wait(mutex.lock().expect("no panic")));
    });
}

fn wait_group() {
    sward::run(|| {
        let group = WaitGroup::new();
        group.add(1);
        group.wait();
    });
}

fn semaphore() {
    sward::run(|| {
        let semaphore = Semaphore::new(2);
        let _all = semaphore.acquire(2);
        drop(semaphore.acquire(1));
    });
}

fn park() {
    sward::run(thread::park);
}

fn join_of_a_cycle() {
    sward::run(|| {
        let (tx, rx) = channel::bounded::<thread::JoinHandle<()>>(1);
        let (_keep, nothing) = channel::bounded::<()>(0);
        let knot = thread::Builder::new()
            .name("knot".to_owned())
            .spawn(move || drop((rx.recv().map(thread::JoinHandle::join), nothing.recv())));
        let knot = knot.expect("memory");
        let other = sward::spawn(move || drop(knot.join()));
        drop(tx.send(other));
        thread::park();
    });
}

/// Runs `f` as it is dropped.
struct Dropped<F: FnMut()>(F);

impl<F: FnMut()> Drop for Dropped<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// One that unwinds waits with its kernel thread, which is counted all the same.
fn while_it_unwinds(wait: impl FnMut() + Send + 'static) {
    sward::run(|| {
        let unwinds = sward::spawn(|| {
            let _waits = Dropped(wait);
            panic::resume_unwind(Box::new("its own"));
        });
        drop(unwinds.join());
    });
}

fn a_destructor_that_parks() {
    while_it_unwinds(thread::park);
}

fn a_destructor_that_receives() {
    while_it_unwinds(|| {
        let (_tx, rx) = channel::bounded::<()>(0);
        _ = rx.recv();
    });
}

fn scope_whose_child_waits() {
    sward::run(|| sward::scope(|scope| drop(scope.spawn(thread::park))));
}

fn a_crossed_pair_of_locks() {
    runtime(2).run(|| {
        let locks = Arc::new((Mutex::new(()), Mutex::new(()), WaitGroup::new()));
        locks.2.add(2);
        let crossed = [false, true].map(|swapped| {
            let locks = Arc::clone(&locks);
            sward::spawn(move || {
                let (first, second) = if swapped {
                    (&locks.1, &locks.0)
                } else {
                    (&locks.0, &locks.1)
                };
                let _first = first.lock();
                locks.2.done();
                locks.2.wait();
                drop(second.lock());
            })
        });
        for it in crossed {
            drop(it.join());
        }
    });
}

fn many_workers() {
    runtime(4).run(|| {
        let waiters: Vec<_> = (0..100)
            .map(|_| {
                sward::spawn(|| {
                    for _ in 0..100 {
                        sward::yield_now();
                    }
                    thread::park();
                })
            })
            .collect();
        for it in waiters {
            drop(it.join());
        }
    });
}

fn over_two_runtimes() {
    let (one, two) = (runtime(1), runtime(2));
    let (tx, rx) = channel::bounded::<()>(0);
    let (back, answer) = channel::bounded::<()>(0);
    let _other = two.spawn(move || rx.recv().map(|()| back.send(())));
    one.run(move || (answer.recv(), tx.send(())).0)
        .expect("never");
}

fn with_a_pinned_thread() {
    runtime(1).run(|| {
        let pinned = thread::Builder::new().spawn_pinned(thread::park);
        drop(pinned.expect("a kernel thread").join());
    });
}

fn with_an_open_socket() {
    sward::run(|| {
        let (_near, _far) = UnixStream::pair().expect("descriptors");
        let (_tx, rx) = channel::unbounded::<()>();
        rx.recv()
    })
    .expect("never");
}

fn with_a_timer_nobody_reads() {
    sward::run(|| {
        let _timer = channel::after(Duration::from_hours(1));
        let (_tx, rx) = channel::unbounded::<()>();
        rx.recv()
    })
    .expect("never");
}

/// On a green thread, and on kernel threads.
fn with_deadlines_called_off() {
    let hour = Duration::from_hours(1);
    let root = Context::background().with_timeout(hour);
    sward::run(move || {
        let child = root.with_timeout(hour / 2);
        let (_tx, rx) = channel::unbounded::<()>();
        root.cancel(ContextError::Canceled);
        drop(child);
        rx.recv()
    })
    .expect("never");
}

fn with_a_timer_taken_back() {
    sward::run(|| {
        let (tx, rx) = channel::bounded(1);
        tx.send(()).expect("room");
        let (_tx, nothing) = channel::unbounded::<()>();
        sward::spawn(move || _ = tx.send(()));
        for _ in 0..2 {
            rx.recv_timeout(Duration::from_hours(1))
                .expect("it was sent");
        }
        nothing.recv()
    })
    .expect("never");
}

fn after_a_sleep() {
    sward::run(|| {
        thread::sleep(LONG);
        thread::park();
    });
}

fn after_a_blocking_call() {
    sward::run(|| {
        sward::blocking(|| kernel::sleep(LONG));
        thread::park();
    });
}

fn inside_a_blocking_call() {
    runtime(2)
        .run(|| {
            sward::blocking(|| {
                let (_tx, rx) = channel::unbounded::<()>();
                rx.recv()
            })
        })
        .expect("never");
}

fn beside_a_thread_that_receives() {
    let (_tx, rx) = channel::unbounded::<()>();
    kernel::spawn(move || rx.recv());
    sward::run(thread::park);
}

fn beside_a_thread_that_ends_later() {
    kernel::spawn(|| kernel::sleep(LONG));
    sward::run(thread::park);
}

fn beside_a_thread_that_parks() {
    kernel::spawn(|| {
        kernel::sleep(LONG);
        thread::park();
    });
    sward::run(thread::park);
}

fn every_run_panics() {
    let stuck = || match panic::catch_unwind(|| sward::run(thread::park)) {
        Ok(()) => panic!("it was woken"),
        Err(payload) => payload.downcast::<String>().map(|it| *it).ok(),
    };
    let other = kernel::spawn(stuck);
    for said in [stuck(), other.join().expect("no panic")] {
        assert_eq!(said.as_deref(), Some(crate::MESSAGE));
    }
    assert_eq!(sward::run(|| sward::spawn(|| 42).join().ok()), Some(42));
}

/// Signals may come, but nobody would be told.
fn with_signals_nobody_receives() {
    let signals = signal::notify([signal::SIGUSR1, signal::SIGUSR2]).expect("signals");
    sward::run(thread::park);
    drop(signals);
}

fn with_signals_that_nobody_wants_any_more() {
    drop(signal::notify([signal::SIGUSR1]).expect("a signal"));
    sward::run(thread::park);
}

/// One comes while somebody waits for it, in a choice too; after that nobody waits.
fn after_a_signal() {
    a_signal();
    sward::run(thread::park);
}

/// The only one who could run for long is the keeper of deadlines.
fn a_deadline() {
    sward::run(|| {
        let context = Context::background().with_timeout(LONG);
        assert!(context.done().recv().is_err());
    });
}

/// While everybody sleeps, and so does the monitor.
fn a_dump_on_a_signal() {
    let builder = Runtime::builder().workers(1).dump_on(libc::SIGUSR1);
    let runtime = builder.build().expect("a signal to be had");
    let named = thread::Builder::new().name("signalled".to_owned());
    let parked = runtime.run(|| named.spawn(thread::park));
    let pid = std::process::id().to_string();
    let keep = runtime.spawn(|| thread::sleep(Duration::from_hours(1)));
    loop {
        let kill = std::process::Command::new("kill")
            .args(["-USR1", &pid])
            .status();
        assert!(kill.is_ok_and(|it| it.success()));
        kernel::sleep(LONG);
        if parked.as_ref().is_ok_and(thread::JoinHandle::is_finished) || keep.is_finished() {
            break;
        }
    }
}

fn a_sleeper() {
    sward::run(|| {
        let sleeper = sward::spawn(|| thread::sleep(LONG));
        drop(sleeper.join());
    });
}

fn a_time_out() {
    sward::run(|| {
        let (_tx, rx) = channel::unbounded::<()>();
        rx.recv_timeout(LONG).expect_err("nobody sends");
    });
}

fn a_timer() {
    sward::run(|| channel::after(LONG).recv()).expect("a moment");
}

fn a_thread_that_could_send() {
    let (tx, rx) = channel::unbounded();
    kernel::spawn(move || {
        kernel::sleep(2 * LONG);
        tx.send(())
    });
    sward::run(move || rx.recv()).expect("a message");
}

fn a_thread_that_waits_with_a_time_out() {
    let (tx, rx) = channel::unbounded();
    kernel::spawn(move || {
        let (_keep, nothing) = channel::unbounded::<()>();
        nothing.recv_timeout(LONG).expect_err("nobody sends");
        tx.send(())
    });
    sward::run(move || rx.recv()).expect("a message");
}

fn a_socket() {
    let (near, mut far) = StdStream::pair().expect("descriptors");
    // Another process holds the other end for a while, and this one has no thread beside the runtime's.
    let sleeper = std::process::Command::new("sleep")
        .arg("0.5")
        .stdin(std::os::fd::OwnedFd::from(near))
        .spawn();
    let mut sleeper = sleeper.expect("sleep");
    far.set_nonblocking(true).expect("ours");
    drop(far.read(&mut [0]));
    sward::run(move || {
        let mut green = UnixStream::from(far);
        assert_eq!(green.read(&mut [0]).expect("its end"), 0);
    });
    sleeper.wait().expect("it ends");
}

/// It comes from another process, and only then can anything go on.
fn a_signal() {
    let signals = signal::notify([signal::SIGUSR1]).expect("a signal");
    for choose in [false, true] {
        let killer = std::process::Command::new("sh")
            .args(["-c", "sleep 0.5; kill -USR1 $PPID"])
            .spawn();
        let signals = signals.clone();
        let came = sward::run(move || {
            if choose {
                sward::select! {
                    recv(signals) -> it => it,
                    recv(never::<i32>()) -> it => it,
                }
            } else {
                signals.recv()
            }
        });
        assert_eq!(came, Ok(signal::SIGUSR1));
        killer.expect("a shell").wait().expect("it ends");
    }
}

fn a_blocking_call() {
    sward::run(|| sward::blocking(|| kernel::sleep(LONG)));
}

fn a_pinned_sleeper() {
    runtime(1).run(|| {
        let pinned = thread::Builder::new().spawn_pinned(|| thread::sleep(LONG));
        pinned.expect("a kernel thread").join().expect("no panic");
    });
}

fn a_computation() {
    sward::run(|| {
        let start = Instant::now();
        while start.elapsed() < LONG {
            std::hint::spin_loop();
        }
    });
}

/// Green and kernel threads wake each other in turns, with pauses in which nearly all sleep.
fn much_ado() {
    let runtimes = [runtime(1), runtime(2)];
    let (to_thread, from_green) = channel::bounded::<u32>(0);
    let (to_green, from_thread) = channel::bounded::<u32>(0);
    let echo = kernel::spawn(move || from_green.iter().try_for_each(|it| to_green.send(it + 1)));
    for runtime in &runtimes {
        let (to_thread, from_thread) = (to_thread.clone(), from_thread.clone());
        runtime.run(move || {
            for it in 0..3_000 {
                to_thread.send(it).expect("it listens");
                assert_eq!(from_thread.recv(), Ok(it + 1));
                if it % 500 == 0 {
                    thread::sleep(Duration::from_millis(60));
                }
            }
        });
    }
    drop(to_thread);
    echo.join().expect("no panic").expect("it was heard");
}
