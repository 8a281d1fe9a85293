//! Green threads and kernel threads in the same sections: the counts are exact, and all come to their end.
//!
//! `SWARD_RACES=1000000` has a million pairs of lock and unlock of each kind.

use crate::support::{Handle, Home, races, runtime, watched};
use std::{sync::Arc, time::Duration};
use sward::sync::{Mutex, RwLock, Semaphore};

const THREADS: u64 = 8;

/// What all of them do.
type Section = Arc<dyn Fn(Home, u64, u64) + Send + Sync>;

/// Runs `section` so often, half of it in green threads and half in kernel threads, with runtimes of
/// 1, 2 and 16 workers. It is told the number of its thread and its turn.
fn mixed(what: &'static str, make: fn() -> Section) {
    for workers in [1, 2, 16] {
        let turns = races() / THREADS / 3;
        let limit = Duration::from_mins(2)
            + Duration::from_micros(400) * u32::try_from(turns).expect("few");
        watched(&format!("{what}, {workers} workers"), limit, move || {
            let section = make();
            runtime(workers).run(move || {
                let threads: Vec<Handle<()>> = (0..THREADS)
                    .map(|number| {
                        let section = Arc::clone(&section);
                        let home = if number % 2 == 0 {
                            Home::Green(workers)
                        } else {
                            Home::Threads
                        };
                        home.spawn(move || (0..turns).for_each(|turn| section(home, number, turn)))
                    })
                    .collect();
                for thread in threads {
                    thread.join().expect("no panic");
                }
                // The last look of each kind.
                section(Home::Threads, THREADS, turns);
            });
        });
    }
}

/// Reads, gives way at times, and writes: whoever else is inside loses a count.
fn add(home: Home, count: &mut u64, turn: u64) {
    let before = *count;
    if turn.is_multiple_of(64) {
        home.yield_now();
    }
    *count = before + 1;
}

#[test]
fn mutex() {
    mixed("mutex", || {
        let mutex = Mutex::new(0);
        Arc::new(move |home, number, turn| {
            let mut count = mutex.lock().expect("not poisoned");
            if number == THREADS {
                assert_eq!(*count, THREADS * turn);
            } else {
                add(home, &mut count, turn);
            }
        })
    });
}

#[test]
fn rwlock() {
    mixed("rwlock", || {
        let lock = RwLock::new((0, 0));
        Arc::new(move |home, number, turn| {
            if number == THREADS {
                assert_eq!(lock.read().expect("not poisoned").0, THREADS / 2 * turn);
            } else if number < THREADS / 2 {
                let mut counts = lock.write().expect("not poisoned");
                add(home, &mut counts.0, turn);
                counts.1 = counts.0;
            } else {
                let counts = lock.read().expect("not poisoned");
                if turn.is_multiple_of(64) {
                    home.yield_now();
                }
                assert_eq!(counts.0, counts.1);
            }
        })
    });
}

#[test]
fn semaphore() {
    mixed("semaphore", || {
        let semaphore = Semaphore::new(1);
        let count = std::sync::Mutex::new(0);
        Arc::new(move |home, number, turn| {
            let _permit = semaphore.acquire(1);
            if number == THREADS {
                assert_eq!(*count.lock().expect("no panic"), THREADS * turn);
                return;
            }
            let before = *count.lock().expect("no panic");
            if turn.is_multiple_of(64) {
                home.yield_now();
            }
            *count.lock().expect("no panic") = before + 1;
        })
    });
}
