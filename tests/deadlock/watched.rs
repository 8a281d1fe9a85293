//! Circles among some threads while others go on, as a runtime that was built to watch tells them.

use crate::End;
use std::{sync::Arc, time::Duration};
use sward::{
    Runtime, channel,
    sync::{Barrier, Mutex},
    thread,
};

/// Each case's name, what it does, and how it ends.
pub(crate) const ALL: &[(&str, fn(), End)] = &[
    (
        "circles_are_told_once_each",
        circles_are_told_once_each,
        ONCE,
    ),
    (
        "a_circle_of_all_there_are",
        a_circle_of_all_there_are,
        End::Deadlock(&[
            "waits for a lock held by green thread ",
            "deadlock of 1 thread:\n",
            "waits for the end of green thread ",
        ]),
    ),
    (
        "nobody_sends_any_more",
        nobody_sends_any_more,
        End::Deadlock(&[
            "waits for a channel of 1 sender and 1 receiver (last to wait to receive: green thread ",
        ]),
    ),
    ("a_watched_storm", a_watched_storm, End::Fine),
    (
        "watched_runtimes_come_and_go",
        watched_runtimes_come_and_go,
        End::Fine,
    ),
];

const ONCE: End = End::SaysOnce(&[
    "\"first 0\" waits at tests/deadlock/watched.rs:",
    "\"second 0\" waits at tests/deadlock/watched.rs:",
    "\"third 0\" waits at tests/deadlock/watched.rs:",
]);

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(5);

fn watched(workers: usize) -> Runtime {
    let builder = Runtime::builder().workers(workers).watch_deadlocks(PERIOD);
    builder.build().expect("a runtime")
}

/// Two threads that lock crosswise.
fn cross(name: &str) {
    let locks = [(); 2].map(|()| Arc::new(Mutex::new(())));
    let both = Arc::new(Barrier::new(2));
    for index in 0..2 {
        let [one, two] = [index, 1 - index].map(|it| Arc::clone(&locks[it]));
        let both = Arc::clone(&both);
        let builder = thread::Builder::new().name(format!("{name} {index}"));
        let spawned = builder.spawn(move || {
            let _one = one.lock();
            both.wait();
            drop(two.lock());
        });
        drop(spawned.expect("memory"));
    }
}

/// The main one goes on, and makes one circle after the other; the parent ends it.
fn circles_are_told_once_each() {
    watched(2).run(|| {
        for name in ["first", "second", "third"] {
            cross(name);
            thread::sleep(PERIOD * 10);
        }
        loop {
            thread::sleep(PERIOD);
        }
    });
}

/// The watcher is no thread that could do anything.
fn a_circle_of_all_there_are() {
    watched(1).run(|| {
        let child = sward::spawn(|| {
            let mutex = Mutex::new(());
            let _first = mutex.lock();
            drop(mutex.lock());
        });
        drop(child.join());
    });
}

fn nobody_sends_any_more() {
    watched(1).run(|| {
        let (_tx, rx) = channel::bounded::<()>(1);
        _ = rx.recv();
    });
}

/// Locks in one order, much contended, and looked at all the time.
fn a_watched_storm() {
    let builder = Runtime::builder().workers(2);
    let runtime = builder.watch_deadlocks(Duration::from_millis(1)).build();
    runtime.expect("a runtime").run(|| {
        let locks: [Mutex<u64>; 3] = [(); 3].map(|()| Mutex::new(0));
        sward::scope(|scope| {
            for index in 0..8 {
                let locks = &locks;
                scope.spawn(move || {
                    for round in 0..2_000 {
                        let low = (index + round) % 2;
                        let mut one = locks[low].lock().expect("no panic");
                        sward::yield_now();
                        let mut two = locks[low + 1].lock().expect("no panic");
                        sward::yield_now();
                        *one += 1;
                        *two += 1;
                    }
                });
            }
        });
    });
}

fn watched_runtimes_come_and_go() {
    for _ in 0..10 {
        let two = [watched(1), watched(1)];
        assert_eq!(two[0].run(|| 1) + two[1].run(|| 2), 3);
    }
}
