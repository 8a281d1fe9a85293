//! The network of simulations: what std promises of sockets holds there, and faults come as they are asked for.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, ErrorKind, Read, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{Arc, Mutex as Kernel},
    time::Duration,
};

use crate::{complaint, seed_in};
use sward::{
    channel::unbounded,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket, unix},
    sim::{self, Explorer},
    spawn, thread, time,
};

const MS: Duration = Duration::from_millis(1);
const SERVER: [u8; 4] = [10, 0, 0, 1];
const CLIENT: [u8; 4] = [10, 0, 0, 2];

fn kind<T>(result: io::Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|it| it.kind())
}

/// Two ends of a connection between the client's host and the server's.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
    let near = sim::net::on(CLIENT, || TcpStream::connect("10.0.0.1:80")).expect("a listener");
    let (far, from) = listener.accept().expect("a client");
    assert_eq!(near.local_addr().expect("connected"), from);
    assert_eq!(from.ip().to_string(), "10.0.0.2");
    (near, far)
}

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
fn nothing_takes_time_at_first_and_all_orders_of_arrival_are_seen() {
    let orders = Kernel::new(BTreeSet::new());
    sim::explore(0..100, || {
        let start = time::now();
        let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
        for number in 0..3 {
            spawn(move || {
                let mut stream = TcpStream::connect("10.0.0.1:80").expect("a server");
                stream.write_all(&[number]).expect("room");
            });
        }
        let order: Vec<_> = (0..3)
            .map(|_| {
                let mut all = Vec::new();
                let (mut stream, _) = listener.accept().expect("a client");
                stream.read_to_end(&mut all).expect("an end");
                all[0]
            })
            .collect();
        assert_eq!(time::now(), start);
        orders.lock().expect("no panic").insert(order);
    });
    assert_eq!(orders.into_inner().expect("no panic").len(), 6);
}

#[test]
fn a_writer_waits_for_room_and_a_reader_makes_it() {
    sim::explore(0..50, || {
        sim::net::buffer(1000);
        sim::net::latency(MS);
        let (mut near, mut far) = pair();
        let start = time::now();
        near.set_write_timeout(Some(5 * MS)).expect("open");
        assert_eq!(near.write(&[1; 700]).expect("room"), 700);
        assert_eq!(near.write(&[2; 700]).expect("some room"), 300);
        assert_eq!(kind(near.write(&[3])), Err(ErrorKind::TimedOut));
        assert_eq!(time::now() - start, 5 * MS);
        let reader = spawn(move || {
            time::sleep(MS);
            let mut all = Vec::new();
            far.read_to_end(&mut all).expect("an end");
            all
        });
        near.write_all(&[3; 5000]).expect("a reader");
        drop(near);
        let all = reader.join().expect("no panic");
        assert_eq!(all.len(), 6000);
        assert!(all.is_sorted());
    });
}

#[test]
fn ends_and_halves() {
    sim::explore(0..100, || {
        let (mut near, mut far) = pair();
        near.write_all(b"last words").expect("room");
        near.shutdown(Shutdown::Write).expect("connected");
        assert_eq!(kind(near.write(b"more")), Err(ErrorKind::BrokenPipe));
        let mut all = String::new();
        far.read_to_string(&mut all).expect("an end");
        assert_eq!(all, "last words");
        far.write_all(b"heard").expect("the other half");
        let mut buf = [0; 9];
        assert_eq!(near.peek(&mut buf).expect("data"), 5);
        assert_eq!(near.read(&mut buf).expect("data"), 5);
        drop(far);
        assert_eq!(near.read(&mut buf).expect("an end"), 0);
    });
}

#[test]
fn one_that_goes_with_data_unread_resets() {
    sim::explore(0..100, || {
        let (mut near, mut far) = pair();
        near.write_all(b"unread").expect("room");
        far.peek(&mut [0]).expect("data");
        drop(far);
        assert_eq!(kind(near.read(&mut [0])), Err(ErrorKind::ConnectionReset));
        assert_eq!(kind(near.read(&mut [0])), Ok(0));
        assert_eq!(kind(near.write(&[0])), Err(ErrorKind::BrokenPipe));

        // What comes when nobody is there any more is answered in the same way.
        let (mut near, far) = pair();
        drop(far);
        assert_eq!(near.read(&mut [0]).expect("an end"), 0);
        near.write_all(b"too late").expect("room");
        thread::sleep(MS);
        assert_eq!(kind(near.read(&mut [0])), Ok(0), "there was an end");
        assert_eq!(kind(near.write(&[0])), Err(ErrorKind::BrokenPipe));
    });
}

#[test]
fn those_who_wait_in_a_socket_end_when_it_is_closed() {
    sim::explore(0..100, || {
        let (near, far) = pair();
        let near = Arc::new(near);
        let readers: Vec<_> = (0..5)
            .map(|_| {
                let near = Arc::clone(&near);
                spawn(move || kind((&*near).read(&mut [0])))
            })
            .collect();
        let listener = Arc::new(TcpListener::bind("10.0.0.1:81").expect("a port"));
        let accepting = spawn({
            let listener = Arc::clone(&listener);
            move || kind(listener.accept().map(drop))
        });
        let waiting = sim::net::on(CLIENT, || {
            spawn(|| {
                let mut stream = TcpStream::connect("10.0.0.1:81")?;
                stream.read(&mut [0])
            })
        });
        thread::sleep(MS);
        near.close();
        listener.close();
        for reader in readers {
            assert_eq!(
                reader.join().expect("no panic"),
                Err(ErrorKind::NotConnected)
            );
        }
        let accepted = accepting.join().expect("no panic");
        assert!(matches!(accepted, Ok(()) | Err(ErrorKind::NotConnected)));
        drop(waiting.join().expect("no panic"));
        assert_eq!((&far).read(&mut [0]).expect("an end"), 0);
    });
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
fn a_full_line_keeps_clients_waiting() {
    sim::explore(0..3, || {
        let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut clients = Vec::new();
        let error = loop {
            match TcpStream::connect_timeout(&address, MS) {
                Ok(stream) => clients.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!((clients.len(), error.kind()), (128, ErrorKind::TimedOut));
        let waiting = spawn(move || TcpStream::connect(address).map(drop));
        thread::sleep(MS);
        assert!(!waiting.is_finished());
        listener.accept().expect("the first");
        waiting.join().expect("no panic").expect("there is room");
    });
}

#[test]
fn names_and_ports_are_of_the_simulation() {
    sim::explore(0..5, || {
        let ports: Vec<_> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
            .map(|it| it.local_addr().expect("bound").port())
            .collect();
        assert_eq!(ports, [10_000, 10_001, 10_002]);
        let listener = TcpListener::bind("0.0.0.0:80").expect("a port");
        for taken in ["0.0.0.0:80", "127.0.0.1:80"] {
            assert_eq!(
                kind(TcpListener::bind(taken).map(drop)),
                Err(ErrorKind::AddrInUse)
            );
        }
        UdpSocket::bind("127.0.0.1:80").expect("another protocol's");
        sim::net::name("server", [127, 0, 0, 1]);
        let host = String::from("server");
        let near = [
            TcpStream::connect("localhost:80"),
            TcpStream::connect("127.0.0.1:80"),
            TcpStream::connect(("localhost", 80)),
            TcpStream::connect((host.clone(), 80)),
            TcpStream::connect(format!("{host}:80")),
            TcpStream::connect(&(host, 80)),
            TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], 80))),
            TcpStream::connect("0.0.0.0:80"),
        ];
        for stream in near {
            let stream = stream.expect("the same");
            assert_eq!(
                stream.peer_addr().expect("connected").to_string(),
                "127.0.0.1:80"
            );
            listener.accept().expect("a client");
        }
        let unknown = TcpStream::connect("example.com:80").map(drop);
        assert_eq!(kind(unknown), Err(ErrorKind::NotFound));
        let no_port = TcpStream::connect("localhost").map(drop);
        assert_eq!(kind(no_port), Err(ErrorKind::InvalidInput));
        let six = TcpListener::bind("[::1]:80").expect("a port");
        TcpStream::connect("[::1]:80").expect("the same");
        assert!(six.accept().expect("a client").1.is_ipv6());
        let many: &[SocketAddr] = &[([10, 0, 0, 9], 1).into(), ([127, 0, 0, 1], 80).into()];
        TcpStream::connect(many).expect("the second");
        assert_eq!(many.to_socket_addrs().expect("addresses").count(), 2);
    });
}

#[test]
fn options_are_remembered() {
    sim::explore(0..2, || {
        let (near, _far) = pair();
        assert!(!near.nodelay().expect("open"));
        near.set_nodelay(true).expect("open");
        near.set_ttl(3).expect("open");
        assert_eq!(
            (near.nodelay().ok(), near.ttl().ok()),
            (Some(true), Some(3))
        );
        assert!(near.take_error().expect("open").is_none());
        assert!(format!("{near:?}").starts_with("TcpStream"));
        let listener = TcpListener::bind("127.0.0.1:99").expect("a port");
        listener.set_ttl(9).expect("open");
        assert_eq!(
            format!("{listener:?}"),
            "TcpListener { addr: 127.0.0.1:99, .. }"
        );
        let _client = TcpStream::connect("127.0.0.1:99").expect("a listener");
        assert_eq!(
            listener.accept().expect("a client").0.ttl().expect("open"),
            9
        );
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_broadcast(true).expect("open");
        socket.set_ttl(5).expect("open");
        assert!(socket.broadcast().expect("open"));
        assert_eq!(socket.ttl().expect("open"), 5);
        let group = std::net::Ipv4Addr::new(224, 0, 0, 1);
        let joined = socket.join_multicast_v4(&group, &std::net::Ipv4Addr::LOCALHOST);
        assert_eq!(kind(joined), Err(ErrorKind::Unsupported));
    });
}

#[test]
fn no_descriptor_is_told_with_the_reason() {
    let simulated = |f: fn()| {
        let report = sim::run(1, f);
        report.failure().unwrap_or_default().to_owned()
    };
    let reasons = [
        simulated(|| _ = pair().0.as_raw_fd()),
        simulated(|| _ = TcpListener::bind("127.0.0.1:1").expect("a port").as_fd()),
        simulated(|| {
            drop(OwnedFd::from(
                UdpSocket::bind("127.0.0.1:1").expect("a port"),
            ))
        }),
        simulated(|| drop(std::net::TcpStream::from(pair().0))),
        simulated(|| {
            let (near, _far) = pair();
            let _clone = near.try_clone().expect("open");
            drop(std::net::TcpStream::from(near));
        }),
    ];
    for reason in reasons {
        assert!(reason.contains("has no descriptor"), "{reason}");
    }
}

#[test]
fn what_is_the_kernel_s_does_not_wait_in_a_simulation() {
    let real = TcpListener::bind("127.0.0.1:0").expect("a port");
    sim::explore(0..3, || {
        let (mut one, mut other) = unix::UnixStream::pair().expect("descriptors");
        other.write_all(b"there").expect("room");
        assert_eq!(one.read(&mut [0; 9]).expect("it need not wait"), 5);
        let error = one.read(&mut [0]).expect_err("it would wait");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("no seed decides"), "{error}");
        assert_eq!(kind(real.accept().map(drop)), Err(ErrorKind::Unsupported));
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

#[test]
fn sockets_outlive_their_simulation_and_are_dead_then() {
    let kept = Kernel::new(None);
    sim::explore(0..1, || {
        *kept.lock().expect("no panic") = Some((pair(), TcpListener::bind("127.0.0.1:0")));
    });
    let ((mut near, far), listener) = kept.into_inner().expect("no panic").expect("kept");
    assert_eq!(kind(near.write(&[1])), Err(ErrorKind::NotConnected));
    assert_eq!(kind(near.read(&mut [1])), Err(ErrorKind::NotConnected));
    let listener = listener.expect("a port");
    assert_eq!(
        kind(listener.accept().map(drop)),
        Err(ErrorKind::NotConnected)
    );
    far.close();
    sim::explore(0..1, || {
        assert_eq!(kind((&far).write(&[1])), Err(ErrorKind::NotConnected));
    });
}

#[test]
fn those_left_in_sockets_are_called_off() {
    for seed in 0..50 {
        let report = sim::run(seed, || {
            let (near, far) = pair();
            let listener = TcpListener::bind("10.0.0.1:81").expect("a port");
            spawn(move || drop(listener.accept()));
            spawn(move || drop((&near).read(&mut [0])));
            spawn(move || {
                let mut far = io::BufWriter::new(far);
                // Its destructor writes, when all is over.
                far.write_all(b"never sent").expect("memory");
                thread::park();
            });
            spawn(|| {
                UdpSocket::bind("127.0.0.1:0")
                    .expect("a port")
                    .recv(&mut [0])
            });
            sward::yield_now();
        });
        assert_eq!(report.failure(), None, "{report}");
    }
}

#[test]
fn a_deadlock_in_sockets_is_found_with_those_who_wait() {
    let report = sim::run(1, || {
        let (near, _far) = pair();
        drop((&near).read(&mut [0]));
    });
    let text = report.to_string();
    assert!(
        text.contains("deadlock!") && text.contains("1 waits: readable socket"),
        "{text}"
    );
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

#[test]
fn hosts_are_inherited_and_left_again() {
    sim::explore(0..20, || {
        let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
        let connect = || {
            let stream = TcpStream::connect("10.0.0.1:80").expect("a listener");
            stream.local_addr().expect("connected").ip().to_string()
        };
        let inner = sim::net::on(CLIENT, || {
            let inner = spawn(move || spawn(connect).join().expect("no panic"));
            assert_eq!(sim::net::on([10, 0, 0, 9], connect), "10.0.0.9");
            assert_eq!(connect(), "10.0.0.2");
            inner
        });
        assert_eq!(connect(), "127.0.0.1");
        assert_eq!(inner.join().expect("no panic"), "10.0.0.2");
        drop(listener);
    });
}
