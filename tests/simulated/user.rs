//! A failing seed as its user meets it: the message of a test, and the replay in another process.

use crate::{seed_in, support::in_child};
use std::{env, time::Duration};
use sward::{channel::bounded, sim, spawn, sync::Mutex, time};

/// Two who lock in opposite order, but only if the second is late.
fn racy() {
    let start = time::now();
    let locks = std::sync::Arc::new((Mutex::new(()), Mutex::new(())));
    let (tx, rx) = bounded(1);
    let other = spawn({
        let locks = std::sync::Arc::clone(&locks);
        move || {
            time::sleep(Duration::from_mins(3));
            let one = locks.1.lock().expect("no panic");
            let two = locks.0.lock().expect("no panic");
            tx.send(time::now() - start).expect("it listens");
            drop((one, two));
        }
    });
    time::sleep(Duration::from_mins(3));
    let one = locks.0.lock().expect("no panic");
    let two = locks.1.lock().expect("no panic");
    drop((one, two));
    assert_eq!(rx.recv(), Ok(Duration::from_mins(3)));
    other.join().expect("no panic");
}

#[test]
#[ignore = "fails, in a process of its own"]
fn child_that_explores() {
    sim::explore(0..1000, racy);
}

#[test]
#[ignore = "fails, in a process of its own"]
fn child_that_replays() {
    let seed = env::var("SEED").expect("the seed of the failure");
    sim::replay(seed.parse().expect("a number"), racy);
}

/// What a failing test said of its seed, to the end of its log.
fn complaint_of(test: &str, seed: Option<u64>) -> String {
    let ended = in_child::run(test, |command| {
        if let Some(seed) = seed {
            command.env("SEED", seed.to_string());
        }
        command.env("RUST_BACKTRACE", "0");
    });
    assert_eq!(ended.status.code(), Some(101), "{ended:?}");
    let said = ended.complained + &ended.said;
    let from = said.find("\nseed ").expect("the seed") + 1;
    let said = &said[from..];
    let log = said.find("what happened:\n").expect("the log");
    let lines = said[log..].split_inclusive('\n');
    let events = lines
        .skip(1)
        .take_while(|it| it.starts_with(|it: char| it.is_ascii_digit() || it == '('));
    let length: usize = events.map(str::len).sum();
    said[..log + "what happened:\n".len() + length].to_owned()
}

#[test]
fn a_failing_seed_is_printed_and_replays_in_another_process_byte_for_byte() {
    let found = complaint_of("user::child_that_explores", None);
    let seed = seed_in(&found);
    assert!(found.contains("deadlock!"), "{found}");
    assert!(
        found.contains(&format!("to replay: sim::replay({seed}, ..)\n")),
        "{found}"
    );
    assert!(found.contains("at 180.000000000 s"), "{found}");
    for waits in [
        "  1 waits: mutex lock, spawned at ",
        "  2 waits: mutex lock, spawned at ",
    ] {
        assert!(found.contains(waits), "{found}");
    }
    let again = complaint_of("user::child_that_replays", Some(seed));
    assert_eq!(again, complaint_of("user::child_that_replays", Some(seed)));
    // The exploration keeps the last events alone; here they are all there were, or the end of them.
    let parts = |it: &str| {
        let (head, log) = it.split_once("what happened:\n").expect("a log");
        let head: Vec<_> = head.lines().take(3).map(str::to_owned).collect();
        let log = log.split_once(" before these)\n").map_or(log, |it| it.1);
        (head, log.to_owned())
    };
    let ((head, tail), (same, log)) = (parts(&found), parts(&again));
    assert_eq!(head, same, "the failure, how to replay it, and when");
    assert!(log.ends_with(&tail), "{again}\n{found}");
    assert!(
        again.contains("\n0.000000000 1 begins\n"),
        "the replay shows all: {again}"
    );
}
