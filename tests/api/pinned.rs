//! Green threads with a kernel thread of their own.

use crate::support::{on_every_home, on_every_real_home, runtime};
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
