//! Faults of a simulated network come as they are asked for, in exact times; bugs by them are found.

use crate::{
    complaint,
    net::{CLIENT, MS, SERVER, kind, pair},
    seed_in,
};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{ErrorKind, Read, Write},
    sync::{Arc, Mutex as Kernel},
    time::Duration,
};
use sward::{
    channel::unbounded,
    net::{TcpListener, TcpStream, UdpSocket},
    sim::{self, Explorer},
    spawn, thread, time,
};

/// Answers each line of each client with the same line, and says so in the log.
fn serve(listener: &TcpListener, clients: usize, log: &Arc<Kernel<String>>) {
    let start = time::now();
    sward::scope(|scope| {
        for _ in 0..clients {
            let (mut stream, _) = listener.accept().expect("a client");
            scope.spawn(move || {
                let mut line = [0; 2];
                while stream.read_exact(&mut line).is_ok() {
                    let at = (time::now() - start).as_micros();
                    let mut log = log.lock().expect("no panic");
                    writeln!(log, "{at} {line:?}").expect("memory");
                    drop(log);
                    stream.write_all(&line).expect("a client that reads");
                }
            });
        }
    });
}

/// Eight clients and a server, two hosts, 5 ms between them, and a partition from 12 ms until 40 ms.
fn echoes(log: &Arc<Kernel<String>>) {
    const CLIENTS: u8 = 8;
    const ROUNDS: u8 = 3;
    sim::net::latency(5 * MS);
    let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
    let start = time::now();
    let server = spawn({
        let log = Arc::clone(log);
        move || serve(&listener, CLIENTS.into(), &log)
    });
    let vandal = spawn(move || {
        time::sleep(12 * MS);
        sim::net::partition(SERVER, CLIENT);
        time::sleep_until(start + 40 * MS);
        sim::net::heal(SERVER, CLIENT);
    });
    let clients: Vec<_> = sim::net::on(CLIENT, || {
        (0..CLIENTS)
            .map(|number| {
                spawn(move || {
                    let mut stream = TcpStream::connect("10.0.0.1:80").expect("a server");
                    assert_eq!(time::now() - start, 10 * MS, "there and back");
                    for round in 0..ROUNDS {
                        stream.write_all(&[number, round]).expect("room");
                        let mut line = [0; 2];
                        stream.read_exact(&mut line).expect("an answer");
                        assert_eq!(line, [number, round]);
                        // What is under way when the line is cut sets out again when it heals.
                        let now = 50 + 10 * u32::from(round);
                        assert_eq!(time::now() - start, now * MS, "round {round}");
                    }
                })
            })
            .collect()
    });
    for client in clients {
        client.join().expect("exact");
    }
    vandal.join().expect("no panic");
    server.join().expect("no panic");
    // Four ends, a latency after the last answers.
    assert_eq!(time::now() - start, 75 * MS);
}

#[test]
fn many_clients_and_a_partition_take_an_exact_time_in_an_order_by_the_seed() {
    for explorer in [Explorer::new(), Explorer::new().pct(3)] {
        let (mut told, mut logs) = (BTreeSet::new(), BTreeSet::new());
        for seed in 0..20 {
            let run = || {
                let log = Arc::default();
                let report = explorer.report(seed, || echoes(&log));
                assert_eq!(report.failure(), None, "{report}");
                (log.lock().expect("no panic").clone(), report.log())
            };
            let (one, two) = (run(), run());
            assert_eq!(one, two, "seed {seed}");
            assert!(
                one.1
                    .contains("net: 2 bytes arrive, 10.0.0.2:10000 to 10.0.0.1:80")
            );
            assert!(one.1.contains("net: stands still"), "{}", one.1);
            told.insert(one.0);
            logs.insert(one.1);
        }
        assert_eq!(logs.len(), 20);
        assert!(told.len() > 15, "only {} orders", told.len());
    }
}

#[test]
fn a_line_that_is_cut_stands_still_and_attempts_time_out() {
    sim::explore(0..50, || {
        let (near, mut far) = pair();
        sim::net::partition(CLIENT, SERVER);
        let start = time::now();
        near.set_read_timeout(Some(7 * MS)).expect("open");
        far.write_all(b"lost in the wires").expect("room");
        assert_eq!(kind((&near).read(&mut [0])), Err(ErrorKind::TimedOut));
        assert_eq!(time::now() - start, 7 * MS);

        let _listener = TcpListener::bind("10.0.0.1:90").expect("a port");
        let address = "10.0.0.1:90".parse().expect("an address");
        sim::net::on(CLIENT, || {
            let start = time::now();
            let error = TcpStream::connect_timeout(&address, 3 * MS);
            assert_eq!(kind(error.map(drop)), Err(ErrorKind::TimedOut));
            assert_eq!(time::now() - start, 3 * MS);
            let error = TcpStream::connect(address);
            assert_eq!(kind(error.map(drop)), Err(ErrorKind::TimedOut));
            assert_eq!(time::now() - start, 3 * MS + Duration::from_secs(127));
        });
        // Other lines are whole.
        TcpStream::connect(address).expect("a listener");
        sim::net::latency(MS);
        let healed = time::now();
        sim::net::heal_all();
        let mut buf = [0; 40];
        assert_eq!((&near).read(&mut buf).expect("data"), 17);
        assert_eq!(time::now() - healed, MS);
    });
}

#[test]
fn a_host_alone_reaches_itself() {
    sim::explore(0..20, || {
        let (mut near, mut far) = pair();
        sim::net::isolate(SERVER);
        near.write_all(b"anybody?").expect("room");
        far.set_read_timeout(Some(MS)).expect("open");
        assert_eq!(kind(far.read(&mut [0])), Err(ErrorKind::TimedOut));
        sim::net::on(SERVER, || {
            let _listener = TcpListener::bind("127.0.0.1:80").expect("its own");
            TcpStream::connect("localhost:80").expect("itself");
            TcpStream::connect("127.0.0.1:80").expect("itself");
            let others = TcpStream::connect("10.0.0.2:80");
            drop(others.expect_err("it is alone"));
        });
        sim::net::heal(SERVER, CLIENT);
        assert_eq!(
            kind(far.read(&mut [0])),
            Err(ErrorKind::TimedOut),
            "still alone"
        );
        sim::net::heal_all();
        assert_eq!(far.read(&mut [0; 20]).expect("data"), 8);
    });
}

#[test]
fn resets_are_told_to_both_and_lose_what_is_under_way() {
    sim::explore(0..50, || {
        let (mut near, mut far) = pair();
        near.write_all(b"arrives").expect("room");
        far.peek(&mut [0]).expect("data");
        let (other, _end) = pair();
        sim::net::latency(MS);
        near.write_all(b"is lost").expect("room");
        sim::net::reset_stream(&near);
        sim::net::reset_stream(&near);
        let mut all = [0; 20];
        assert_eq!(far.read(&mut all).expect("data"), 7);
        assert_eq!(kind(far.read(&mut all)), Err(ErrorKind::ConnectionReset));
        assert_eq!(kind(far.write(&[1])), Err(ErrorKind::BrokenPipe));
        assert_eq!(kind(near.write(&[1])), Err(ErrorKind::ConnectionReset));
        assert_eq!(kind(near.read(&mut all)), Ok(0));
        let waiting = spawn(move || kind((&other).read(&mut [0])));
        thread::sleep(MS);
        assert_eq!(sim::net::reset(SERVER, CLIENT), 1);
        assert_eq!(
            waiting.join().expect("no panic"),
            Err(ErrorKind::ConnectionReset)
        );
        assert_eq!(sim::net::reset(SERVER, CLIENT), 0);
    });
}

#[test]
fn datagrams_get_lost_doubled_and_overtaken_by_chance() {
    let run = |seed, loss, duplication, reordering| {
        let got = Kernel::new(Vec::new());
        let report = sim::run(seed, || {
            sim::net::loss(loss);
            sim::net::duplication(duplication);
            sim::net::reordering(reordering);
            let here = UdpSocket::bind("10.0.0.1:53").expect("a port");
            let there = UdpSocket::bind("10.0.0.2:0").expect("a port");
            for number in 0..200 {
                there.send_to(&[number], "10.0.0.1:53").expect("an address");
            }
            here.set_read_timeout(Some(MS)).expect("open");
            let mut buf = [0];
            while let Ok((1, from)) = here.recv_from(&mut buf) {
                assert_eq!(from, there.local_addr().expect("bound"));
                got.lock().expect("no panic").push(buf[0]);
            }
        });
        assert_eq!(report.failure(), None);
        got.into_inner().expect("no panic")
    };
    let all: Vec<u8> = (0..200).collect();
    assert_eq!(run(1, 0.0, 0.0, 0.0), all);
    assert!(run(1, 1.0, 0.0, 0.0).is_empty());
    let some = run(1, 0.25, 0.0, 0.0);
    assert!(
        (120..180).contains(&some.len()) && some.is_sorted(),
        "{}",
        some.len()
    );
    assert_eq!(some, run(1, 0.25, 0.0, 0.0));
    assert_ne!(some, run(2, 0.25, 0.0, 0.0));
    assert_eq!(run(1, 0.0, 1.0, 0.0).len(), 400);
    let mut mixed = run(1, 0.0, 0.0, 0.3);
    assert!(!mixed.is_sorted());
    mixed.sort_unstable();
    assert_eq!(mixed, all);
}

#[test]
fn datagrams_of_different_latency_overtake_and_partitions_lose_them() {
    let orders = Kernel::new(BTreeSet::new());
    sim::explore(0..50, || {
        sim::net::latency(MS..=3 * MS);
        let here = UdpSocket::bind("10.0.0.1:53").expect("a port");
        let there = UdpSocket::bind("10.0.0.2:0").expect("a port");
        there.connect("10.0.0.1:53").expect("an address");
        for number in [1, 2] {
            there.send(&[number]).expect("connected");
        }
        let mut buf = [0];
        here.recv(&mut buf).expect("both arrive");
        orders.lock().expect("no panic").insert(buf[0]);
        here.recv(&mut buf).expect("both arrive");
        there.send(&[3]).expect("connected");
        sim::net::partition(SERVER, CLIENT);
        there.send(&[4]).expect("connected");
        thread::sleep(10 * MS);
        sim::net::heal(SERVER, CLIENT);
        there.send(&[5]).expect("connected");
        here.recv(&mut buf).expect("the last");
        assert_eq!(buf[0], 5);
    });
    assert_eq!(orders.into_inner().expect("no panic").len(), 2);
}

#[test]
fn latencies_are_those_of_the_line() {
    sim::explore(0..20, || {
        sim::net::latency(MS);
        sim::net::latency_between(SERVER, CLIENT, 10 * MS);
        let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
        let connect = |host: [u8; 4]| {
            let start = time::now();
            sim::net::on(host, || TcpStream::connect("10.0.0.1:80")).expect("a listener");
            time::now() - start
        };
        assert_eq!(connect(CLIENT), 20 * MS);
        assert_eq!(connect([10, 0, 0, 3]), 2 * MS);
        drop(listener);
        let start = time::now();
        let refused = TcpStream::connect("10.0.0.1:80").map(drop);
        assert_eq!(kind(refused), Err(ErrorKind::ConnectionRefused));
        assert_eq!(time::now() - start, 2 * MS, "a refusal comes back");
    });
}

#[test]
fn knobs_outside_of_a_simulation_are_refused() {
    for said in [
        complaint(|| sim::net::latency(MS)),
        complaint(|| sim::net::on(CLIENT, || {})),
        complaint(sim::net::heal_all),
    ] {
        assert!(
            said.expect("it is refused")
                .contains("no simulation runs here")
        );
    }
    let real = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = real.local_addr().expect("bound");
    let stream = TcpStream::connect(address).expect("a listener");
    let said = complaint(|| sim::net::reset_stream(&stream)).expect("it is refused");
    assert!(said.contains("of no simulation"), "{said}");
    let said = complaint(|| sim::explore(0..1, || sim::net::loss(1.5)));
    assert!(said.expect("it is refused").contains("no share"));
    let said = complaint(|| sim::explore(0..1, || sim::net::latency(MS..MS)));
    assert!(said.expect("it is refused").contains("without a time"));
}

/// A protocol that believes in the order of datagrams: found, and found again.
#[test]
fn a_bug_by_datagrams_that_overtake_is_found() {
    let test = || {
        sim::net::reordering(0.02);
        let here = UdpSocket::bind("10.0.0.1:53").expect("a port");
        let there = UdpSocket::bind("10.0.0.2:0").expect("a port");
        let sender = spawn(move || {
            for number in 0..5 {
                there.send_to(&[number], "10.0.0.1:53").expect("an address");
            }
        });
        let mut last = None;
        for _ in 0..5 {
            let mut buf = [0];
            here.recv(&mut buf).expect("nothing is lost");
            assert!(last < Some(buf[0]), "a datagram from the past");
            last = Some(buf[0]);
        }
        sender.join().expect("no panic");
    };
    for explorer in [Explorer::new(), Explorer::new().pct(2)] {
        let said = complaint(|| explorer.clone().run(test)).expect("it is found");
        assert!(said.contains("a datagram from the past"), "{said}");
        if !said.contains("in the run that counts") {
            let again =
                complaint(|| explorer.replay(seed_in(&said), test)).expect("it fails again");
            assert_eq!(said.lines().next(), again.lines().next());
        }
        let fine = (0..1000).any(|seed| explorer.report(seed, test).failure().is_none());
        assert!(fine, "most runs are fine");
    }
}

/// A server that holds its lock while it waits for the other server: a deadlock over the network.
#[test]
fn a_deadlock_between_two_servers_is_found() {
    let test = || {
        let (tx, asked) = unbounded::<()>();
        let serve = |own: &'static str, other: &'static str| {
            let listener = TcpListener::bind(own).expect("a port");
            let lock = Arc::new(sward::sync::Mutex::new(()));
            let answering = Arc::clone(&lock);
            spawn(move || {
                for _ in 0..2 {
                    let Ok((mut stream, _)) = listener.accept() else {
                        return;
                    };
                    let _guard = answering.lock().expect("no panic");
                    drop(stream.write_all(b"!"));
                }
            });
            let tx = tx.clone();
            spawn(move || {
                let _guard = lock.lock().expect("no panic");
                // Wrong: the other may hold its lock and ask us.
                let mut stream = TcpStream::connect(other).expect("a server");
                stream.read_exact(&mut [0]).expect("an answer");
                drop(tx);
            })
        };
        let one = serve("10.0.0.1:80", "10.0.0.2:80");
        let other = serve("10.0.0.2:80", "10.0.0.1:80");
        one.join().expect("no panic");
        other.join().expect("no panic");
        drop(tx);
        assert!(asked.recv().is_err());
    };
    let said = complaint(|| sim::explore(0..1000, test)).expect("it is found");
    assert!(
        said.contains("deadlock!") || said.contains("ConnectionRefused"),
        "{said}"
    );
}
