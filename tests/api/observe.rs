//! Metrics, dumps and traces: what is told is so.

use crate::support::runtime;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use sward::{Metrics, channel, thread};

const LIMIT: Duration = Duration::from_secs(60);

/// Waits until the runtime's metrics are as wanted.
fn until(runtime: &sward::Runtime, wanted: impl Fn(&Metrics) -> bool) -> Metrics {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let metrics = runtime.metrics();
        if wanted(&metrics) {
            return metrics;
        }
        assert!(std::time::Instant::now() < deadline, "{metrics:?}");
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
            runtime.spawn(move || drop(rx.recv()))
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
    assert!((300..=500).contains(&delay.samples()), "{delay:?}");
    assert!(delay.quantile(0.5) > Duration::ZERO);
    assert!(delay.sum() < LIMIT, "{delay:?}");
}

#[test]
fn a_stall_shows_in_the_histogram() {
    let runtime = runtime(1);
    let stall = Duration::from_millis(20);
    runtime.run(move || {
        // What becomes runnable waits for a thread that computes; the monitor's help comes too late for
        // some of so many.
        for _ in 0..64 {
            sward::spawn(sward::yield_now);
            sward::yield_now();
        }
        let workers = (0..256).map(|_| sward::spawn(sward::yield_now));
        let workers: Vec<_> = workers.collect();
        let start = std::time::Instant::now();
        while start.elapsed() < stall {
            std::hint::spin_loop();
        }
        for it in workers {
            it.join().expect("no panic");
        }
    });
    let delay = runtime.metrics().run_delay;
    assert!(
        delay.quantile(1.0) >= Duration::from_micros(100),
        "{delay:?}"
    );
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
