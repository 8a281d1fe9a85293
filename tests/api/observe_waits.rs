//! Who holds what others wait for, and circles of those who wait.

use crate::support::{Rng, runtime, seeds};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use sward::{
    Runtime, channel,
    observe::{Circle, Party, WaitsFor},
    sync::{Barrier, Mutex, RwLock},
    thread,
};

pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Lets `f` run as a green thread with this name.
pub(crate) fn spawn_named(runtime: &Runtime, name: &str, f: impl FnOnce() + Send + 'static) -> u64 {
    let builder = thread::Builder::new().name(name.to_owned());
    let name = name.to_owned();
    let spawned = runtime.run(move || builder.spawn(f).map(drop));
    spawned.expect("memory");
    let dump = runtime.dump();
    let mut threads = dump.green_threads().iter();
    let found = threads.find(|it| it.name.as_deref() == Some(&*name));
    // It may have ended.
    found.map_or(0, |it| it.id)
}

/// Waits until the green thread of this name waits for something, and returns for what.
pub(crate) fn until_waits(
    runtime: &Runtime,
    name: &str,
    wanted: impl Fn(&WaitsFor) -> bool,
) -> WaitsFor {
    let deadline = Instant::now() + LIMIT;
    loop {
        let dump = runtime.dump();
        let mut threads = dump.green_threads().iter();
        let found = threads.find(|it| it.name.as_deref() == Some(name));
        if let Some(what) = found.and_then(|it| it.waits_for.as_ref())
            && wanted(what)
        {
            let told = format!("waits for {what}");
            assert!(dump.to_string().contains(&told), "{told}: {dump}");
            return what.clone();
        }
        assert!(Instant::now() < deadline, "{dump}");
        std::thread::yield_now();
    }
}

/// Waits until there is a circle in which a thread of this name is.
pub(crate) fn until_circle(name: &str) -> Circle {
    let deadline = Instant::now() + LIMIT;
    loop {
        let dump = sward::dump();
        let is_named = |it: &&Circle| it.threads().iter().any(|it| name_of(&it.thread) == name);
        if let Some(circle) = dump.deadlocks().iter().find(is_named) {
            assert!(dump.to_string().contains(&circle.to_string()), "{dump}");
            return circle.clone();
        }
        assert!(Instant::now() < deadline, "{dump}");
        std::thread::yield_now();
    }
}

fn name_of(party: &Party) -> &str {
    let (Party::Green { name, .. } | Party::Kernel { name, .. }) = party else {
        return "";
    };
    name.as_deref().unwrap_or("")
}

pub(crate) fn names(circle: &Circle) -> Vec<&str> {
    let mut names: Vec<_> = circle
        .threads()
        .iter()
        .map(|it| name_of(&it.thread))
        .collect();
    // It may begin anywhere.
    let first = names
        .iter()
        .enumerate()
        .min_by_key(|it| it.1)
        .expect("one")
        .0;
    names.rotate_left(first);
    names
}

pub(crate) fn green(id: u64, name: &str) -> Party {
    Party::Green {
        id,
        name: Some(name.to_owned()),
    }
}

#[test]
fn a_lock_tells_who_holds_it() {
    let runtime = runtime(2);
    let (mutex, lock) = (Arc::new(Mutex::new(())), Arc::new(RwLock::new(())));
    let (held, let_go) = (channel::bounded::<()>(0), channel::bounded::<()>(0));
    let holder = spawn_named(&runtime, "holder", {
        let (mutex, lock, held, let_go) = (
            Arc::clone(&mutex),
            Arc::clone(&lock),
            held.0.clone(),
            let_go.1,
        );
        move || {
            let _guards = (mutex.lock(), lock.write());
            held.send(()).expect("the test waits");
            let_go.recv().expect("the test tells");
        }
    });
    held.1.recv().expect("it locks");
    for (name, wait) in [
        (
            "locks",
            Box::new({
                let mutex = Arc::clone(&mutex);
                move || drop(mutex.lock())
            }) as Box<dyn FnOnce() + Send>,
        ),
        (
            "locks for a while",
            Box::new({
                let mutex = Arc::clone(&mutex);
                move || drop(mutex.lock_timeout(LIMIT))
            }),
        ),
        (
            "reads",
            Box::new({
                let lock = Arc::clone(&lock);
                move || drop(lock.read())
            }),
        ),
        (
            "writes",
            Box::new({
                let lock = Arc::clone(&lock);
                move || drop(lock.write())
            }),
        ),
    ] {
        spawn_named(&runtime, name, wait);
        let what = until_waits(&runtime, name, |_| true);
        let expected = WaitsFor::Lock {
            holder: Some(green(holder, "holder")),
            readers: 0,
        };
        assert_eq!(what, expected, "{name}");
    }
    let_go.0.send(()).expect("it waits");
    drop(runtime);
}

#[test]
fn readers_are_counted_and_kernel_threads_named() {
    let runtime = runtime(1);
    let (mutex, lock) = (Arc::new(Mutex::new(())), Arc::new(RwLock::new(())));
    let readers = (lock.read(), lock.read());
    let _held = mutex.lock();
    spawn_named(&runtime, "writes", {
        let lock = Arc::clone(&lock);
        move || drop(lock.write())
    });
    spawn_named(&runtime, "locks", {
        let mutex = Arc::clone(&mutex);
        move || drop(mutex.lock())
    });
    let what = until_waits(&runtime, "writes", |_| true);
    let expected = WaitsFor::Lock {
        holder: None,
        readers: 2,
    };
    assert_eq!(what, expected);
    let WaitsFor::Lock {
        holder: Some(Party::Kernel { id, name, .. }),
        ..
    } = until_waits(&runtime, "locks", |_| true)
    else {
        panic!("a kernel thread holds it");
    };
    assert!(std::path::Path::new(&format!("/proc/self/task/{id}")).exists());
    // The kernel keeps 15 bytes of it.
    let own = std::thread::current().name().expect("a test").to_owned();
    assert!(name.is_some_and(|it| !it.is_empty() && own.starts_with(&it)));
    drop(readers);
}

#[test]
fn a_channel_tells_how_many_are_at_each_side_and_who_waited_there_last() {
    let runtime = runtime(1);
    let (tx, rx) = channel::bounded::<u32>(0);
    let (more, spare) = (tx.clone(), [rx.clone(), rx.clone()]);
    let producer = spawn_named(&runtime, "producer", move || {
        tx.send(1).expect("it is received");
        thread::park();
        drop(tx);
    });
    until_waits(&runtime, "producer", |_| true);
    let consumer = spawn_named(&runtime, "consumer", move || {
        assert_eq!(rx.recv(), Ok(1));
        _ = rx.recv();
    });
    let what = until_waits(&runtime, "consumer", |_| true);
    let WaitsFor::Channel { channel, .. } = what else {
        unreachable!("it receives: {what}");
    };
    let expected = WaitsFor::Channel {
        channel,
        senders: 2,
        receivers: 3,
        last_sender: Some(green(producer, "producer")),
        last_receiver: Some(green(consumer, "consumer")),
    };
    assert_eq!(what, expected);
    let json = runtime.dump().to_json();
    let told = format!(
        r#""waits_for":{{"channel":"{channel:#x}","senders":2,"receivers":3,"last_sender":{{"kind":"green","id":{producer},"name":"producer"}}"#
    );
    assert!(json.contains(&told), "{told}: {json}");
    drop((more, spare));
}

/// Two locks, taken in opposite orders, each second one when both first ones are held.
fn cross(runtime: &Runtime, names: [&str; 2]) {
    let locks = [(); 2].map(|()| Arc::new(Mutex::new(())));
    let both = Arc::new(Barrier::new(2));
    for (index, name) in names.into_iter().enumerate() {
        let [one, two] = [index, 1 - index].map(|it| Arc::clone(&locks[it]));
        let both = Arc::clone(&both);
        spawn_named(runtime, name, move || {
            let _one = one.lock();
            both.wait();
            drop(two.lock());
        });
    }
}

#[test]
fn a_crossed_pair_is_found_while_another_runs() {
    let runtime = runtime(2);
    let stop = Arc::new(AtomicBool::new(false));
    let turns = Arc::new(AtomicU64::new(0));
    let third = runtime.spawn({
        let (stop, turns) = (Arc::clone(&stop), Arc::clone(&turns));
        move || {
            while !stop.load(Relaxed) {
                turns.fetch_add(1, Relaxed);
                sward::yield_now();
            }
        }
    });
    cross(&runtime, ["cross a", "cross b"]);
    let circle = until_circle("cross a");
    assert_eq!(names(&circle), ["cross a", "cross b"]);
    assert!(
        circle
            .threads()
            .iter()
            .all(|it| it.reason == "mutex lock"
                && it.waits_at.is_some_and(|it| it.file() == file!()))
    );
    let text = circle.to_string();
    assert!(
        text.starts_with("deadlock of 2 threads:\n    green thread "),
        "{text}"
    );
    assert!(text.contains("(mutex lock held by green thread "), "{text}");
    let json = sward::dump().to_json();
    assert!(json.contains(r#""deadlocks":[["#), "{json}");
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let mut circles = value["deadlocks"].as_array().expect("circles").iter();
    let crossed = |it: &&serde_json::Value| {
        let both = ["cross a", "cross b"];
        both.contains(&it[0]["thread"]["name"].as_str().unwrap_or(""))
    };
    let circle = circles.find(crossed).expect("the circle");
    assert_eq!(circle.as_array().map(Vec::len), Some(2), "{json}");
    assert_eq!(circle[1]["reason"], "mutex lock", "{json}");
    let before = turns.load(Relaxed);
    while turns.load(Relaxed) < before + 10 {
        std::thread::yield_now();
    }
    stop.store(true, Relaxed);
    third.join().expect("no panic");
}

#[test]
fn three_in_a_circle_are_found_and_who_waits_for_them_is_not_in_it() {
    let runtime = runtime(2);
    let locks = [(); 3].map(|()| Arc::new(RwLock::new(())));
    let all = Arc::new(Barrier::new(3));
    for index in 0..3 {
        let [one, two] = [index, (index + 1) % 3].map(|it| Arc::clone(&locks[it]));
        let all = Arc::clone(&all);
        spawn_named(&runtime, &format!("three {index}"), move || {
            let _one = one.write();
            all.wait();
            // To read is to wait for who writes, too.
            if index == 1 {
                drop(two.read());
            } else {
                drop(two.write());
            }
        });
    }
    let circle = until_circle("three 0");
    assert_eq!(names(&circle), ["three 0", "three 1", "three 2"]);
    spawn_named(&runtime, "three and one", {
        let lock = Arc::clone(&locks[0]);
        move || drop(lock.write())
    });
    until_waits(&runtime, "three and one", |_| true);
    let circle = until_circle("three 0");
    assert_eq!(names(&circle), ["three 0", "three 1", "three 2"]);
}

#[test]
fn a_lock_and_a_join_are_a_circle() {
    let runtime = runtime(1);
    let mutex = Arc::new(Mutex::new(()));
    spawn_named(&runtime, "joins", move || {
        let _held = mutex.lock();
        let builder = thread::Builder::new().name("is joined".to_owned());
        let child = builder.spawn({
            let mutex = Arc::clone(&mutex);
            move || drop(mutex.lock())
        });
        drop(child.expect("memory").join());
    });
    let circle = until_circle("joins");
    assert_eq!(names(&circle), ["is joined", "joins"]);
    let what = until_waits(&runtime, "joins", |_| true);
    assert!(
        what.to_string().starts_with("the end of green thread "),
        "{what}"
    );
}

/// A kernel thread holds what a green one wants, and the other way round. It is let go by the end of the
/// runtime, which calls off the wait of the green one.
#[test]
fn a_kernel_thread_is_part_of_a_circle() {
    let runtime = runtime(1);
    let locks = [(); 2].map(|()| Arc::new(Mutex::new(())));
    let both = Arc::new(Barrier::new(2));
    let kernel = std::thread::Builder::new()
        .name("kernel half".to_owned())
        .spawn({
            let ([one, two], both) = (locks.clone(), Arc::clone(&both));
            move || {
                let _one = one.lock();
                both.wait();
                drop(two.lock());
            }
        });
    spawn_named(&runtime, "green half", move || {
        let [two, one] = locks;
        let _one = one.lock();
        both.wait();
        drop(two.lock());
    });
    let circle = until_circle("green half");
    assert_eq!(names(&circle), ["green half", "kernel half"]);
    assert!(circle.to_string().contains("kernel thread "), "{circle}");
    drop(runtime);
    kernel.expect("a thread").join().expect("no panic");
}

#[test]
fn a_wait_with_a_deadline_is_part_of_no_circle() {
    let runtime = runtime(1);
    let locks = [(); 2].map(|()| Arc::new(Mutex::new(())));
    let both = Arc::new(Barrier::new(2));
    for index in 0..2 {
        let [one, two] = [index, 1 - index].map(|it| Arc::clone(&locks[it]));
        let both = Arc::clone(&both);
        spawn_named(&runtime, &format!("late {index}"), move || {
            let _one = one.lock();
            both.wait();
            if index == 0 {
                drop(two.lock());
            } else {
                drop(two.lock_timeout(LIMIT));
            }
        });
    }
    for index in 0..2 {
        until_waits(&runtime, &format!("late {index}"), |it| {
            matches!(
                it,
                WaitsFor::Lock {
                    holder: Some(_),
                    ..
                }
            )
        });
    }
    let dump = sward::dump();
    let is_late = |it: &Circle| {
        it.threads()
            .iter()
            .any(|it| name_of(&it.thread).starts_with("late"))
    };
    assert!(!dump.deadlocks().iter().any(is_late), "{dump}");
}

/// Many lock many in one order, over and over, with kernel threads among them: at any moment somebody waits
/// for somebody who waits, and never in a circle.
#[test]
fn a_storm_of_locks_raises_no_false_alarm() {
    for seed in seeds().take(4) {
        let runtime = Arc::new(runtime(2));
        let locks: Arc<[_; 4]> =
            Arc::new([(); 4].map(|()| (Mutex::new(0_u64), RwLock::new(0_u64))));
        // At least so long that the watcher has seen somebody who waits for somebody.
        let seen = Arc::new(AtomicBool::new(false));
        let work = {
            let seen = Arc::clone(&seen);
            move |locks: &[(Mutex<u64>, RwLock<u64>); 4], rng: &mut Rng, pause: fn()| {
                let start = Instant::now();
                let mut rounds = 0;
                while rounds < 300 || (!seen.load(Relaxed) && start.elapsed() < LIMIT) {
                    rounds += 1;
                    let (first, second) = (rng.below(4), rng.below(4));
                    let (low, high) = (first.min(second), first.max(second));
                    let mut one = locks[low].0.lock().expect("no panic");
                    pause();
                    if low < high {
                        let mut two = locks[high].0.lock().expect("no panic");
                        pause();
                        *two += 1;
                    }
                    if rng.below(2) == 0 {
                        *locks[low].1.write().expect("no panic") += 1;
                    } else {
                        pause();
                        *one += *locks[low].1.read().expect("no panic") & 1;
                    }
                    *one += 1;
                }
            }
        };
        let stop = Arc::new(AtomicBool::new(false));
        let watcher = std::thread::spawn({
            let (runtime, stop) = (Arc::clone(&runtime), Arc::clone(&stop));
            move || {
                let (mut looks, mut waits) = (0_u64, 0_u64);
                while !stop.load(Relaxed) {
                    let dump = runtime.dump();
                    let storms = |it: &&Circle| {
                        it.threads()
                            .iter()
                            .any(|it| name_of(&it.thread).starts_with("storm"))
                    };
                    let alarm = dump.deadlocks().iter().find(storms);
                    assert!(alarm.is_none(), "seed {seed}: {alarm:?}");
                    looks += 1;
                    let held = |it: &&sward::observe::GreenThread| {
                        matches!(
                            it.waits_for,
                            Some(WaitsFor::Lock {
                                holder: Some(_),
                                ..
                            })
                        )
                    };
                    waits += dump.green_threads().iter().filter(held).count() as u64;
                    seen.store(waits > 0, Relaxed);
                }
                (looks, waits)
            }
        });
        let kernel = std::thread::Builder::new().name("storm".to_owned()).spawn({
            let (locks, work) = (Arc::clone(&locks), work.clone());
            move || work(&locks, &mut Rng::new(seed), std::thread::yield_now)
        });
        runtime.run(move || {
            sward::scope(|scope| {
                for index in 0..12 {
                    let (locks, work) = (&locks, work.clone());
                    let builder = thread::Builder::new().name(format!("storm {index}"));
                    let spawned = builder.spawn_scoped(scope, move || {
                        work(locks, &mut Rng::new(seed * 100 + index), sward::yield_now);
                    });
                    spawned.expect("memory");
                }
            });
        });
        kernel.expect("a thread").join().expect("no panic");
        stop.store(true, Relaxed);
        let (looks, waits) = watcher.join().expect("no panic");
        assert!(looks > 0 && waits > 0, "seed {seed}: {looks} {waits}");
    }
}

#[inline(never)]
fn sums_up(rx: &channel::Receiver<u32>) -> u32 {
    rx.iter().sum()
}

#[test]
fn a_backtrace_names_the_function_that_waits() {
    let builder = Runtime::builder().workers(1).keep_backtraces();
    let runtime = builder.build().expect("a runtime");
    let (tx, rx) = channel::unbounded::<u32>();
    let summing = runtime.spawn(move || sums_up(&rx));
    let deadline = Instant::now() + LIMIT;
    let (dump, text) = loop {
        let dump = runtime.dump();
        let text = dump
            .green_threads()
            .iter()
            .find_map(|it| it.backtrace.clone());
        if let Some(text) = text {
            break (dump, text);
        }
        assert!(Instant::now() < deadline, "{dump}");
        std::thread::yield_now();
    };
    assert!(text.contains("observe_waits::sums_up"), "{text}");
    assert!(text.contains("observe_waits.rs:"), "{text}");
    assert!(!text.contains("sward::wait::"), "{text}");
    assert!(
        dump.to_string().contains("observe_waits::sums_up"),
        "{dump}"
    );
    assert!(dump.to_json().contains("observe_waits::sums_up"), "{dump}");
    tx.send(3).expect("it listens");
    drop(tx);
    assert_eq!(summing.join().ok(), Some(3));
    let dump = runtime.dump();
    assert!(dump.green_threads().iter().all(|it| it.backtrace.is_none()));
}
