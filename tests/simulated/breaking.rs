//! Attempts to break the simulator: what it may not be used for is told, and crowds are no matter.

use crate::complaint;
use std::{
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex as Kernel,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use sward::{
    channel::bounded,
    net::{TcpListener, TcpStream},
    sim::{self, Explorer},
    spawn, thread, time,
};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn a_hundred_thousand_wait_and_wake() {
    const CROWD: usize = 100_000;
    let report = sim::run(1, || {
        let (tx, rx) = bounded(0);
        let start = time::now();
        for number in 0..CROWD {
            let tx = tx.clone();
            spawn(move || {
                time::sleep(HOUR);
                tx.send(number).expect("it listens");
            });
        }
        drop(tx);
        let (mut sum, mut sorted, mut last) = (0, true, 0);
        for number in rx {
            sum += number;
            sorted &= last <= number;
            last = number;
        }
        assert_eq!(sum, CROWD * (CROWD - 1) / 2);
        assert!(!sorted, "their order is by lot");
        assert_eq!(time::now() - start, HOUR);
    });
    assert_eq!(report.failure(), None);
    // All are called off.
    let report = sim::run(1, || {
        (0..CROWD).for_each(|_| drop(spawn(thread::park)));
        time::sleep(HOUR);
    });
    assert_eq!((report.failure(), report.left()), (None, CROWD));
}

#[test]
fn a_crowd_under_priorities() {
    Explorer::new().pct(3).seeds(0..2).run(|| {
        let all: Vec<_> = (0..20_000).map(|it| spawn(move || it)).collect();
        let sum: u64 = all.into_iter().map(|it| it.join().expect("no panic")).sum();
        assert_eq!(sum, 199_990_000);
    });
}

#[test]
fn panics_end_their_green_threads_alone() {
    sim::explore(0..50, || {
        let all: Vec<_> = (0..10)
            .map(|it| {
                spawn(move || {
                    sward::yield_now();
                    if it % 2 == 0 {
                        std::panic::resume_unwind(Box::new(it));
                    }
                    it
                })
            })
            .collect();
        for (number, one) in all.into_iter().enumerate() {
            match one.join() {
                Ok(it) => assert_eq!(it, number),
                Err(payload) => assert_eq!(payload.downcast_ref(), Some(&number)),
            }
        }
        // One that is caught is no panic of the test.
        drop(catch_unwind(|| {
            std::panic::resume_unwind(Box::new("caught"))
        }));
    });
}

#[test]
fn an_exploration_in_a_green_thread_of_a_simulation_or_in_its_blocking_call_is_refused() {
    for nested in [
        || {
            spawn(|| sim::explore(0..1, || {}))
                .join()
                .expect_err("it panics")
        },
        || {
            spawn(|| sward::blocking(|| sim::explore(0..1, || {})))
                .join()
                .expect_err("it panics")
        },
        || {
            spawn(|| drop(sim::run(1, || {})))
                .join()
                .expect_err("it panics")
        },
    ] {
        let said = Kernel::new(String::new());
        sim::explore(0..1, || {
            let payload = nested();
            let text = payload.downcast_ref::<&str>().map(|it| (*it).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            *said.lock().expect("no panic") = text.unwrap_or_default();
        });
        let said = said.into_inner().expect("no panic");
        assert!(said.contains("cannot run inside another"), "{said}");
    }
}

#[test]
fn explorations_run_beside_each_other_and_beside_a_runtime() {
    let test = || {
        let (tx, rx) = bounded(1);
        let child = spawn(move || {
            time::sleep(HOUR);
            tx.send(time::now()).expect("it listens");
        });
        let at = rx.recv().expect("it sends");
        assert_eq!(at, time::now());
        child.join().expect("no panic");
    };
    let plain = sim::run(3, test).log();
    let logs: Vec<_> = std::thread::scope(|scope| {
        let kernel: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| sim::run(3, test).log()))
            .collect();
        let green = sward::run(move || {
            let all: Vec<_> = (0..4)
                .map(|_| spawn(move || sim::run(3, test).log()))
                .collect();
            all.into_iter()
                .map(|it| it.join().expect("no panic"))
                .collect::<Vec<_>>()
        });
        let kernel = kernel.into_iter().map(|it| it.join().expect("no panic"));
        kernel.chain(green).collect()
    });
    assert!(logs.iter().all(|it| *it == plain), "{logs:?}");
}

#[test]
fn a_pinned_one_is_one_like_the_others() {
    sim::explore(0..50, || {
        let here = std::thread::current().id();
        let pinned = thread::Builder::new().spawn_pinned(move || {
            time::sleep(HOUR);
            assert_eq!(
                std::thread::current().id(),
                here,
                "there is one kernel thread"
            );
            spawn(|| 7).join().expect("no panic")
        });
        let start = time::now();
        assert_eq!(pinned.expect("memory").join().expect("no panic"), 7);
        assert_eq!(time::now() - start, HOUR);
    });
}

/// A kernel thread that is started inside is outside: what it spawns runs elsewhere, by the real clock.
#[test]
fn a_kernel_thread_that_is_started_inside_is_outside() {
    sim::explore(0..5, || {
        time::sleep(HOUR);
        let inside = time::now();
        let other = std::thread::spawn(move || (time::now(), Instant::now() < inside));
        let (outside, is_real) = other.join().expect("no panic");
        assert!(outside < inside && is_real, "the virtual clock is ahead");
        let spawned = std::thread::spawn(|| spawn(|| 1).join().expect("no panic"));
        assert_eq!(spawned.join().expect("no panic"), 1);
        let knob = std::thread::spawn(|| sim::net::latency(HOUR)).join();
        assert!(knob.is_err(), "no simulation runs there");
    });
}

#[test]
fn blocking_calls_in_sockets_take_virtual_time_or_end_at_once() {
    sim::explore(0..5, || {
        let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
        let mut near = TcpStream::connect("10.0.0.1:80").expect("a listener");
        let (mut far, _) = listener.accept().expect("a client");
        far.write_all(b"x").expect("room");
        time::sleep(HOUR);
        near.set_read_timeout(Some(HOUR)).expect("open");
        let start = time::now();
        sward::blocking(|| {
            near.read_exact(&mut [0]).expect("it is there");
            assert_eq!(time::now(), start);
            // Nobody can send meanwhile, so it waits as long as it may.
            near.read_exact(&mut [0]).expect_err("nothing comes");
        });
        assert_eq!(time::now() - start, HOUR);
    });
}

#[test]
fn a_socket_that_goes_while_others_wait_in_its_clones_keeps_them() {
    sim::explore(0..100, || {
        let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
        let near = TcpStream::connect("10.0.0.1:80").expect("a listener");
        let clone = near.try_clone().expect("open");
        let (mut far, _) = listener.accept().expect("a client");
        let reader = spawn(move || (&clone).read(&mut [0]).expect("data or an end"));
        drop(near);
        far.write_all(b"x").expect("the clone is there");
        assert_eq!(reader.join().expect("no panic"), 1);
        assert_eq!(
            far.read(&mut [0]).expect("an end"),
            0,
            "now the last has gone"
        );
    });
}

#[test]
fn a_thousand_connections_at_once() {
    const CLIENTS: usize = 1000;
    let served = Arc::new(AtomicUsize::new(0));
    let counted = AssertUnwindSafe(Arc::clone(&served));
    sim::explore(0..2, || {
        sim::net::latency(Duration::from_millis(1)..Duration::from_millis(50));
        let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let host = [10, 1, u8::try_from(number / 250).expect("small"), 1];
                sim::net::on(host, || {
                    spawn(move || {
                        let mut stream = TcpStream::connect("10.0.0.1:80").expect("a server");
                        let word = number.to_ne_bytes();
                        stream.write_all(&word).expect("a server");
                        let mut answer = [0; 8];
                        stream.read_exact(&mut answer).expect("an answer");
                        assert_eq!(answer, word);
                    })
                })
            })
            .collect();
        for _ in 0..CLIENTS {
            let (mut stream, _) = listener.accept().expect("a client");
            let served = Arc::clone(&counted);
            spawn(move || {
                let mut word = [0; 8];
                stream.read_exact(&mut word).expect("a word");
                stream.write_all(&word).expect("a client");
                served.fetch_add(1, SeqCst);
            });
        }
        for client in clients {
            client.join().expect("it was served");
        }
    });
    assert_eq!(served.load(SeqCst), 2 * CLIENTS);
}

#[test]
fn a_run_that_fails_leaves_nothing_behind_for_the_next() {
    for seed in 0..20 {
        let test = || {
            let listener = TcpListener::bind("10.0.0.1:80").expect("the port is free in each run");
            spawn(move || listener.accept().map(drop));
            let _stream = TcpStream::connect("10.0.0.1:80").expect("a listener");
            assert_eq!(seed % 2, 0, "of course");
        };
        let said = complaint(|| sim::replay(seed, test));
        assert_eq!(said.is_some(), seed % 2 == 1, "{said:?}");
    }
}
