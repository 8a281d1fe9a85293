//! How much a simulation does in a second: measurements, run by hand in release mode.

use std::time::Duration;
use sward::{
    channel::{after, bounded, select},
    net::{TcpListener, TcpStream},
    sim, spawn, time,
};

/// How long this kernel thread has computed, whatever else the machine does.
#[expect(unsafe_code, reason = "std does not tell")]
fn computed() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes there, as much as it has room for.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    let nanos = u32::try_from(time.tv_nsec).expect("below a second");
    Duration::new(u64::try_from(time.tv_sec).expect("not negative"), nanos)
}

/// Says how many events there were in a second of computing, of so many in one run.
fn measure(what: &str, events: u32, test: impl Fn()) -> f64 {
    let start = computed();
    let report = sim::Explorer::new().most_steps(1 << 40).report(1, test);
    let seconds = computed().saturating_sub(start).as_secs_f64();
    assert_eq!(report.failure(), None);
    let rate = f64::from(events) / seconds;
    println!("{what}: {rate:.0} in a second, by {} steps", report.steps());
    rate
}

#[test]
#[ignore = "a measurement: cargo test --release --test simulated -- --ignored --nocapture figures"]
fn figures() {
    let sleepers = |count: u64, rounds: u64| {
        move || {
            let all: Vec<_> = (0..count)
                .map(|number| {
                    spawn(move || {
                        (0..rounds).for_each(|it| {
                            time::sleep(Duration::from_nanos(1 + (number * 7 + it) % 97));
                        });
                    })
                })
                .collect();
            for it in all {
                it.join().expect("no panic");
            }
        }
    };
    let one = measure("sleeps of one", 1_000_000, sleepers(1, 1_000_000));
    let many = measure("sleeps of a thousand", 1_000_000, sleepers(1_000, 1_000));
    let crowd = measure("sleeps of 100,000", 1_000_000, sleepers(100_000, 10));
    measure("time-outs that are called off", 1_000_000, || {
        let (tx, rx) = bounded(1);
        for _ in 0..1_000_000 {
            tx.send(()).expect("room");
            select! {
                recv(rx) -> it => it.expect("it is there"),
                recv(after(Duration::from_secs(1))) -> _ => panic!("it is there"),
            }
        }
    });
    measure("round trips", 100_000, || {
        use std::io::{Read, Write};
        sim::net::latency(Duration::from_millis(1));
        let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
        let server = spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut word = [0; 8];
            while stream.read_exact(&mut word).is_ok() {
                stream.write_all(&word).expect("a client");
            }
        });
        let mut stream = TcpStream::connect("10.0.0.1:80").expect("a server");
        for _ in 0..100_000 {
            stream.write_all(&[0; 8]).expect("a server");
            stream.read_exact(&mut [0; 8]).expect("an answer");
        }
        drop(stream);
        server.join().expect("no panic");
    });
    for rate in [one, many, crowd] {
        assert!(rate > 1e6, "a million timers in a second");
    }
}
