//! The network of simulations: what std promises of sockets holds there too.

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net as system,
    },
    sync::{Arc, Mutex as Kernel},
    time::Duration,
};

use sward::{
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket, unix},
    process, sim, spawn, thread, time,
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SERVER: [u8; 4] = [10, 0, 0, 1];
pub(crate) const CLIENT: [u8; 4] = [10, 0, 0, 2];

pub(crate) fn kind<T>(result: io::Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|it| it.kind())
}

/// Two ends of a connection between the client's host and the server's.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
    let near = sim::net::on(CLIENT, || TcpStream::connect("10.0.0.1:80")).expect("a listener");
    let (far, from) = listener.accept().expect("a client");
    assert_eq!(near.local_addr().expect("connected"), from);
    assert_eq!(from.ip().to_string(), "10.0.0.2");
    (near, far)
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

/// A timeout that is set anew counts from then on, also in the moment in which it would run out.
#[test]
fn a_timeout_that_is_extended_comes_exactly_when_it_should() {
    let ends = Kernel::new(BTreeSet::new());
    sim::explore(0..100, || {
        let (near, _far) = pair();
        let near = Arc::new(near);
        let start = time::now();
        near.set_read_timeout(Some(5 * MS)).expect("open");
        let reader = spawn({
            let near = Arc::clone(&near);
            move || {
                let result = kind((&*near).read(&mut [0]));
                assert_eq!(result, Err(ErrorKind::TimedOut));
                time::now() - start
            }
        });
        for at in [3, 8] {
            time::sleep_until(start + at * MS);
            near.set_read_timeout(Some(5 * MS)).expect("open");
        }
        let end = reader.join().expect("exact");
        // At 8 ms it ran out, or was extended first.
        assert!([8 * MS, 13 * MS].contains(&end), "{end:?}");
        ends.lock().expect("no panic").insert(end);
    });
    assert_eq!(ends.into_inner().expect("no panic").len(), 2);
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
        let (mut near, far) = pair();
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
            ));
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
        let (one, other) = system::UnixStream::pair().expect("descriptors");
        let (mut one, mut other) = (unix::UnixStream::from(one), unix::UnixStream::from(other));
        other.write_all(b"there").expect("room");
        assert_eq!(one.read(&mut [0; 9]).expect("it need not wait"), 5);
        let error = one.read(&mut [0]).expect_err("it would wait");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("no seed decides"), "{error}");
        assert_eq!(kind(real.accept().map(drop)), Err(ErrorKind::Unsupported));
        // A child ends by itself, and is waited for in place.
        let status = process::Command::new("true").status();
        assert!(status.expect("a child").success());
        let mut cat = process::Command::new("cat")
            .stdin(process::Stdio::piped())
            .stdout(process::Stdio::piped())
            .spawn()
            .expect("a child");
        let mut said = cat.stdout.take().expect("piped");
        assert_eq!(kind(said.read(&mut [0])), Err(ErrorKind::Unsupported));
        drop(cat.stdin.take());
        assert!(cat.wait().expect("its end").success());
    });
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

/// Changes the network when all is over: that does nothing.
struct Healing;

impl Drop for Healing {
    fn drop(&mut self) {
        sim::net::on(CLIENT, sim::net::heal_all);
        assert_eq!(sim::net::reset(CLIENT, SERVER), 0);
    }
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
            spawn(|| {
                let _healing = Healing;
                thread::park();
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
