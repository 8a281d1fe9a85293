//! TCP on every home: what std promises of it, and Go's promises on deadlines, closing and sharing.

use crate::support::{Handle, Home, Rng, on_every_home, on_every_real_home, seeds};
use std::{
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write},
    net,
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use sward::{
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    time::now,
};

const HOUR: Option<Duration> = Some(Duration::from_hours(1));

fn kind<T>(result: io::Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|it| it.kind())
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// Two ends of a connection.
fn pair() -> (Arc<TcpStream>, Arc<TcpStream>) {
    let (listener, address) = listener();
    let near = TcpStream::connect(address).expect("a listener");
    let (far, from) = listener.accept().expect("a client");
    assert_eq!(near.local_addr().expect("connected"), from);
    (Arc::new(near), Arc::new(far))
}

/// Threads of `home`, each of which does `f` with its number; each has begun when this returns.
fn crowd<T: Send + 'static>(
    home: Home,
    count: usize,
    f: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<Handle<T>> {
    let begun = Arc::new(AtomicUsize::new(0));
    let f = Arc::new(f);
    let crowd = (0..count)
        .map(|number| {
            let (begun, f) = (Arc::clone(&begun), Arc::clone(&f));
            home.spawn(move || {
                begun.fetch_add(1, Relaxed);
                f(number)
            })
        })
        .collect();
    while begun.load(Relaxed) < count {
        home.yield_now();
    }
    crowd
}

fn join<T>(handle: Handle<T>) -> T {
    handle.join().expect("a thread of the test")
}

#[test]
fn words_go_to_and_fro() {
    on_every_home(|home| {
        let (near, far) = pair();
        let echo = home.spawn(move || io::copy(&mut &*far, &mut &*far));
        for round in 0_u32..500 {
            (&*near).write_all(&round.to_ne_bytes()).expect("room");
            let mut buf = [0; 4];
            (&*near).read_exact(&mut buf).expect("the echo");
            assert_eq!(u32::from_ne_bytes(buf), round);
        }
        near.shutdown(Shutdown::Write).expect("connected");
        assert_eq!(join(echo).expect("an end"), 2000);
        assert_eq!((&*near).read(&mut [0]).expect("an end"), 0);
    });
}

/// One end is written to and read from at once, by two threads, with full buffers in both directions.
#[test]
fn one_may_read_while_another_writes() {
    const BYTES: usize = 8 << 20;
    fn pattern(place: usize, seed: usize) -> u8 {
        u8::try_from((place + seed) % 251).expect("below 251")
    }
    fn send(stream: &TcpStream, seed: usize) {
        let mut sent = 0;
        let mut chunk = vec![0; 100_000];
        while sent < BYTES {
            let length = chunk.len().min(BYTES - sent);
            for (offset, byte) in chunk[..length].iter_mut().enumerate() {
                *byte = pattern(sent + offset, seed);
            }
            (&mut &*stream)
                .write_all(&chunk[..length])
                .expect("a reader");
            sent += length;
        }
        stream.shutdown(Shutdown::Write).expect("connected");
    }
    fn receive(stream: &TcpStream, seed: usize) {
        let mut buf = vec![0; 150_000];
        let mut seen = 0;
        loop {
            let length = (&mut &*stream).read(&mut buf).expect("data");
            if length == 0 {
                break;
            }
            for byte in &buf[..length] {
                assert_eq!(*byte, pattern(seen, seed), "byte {seen}");
                seen += 1;
            }
        }
        assert_eq!(seen, BYTES);
    }
    on_every_home(|home| {
        let (near, far) = pair();
        let mut threads = Vec::new();
        for (stream, seed, other) in [(near, 0, 7), (far, 7, 0)] {
            let shared = Arc::clone(&stream);
            threads.push(home.spawn(move || send(&shared, seed)));
            threads.push(home.spawn(move || receive(&stream, other)));
        }
        threads.into_iter().for_each(join);
    });
}

#[test]
fn a_read_in_vain_times_out_never_early_and_the_stream_goes_on() {
    on_every_home(|_| {
        let (near, far) = pair();
        for micros in [1, 100, 1_000, 5_000, 20_000] {
            let timeout = Duration::from_micros(micros);
            near.set_read_timeout(Some(timeout)).expect("open");
            let start = now();
            assert_eq!(kind((&*near).read(&mut [0; 8])), Err(ErrorKind::TimedOut));
            assert!((now() - start) >= timeout, "{micros} us came early");
            let start = now();
            assert_eq!(kind(near.peek(&mut [0; 8])), Err(ErrorKind::TimedOut));
            assert!((now() - start) >= timeout, "{micros} us came early");
        }
        (&*far).write_all(b"late").expect("room");
        let mut buf = [0; 4];
        (&*near).read_exact(&mut buf).expect("data");
        assert_eq!(&buf, b"late");
    });
}

#[test]
fn a_write_in_vain_times_out_and_what_was_written_arrives() {
    on_every_home(|home| {
        let (near, far) = pair();
        near.set_write_timeout(Some(Duration::from_millis(2)))
            .expect("open");
        let chunk = vec![7; 60_000];
        let mut sent = 0;
        let error = loop {
            match (&*near).write(&chunk) {
                Ok(length) => sent += length,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let reader = home.spawn(move || {
            let mut all = Vec::new();
            (&*far).read_to_end(&mut all).expect("data");
            all.len()
        });
        near.set_write_timeout(None).expect("open");
        (&*near).write_all(&chunk).expect("a reader");
        near.shutdown(Shutdown::Write).expect("connected");
        assert_eq!(join(reader), sent + chunk.len());
    });
}

#[test]
fn timeouts_are_what_was_set_on_any_clone() {
    on_every_home(|_| {
        let (near, _far) = pair();
        let clone = near.try_clone().expect("open");
        assert_eq!(near.read_timeout().expect("open"), None);
        assert_eq!(near.write_timeout().expect("open"), None);
        near.set_read_timeout(Some(Duration::from_nanos(3)))
            .expect("open");
        clone.set_write_timeout(HOUR).expect("open");
        assert_eq!(
            clone.read_timeout().expect("open"),
            Some(Duration::from_nanos(3))
        );
        assert_eq!(near.write_timeout().expect("open"), HOUR);
        for result in [
            near.set_read_timeout(Some(Duration::ZERO)),
            near.set_write_timeout(Some(Duration::ZERO)),
        ] {
            assert_eq!(kind(result), Err(ErrorKind::InvalidInput));
        }
        near.set_read_timeout(Some(Duration::MAX)).expect("open");
        assert_eq!(near.read_timeout().expect("open"), Some(Duration::MAX));
    });
}

/// Whoever waits already gets a new timeout: a shorter one ends an hour's wait.
#[test]
fn a_shorter_timeout_ends_a_wait() {
    on_every_home(|home| {
        let (near, far) = pair();
        near.set_read_timeout(HOUR).expect("open");
        let shared = Arc::clone(&near);
        let readers = crowd(home, 10, move |_| kind((&*shared).read(&mut [0])));
        near.set_read_timeout(Some(Duration::from_millis(1)))
            .expect("open");
        for reader in readers {
            assert_eq!(join(reader), Err(ErrorKind::TimedOut));
        }
        drop(far);
    });
}

/// Several extend the time for a reader by 5 ms all the while: it does not end before they do, and
/// then it does.
#[test]
fn a_timeout_extended_while_it_fires_does_not_fire() {
    on_every_real_home(|home| {
        let (near, far) = pair();
        let more = Duration::from_millis(5);
        near.set_read_timeout(HOUR).expect("open");
        let ended = Arc::new(AtomicBool::new(false));
        let reader = home.spawn({
            let (near, ended) = (Arc::clone(&near), Arc::clone(&ended));
            move || {
                let result = kind((&*near).read(&mut [0]));
                ended.store(true, Relaxed);
                (result, now())
            }
        });
        let until = now() + Duration::from_millis(150);
        let extenders = crowd(home, 3, {
            let near = Arc::clone(&near);
            move |_| {
                let mut last = now();
                let mut gap = Duration::ZERO;
                while now() < until {
                    let before = now();
                    near.set_read_timeout(Some(more)).expect("open");
                    // From before the one to after the next: it may be held up between.
                    gap = gap.max(now() - last);
                    last = before;
                    home.yield_now();
                }
                (last, gap)
            }
        });
        let extended: Vec<_> = extenders.into_iter().map(join).collect();
        let last = extended.iter().map(|it| it.0).max().expect("several");
        let gap = extended.iter().map(|it| it.1).min().expect("several");
        let (result, end) = join(reader);
        assert_eq!(result, Err(ErrorKind::TimedOut));
        // A machine that held every extender up for 5 ms proves nothing.
        assert!(
            gap >= more || end >= last + more,
            "it fired while it was extended"
        );
        drop(far);
    });
}

/// A timeout that fires and an extension race; data that comes later is read, or the timeout is told.
#[test]
fn an_extension_that_races_with_the_timeout_loses_no_data() {
    on_every_home(|home| {
        let (near, far) = pair();
        let mut rng = Rng::new(1);
        for round in 0..200_u32 {
            near.set_read_timeout(Some(Duration::from_micros(1 + rng.below(300) as u64)))
                .expect("open");
            let reader = home.spawn({
                let near = Arc::clone(&near);
                move || {
                    let mut buf = [0; 4];
                    kind((&*near).read_exact(&mut buf)).map(|()| u32::from_ne_bytes(buf))
                }
            });
            for _ in 0..rng.below(300) {
                std::hint::spin_loop();
            }
            near.set_read_timeout(None).expect("open");
            (&*far).write_all(&round.to_ne_bytes()).expect("room");
            match join(reader) {
                Ok(word) => assert_eq!(word, round),
                Err(error) => {
                    assert_eq!(error, ErrorKind::TimedOut);
                    let mut buf = [0; 4];
                    (&*near).read_exact(&mut buf).expect("still there");
                    assert_eq!(u32::from_ne_bytes(buf), round);
                }
            }
        }
    });
}

#[test]
fn a_thousand_readers_of_a_closed_socket_all_come_back() {
    on_every_home(|home| {
        let count = if home == Home::Threads { 200 } else { 1000 };
        let (near, far) = pair();
        let shared = Arc::clone(&near);
        let readers = crowd(home, count, move |_| kind((&*shared).read(&mut [0])));
        near.close();
        for reader in readers {
            assert_eq!(join(reader), Err(ErrorKind::NotConnected));
        }
        assert_eq!((&*far).read(&mut [0]).expect("the peer's end"), 0);
    });
}

#[test]
fn after_close_everything_fails_alike() {
    on_every_home(|home| {
        let (near, far) = pair();
        let clone = near.try_clone().expect("open");
        let shared = Arc::clone(&near);
        let writer = home.spawn(move || {
            let chunk = vec![0; 60_000];
            loop {
                if let Err(error) = (&*shared).write(&chunk) {
                    return error.kind();
                }
            }
        });
        home.yield_now();
        clone.close();
        clone.close();
        assert_eq!(join(writer), ErrorKind::NotConnected);
        let closed = Err(ErrorKind::NotConnected);
        assert_eq!(kind((&*near).read(&mut [0])), closed.map(|()| 0));
        assert_eq!(kind((&*near).read(&mut [])), closed.map(|()| 0));
        assert_eq!(kind((&*near).write(&[0])), closed.map(|()| 0));
        assert_eq!(
            kind((&*near).write_vectored(&[IoSlice::new(&[0])])),
            closed.map(|()| 0)
        );
        assert_eq!(kind(near.peek(&mut [0])), closed.map(|()| 0));
        assert_eq!(kind(near.peer_addr()).map(drop), closed);
        assert_eq!(kind(near.local_addr()).map(drop), closed);
        assert_eq!(kind(near.try_clone()).map(drop), closed);
        assert_eq!(kind(near.take_error()).map(drop), closed);
        assert_eq!(kind(near.set_nodelay(true)), closed);
        assert_eq!(kind(near.set_read_timeout(None)), closed);
        assert_eq!(kind(near.set_nonblocking(true)), closed);
        assert_eq!(kind(near.shutdown(Shutdown::Both)), closed);
        drop(far);
    });
}

/// Sockets are closed and new ones opened under the same numbers, while readers and setters of the old
/// ones go on: none reads what is another's.
#[test]
fn a_number_that_is_used_again_belongs_to_the_new_socket_alone() {
    on_every_home(|home| {
        for seed in seeds() {
            let (listener, address) = listener();
            let mut rng = Rng::new(seed);
            let mut stale = Vec::new();
            for round in 0..60_u64 {
                let near = Arc::new(TcpStream::connect(address).expect("a listener"));
                let (far, _) = listener.accept().expect("a client");
                for _ in 0..2 {
                    let near = Arc::clone(&near);
                    stale.push(home.spawn(move || {
                        let mut buf = [0; 8];
                        loop {
                            match (&*near).read(&mut buf) {
                                Ok(0) => break,
                                Ok(8) => assert_eq!(u64::from_ne_bytes(buf), round),
                                Ok(other) => panic!("seed {seed}: {other} bytes"),
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::NotConnected);
                                    break;
                                }
                            }
                            // Whether it fails does not matter here.
                            drop(near.set_read_timeout(HOUR));
                        }
                    }));
                }
                for _ in 0..rng.below(4) {
                    (&far).write_all(&round.to_ne_bytes()).expect("room");
                    home.yield_now();
                }
                near.close();
            }
            stale.into_iter().for_each(join);
        }
    });
}

#[test]
fn every_connection_goes_to_one_of_many_acceptors() {
    on_every_home(|home| {
        const ACCEPTORS: usize = 50;
        const CLIENTS: usize = 300;
        let (listener, address) = listener();
        let listener = Arc::new(listener);
        let accepted = Arc::new(AtomicUsize::new(0));
        let acceptors = crowd(home, ACCEPTORS, {
            let (listener, accepted) = (Arc::clone(&listener), Arc::clone(&accepted));
            move |_| {
                loop {
                    match listener.accept() {
                        Ok((stream, from)) => {
                            accepted.fetch_add(1, Relaxed);
                            let words = from.port().to_ne_bytes();
                            (&stream).write_all(&words).expect("a client");
                        }
                        Err(error) => return error.kind(),
                    }
                }
            }
        });
        let clients = crowd(home, 4, move |_| {
            for _ in 0..CLIENTS / 4 {
                let mut stream = TcpStream::connect(address).expect("a listener");
                let mut words = [0; 2];
                stream.read_exact(&mut words).expect("an acceptor");
                let port = stream.local_addr().expect("connected").port();
                assert_eq!(u16::from_ne_bytes(words), port);
            }
        });
        clients.into_iter().for_each(join);
        assert_eq!(accepted.load(Relaxed), CLIENTS);
        listener.close();
        for acceptor in acceptors {
            assert_eq!(join(acceptor), ErrorKind::NotConnected);
        }
        assert_eq!(
            kind(listener.accept()).map(drop),
            Err(ErrorKind::NotConnected)
        );
        assert!(TcpStream::connect(address).is_err(), "nobody listens");
    });
}

#[test]
fn accepting_times_out_and_goes_on() {
    on_every_home(|_| {
        let (listener, address) = listener();
        assert_eq!(listener.accept_timeout().expect("open"), None);
        let timeout = Duration::from_millis(3);
        listener.set_accept_timeout(Some(timeout)).expect("open");
        assert_eq!(listener.accept_timeout().expect("open"), Some(timeout));
        let start = now();
        assert_eq!(kind(listener.accept()).map(drop), Err(ErrorKind::TimedOut));
        assert!((now() - start) >= timeout);
        let client = TcpStream::connect(address).expect("a listener");
        let (_, from) = listener.accept().expect("a client");
        assert_eq!(from, client.local_addr().expect("connected"));
        assert_eq!(
            kind(listener.set_accept_timeout(Some(Duration::ZERO))),
            Err(ErrorKind::InvalidInput)
        );
    });
}

#[test]
fn incoming_has_no_end_but_errors() {
    on_every_home(|home| {
        let (listener, address) = listener();
        let listener = Arc::new(listener);
        let shared = Arc::clone(&listener);
        let clients = home.spawn(move || {
            for _ in 0..5 {
                drop(TcpStream::connect(address).expect("a listener"));
            }
            shared
        });
        assert_eq!(listener.incoming().take(5).flatten().count(), 5);
        join(clients).close();
        assert!(listener.incoming().next().expect("no end").is_err());
    });
}

#[test]
fn an_empty_read_comes_back_at_once() {
    on_every_home(|_| {
        let (near, far) = pair();
        let empty = || {
            let none = (&*near).read(&mut []).expect("nothing to wait for");
            none + (&*near)
                .read_vectored(&mut [IoSliceMut::new(&mut [])])
                .expect("nothing to wait for")
                + near.peek(&mut []).expect("nothing to wait for")
        };
        assert_eq!(empty(), 0);
        (&*far).write_all(b"data").expect("room");
        assert_eq!(empty(), 0);
        let mut buf = [0; 4];
        (&*near).read_exact(&mut buf).expect("data");
        assert_eq!(&buf, b"data");
        drop(far);
        assert_eq!((&*near).read(&mut buf).expect("an end"), 0);
        assert_eq!(empty(), 0);
    });
}

#[test]
fn half_a_close_ends_half() {
    on_every_home(|home| {
        let (near, far) = pair();
        let shared = Arc::clone(&near);
        let reader = home.spawn(move || {
            let mut all = Vec::new();
            (&*shared).read_to_end(&mut all).map(|_| all)
        });
        let shared = Arc::clone(&near);
        let writer = home.spawn(move || {
            let chunk = vec![0; 60_000];
            loop {
                if let Err(error) = (&*shared).write(&chunk) {
                    return error.kind();
                }
            }
        });
        home.yield_now();
        near.shutdown(Shutdown::Write).expect("connected");
        assert_eq!(join(writer), ErrorKind::BrokenPipe);
        (&*far).write_all(b"still heard").expect("room");
        far.shutdown(Shutdown::Write).expect("connected");
        assert_eq!(join(reader).expect("data"), b"still heard");
    });
}

#[test]
fn shutting_down_ends_the_reads_that_wait() {
    on_every_home(|home| {
        let (near, _far) = pair();
        let shared = Arc::clone(&near);
        let readers = crowd(home, 10, move |_| kind((&*shared).read(&mut [0])));
        near.shutdown(Shutdown::Read).expect("connected");
        for reader in readers {
            assert_eq!(join(reader), Ok(0));
        }
    });
}

#[test]
fn a_peer_that_is_gone_is_an_end_and_then_an_error() {
    on_every_home(|_| {
        let (near, far) = pair();
        drop(far);
        assert_eq!((&*near).read(&mut [0]).expect("an end"), 0);
        let error = loop {
            if let Err(error) = (&*near).write(&[0; 1000]) {
                break error.kind();
            }
        };
        assert!(
            matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
            "{error}"
        );
    });
}

#[test]
fn what_cannot_be_had_is_an_error() {
    on_every_home(|_| {
        let (listener, address) = listener();
        assert_eq!(
            kind(TcpListener::bind(address)).map(drop),
            Err(ErrorKind::AddrInUse)
        );
        drop(listener);
        assert_eq!(
            kind(TcpStream::connect(address)).map(drop),
            Err(ErrorKind::ConnectionRefused)
        );
        let none: &[SocketAddr] = &[];
        assert_eq!(
            kind(TcpStream::connect(none)).map(drop),
            Err(ErrorKind::InvalidInput)
        );
        assert_eq!(
            kind(TcpListener::bind(none)).map(drop),
            Err(ErrorKind::InvalidInput)
        );
        assert!(TcpStream::connect("no-such-host.invalid:80").is_err());
        assert!(TcpStream::connect("no port").is_err());
        assert_eq!(
            kind(TcpStream::connect_timeout(&address, Duration::ZERO)).map(drop),
            Err(ErrorKind::InvalidInput)
        );
        assert_eq!(
            kind(TcpStream::connect_timeout(&address, Duration::from_mins(1))).map(drop),
            Err(ErrorKind::ConnectionRefused)
        );
    });
}

#[test]
fn names_and_lists_of_addresses_are_tried_in_turn() {
    on_every_home(|_| {
        let (dead, refusing) = listener();
        drop(dead);
        let (listener, address) = listener();
        let stream = TcpStream::connect(&[refusing, address][..]).expect("the second");
        assert_eq!(stream.peer_addr().expect("connected"), address);
        let stream = TcpStream::connect(("localhost", address.port())).expect("this machine");
        assert_eq!(stream.peer_addr().expect("connected"), address);
        let stream = TcpStream::connect(address.to_string()).expect("an address as text");
        assert_eq!(stream.peer_addr().expect("connected"), address);
        drop(listener);
    });
}

/// A listener whose line is full answers nobody: connecting takes as long as it may, and leaves no
/// descriptor behind.
#[test]
fn connecting_times_out() {
    on_every_real_home(|_| {
        let full = net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = full.local_addr().expect("bound");
        let timeout = Duration::from_millis(30);
        let mut line = Vec::new();
        let start = loop {
            let start = now();
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => line.push(stream),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    break start;
                }
            }
            assert!(line.len() < 10_000, "an endless line");
        };
        assert!((now() - start) >= timeout);
        assert_eq!(line[0].write_timeout().expect("open"), None);
    });
}

#[test]
fn peeking_takes_nothing() {
    on_every_home(|home| {
        let (near, far) = pair();
        let peeker = home.spawn(move || {
            let mut buf = [0; 2];
            assert_eq!(near.peek(&mut buf).expect("data"), 2);
            assert_eq!(&buf, b"pe");
            let mut all = [0; 4];
            (&*near).read_exact(&mut all).expect("data");
            all
        });
        (&*far).write_all(b"peek").expect("room");
        assert_eq!(&join(peeker), b"peek");
    });
}

#[test]
fn many_buffers_go_at_once() {
    on_every_home(|home| {
        let (near, far) = pair();
        let reader = home.spawn(move || {
            let (mut head, mut body) = ([0; 3], [0; 5]);
            let length = (&*far)
                .read_vectored(&mut [IoSliceMut::new(&mut head), IoSliceMut::new(&mut body)])
                .expect("data");
            (length, head, body)
        });
        let sent = (&*near)
            .write_vectored(&[IoSlice::new(b"12"), IoSlice::new(b"345678")])
            .expect("room");
        assert_eq!(sent, 8);
        assert_eq!(join(reader), (8, *b"123", *b"45678"));
    });
}

#[test]
fn calls_that_may_not_wait_would_block() {
    on_every_home(|_| {
        let (listener, address) = listener();
        listener.set_nonblocking(true).expect("open");
        assert_eq!(
            kind(listener.accept()).map(drop),
            Err(ErrorKind::WouldBlock)
        );
        let near = TcpStream::connect(address).expect("a listener");
        listener.set_nonblocking(false).expect("open");
        let (far, _) = listener.accept().expect("a client");
        let clone = near.try_clone().expect("open");
        clone.set_nonblocking(true).expect("open");
        assert_eq!(kind((&near).read(&mut [0])), Err(ErrorKind::WouldBlock));
        near.set_nonblocking(false).expect("open");
        (&far).write_all(&[1]).expect("room");
        assert_eq!(kind((&clone).read(&mut [0])), Ok(1));
    });
}

#[test]
fn std_s_sockets_become_ours_and_back() {
    on_every_real_home(|_| {
        let theirs = net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = theirs.local_addr().expect("bound");
        let listener = TcpListener::from(theirs);
        let theirs = net::TcpStream::connect(address).expect("a listener");
        let seconds = Some(Duration::from_secs(7));
        theirs.set_read_timeout(seconds).expect("open");
        let number = theirs.as_raw_fd();
        let ours = TcpStream::from(theirs);
        assert_eq!(ours.as_raw_fd(), number);
        assert_eq!(ours.read_timeout().expect("open"), seconds);
        let (far, _) = listener.accept().expect("a client");
        let theirs = net::TcpStream::from(ours);
        assert_eq!(theirs.as_raw_fd(), number);
        assert_eq!(theirs.read_timeout().expect("open"), seconds);
        // It blocks again, up to its timeout.
        theirs
            .set_read_timeout(Some(Duration::from_millis(2)))
            .expect("open");
        let start = now();
        assert!((&theirs).read(&mut [0]).is_err());
        assert!(
            (now() - start) >= Duration::from_millis(1),
            "it did not block"
        );

        // A clone stays ours while the other goes: each has a descriptor of its own then.
        let ours = TcpStream::from(OwnedFd::from(theirs));
        let clone = ours.try_clone().expect("open");
        let theirs = net::TcpStream::from(ours);
        assert_ne!(theirs.as_raw_fd(), clone.as_raw_fd());
        drop(theirs);
        (&far).write_all(b"x").expect("room");
        assert_eq!((&clone).read(&mut [0]).expect("data"), 1);

        let number = listener.into_raw_fd();
        // The number is ours, and nobody else's.
        let listener = owned(number);
        assert_eq!(
            TcpListener::from(listener).local_addr().expect("bound"),
            address
        );
    });
}

#[expect(unsafe_code, reason = "a raw descriptor is taken over")]
fn owned(number: i32) -> OwnedFd {
    // SAFETY: the caller has it from `into_raw_fd`.
    unsafe { OwnedFd::from_raw_fd(number) }
}

#[test]
fn options_are_the_system_s() {
    on_every_home(|_| {
        let (near, _far) = pair();
        near.set_nodelay(true).expect("open");
        assert!(near.nodelay().expect("open"));
        near.set_ttl(42).expect("open");
        assert_eq!(near.ttl().expect("open"), 42);
        assert!(near.take_error().expect("open").is_none());
        assert!(format!("{near:?}").starts_with("TcpStream"), "{near:?}");
        let (listener, address) = listener();
        listener.set_ttl(43).expect("open");
        assert_eq!(listener.ttl().expect("open"), 43);
        assert!(listener.take_error().expect("open").is_none());
        assert!(format!("{listener:?}").contains(&address.to_string()));
    });
}

/// Everybody calls everything on one connection, until it is closed.
#[test]
fn any_calls_may_meet() {
    on_every_home(|home| {
        for seed in seeds() {
            let (near, far) = pair();
            let echo = home.spawn(move || io::copy(&mut &*far, &mut &*far).map(drop));
            let shared = Arc::clone(&near);
            let crowd = crowd(home, 12, move |number| {
                let mut rng = Rng::new(seed * 100 + number as u64);
                loop {
                    let result = match rng.below(6) {
                        0 => (&*shared).read(&mut [0; 64]).map(drop),
                        1 => (&*shared).write(&[0; 64]).map(drop),
                        2 => shared.set_read_timeout(Some(Duration::from_micros(50))),
                        3 => shared.set_write_timeout(Some(Duration::from_millis(1))),
                        4 => shared.local_addr().map(drop),
                        _ => shared.peek(&mut [0; 64]).map(drop),
                    };
                    match kind(result) {
                        Ok(()) | Err(ErrorKind::TimedOut) => home.yield_now(),
                        Err(error) => return error,
                    }
                }
            });
            for _ in 0..200 {
                home.yield_now();
            }
            near.close();
            for thread in crowd {
                assert_eq!(join(thread), ErrorKind::NotConnected, "seed {seed}");
            }
            // What was under way may be lost with the connection.
            drop(join(echo));
        }
    });
}

/// Bytes that come in the very moment when a reader finds none do not go unheard.
#[test]
fn news_between_the_look_and_the_wait_is_heard() {
    on_every_home(|home| {
        for seed in seeds() {
            let (near, far) = pair();
            let writer = home.spawn(move || {
                let mut rng = Rng::new(seed);
                for _ in 0..2000 {
                    for _ in 0..rng.below(400) {
                        std::hint::spin_loop();
                    }
                    (&*far).write_all(b"!").expect("room");
                    (&*far).read_exact(&mut [0]).expect("the answer");
                }
            });
            for _ in 0..2000 {
                (&*near).read_exact(&mut [0]).expect("data");
                (&*near).write_all(b"?").expect("room");
            }
            join(writer);
        }
    });
}

/// With 64 descriptors `accept` says that there are none left, once per call, and serves the line when
/// some are free again.
#[test]
fn no_descriptors_left_is_an_error_and_passes() {
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("this program"))
        .args([
            "--ignored",
            "--nocapture",
            "--test-threads=1",
            "child_without_descriptors",
        ])
        .output()
        .expect("a child process");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "runs in a process of its own"]
fn child_without_descriptors() {
    on_every_real_home(|home| {
        let (listener, address) = listener();
        // All that waits for later needs its descriptors now.
        drop(pair());
        let mut clients = Vec::new();
        let refused = loop {
            match TcpStream::connect(address) {
                Ok(stream) => clients.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.raw_os_error(), Some(24), "{refused}");
        for _ in 0..3 {
            let error = listener.accept().expect_err("no descriptor is left");
            assert_eq!(error.raw_os_error(), Some(24), "{error}");
        }
        let waiter = home.spawn(move || {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => return (stream, listener),
                    Err(error) => assert_eq!(error.raw_os_error(), Some(24), "{error}"),
                }
                home.yield_now();
            }
        });
        let first = clients.remove(0);
        drop(clients.pop());
        let (served, _listener) = join(waiter);
        (&served).write_all(b"served").expect("a client");
        let mut buf = [0; 6];
        (&first).read_exact(&mut buf).expect("data");
        assert_eq!(&buf, b"served");
    });
}
