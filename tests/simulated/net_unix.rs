//! Unix sockets of simulations: as the system's in all that one can tell, in exact times, by the seed.

use crate::net::{CLIENT, MS, SERVER, kind};
use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net as system,
    },
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, Mutex as Kernel,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use sward::{
    net::{
        Shutdown,
        unix::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
    sim::{self, Explorer},
    spawn, thread, time,
};

/// Where a claim is tried: in the system or in a simulation, with a folder for names.
struct Place {
    folder: PathBuf,
    simulated: bool,
}

impl Place {
    fn new(simulated: bool) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let name = format!("sward-simulated-{}-{number}", process::id());
        Self {
            folder: env::temp_dir().join(name),
            simulated,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn abstract_name(&self, name: &str) -> SocketAddr {
        let path = self.path(name);
        SocketAddr::from_abstract_name(path.as_os_str().as_encoded_bytes()).expect("short")
    }

    /// What is under way arrives. In the system, it has.
    fn settle(&self) {
        if self.simulated {
            time::sleep(MS);
        }
    }
}

/// Tries a claim on the system's sockets, and under many orders on simulated ones.
fn both(claim: impl Fn(&Place)) {
    let real = Place::new(false);
    fs::create_dir(&real.folder).expect("a folder");
    claim(&real);
    fs::remove_dir_all(&real.folder).expect("a folder");
    let place = Place::new(true);
    sim::explore(0..20, || claim(&place));
    assert!(!place.folder.exists(), "no files are made");
}

fn code<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|it| it.raw_os_error())
}

fn write(stream: &UnixStream, buf: &[u8]) -> Result<usize, ErrorKind> {
    kind((&*stream).write(buf))
}

fn read(stream: &UnixStream) -> Result<usize, ErrorKind> {
    kind((&*stream).read(&mut [0; 20]))
}

#[test]
fn names_are_taken_found_and_missed_as_the_system_s() {
    both(|place| {
        let (path, other) = (place.path("a"), place.path("b"));
        let none = UnixStream::connect(&path);
        assert_eq!(kind(none.map(drop)), Err(ErrorKind::NotFound));
        let listener = UnixListener::bind(&path).expect("a name");
        let again = UnixListener::bind(&path);
        assert_eq!(kind(again.map(drop)), Err(ErrorKind::AddrInUse));
        let again = UnixDatagram::bind(&path);
        assert_eq!(kind(again.map(drop)), Err(ErrorKind::AddrInUse));

        let client = UnixStream::connect(&path).expect("a listener");
        let (server, from) = listener.accept().expect("a client");
        assert!(from.is_unnamed() && client.local_addr().expect("open").is_unnamed());
        assert!(server.peer_addr().expect("open").is_unnamed());
        for address in [
            listener.local_addr(),
            client.peer_addr(),
            server.local_addr(),
        ] {
            assert_eq!(address.expect("open").as_pathname(), Some(&*path));
        }

        let unbound = UnixDatagram::unbound().expect("a socket");
        assert!(unbound.local_addr().expect("open").is_unnamed());
        assert_eq!(code(unbound.connect(&path)), Some(libc::EPROTOTYPE));
        assert_eq!(code(unbound.send_to(&[1], &path)), Some(libc::EPROTOTYPE));
        let missed = unbound.send_to(&[1], &other);
        assert_eq!(kind(missed), Err(ErrorKind::NotFound));
        let named = UnixDatagram::bind(&other).expect("a name");
        let wrong = UnixStream::connect(&other);
        assert_eq!(code(wrong.map(drop)), Some(libc::EPROTOTYPE));

        drop((listener, named));
        for path in [&path, &other] {
            let dead = UnixStream::connect(path);
            assert_eq!(kind(dead.map(drop)), Err(ErrorKind::ConnectionRefused));
            let dead = unbound.send_to(&[1], path);
            assert_eq!(kind(dead), Err(ErrorKind::ConnectionRefused));
        }
        // What was connected stays so.
        assert_eq!(write(&server, b"still"), Ok(5));
        assert_eq!(read(&client), Ok(5));
    });
}

#[test]
fn abstract_names_go_with_their_sockets_and_can_be_asked_for() {
    both(|place| {
        let name = place.abstract_name("a");
        let none = UnixStream::connect_addr(&name);
        assert_eq!(kind(none.map(drop)), Err(ErrorKind::ConnectionRefused));
        for _ in 0..2 {
            let listener = UnixListener::bind_addr(&name).expect("a name");
            let again = UnixListener::bind_addr(&name);
            assert_eq!(kind(again.map(drop)), Err(ErrorKind::AddrInUse));
            let datagrams = UnixDatagram::bind_addr(&name).expect("another kind's");
            let client = UnixStream::connect_addr(&name).expect("a listener");
            let (_server, _) = listener.accept().expect("a client");
            let peer = client.peer_addr().expect("open");
            assert_eq!(peer.as_abstract_name(), name.as_abstract_name());
            datagrams.send_to_addr(b"itself", &name).expect("room");
            assert_eq!(datagrams.recv(&mut [0; 9]).expect("a datagram"), 6);
        }
        let any = UnixListener::bind("").expect("any name");
        let given = any.local_addr().expect("open");
        assert_eq!(given.as_abstract_name().map(<[u8]>::len), Some(5));
        UnixStream::connect_addr(&given).expect("a listener");
        let nowhere = UnixStream::connect("");
        assert_eq!(kind(nowhere.map(drop)), Err(ErrorKind::InvalidInput));
    });
}

#[test]
fn streams_end_as_the_system_s() {
    both(|place| {
        let pair = || UnixStream::pair().expect("two");
        let (near, far) = pair();
        assert!(near.peer_addr().expect("open").is_unnamed());
        drop(far);
        place.settle();
        assert_eq!(write(&near, b"x"), Err(ErrorKind::BrokenPipe));
        assert_eq!(read(&near), Ok(0));
        assert_eq!(kind(near.shutdown(Shutdown::Both)), Ok(()));

        // What was not read is told to who wrote it, once.
        for shut in [false, true] {
            let (near, far) = pair();
            assert_eq!(write(&near, b"unread"), Ok(6));
            place.settle();
            if shut {
                far.shutdown(Shutdown::Write).expect("open");
            }
            drop(far);
            place.settle();
            assert_eq!(write(&near, b"x"), Err(ErrorKind::BrokenPipe));
            assert_eq!(read(&near), Err(ErrorKind::ConnectionReset));
            assert_eq!(read(&near), Ok(0));
            assert_eq!(kind(near.shutdown(Shutdown::Both)), Ok(()));
            assert!(near.take_error().expect("open").is_none());
        }

        let (near, far) = pair();
        assert_eq!(write(&far, b"before"), Ok(6));
        place.settle();
        near.shutdown(Shutdown::Read).expect("open");
        place.settle();
        assert_eq!(write(&far, b"after"), Err(ErrorKind::BrokenPipe));
        assert_eq!((read(&near), read(&near)), (Ok(6), Ok(0)));
        assert_eq!(write(&near, b"the other way"), Ok(13));
        assert_eq!(read(&far), Ok(13));
        for _ in 0..2 {
            near.shutdown(Shutdown::Write).expect("open");
        }
        assert_eq!(write(&near, b"x"), Err(ErrorKind::BrokenPipe));
        assert_eq!(read(&far), Ok(0));

        let path = place.path("line");
        let listener = UnixListener::bind(&path).expect("a name");
        let client = UnixStream::connect(&path).expect("a listener");
        drop(listener);
        assert_eq!(read(&client), Err(ErrorKind::ConnectionReset));
        assert_eq!(read(&client), Ok(0));
        assert_eq!(write(&client, b"x"), Err(ErrorKind::BrokenPipe));
    });
}

#[test]
fn datagrams_are_refused_as_the_system_s() {
    both(|place| {
        let (path, other) = (place.path("a"), place.path("b"));
        let here = UnixDatagram::bind(&path).expect("a name");
        let there = UnixDatagram::bind(&other).expect("a name");
        let stranger = UnixDatagram::unbound().expect("a socket");
        assert_eq!(kind(stranger.send(b"x")), Err(ErrorKind::NotConnected));
        let peer = stranger.peer_addr().map(drop);
        assert_eq!(kind(peer), Err(ErrorKind::NotConnected));

        stranger.connect(&path).expect("a socket");
        stranger.send(b"nameless").expect("room");
        let mut buf = [0; 4];
        let (length, from) = here.recv_from(&mut buf).expect("a datagram");
        assert_eq!((length, &buf), (4, b"name"));
        assert!(from.is_unnamed());
        there.send_to(b"named", &path).expect("room");
        let (_, from) = here.recv_from(&mut buf).expect("the next");
        assert_eq!(from.as_pathname(), Some(&*other));

        here.connect(&other).expect("a socket");
        assert_eq!(kind(stranger.send(b"x")), Err(ErrorKind::PermissionDenied));
        let sent = stranger.send_to(b"x", &path);
        assert_eq!(kind(sent), Err(ErrorKind::PermissionDenied));
        let joined = stranger.connect(&path);
        assert_eq!(kind(joined), Err(ErrorKind::PermissionDenied));

        // Whoever turns to another loses what is there, and the one before hears of it.
        there.connect(&path).expect("the same two");
        there.send(b"lost").expect("room");
        place.settle();
        let third = UnixDatagram::bind(place.path("c")).expect("a name");
        here.connect(place.path("c")).expect("a socket");
        here.set_nonblocking(true).expect("open");
        assert_eq!(kind(here.recv(&mut buf)), Err(ErrorKind::WouldBlock));
        let told = kind(there.recv(&mut buf));
        assert_eq!(told, Err(ErrorKind::ConnectionReset));
        assert_eq!(kind(there.send(b"x")), Err(ErrorKind::PermissionDenied));

        drop(third);
        assert_eq!(kind(here.send(b"x")), Err(ErrorKind::ConnectionRefused));
        assert_eq!(kind(here.send(b"x")), Err(ErrorKind::NotConnected));
        let (one, two) = UnixDatagram::pair().expect("two");
        let most = vec![1; 212_960];
        assert_eq!(kind(one.send(&most)), Ok(most.len()));
        assert_eq!(kind(two.recv(&mut buf)), Ok(4));
        assert_eq!(
            code(one.send(&[&most[..], b"x"].concat())),
            Some(libc::EMSGSIZE)
        );
        two.shutdown(Shutdown::Read).expect("open");
        assert_eq!(kind(one.send(b"x")), Err(ErrorKind::BrokenPipe));
        assert_eq!(kind(stranger.shutdown(Shutdown::Both)), Ok(()));
        let sent = stranger.send_to(b"x", &other);
        assert_eq!(kind(sent), Err(ErrorKind::BrokenPipe));
    });
}

#[test]
fn what_is_shut_receives_nothing_more() {
    both(|place| {
        let (one, two) = UnixDatagram::pair().expect("two");
        one.send(b"the last").expect("room");
        place.settle();
        two.shutdown(Shutdown::Read).expect("open");
        assert_eq!(kind(two.recv(&mut [0; 9])), Ok(8));
        assert_eq!(kind(two.recv(&mut [0; 9])), Ok(0));
        let (length, from) = two.recv_from(&mut [0]).expect("the end");
        assert!(length == 0 && from.is_unnamed());
        // Those who may wait already.
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let one = one.try_clone().expect("open");
                spawn(move || kind(one.recv(&mut [0])))
            })
            .collect();
        one.shutdown(Shutdown::Read).expect("open");
        for it in waiting {
            assert_eq!(it.join().expect("no panic"), Ok(0));
        }
    });
}

#[test]
fn a_path_can_be_had_again_when_its_socket_is_gone() {
    sim::explore(0..10, || {
        let path = Path::new("/run/server");
        let listener = UnixListener::bind(path).expect("a name");
        let client = UnixStream::connect(path).expect("a listener");
        listener.close();
        let refused = UnixStream::connect(path);
        assert_eq!(kind(refused.map(drop)), Err(ErrorKind::ConnectionRefused));
        let next = UnixDatagram::bind(path).expect("the name is free");
        // The last of those who had the name before: the name is not theirs any more.
        drop((listener, client));
        let again = UnixListener::bind(path);
        assert_eq!(kind(again.map(drop)), Err(ErrorKind::AddrInUse));
        drop(next);
        let _listener = UnixListener::bind(path).expect("the name is free");
        UnixStream::connect("/run/./server").expect("the same path");
    });
}

#[test]
fn each_host_has_its_own_names() {
    sim::explore(0..10, || {
        let names = || UnixListener::bind("/run/server").expect("its own");
        let [one, _other] = [SERVER, CLIENT].map(|host| sim::net::on(host, names));
        let stream = sim::net::on(SERVER, || UnixStream::connect("/run/server"));
        let stream = stream.expect("a listener");
        let (server, _) = one.accept().expect("a client");
        let here = UnixStream::connect("/run/server");
        assert_eq!(kind(here.map(drop)), Err(ErrorKind::NotFound));
        // Its host is that where it was made.
        assert_eq!(sim::net::reset(CLIENT, CLIENT), 0);
        assert_eq!(sim::net::reset(SERVER, SERVER), 1);
        assert_eq!(read(&server), Err(ErrorKind::ConnectionReset));
        assert_eq!(read(&stream), Err(ErrorKind::ConnectionReset));
    });
}

#[test]
fn all_takes_the_latency_of_the_host_with_itself() {
    let home = [127, 0, 0, 1];
    sim::explore(0..30, || {
        sim::net::latency_between(home, home, 3 * MS);
        let start = time::now();
        let passed = || time::now() - start;
        let none = UnixStream::connect("/none");
        assert_eq!(kind(none.map(drop)), Err(ErrorKind::NotFound));
        assert_eq!(passed(), Duration::ZERO);
        let listener = UnixListener::bind("/run/server").expect("a name");
        let near = UnixStream::connect("/run/server").expect("a listener");
        assert_eq!(passed(), 6 * MS);
        let (far, _) = listener.accept().expect("a client");
        let mut bufs = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        assert_eq!((&near).write_vectored(&bufs).expect("room"), 6);
        bufs.reverse();
        let (mut one, mut two) = ([0; 2], [0; 9]);
        let mut into = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!((&far).read_vectored(&mut into).expect("data"), 6);
        assert_eq!((&one, &two[..4]), (b"on", &b"etwo"[..]));
        assert_eq!(passed(), 9 * MS);
        let (here, there) = UnixDatagram::pair().expect("two");
        here.send(b"x").expect("room");
        there.recv(&mut one).expect("a datagram");
        assert_eq!(passed(), 12 * MS);
    });
}

#[test]
fn a_host_that_is_cut_off_from_itself_stands_still() {
    let home = [127, 0, 0, 1];
    sim::explore(0..30, || {
        let listener = UnixListener::bind("/run/server").expect("a name");
        let (near, far) = UnixStream::pair().expect("two");
        let (here, there) = UnixDatagram::pair().expect("two");
        sim::net::isolate(home);
        assert_eq!(write(&near, b"goes on"), Ok(7));
        assert_eq!(read(&far), Ok(7));

        sim::net::partition(home, home);
        let start = time::now();
        let client = spawn(|| UnixStream::connect("/run/server"));
        assert_eq!(write(&near, b"still"), Ok(5));
        here.send(b"one").expect("room");
        here.send(b"two").expect("room");
        far.set_read_timeout(Some(2 * MS)).expect("open");
        there.set_read_timeout(Some(3 * MS)).expect("open");
        assert_eq!(read(&far), Err(ErrorKind::TimedOut));
        assert_eq!(kind(there.recv(&mut [0])), Err(ErrorKind::TimedOut));
        assert_eq!(time::now() - start, 5 * MS);
        // Longer than anybody would try to connect elsewhere.
        time::sleep(Duration::from_secs(1000));
        assert!(!client.is_finished());

        sim::net::latency(MS);
        let healed = time::now();
        sim::net::heal(home, home);
        assert_eq!(read(&far), Ok(5));
        let mut buf = [0; 3];
        for expected in [b"one", b"two"] {
            there.recv(&mut buf).expect("not lost");
            assert_eq!(&buf, expected);
        }
        assert_eq!(time::now() - healed, MS);
        client.join().expect("no panic").expect("a listener");
        assert_eq!(time::now() - healed, 2 * MS);
        listener.accept().expect("a client");
    });
}

#[test]
fn datagrams_are_neither_lost_nor_doubled_nor_overtaken() {
    sim::explore(0..30, || {
        sim::net::latency(MS..=9 * MS);
        sim::net::loss(0.5);
        sim::net::duplication(0.5);
        sim::net::reordering(0.5);
        let here = UnixDatagram::bind("/run/here").expect("a name");
        let sender = spawn(|| {
            let there = UnixDatagram::unbound().expect("a socket");
            for number in 0..100 {
                assert_eq!(kind(there.send_to(&[number], "/run/here")), Ok(1));
            }
        });
        for number in 0..100 {
            let mut buf = [0];
            here.recv(&mut buf).expect("a datagram");
            assert_eq!(buf[0], number);
        }
        sender.join().expect("no panic");
    });
}

#[test]
fn senders_wait_for_room_and_are_told_of_it() {
    sim::explore(0..50, || {
        let here = Arc::new(UnixDatagram::bind("/run/here").expect("a name"));
        let there = UnixDatagram::unbound().expect("a socket");
        there.set_write_timeout(Some(2 * MS)).expect("open");
        for _ in 0..11 {
            assert_eq!(kind(there.send_to(&[1], "/run/here")), Ok(1));
        }
        let start = time::now();
        let full = there.send_to(&[2], "/run/here");
        assert_eq!(kind(full), Err(ErrorKind::TimedOut));
        assert_eq!(time::now() - start, 2 * MS);
        there.set_nonblocking(true).expect("open");
        let full = there.send_to(&[2], "/run/here");
        assert_eq!(kind(full), Err(ErrorKind::WouldBlock));
        let waiting: Vec<_> = [false, true]
            .map(|connected| {
                spawn(move || {
                    let there = UnixDatagram::unbound().expect("a socket");
                    if connected {
                        there.connect("/run/here").expect("a socket");
                        there.send(&[3])
                    } else {
                        there.send_to(&[3], "/run/here")
                    }
                    .map(|_| time::now())
                })
            })
            .into();
        time::sleep(MS);
        assert!(waiting.iter().all(|it| !it.is_finished()));
        let room = time::now();
        for _ in 0..13 {
            here.recv(&mut [0]).expect("a datagram");
        }
        for it in waiting {
            assert_eq!(kind(it.join().expect("no panic")), Ok(room));
        }

        // Whoever waits for a socket that goes is told so.
        for _ in 0..11 {
            assert_eq!(kind(there.send_to(&[1], "/run/here")), Ok(1));
        }
        there.set_nonblocking(false).expect("open");
        there.set_write_timeout(None).expect("open");
        let late = spawn(move || kind(there.send_to(&[1], "/run/here")));
        time::sleep(MS);
        here.close();
        let late = late.join().expect("no panic");
        assert_eq!(late, Err(ErrorKind::ConnectionRefused));
    });
}

#[test]
fn those_who_are_connected_have_more_room() {
    sim::explore(0..3, || {
        let (one, two) = UnixDatagram::pair().expect("two");
        one.set_nonblocking(true).expect("open");
        let filled = || {
            let sent = |_: &usize| one.send(&[1]).is_ok();
            (0..1000).take_while(sent).count()
        };
        // What Linux has room for, by its defaults.
        assert_eq!(filled(), 278);
        two.recv(&mut [0]).expect("a datagram");
        assert_eq!(filled(), 1);
        let own = UnixDatagram::bind("/run/own").expect("a name");
        own.set_nonblocking(true).expect("open");
        let sent = |_: &usize| own.send_to(&[1], "/run/own").is_ok();
        assert_eq!((0..1000).take_while(sent).count(), 278);
    });
}

#[test]
fn a_writer_waits_for_room_and_a_line_for_who_accepts() {
    sim::explore(0..5, || {
        sim::net::buffer(1000);
        let (near, far) = UnixStream::pair().expect("two");
        near.set_write_timeout(Some(5 * MS)).expect("open");
        let start = time::now();
        assert_eq!(write(&near, &[1; 1500]), Ok(1000));
        assert_eq!(write(&near, &[1]), Err(ErrorKind::TimedOut));
        assert_eq!(time::now() - start, 5 * MS);
        near.set_write_timeout(None).expect("open");
        let writer = spawn(move || (&near).write_all(&[2; 9000]));
        let mut all = Vec::new();
        (&far).read_to_end(&mut all).expect("an end");
        assert_eq!(all.len(), 10_000);
        writer.join().expect("no panic").expect("a reader");

        let listener = Arc::new(UnixListener::bind("/run/server").expect("a name"));
        let clients: Vec<_> = (0..128)
            .map(|_| UnixStream::connect("/run/server").expect("room in the line"))
            .collect();
        let late = || spawn(|| UnixStream::connect("/run/server").map(drop));
        let (one, other) = (late(), late());
        time::sleep(Duration::from_secs(1000));
        assert!(!one.is_finished() && !other.is_finished());
        listener.accept().expect("the first");
        time::sleep(MS);
        assert_eq!(
            [&one, &other].iter().filter(|it| it.is_finished()).count(),
            1
        );
        listener.close();
        let mut ends = [one, other].map(|it| kind(it.join().expect("no panic")));
        ends.sort_by_key(Result::is_err);
        assert_eq!(ends, [Ok(()), Err(ErrorKind::ConnectionRefused)]);
        assert_eq!(read(&clients[1]), Err(ErrorKind::ConnectionReset));
    });
}

#[test]
fn those_who_wait_end_when_their_socket_is_closed() {
    sim::explore(0..50, || {
        let (near, far) = UnixStream::pair().expect("two");
        let (one, two) = UnixDatagram::pair().expect("two");
        let listener = UnixListener::bind("/run/server").expect("a name");
        listener.set_accept_timeout(Some(MS)).expect("open");
        let late = listener.accept().map(drop);
        assert_eq!(kind(late), Err(ErrorKind::TimedOut));
        listener.set_accept_timeout(None).expect("open");
        let (stream, datagrams) = (near.try_clone(), one.try_clone());
        let (stream, datagrams) = (stream.expect("open"), datagrams.expect("open"));
        let accepting = listener.try_clone().expect("open");
        let waiting = [
            spawn(move || read(&stream).map(drop)),
            spawn(move || kind(datagrams.recv(&mut [0]).map(drop))),
            spawn(move || kind(accepting.accept().map(drop))),
        ];
        time::sleep(MS);
        near.close();
        one.close();
        listener.close();
        for it in waiting {
            let end = it.join().expect("no panic");
            assert_eq!(end, Err(ErrorKind::NotConnected));
        }
        assert_eq!(read(&far), Ok(0));
        assert_eq!(kind(two.send(&[1])), Err(ErrorKind::ConnectionRefused));
    });
}

#[test]
fn what_is_simulated_says_so() {
    let said = |f: fn()| {
        let report = sim::run(1, f);
        report.failure().unwrap_or_default().to_owned()
    };
    let pair = || UnixStream::pair().expect("two");
    let reasons = [
        said(|| _ = UnixStream::pair().expect("two").0.as_raw_fd()),
        said(|| _ = UnixListener::bind("/a").expect("a name").as_fd()),
        said(|| drop(OwnedFd::from(UnixDatagram::unbound().expect("a socket")))),
        said(|| {
            drop(system::UnixListener::from(
                UnixListener::bind("/a").expect("a name"),
            ));
        }),
    ];
    for reason in reasons {
        assert!(reason.contains("has no descriptor"), "{reason}");
    }
    let kept = Kernel::new(None);
    sim::explore(0..1, || {
        let listener = UnixListener::bind("/run/server").expect("a name");
        assert_eq!(
            format!("{listener:?}"),
            r#"UnixListener { local: "/run/server" (pathname), .. }"#
        );
        let stream = format!("{:?}", pair().0);
        assert!(
            stream.starts_with("UnixStream { local: (unnamed)"),
            "{stream}"
        );
        let datagram = UnixDatagram::bind("").expect("any name");
        assert_eq!(
            format!("{datagram:?}"),
            r#"UnixDatagram { local: "00000" (abstract), .. }"#
        );
        *kept.lock().expect("no panic") = Some((pair(), listener, datagram));
    });
    let kept = kept.into_inner().expect("no panic").expect("kept");
    let ((near, _far), listener, datagram) = kept;
    assert_eq!(write(&near, &[1]), Err(ErrorKind::NotConnected));
    assert_eq!(read(&near), Err(ErrorKind::NotConnected));
    let accepted = listener.accept().map(drop);
    assert_eq!(kind(accepted), Err(ErrorKind::NotConnected));
    let sent = datagram.send_to(&[1], "/run/server");
    assert_eq!(kind(sent), Err(ErrorKind::NotConnected));
}

/// Clients that ask a server by streams, and tell a collector by datagrams.
fn mixture(order: &Kernel<String>) {
    sim::net::latency(MS..=3 * MS);
    let listener = UnixListener::bind("/run/echo").expect("a name");
    let collector = UnixDatagram::bind("/run/collector").expect("a name");
    let server = spawn(move || {
        for stream in listener.incoming().take(4) {
            let stream = stream.expect("a client");
            spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    for number in *b"abcd" {
        spawn(move || {
            let mut stream = UnixStream::connect("/run/echo").expect("a server");
            stream.write_all(&[number, number]).expect("room");
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).expect("an answer");
            let socket = UnixDatagram::unbound().expect("a socket");
            socket
                .send_to(&answer[..1], "/run/collector")
                .expect("room");
        });
    }
    for _ in 0..4 {
        let mut letter = [0];
        collector.recv(&mut letter).expect("a letter");
        order.lock().expect("no panic").push(letter[0].into());
    }
    server.join().expect("no panic");
    thread::yield_now();
}

#[test]
fn the_same_seed_makes_the_same_log() {
    for explorer in [Explorer::new(), Explorer::new().pct(3)] {
        let (mut logs, mut orders) = (BTreeSet::new(), BTreeSet::new());
        for seed in 0..40 {
            let run = || {
                let order = Kernel::default();
                let report = explorer.report(seed, || mixture(&order));
                assert_eq!(report.failure(), None, "{report}");
                (order.into_inner().expect("no panic"), report.log())
            };
            let (one, two) = (run(), run());
            assert_eq!(one, two, "seed {seed}");
            for line in [
                "net: connects, (unnamed) to /run/echo",
                "net: 2 bytes arrive, /run/echo to (unnamed)",
                "net: 1 bytes arrive, (unnamed) to /run/collector",
            ] {
                assert!(one.1.contains(line), "{}", one.1);
            }
            orders.insert(one.0);
            logs.insert(one.1);
        }
        assert_eq!(logs.len(), 40);
        assert!(orders.len() > 10, "only {} orders", orders.len());
    }
}

#[test]
fn a_deadlock_in_them_is_found() {
    for wait in [
        || drop(UnixStream::pair().map(|(near, _far)| read(&near))),
        || drop(UnixDatagram::pair().map(|(one, _two)| one.recv(&mut [0]))),
        || drop(UnixListener::bind("/a").map(|it| it.accept())),
    ] as [fn(); 3]
    {
        let text = sim::run(1, wait).to_string();
        assert!(text.contains("deadlock!"), "{text}");
    }
}
