//! The same seed makes the same run, byte for byte; other seeds make others.

use std::{collections::HashSet, sync::Arc, time::Duration};
use sward::{
    channel::{bounded, select},
    sim::{self, Explorer, Report},
    spawn,
    sync::Mutex,
    time,
};

/// Some of everything: locks, channels, time, a select, spawns.
fn mixture() {
    let (tx, rx) = bounded(1);
    let (quit, quitted) = bounded::<()>(0);
    let sum = Arc::new(Mutex::new(0));
    let workers: Vec<_> = (0..3_u64)
        .map(|number| {
            let (tx, sum) = (tx.clone(), Arc::clone(&sum));
            spawn(move || {
                for round in 0..3 {
                    *sum.lock().expect("no panic") += number;
                    _ = tx.send(round);
                    time::sleep(Duration::from_millis(number));
                }
            })
        })
        .collect();
    drop(tx);
    let reader = spawn(move || {
        let mut seen = 0;
        loop {
            select! {
                recv(rx) -> it => match it {
                    Ok(_) => seen += 1,
                    Err(_) => return seen,
                },
                recv(quitted) -> _ => return seen,
            }
        }
    });
    for worker in workers {
        worker.join().expect("no panic");
    }
    drop(quit);
    assert!(reader.join().expect("no panic") <= 9);
    assert_eq!(*sum.lock().expect("no panic"), 9);
}

#[test]
fn the_same_seed_makes_the_same_log() {
    let explorers = [Explorer::new(), Explorer::new().pct(3)];
    for explorer in explorers {
        let mut logs = HashSet::new();
        for seed in 0..50 {
            let (one, two) = (
                explorer.report(seed, mixture),
                explorer.report(seed, mixture),
            );
            assert_eq!(one.failure(), None);
            assert_eq!(one.log(), two.log());
            assert_eq!((one.steps(), one.elapsed()), (two.steps(), two.elapsed()));
            logs.insert(one.log());
        }
        assert!(logs.len() > 40, "only {} runs differ", logs.len());
    }
}

#[test]
fn a_report_is_the_same_from_a_green_thread_and_beside_a_runtime() {
    let log = |report: Report| report.log();
    let plain = log(sim::run(5, mixture));
    let inside = sward::run(move || sim::run(5, mixture).log());
    assert_eq!(plain, inside);
}

#[test]
fn an_exploration_and_a_replay_are_the_same_runs() {
    let elapsed = |seed| sim::run(seed, mixture).elapsed();
    assert_eq!(elapsed(1), elapsed(1));
    sim::replay(1, mixture);
}
