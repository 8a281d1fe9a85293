//! What those wait for who choose, and those whom others have moved from line to line.

use crate::{
    observe_waits::{LIMIT, green, names, spawn_named, until_circle, until_waits},
    support::runtime,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use sward::{
    Runtime, channel,
    observe::{Arm, WaitsFor},
    sync::{Condvar, Mutex},
};

/// The number of the channel for which the green thread of this name waits.
fn channel_of(runtime: &Runtime, name: &str) -> usize {
    match until_waits(runtime, name, |it| matches!(it, WaitsFor::Channel { .. })) {
        WaitsFor::Channel { channel, .. } => channel,
        WaitsFor::Lock { .. } | WaitsFor::End(_) | _ => unreachable!("it is asked for"),
    }
}

#[test]
fn a_choice_tells_its_arms() {
    let runtime = runtime(1);
    let ((to_one, one), (two, from_two)) = (channel::bounded::<u8>(0), channel::bounded::<u8>(0));
    let (three, from_three) = channel::bounded::<u8>(0);
    spawn_named(&runtime, "at one", {
        let one = one.clone();
        move || _ = one.recv()
    });
    spawn_named(&runtime, "at two", {
        let two = two.clone();
        move || _ = two.send(0)
    });
    let (number_of_one, number_of_two) = (
        channel_of(&runtime, "at one"),
        channel_of(&runtime, "at two"),
    );
    spawn_named(&runtime, "chooses", {
        let (one, two) = (one.clone(), two.clone());
        move || {
            channel::select! {
                recv(one) -> it => _ = it,
                send(two, 7) -> it => _ = it,
                recv(channel::after(LIMIT)) -> it => _ = it,
                recv(channel::never::<u8>()) -> it => _ = it,
            }
        }
    });
    let what = until_waits(&runtime, "chooses", |_| true);
    let first = vec![
        Arm::Receive(number_of_one),
        Arm::Send(number_of_two),
        Arm::Time,
        Arm::Never,
    ];
    assert_eq!(what, WaitsFor::Choice { arms: 4, first });
    let json = runtime.dump().to_json();
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let mut threads = value["green_threads"].as_array().expect("some").iter();
    let chooses = &threads
        .find(|it| it["name"] == "chooses")
        .expect("it waits")["waits_for"];
    assert_eq!(chooses["arms"], 4, "{json}");
    assert_eq!(chooses["first"][0]["kind"], "receive", "{json}");
    let number = format!("{number_of_one:#x}");
    assert_eq!(chooses["first"][0]["channel"], *number, "{json}");
    // Of many the first are told; of one that only looks, too.
    spawn_named(&runtime, "looks", {
        let (one, three) = (one.clone(), three.clone());
        move || {
            let mut select = channel::Select::new();
            for _ in 0..19 {
                select.recv(&one);
            }
            select.send(&three);
            select.ready();
        }
    });
    let what = until_waits(&runtime, "looks", |_| true);
    let first = vec![Arm::Receive(number_of_one); 8];
    assert_eq!(what, WaitsFor::Choice { arms: 20, first });
    assert!(what.to_string().ends_with(", .."), "{what}");
    drop((to_one, from_two, from_three));
}

/// Choices come and go while dumps are taken: what is told of one is what one waited for.
#[test]
fn what_a_choice_is_told_to_wait_for_was_never_something_else() {
    const CHANNELS: usize = 3;
    let runtime = runtime(2);
    let channels: Vec<_> = (0..CHANNELS)
        .map(|_| channel::bounded::<usize>(0))
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..6_usize)
        .map(|number| {
            let (channels, stop) = (channels.clone(), Arc::clone(&stop));
            runtime.spawn(move || {
                let mut round = number;
                while !stop.load(Relaxed) {
                    round += 1;
                    let mut select = channel::Select::new();
                    // So that frames differ, and arms are on the heap as well.
                    for index in 0..[2, 9][round % 2] {
                        let (tx, rx) = &channels[index % CHANNELS];
                        if number % 2 == 0 {
                            select.recv(rx);
                        } else {
                            select.send(tx);
                        }
                    }
                    let Ok(chosen) = select.select_timeout(Duration::from_millis(2)) else {
                        continue;
                    };
                    let (tx, rx) = &channels[chosen.index() % CHANNELS];
                    if number % 2 == 0 {
                        _ = chosen.recv(rx);
                    } else {
                        _ = chosen.send(tx, round);
                    }
                }
            })
        })
        .collect();
    let (mut numbers, mut told) = (BTreeSet::new(), 0);
    let deadline = Instant::now() + LIMIT;
    while told < 200 && Instant::now() < deadline {
        for it in runtime.dump().green_threads() {
            let Some(WaitsFor::Choice { arms, first }) = &it.waits_for else {
                assert_eq!(it.waits_for, None, "they do nothing else");
                continue;
            };
            assert_eq!(it.reason, Some("select"));
            assert!(
                [2, 9].contains(arms) && first.len() == *arms.min(&8),
                "{it}"
            );
            for arm in first {
                let (Arm::Receive(number) | Arm::Send(number)) = arm else {
                    panic!("{arm} is none of them");
                };
                numbers.insert(*number);
            }
            told += 1;
        }
    }
    stop.store(true, Relaxed);
    for it in threads {
        it.join().expect("no panic");
    }
    assert!(told >= 200 && numbers.len() <= CHANNELS, "{numbers:x?}");
}

/// Who was notified with all others waits for the mutex, and is part of circles of locks.
#[test]
fn the_notified_wait_for_the_mutex() {
    let runtime = runtime(1);
    let shared = Arc::new((Mutex::new(false), Condvar::new(), Mutex::new(())));
    for name in ["first waiter", "second waiter"] {
        let shared = Arc::clone(&shared);
        spawn_named(&runtime, name, move || {
            let own = (name == "second waiter").then(|| shared.2.lock());
            let ready = shared.0.lock().expect("not poisoned");
            drop(shared.1.wait_while(ready, |it| !*it));
            drop(own);
        });
    }
    let reason_of = |name: &str| {
        let dump = runtime.dump();
        let mut threads = dump.green_threads().iter();
        let thread = threads.find(|it| it.name.as_deref() == Some(name)).cloned();
        thread.map(|it| (it.reason, it.waits_for))
    };
    let deadline = Instant::now() + LIMIT;
    while reason_of("second waiter") != Some((Some("condition variable"), None)) {
        assert!(
            Instant::now() < deadline,
            "{:?}",
            reason_of("second waiter")
        );
        std::thread::yield_now();
    }
    let holder = spawn_named(&runtime, "notifier", {
        let shared = Arc::clone(&shared);
        move || {
            *shared.0.lock().expect("not poisoned") = true;
            let _held = shared.0.lock();
            shared.1.notify_all();
            // For ever: the second waiter has it, and waits for what this one holds.
            drop(shared.2.lock());
        }
    });
    for name in ["first waiter", "second waiter"] {
        let what = until_waits(&runtime, name, |it| {
            matches!(
                it,
                WaitsFor::Lock {
                    holder: Some(_),
                    ..
                }
            )
        });
        let by = Some(green(holder, "notifier"));
        let expected = WaitsFor::Lock {
            holder: by,
            readers: 0,
        };
        assert_eq!(what, expected, "{name}");
        assert_eq!(reason_of(name), Some((Some("mutex lock"), Some(what))));
    }
    let circle = until_circle("notifier");
    assert_eq!(names(&circle), ["notifier", "second waiter"]);
    assert!(circle.threads().iter().all(|it| it.reason == "mutex lock"));
}
