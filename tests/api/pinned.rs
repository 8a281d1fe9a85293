//! Green threads with a kernel thread of their own.

use crate::support::{on_every_real_home, runtime};
use std::{
    cell::Cell,
    sync::{Arc, Mutex},
    thread as kernel,
    time::{Duration, Instant},
};
use sward::{
    Shutdown, channel,
    thread::{self, Builder},
};

thread_local! {
    static TURNS: Cell<u32> = const { Cell::new(0) };
}

#[test]
fn a_pinned_thread_stays_on_its_kernel_thread() {
    on_every_real_home(|_| {
        let (to_it, calls) = channel::bounded(0);
        let (to_us, answers) = channel::bounded(0);
        let pinned = Builder::new()
            .name("pinned".to_owned())
            .spawn_pinned(move || {
                let own = kernel::current().id();
                assert_eq!(thread::current().name(), Some("pinned"));
                for call in calls {
                    assert_eq!(kernel::current().id(), own);
                    TURNS.with(|it| it.set(it.get() + call));
                    to_us.send(TURNS.with(Cell::get)).expect("somebody asks");
                }
                TURNS.with(Cell::get)
            })
            .expect("a kernel thread");
        for round in 1..=100 {
            to_it.send(1).expect("it listens");
            assert_eq!(answers.recv(), Ok(round));
        }
        drop(to_it);
        assert_eq!(pinned.join().expect("no panic"), 100);
    });
}

#[test]
fn it_sleeps_parks_times_out_and_spawns() {
    on_every_real_home(|_| {
        let pinned = Builder::new()
            .spawn_pinned(|| {
                let start = Instant::now();
                thread::sleep(Duration::from_millis(2));
                assert!(start.elapsed() >= Duration::from_millis(2));
                let (_tx, rx) = channel::bounded::<()>(0);
                assert!(rx.recv_timeout(Duration::from_millis(1)).is_err());
                let me = thread::current();
                let child = sward::spawn(move || me.unpark());
                thread::park();
                child.join().expect("no panic");
                sward::yield_now();
                sward::blocking(|| 7)
            })
            .expect("a kernel thread");
        assert_eq!(pinned.join().expect("no panic"), 7);
    });
}

#[test]
fn its_panic_is_its_own() {
    let pinned = Builder::new()
        .spawn_pinned(|| std::panic::resume_unwind(Box::new(3_u8)))
        .expect("a kernel thread");
    let payload = pinned.join().expect_err("it panicked");
    assert_eq!(payload.downcast_ref(), Some(&3_u8));
}

#[test]
fn shutdown_calls_it_off() {
    struct Note(Arc<Mutex<u32>>);
    impl Drop for Note {
        fn drop(&mut self) {
            *self.0.lock().expect("not poisoned") += 1;
        }
    }
    let dropped = Arc::new(Mutex::new(0));
    let runtime = runtime(1);
    let note = Note(Arc::clone(&dropped));
    let (tx, started) = channel::bounded(0);
    let pinned = runtime.run(move || {
        Builder::new()
            .spawn_pinned(move || {
                let _note = note;
                tx.send(()).expect("the test waits");
                thread::park();
            })
            .expect("a kernel thread")
    });
    started.recv().expect("it runs");
    drop(runtime);
    assert!(pinned.join().expect_err("called off").is::<Shutdown>());
    assert_eq!(*dropped.lock().expect("not poisoned"), 1);
}

/// Kernel threads end with their inhabitants, and the records are used again.
#[test]
fn many_come_and_go() {
    let runtime = runtime(2);
    let sum = runtime.run(|| {
        (0..200_u32)
            .map(|it| {
                Builder::new()
                    .spawn_pinned(move || it)
                    .expect("a kernel thread")
            })
            .map(|it| it.join().expect("no panic"))
            .sum::<u32>()
    });
    assert_eq!(sum, 19_900);
}

/// See [`heritage`].
type Heritage = (String, i32, i32, u64, i32);

/// What a thread hands on to those that it starts: blocked signals, class, niceness, slice, timer slack.
#[expect(unsafe_code, reason = "system calls that std does not have")]
fn heritage() -> Heritage {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("Linux");
    let blocked = status.lines().find(|it| it.starts_with("SigBlk"));
    // SAFETY: it takes a number.
    let class = unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
    // SAFETY: as above.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let mut attributes = [0_u64; 6];
    // SAFETY: a place of 48 bytes.
    unsafe { libc::syscall(libc::SYS_sched_getattr, 0, attributes.as_mut_ptr(), 48, 0) };
    // SAFETY: it takes nothing.
    let slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
    let blocked = blocked.expect("there is one").to_owned();
    (blocked, class, nice, attributes[3], slack)
}

#[expect(unsafe_code, reason = "system calls that std does not have")]
fn be_odd() {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: a place for a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: a set, as above.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGURG) };
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) };
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: it reads the parameter.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const none) };
    // Zero is as nice as before: not everybody may go back, so this is for those who may.
    // SAFETY: it takes nothing.
    let nice = if unsafe { libc::geteuid() } == 0 {
        3
    } else {
        0
    };
    // SAFETY: it takes numbers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    let odd = heritage();
    assert!(odd.0.ends_with("400000"), "{odd:?}");
    assert_eq!((odd.1, odd.2), (libc::SCHED_BATCH, nice));
}

/// Whichever thread starts them: all begin as the thread was that built the runtime.
#[test]
fn threads_inherit_nothing_odd() {
    let (blocked, class, nice, slice, slack) = heritage();
    let plain = (blocked, class, nice);
    let same = move |it: Heritage| assert_eq!((it.0, it.1, it.2), plain);
    let runtime = runtime(1);
    // A pinned thread's pinned children.
    let same = Arc::new(same);
    runtime.run({
        let same = Arc::clone(&same);
        move || {
            let parent = Builder::new().spawn_pinned(move || {
                be_odd();
                for _ in 0..3 {
                    let child = Builder::new().spawn_pinned(heritage);
                    same(child.expect("a kernel thread").join().expect("no panic"));
                }
                // A runtime that an odd thread builds is like it.
                let other = crate::support::runtime(1).run(heritage);
                let own = heritage();
                assert_eq!((other.0, other.1, other.2), (own.0, own.1, own.2));
            });
            parent.expect("a kernel thread").join().expect("no panic");
        }
    });
    // A spare worker that is started by an odd one, and what the program starts from a worker.
    runtime.run(move || {
        let started = kernel::spawn(heritage).join().expect("no panic");
        assert_eq!((started.3, slack > 1), (slice, true), "{started:?}");
        be_odd();
        let other = sward::spawn(heritage);
        same(sward::blocking(move || other.join()).expect("no panic"));
    });
}
