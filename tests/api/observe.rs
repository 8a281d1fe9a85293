//! Metrics, dumps and traces: what is told is so.

use crate::support::{Rng, in_child, runtime, seeds};
use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use sward::{
    Metrics, channel,
    net::{TcpListener, unix::UnixStream},
    observe::{GreenThread, State},
    sync::{Barrier, Condvar, Group, Mutex, RwLock, Semaphore, WaitGroup},
    thread,
};

const LIMIT: Duration = Duration::from_mins(1);

/// A result of whatever kind, which is not the point.
fn ignore<T>(result: T) {
    drop(result);
}

/// Waits until the runtime's metrics are as wanted.
fn until(runtime: &sward::Runtime, wanted: impl Fn(&Metrics) -> bool) -> Metrics {
    let deadline = Instant::now() + LIMIT;
    loop {
        let metrics = runtime.metrics();
        if wanted(&metrics) {
            return metrics;
        }
        assert!(Instant::now() < deadline, "{metrics:?}");
        std::thread::yield_now();
    }
}

#[test]
fn states_and_counters_are_those_of_the_green_threads() {
    let runtime = runtime(2);
    let (tx, rx) = channel::bounded::<()>(0);
    let parked: Vec<_> = (0..10)
        .map(|_| {
            let rx = rx.clone();
            runtime.spawn(move || _ = rx.recv())
        })
        .collect();
    let sleeper = runtime.spawn(|| thread::sleep(LIMIT));
    let stop = Arc::new(AtomicBool::new(false));
    let spinner = runtime.spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Relaxed) {
                std::hint::spin_loop();
            }
        }
    });
    let metrics = until(&runtime, |it| it.parked == 11 && it.running == 1);
    assert_eq!(
        (metrics.spawned, metrics.finished, metrics.live),
        (12, 0, 12)
    );
    assert_eq!((metrics.workers, metrics.timers), (2, 1));
    assert!(metrics.threads >= 2, "{metrics:?}");
    assert!(metrics.parks >= 11, "{metrics:?}");
    assert!(metrics.stacks_in_use >= 12, "{metrics:?}");
    stop.store(true, Relaxed);
    drop(tx);
    for it in parked.into_iter().chain([spinner]) {
        it.join().expect("no panic");
    }
    let metrics = until(&runtime, |it| it.finished == 11);
    assert_eq!((metrics.parked, metrics.live), (1, 1));
    drop(sleeper);
}

#[test]
fn a_blocking_call_is_a_blocked_worker_while_others_work() {
    let runtime = runtime(1);
    let (tx, rx) = std::sync::mpsc::channel::<()>();
    let blocked = runtime.spawn(move || sward::blocking(|| rx.recv()));
    until(&runtime, |it| it.blocked_workers == 1);
    runtime.run(|| ());
    tx.send(()).expect("it waits");
    assert!(blocked.join().is_ok_and(|it| it.is_ok()));
    until(&runtime, |it| it.blocked_workers == 0);
}

#[test]
fn one_switch_in_64_is_looked_at_for_how_long_it_waited_to_run() {
    let runtime = runtime(1);
    runtime.run(|| {
        let yielders = (0..4).map(|_| {
            sward::spawn(|| {
                for _ in 0..6_400 {
                    sward::yield_now();
                }
            })
        });
        for it in yielders.collect::<Vec<_>>() {
            it.join().expect("no panic");
        }
    });
    let delay = runtime.metrics().run_delay;
    // One of each 67 turns, of which there are 25,600 and some; and each start and end of a trace, of which
    // another test makes forty, may add one or take one away.
    assert!((350..=450).contains(&delay.samples()), "{delay:?}");
    assert!(delay.quantile(0.5) > Duration::ZERO);
    assert!(delay.sum() < LIMIT, "{delay:?}");
}

#[test]
fn a_stall_shows_in_the_histogram() {
    let runtime = runtime(1);
    let stall = Duration::from_micros(300);
    // One turn in 67 is measured; and on a busy machine the child may get another thread's processor.
    let shows = (0..100).any(|_| {
        runtime.run(move || {
            for _ in 0..64 {
                // It waits for its turn while this one computes, for less than it takes to lose the
                // processor.
                let child = sward::spawn(|| ());
                let start = Instant::now();
                while start.elapsed() < stall {
                    std::hint::spin_loop();
                }
                child.join().expect("no panic");
            }
        });
        runtime.metrics().run_delay.quantile(1.0) >= stall
    });
    assert!(shows, "{:?}", runtime.metrics().run_delay);
}

#[test]
fn prometheus_can_read_every_line() {
    let runtime = runtime(1);
    runtime.run(|| ());
    let metrics = runtime.metrics();
    let text = metrics.to_prometheus();
    let mut samples = 0;
    for line in text.lines() {
        if line.starts_with('#') {
            assert!(line.starts_with("# HELP sward_") || line.starts_with("# TYPE sward_"));
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(name.starts_with("sward_"), "{line}");
        assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        samples += 1;
    }
    assert!(samples > 40, "{text}");
    assert!(
        text.contains(&format!("\nsward_spawned_total {}\n", metrics.spawned))
            || text.starts_with("# HELP sward_spawned")
    );
    assert!(text.contains("sward_run_delay_seconds_bucket{le=\"+Inf\"} "));
}

#[test]
fn all_runtimes_together_have_what_each_has() {
    let runtime = runtime(1);
    runtime.run(|| ());
    let (own, all) = (runtime.metrics(), sward::metrics());
    assert!(all.workers >= own.workers && all.spawned >= own.spawned);
    assert!(all.stacks_in_use >= own.stacks_in_use);
}

/// Waits until some entry of the dump is as wanted.
fn until_listed(runtime: &sward::Runtime, wanted: impl Fn(&GreenThread) -> bool) -> GreenThread {
    let deadline = Instant::now() + LIMIT;
    loop {
        let dump = runtime.dump();
        if let Some(it) = dump.green_threads().iter().find(|it| wanted(it)) {
            return it.clone();
        }
        assert!(Instant::now() < deadline, "{dump}");
        std::thread::yield_now();
    }
}

/// Each way to wait, by its reason, told with the line of this file on which it is called: one a line.
#[test]
fn every_wait_is_told_by_its_reason_and_line() {
    macro_rules! waits {
        ($($reason:literal => $wait:expr;)*) => {
            (line!(), [$(($reason, Box::new(move || ignore($wait)) as Box<dyn FnOnce() + Send>)),*])
        };
    }
    let (keep, nothing) = channel::unbounded::<()>();
    let (full, keep_too) = channel::bounded::<()>(0);
    let [one, two, three, four, five] = [(); 5].map(|()| nothing.clone());
    let mutex: &Mutex<()> = Box::leak(Box::new(Mutex::new(())));
    let lock: &RwLock<()> = Box::leak(Box::new(RwLock::new(())));
    let second: &Mutex<()> = Box::leak(Box::new(Mutex::new(())));
    let condition: &Condvar = Box::leak(Box::new(Condvar::new()));
    let semaphore: &Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let barrier: &Barrier = Box::leak(Box::new(Barrier::new(2)));
    let group = WaitGroup::new();
    group.add(1);
    let errors = Group::<()>::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (mut near, _far) = UnixStream::pair().expect("descriptors");
    let (_held, _read) = (mutex.lock(), lock.read());
    let runtime = runtime(1);
    let parked = runtime.spawn(thread::park);
    let member = errors.clone();
    runtime.run(move || {
        member.go(|| {
            thread::park();
            Ok(())
        });
    });
    let (above, waits) = waits! {
        "channel receive" => one.recv();
        "channel receive" => two.recv_timeout(LIMIT);
        "channel receive" => three.into_iter().next();
        "channel send" => full.send(());
        "select" => channel::select! { recv(four) -> it => it.is_ok(), recv(five) -> it => it.is_ok() };
        "never" => channel::never::<()>().recv();
        "sleep" => thread::sleep(LIMIT);
        "park" => thread::park();
        "join" => parked.join();
        "mutex lock" => mutex.lock();
        "mutex lock" => mutex.lock_timeout(LIMIT);
        "rwlock write" => lock.write();
        "condition variable" => condition.wait(second.lock().expect("no panic"));
        "semaphore" => semaphore.acquire(1);
        "barrier" => barrier.wait();
        "wait group" => group.wait();
        "group" => errors.wait();
        "readable socket" => listener.accept();
        "readable socket" => near.read(&mut [0]);
        "scope" => sward::scope(|scope| { scope.spawn(thread::park); });
    };
    for (line, (reason, wait)) in (above + 1..).zip(waits) {
        let builder = thread::Builder::new().name(format!("{reason} {line}"));
        let builder = runtime.run(move || builder.spawn(wait).map(drop));
        builder.expect("memory");
        let name = format!("{reason} {line}");
        let listed = until_listed(&runtime, |it| {
            it.name.as_ref() == Some(&name)
                && it.state == State::Parked
                && it.reason == Some(reason)
        });
        let place = listed.waits_at.expect("a place");
        assert_eq!((place.file(), place.line()), (file!(), line), "{listed}");
        assert_eq!(listed.spawned_at.file(), file!(), "{listed}");
        assert!(listed.waited.is_some_and(|it| it < LIMIT), "{listed}");
    }
    drop((keep, keep_too));
    runtime.shutdown_timeout(Duration::from_millis(100));
}

#[test]
fn states_are_told_apart_and_how_long_one_waits() {
    let runtime = runtime(1);
    let stop = Arc::new(AtomicBool::new(false));
    let parked = runtime.spawn(thread::park);
    let first = until_listed(&runtime, |it| it.state == State::Parked);
    let (tx, rx) = std::sync::mpsc::channel::<()>();
    let blocked = runtime.spawn(move || _ = sward::blocking(|| rx.recv()));
    let blocking = until_listed(&runtime, |it| it.state == State::Blocking);
    assert_eq!(
        (
            blocking.reason,
            blocking.waits_at.map(std::panic::Location::file)
        ),
        (Some("blocking call"), Some(file!()))
    );
    let spinner = runtime.spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Relaxed) {
                std::hint::spin_loop();
            }
        }
    });
    let running = until_listed(&runtime, |it| it.state == State::Running);
    assert_eq!(
        (running.reason, running.waits_at, running.waited),
        (None, None, None)
    );
    let fresh = runtime.spawn(|| ());
    // The monitor may give the spinner's processor to another thread at any time.
    let listed = runtime.dump();
    assert!(listed.green_threads().len() >= 3, "{listed}");
    let later = until_listed(&runtime, |it| it.waited > Some(Duration::from_millis(50)));
    assert_eq!(later.id.min(first.id), first.id);
    stop.store(true, Relaxed);
    tx.send(()).expect("it waits");
    parked.thread().unpark();
    for it in [parked, blocked, spinner, fresh] {
        it.join().expect("no panic");
    }
    assert_eq!(runtime.run(sward::dump).green_threads().len().min(1), 1);
}

#[test]
fn a_runtime_lists_its_own_and_pinned_ones_too() {
    let (one, two) = (runtime(1), runtime(1));
    let pinned = one.run(|| {
        thread::Builder::new()
            .name("pin".to_owned())
            .spawn_pinned(thread::park)
    });
    let pinned = pinned.expect("a kernel thread");
    let other = two.spawn(thread::park);
    let listed = until_listed(&one, |it| it.state == State::Parked);
    assert_eq!(
        (listed.name.as_deref(), listed.reason),
        (Some("pin"), Some("park"))
    );
    until_listed(&two, |it| it.state == State::Parked);
    assert_eq!(two.dump().green_threads().len(), 1);
    assert!(sward::dump().green_threads().len() >= 2);
    for it in [pinned, other] {
        it.thread().unpark();
        it.join().expect("no panic");
    }
}

#[test]
fn json_is_json() {
    let runtime = runtime(1);
    let name = "a \"name\"\\ with\nthings".to_owned();
    let named = runtime.run(move || thread::Builder::new().name(name).spawn(thread::park));
    let named = named.expect("memory");
    until_listed(&runtime, |it| it.state == State::Parked);
    let json = runtime.dump().to_json();
    assert!(json.contains(r#""name":"a \"name\"\\ with\u000athings","state":"parked","reason":"park","waited_ms":"#), "{json}");
    assert!(json.contains(r#","spawned_at":{"file":"#), "{json}");
    assert!(json.contains(r#"}],"deadlocks":["#), "{json}");
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let thread = &value["green_threads"][0];
    assert_eq!(thread["name"], "a \"name\"\\ with\nthings");
    assert_eq!(thread["spawned_at"]["file"], file!());
    assert!(
        thread["waited_ms"].is_u64() && thread["waits_for"].is_null(),
        "{json}"
    );
    named.thread().unpark();
    named.join().expect("no panic");
}

/// A dump of many goes on beside those who run: they have turns between its begin and its end.
#[test]
fn a_dump_of_many_stops_nobody() {
    const COUNT: usize = 20_000;
    const TURNS: u64 = 100;
    let runtime = runtime(1);
    let (tx, rx) = channel::bounded::<()>(0);
    for _ in 0..COUNT {
        let rx = rx.clone();
        runtime.spawn(move || rx.recv());
    }
    let (turns, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let turner = runtime.spawn({
        let (turns, stop) = (Arc::clone(&turns), Arc::clone(&stop));
        move || {
            while !stop.load(Relaxed) {
                turns.fetch_add(1, Relaxed);
                sward::yield_now();
            }
        }
    });
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let before = turns.load(Relaxed);
        let dump = runtime.dump();
        let turns = turns.load(Relaxed) - before;
        if turns >= TURNS && dump.green_threads().len() == COUNT + 1 {
            break;
        }
        assert!(Instant::now() < deadline, "{turns} turns beside a dump");
    }
    stop.store(true, Relaxed);
    turner.join().expect("no panic");
    drop(tx);
}

/// Spawns, wakes, joins and blocks while somebody dumps without a pause: nothing breaks, and whoever lives
/// throughout is listed once in every dump.
#[test]
fn dumps_break_nothing_and_miss_nobody() {
    for seed in seeds().take(2) {
        let runtime = Arc::new(runtime(2));
        let residents: Vec<_> = (0..50).map(|_| runtime.spawn(thread::park)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let dumped = Arc::new(AtomicBool::new(false));
        let watcher = std::thread::spawn({
            let (runtime, stop) = (Arc::clone(&runtime), Arc::clone(&stop));
            let dumped = Arc::clone(&dumped);
            move || {
                let mut dumps = 0_u64;
                while !stop.load(Relaxed) {
                    let dump = runtime.dump();
                    let ids: Vec<_> = dump.green_threads().iter().map(|it| it.id).collect();
                    assert!(ids.windows(2).all(|it| it[0] < it[1]), "twice: {ids:?}");
                    let parks = dump.green_threads().iter();
                    let parks = parks.filter(|it| it.reason == Some("park")).count();
                    assert!(dumps == 0 || parks >= 50, "{dump}");
                    assert!(dump.to_json().len() > 50 && !dump.to_string().is_empty());
                    let metrics = runtime.metrics();
                    assert_eq!(
                        metrics.live,
                        metrics.running + metrics.runnable + metrics.parked
                    );
                    dumps += u64::from(parks >= 50);
                    dumped.store(dumps > 0, Relaxed);
                }
                dumps
            }
        });
        let (least, start) = (30, Instant::now());
        runtime.run(move || {
            let mut rng = Rng::new(seed);
            // At least so long that there was a dump.
            let mut rounds = 0;
            while rounds < least || (!dumped.load(Relaxed) && start.elapsed() < LIMIT) {
                rounds += 1;
                let (tx, rx) = channel::bounded(rng.below(3));
                let sum: u64 = sward::scope(|scope| {
                    for it in 0..100_u64 {
                        let tx = tx.clone();
                        scope.spawn(move || {
                            sward::yield_now();
                            tx.send(it).expect("somebody listens");
                        });
                    }
                    drop(tx);
                    scope.spawn(|| sward::blocking(std::thread::yield_now));
                    rx.iter().sum()
                });
                assert_eq!(sum, 4_950, "seed {seed}");
            }
        });
        stop.store(true, Relaxed);
        let dumps = watcher.join().expect("no panic");
        assert!(dumps > 0, "seed {seed}");
        for it in residents {
            it.thread().unpark();
            it.join().expect("no panic");
        }
    }
}

#[test]
fn a_signal_that_cannot_ask_for_a_dump_is_an_error() {
    for (signal, why) in [
        (0, "Invalid argument"),
        (-1, "Invalid argument"),
        (9_999, "Invalid argument"),
        (libc::SIGKILL, "no program can handle it"),
        (libc::SIGSEGV, "it tells of a fault"),
    ] {
        let error = sward::Runtime::builder().dump_on(signal).build();
        let error = error.expect_err("no such signal");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{signal}");
        let said = error.to_string();
        assert!(
            said.starts_with(&format!("cannot dump on signal {signal}: {why}")),
            "{said}"
        );
    }
}

/// What a line of a trace says under this name.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
    Some(rest.split([',', '}']).next()?.trim_matches('"'))
}

#[test]
fn a_trace_is_what_happened() {
    in_child::succeeds("observe::child_is_traced");
}

/// A trace is of the whole process, and there is one at a time.
#[test]
#[ignore = "run by another test"]
fn child_is_traced() {
    let folder = std::env::temp_dir();
    let path = folder.join(format!("sward-test-{}.json", std::process::id()));
    let nowhere = folder.join("no such folder").join("trace.json");
    let error = sward::trace::start(&nowhere).expect_err("no such folder");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("no such folder"), "{error}");
    assert_eq!(
        sward::trace::stop().map_err(|it| it.kind()),
        Err(std::io::ErrorKind::NotFound)
    );

    let runtime = runtime(2);
    for round in 0..20 {
        sward::trace::start(&path).expect("a file");
        let error = sward::trace::start(&path).expect_err("one at a time");
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
        runtime.run(|| {
            sward::scope(|scope| {
                let (tx, rx) = channel::bounded(0);
                for it in 0..20 {
                    let tx = tx.clone();
                    scope.spawn(move || {
                        sward::yield_now();
                        tx.send(it).expect("somebody listens");
                        sward::blocking(std::thread::yield_now);
                    });
                }
                drop(tx);
                assert_eq!(rx.iter().sum::<i32>(), 190);
            });
        });
        // A turn is noted when it is over, which is a little after others may know that its thread has ended.
        while runtime.metrics().live > 0 {
            std::thread::yield_now();
        }
        // From a green thread as well.
        if round % 2 == 0 {
            sward::trace::stop().expect("the file is written");
        } else {
            runtime
                .run(sward::trace::stop)
                .expect("the file is written");
        }
        check_trace(&std::fs::read_to_string(&path).expect("the file"));
    }
    std::fs::remove_file(&path).expect("it is there");
}

/// Turns of one thread, and of one green thread, follow each other; none comes after the last.
fn check_trace(text: &str) {
    let mut turns: Vec<(f64, f64, &str, &str, &str)> = Vec::new();
    for line in text.lines().filter(|it| it.contains("\"ph\":\"X\"")) {
        let number = |name| field(line, name).and_then(|it| it.parse::<f64>().ok());
        let word = |name| field(line, name).expect("a word");
        let (start, length) = (
            number("ts").expect("a time"),
            number("dur").expect("a time"),
        );
        turns.push((
            start,
            length,
            word("tid"),
            word("green_thread"),
            word("ended"),
        ));
        assert!(
            line.contains("\"name\":\"tests/api/observe.rs:")
                || line.contains("\"name\":\"runtime/")
                || line.contains("\"name\":\"tests/"),
            "{line}"
        );
    }
    turns.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ended = |how: &str| turns.iter().filter(|it| it.4 == how).count();
    assert_eq!(ended("finished"), 21, "{text}");
    assert_eq!(ended("yielded"), 20, "{text}");
    // Which side waits for the other is chance, but of each message one does; and the receiver, perhaps, for
    // the end.
    let waits = ended("channel send") + ended("channel receive");
    assert!((20..=21).contains(&waits), "{waits}\n{text}");
    assert_eq!(ended("blocking call"), 20, "{text}");
    for (index, turn) in turns.iter().enumerate() {
        // The file's times are cut to nanoseconds, and floats are a little off.
        let end = turn.0 + turn.1 - 0.002;
        for later in &turns[index + 1..] {
            if later.2 == turn.2 {
                assert!(end <= later.0, "two on one thread: {turn:?} {later:?}");
            }
            if later.3 == turn.3 {
                assert!(end <= later.0, "on two threads: {turn:?} {later:?}");
                assert_ne!(turn.4, "finished", "{turn:?} {later:?}");
            }
        }
    }
    let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let events = value["traceEvents"].as_array().expect("events");
    assert!(events.len() > turns.len(), "names as well");
}
