//! What is left of locks and the like whose waiters or holders a shutdown ends: all of it, unharmed.

use crate::support::{runtime, watched};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};
use sward::{
    Runtime,
    sync::{Barrier, Condvar, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup},
};

/// Spawns green threads that each say that they are about to wait, and waits until all have said so and
/// had time to run on.
fn settle(runtime: &Runtime, about: &AtomicUsize, count: usize) {
    while about.load(SeqCst) < count {
        thread::yield_now();
    }
    // With one worker, a thread that runs now comes after those have gone on to wait.
    runtime.run(sward::yield_now);
}

fn spawn(runtime: &Runtime, about: &Arc<AtomicUsize>, wait: impl FnOnce() + Send + 'static) {
    let about = Arc::clone(about);
    drop(runtime.spawn(move || {
        about.fetch_add(1, SeqCst);
        wait();
    }));
}

#[test]
fn locks_outlive_those_who_waited_for_them() {
    watched("shutdown", Duration::from_mins(1), || {
        let runtime = runtime(1);
        let about = Arc::new(AtomicUsize::new(0));
        let (mutex, rwlock) = (Arc::new(Mutex::new(1)), Arc::new(RwLock::new(1)));
        let (read, write) = (Arc::new(RwLock::new(1)), Arc::new(Semaphore::new(1)));
        let locked = (
            mutex.lock().expect("not poisoned"),
            rwlock.write().expect("not poisoned"),
            read.read().expect("not poisoned"),
            write.acquire(1),
        );
        for _ in 0..3 {
            let it = Arc::clone(&mutex);
            spawn(&runtime, &about, move || {
                *it.lock().expect("not poisoned") += 1;
            });
            let it = Arc::clone(&rwlock);
            spawn(&runtime, &about, move || drop(it.read()));
            let it = Arc::clone(&rwlock);
            spawn(&runtime, &about, move || drop(it.write()));
            let it = Arc::clone(&read);
            spawn(&runtime, &about, move || drop(it.write()));
            let it = Arc::clone(&read);
            spawn(&runtime, &about, move || drop(it.read()));
            let it = Arc::clone(&write);
            spawn(&runtime, &about, move || drop(it.acquire(2)));
        }
        settle(&runtime, &about, 18);
        // A reader on a kernel thread stands behind writers that will go.
        let behind = thread::spawn({
            let read = Arc::clone(&read);
            move || *read.read().expect("not poisoned")
        });
        drop(runtime);
        assert_eq!(behind.join().expect("no panic"), 1);
        drop(locked);
        assert_eq!(*mutex.try_lock().expect("free and not poisoned"), 1);
        assert_eq!(*rwlock.try_write().expect("free and not poisoned"), 1);
        assert_eq!(*read.try_write().expect("free and not poisoned"), 1);
        assert!(write.try_acquire(1).is_some());
    });
}

/// A shutdown lets go of what was held, and poisons nothing.
#[test]
fn what_was_held_is_free_and_not_poisoned() {
    watched("shutdown", Duration::from_mins(1), || {
        let runtime = runtime(1);
        let about = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new((
            Mutex::new(1),
            RwLock::new(1),
            Semaphore::new(3),
            Once::new(),
            OnceLock::<i32>::new(),
        ));
        let held = Arc::clone(&shared);
        spawn(&runtime, &about, move || {
            let _mutex = held.0.lock();
            let _rwlock = held.1.write();
            let _permits = held.2.acquire(3);
            held.3.call_once(|| {
                held.4.get_or_init(|| {
                    sward::thread::park();
                    1
                });
            });
        });
        settle(&runtime, &about, 1);
        let waiter = thread::spawn({
            let shared = Arc::clone(&shared);
            move || *shared.4.get_or_init(|| 2)
        });
        drop(runtime);
        assert_eq!(waiter.join().expect("no panic"), 2);
        assert_eq!(*shared.0.try_lock().expect("free and not poisoned"), 1);
        assert_eq!(*shared.1.try_write().expect("free and not poisoned"), 1);
        assert!(shared.2.try_acquire(3).is_some());
        let mut runs = 0;
        shared.3.call_once(|| runs += 1);
        assert_eq!(runs, 1);
    });
}

#[test]
fn those_who_are_left_meet_without_those_who_went() {
    watched("shutdown", Duration::from_mins(1), || {
        let runtime = runtime(1);
        let about = Arc::new(AtomicUsize::new(0));
        let (barrier, group) = (Arc::new(Barrier::new(3)), WaitGroup::new());
        let pair = Arc::new((Mutex::new(()), Condvar::new()));
        group.add(1);
        for _ in 0..2 {
            let it = Arc::clone(&barrier);
            spawn(&runtime, &about, move || _ = it.wait());
            let it = Arc::clone(&pair);
            spawn(&runtime, &about, move || {
                drop(it.1.wait(it.0.lock().expect("not poisoned")));
            });
            let it = group.clone();
            spawn(&runtime, &about, move || it.wait());
        }
        settle(&runtime, &about, 6);
        // Those two were notified, and go before they have the mutex again.
        let guard = pair.0.lock().expect("not poisoned");
        pair.1.notify_all();
        drop(runtime);
        drop(guard);
        drop(pair.0.try_lock().expect("free and not poisoned"));
        group.done();
        assert!(group.wait_timeout(Duration::ZERO));
        // Two of three have gone: three new ones are needed.
        let led: usize = thread::scope(|scope| {
            let threads = [(); 3].map(|()| scope.spawn(|| barrier.wait().is_leader()));
            threads
                .map(|it| usize::from(it.join().expect("no panic")))
                .iter()
                .sum()
        });
        assert_eq!(led, 1);
    });
}

/// A notification whose receiver goes before it has the mutex again is passed on.
#[test]
fn a_notification_is_passed_on() {
    watched("shutdown", Duration::from_mins(1), || {
        let runtime = runtime(1);
        let about = Arc::new(AtomicUsize::new(0));
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let it = Arc::clone(&pair);
        spawn(&runtime, &about, move || {
            drop(it.1.wait(it.0.lock().expect("not poisoned")));
        });
        settle(&runtime, &about, 1);
        // It comes second in the line.
        let other = thread::spawn({
            let pair = Arc::clone(&pair);
            move || {
                let mut guard = pair.0.lock().expect("not poisoned");
                *guard = 1;
                drop(pair.1.wait(guard));
            }
        });
        let guard = loop {
            let guard = pair.0.lock().expect("not poisoned");
            if *guard == 1 {
                break guard;
            }
        };
        // The first is notified, and wants the mutex in vain.
        pair.1.notify_one();
        settle(&runtime, &about, 1);
        drop(runtime);
        drop(guard);
        other.join().expect("it was notified");
    });
}
