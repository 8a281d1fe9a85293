//! Sockets in numbers, and waits in them that end in every way: Go's promises of its poller.

#![expect(
    unsafe_code,
    reason = "std makes no connection reset, nor raises limits"
)]

use crate::support::{Home, Rng, in_child, on_every_real_home, runtime, watched};
use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Read, Write},
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread as kernel,
    time::Duration,
};
use sward::{
    net::{
        TcpListener, TcpStream, UdpSocket,
        unix::{UnixDatagram, UnixStream},
    },
    time::now,
};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Option<Duration> = Some(Duration::from_hours(1));

/// More become readable at once than one look at the kernel tells of; each reader is woken, and each reads
/// what is its own, once.
#[test]
fn thousands_of_sockets_are_ready_at_once() {
    in_child::succeeds("net_crowds::child_with_thousands_of_sockets");
}

#[test]
#[ignore = "run by another test"]
fn child_with_thousands_of_sockets() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a place for the answer.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: only reads.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!((asked, set), (0, 0));
    let most = usize::try_from(limit.rlim_max).unwrap_or(usize::MAX);
    let count = 5_000.min((most - 100) / 2);
    for workers in [1, 2] {
        watched("sockets", MINUTE, move || {
            runtime(workers).run(move || {
                let about = Arc::new(AtomicUsize::new(0));
                let (fars, readers): (Vec<_>, Vec<_>) = (0..count)
                    .map(|number| {
                        let (mut near, far) = UnixStream::pair().expect("descriptors");
                        let about = Arc::clone(&about);
                        let reader = sward::spawn(move || {
                            about.fetch_add(1, SeqCst);
                            let mut all = Vec::new();
                            near.read_to_end(&mut all).expect("connected");
                            assert_eq!(all, number.to_ne_bytes());
                        });
                        (far, reader)
                    })
                    .unzip();
                while about.load(SeqCst) < count {
                    sward::yield_now();
                }
                for (number, mut far) in fars.iter().enumerate() {
                    far.write_all(&number.to_ne_bytes()).expect("room");
                }
                drop(fars);
                for reader in readers {
                    reader.join().expect("its own number");
                }
            });
        });
    }
}

/// Many write and many read through one socket that is full nearly all the time: each record arrives once
/// and whole.
#[test]
fn many_write_and_many_read_whole_records() {
    on_every_real_home(|home| {
        const CROWD: u32 = 30;
        const RECORDS: u32 = 60;
        let (near, far) = UnixDatagram::pair().expect("a pair");
        let (near, far) = (Arc::new(near), Arc::new(far));
        let writers: Vec<_> = (0..CROWD)
            .map(|writer| {
                let near = Arc::clone(&near);
                home.spawn(move || {
                    for record in 0..RECORDS {
                        let record = u64::from(writer) << 32 | u64::from(record);
                        assert_eq!(near.send(&record.to_ne_bytes()).expect("connected"), 8);
                    }
                })
            })
            .collect();
        let readers: Vec<_> = (0..CROWD)
            .map(|_| {
                let far = Arc::clone(&far);
                home.spawn(move || {
                    let mut records = Vec::new();
                    let mut buf = [0; 16];
                    while let Ok(length) = far.recv(&mut buf) {
                        let record = buf[..length].try_into().expect("a whole record");
                        records.push(u64::from_ne_bytes(record));
                        if records.len() % 8 == 0 {
                            home.yield_now();
                        }
                    }
                    records
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("no panic");
        }
        // What was sent is in the socket still, or read.
        far.set_nonblocking(true).expect("open");
        let mut all = Vec::new();
        let mut buf = [0; 8];
        while far.recv(&mut buf).is_ok() {
            all.push(u64::from_ne_bytes(buf));
        }
        far.close();
        for reader in readers {
            all.extend(reader.join().expect("no panic"));
        }
        let distinct: BTreeSet<_> = all.iter().copied().collect();
        assert_eq!(all.len(), (CROWD * RECORDS) as usize);
        assert_eq!(distinct.len(), all.len());
    });
}

/// Lets the end of a connection be a reset.
fn reset(stream: TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let length = u32::try_from(size_of_val(&linger)).expect("small");
    let place = (&raw const linger).cast();
    let descriptor = stream.as_raw_fd();
    // SAFETY: `place` has `length` bytes, which are only read.
    let set =
        unsafe { libc::setsockopt(descriptor, libc::SOL_SOCKET, libc::SO_LINGER, place, length) };
    assert_eq!(set, 0);
    drop(stream);
}

/// Clients that go before they are accepted are no errors of the listener, and hold up nobody.
#[test]
fn clients_that_are_gone_hold_up_no_others() {
    on_every_real_home(|home| {
        const CLIENTS: usize = 100;
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a port"));
        let address = listener.local_addr().expect("bound");
        // Some are in the line before anybody accepts.
        let mut clients = Vec::new();
        for number in 0..20 {
            let client = TcpStream::connect(address).expect("room in the line");
            if number % 2 == 0 {
                reset(client);
            } else {
                clients.push(client);
            }
        }
        let acceptors: Vec<_> = (0..10)
            .map(|_| {
                let listener = Arc::clone(&listener);
                home.spawn(move || {
                    loop {
                        match listener.accept() {
                            // The client may be gone.
                            Ok((mut stream, _)) => drop(stream.write_all(b"served")),
                            Err(error) => return error.kind(),
                        }
                    }
                })
            })
            .collect();
        for number in 0..CLIENTS {
            let client = TcpStream::connect(address).expect("it listens");
            if number % 2 == 0 {
                reset(client);
            } else {
                clients.push(client);
            }
        }
        for mut client in clients {
            let mut words = String::new();
            client.read_to_string(&mut words).expect("an acceptor");
            assert_eq!(words, "served");
        }
        listener.close();
        for acceptor in acceptors {
            let error = acceptor.join().expect("no panic");
            assert_eq!(error, ErrorKind::NotConnected);
        }
    });
}

/// What waits in a socket: for data, or for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Read,
    Write,
}

impl Side {
    fn set(self, stream: &UnixStream, timeout: Option<Duration>) {
        let set = match self {
            Self::Read => stream.set_read_timeout(timeout),
            Self::Write => stream.set_write_timeout(timeout),
        };
        set.expect("open");
    }

    /// Waits for ever, if there is no timeout: nothing comes, and there is no room.
    fn wait(self, mut stream: &UnixStream) -> Result<usize, ErrorKind> {
        let waited = match self {
            Self::Read => stream.read(&mut [0]),
            Self::Write => stream.write(&[0; 1 << 14]),
        };
        waited.map_err(|it| it.kind())
    }
}

/// Fills a stream until there is no room.
fn fill(stream: &UnixStream) {
    Side::Write.set(stream, Some(Duration::from_nanos(1)));
    while Side::Write.wait(stream).is_ok() {}
    Side::Write.set(stream, None);
}

/// Go's table: every timeout, set before the wait or while it lasts, for one side or both at once. None is
/// early, and the stream goes on.
#[test]
fn every_timeout_in_every_direction_before_and_during_a_wait() {
    fn check(home: Home, stream: &Arc<UnixStream>, sides: &'static [Side], before: bool) {
        for timeout in [1, 1_000, 100_000, 3_000_000].map(Duration::from_nanos) {
            for side in sides {
                side.set(stream, if before { Some(timeout) } else { HOUR });
            }
            let begun = Arc::new(AtomicUsize::new(0));
            let waiters: Vec<_> = sides
                .iter()
                .map(|side| {
                    let (stream, begun) = (Arc::clone(stream), Arc::clone(&begun));
                    home.spawn(move || {
                        let start = now();
                        begun.fetch_add(1, SeqCst);
                        (side.wait(&stream), start, now())
                    })
                })
                .collect();
            let mut set = now();
            if !before {
                while begun.load(SeqCst) < sides.len() {
                    home.yield_now();
                }
                set = now();
                for side in sides {
                    side.set(stream, Some(timeout));
                }
            }
            for waiter in waiters {
                let (result, start, end) = waiter.join().expect("no panic");
                assert_eq!(result, Err(ErrorKind::TimedOut), "{sides:?} {timeout:?}");
                let from = if before { start } else { start.max(set) };
                assert!(end >= from + timeout, "{sides:?} {timeout:?} {before}");
            }
        }
    }
    on_every_real_home(|home| {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let near = Arc::new(near);
        fill(&near);
        for sides in [
            &[Side::Read][..],
            &[Side::Write],
            &[Side::Read, Side::Write],
        ] {
            check(home, &near, sides, true);
            check(home, &near, sides, false);
        }
        // The longest of all never comes, and what comes first is heard.
        for side in [Side::Read, Side::Write] {
            side.set(&near, Some(Duration::MAX));
        }
        let waiters = [Side::Read, Side::Write].map(|side| {
            let near = Arc::clone(&near);
            home.spawn(move || side.wait(&near))
        });
        far.write_all(b"!").expect("room");
        let drain = home.spawn(move || while far.read(&mut [0; 1 << 14]).is_ok_and(|it| it > 0) {});
        for waiter in waiters {
            assert!(waiter.join().expect("no panic").is_ok_and(|it| it > 0));
        }
        near.close();
        drain.join().expect("no panic");
    });
}

/// Connecting is given up, by its timeout or because its runtime ends, and leaves no descriptor behind.
#[test]
fn who_gives_up_connecting_leaves_no_descriptor() {
    in_child::succeeds("net_crowds::child_that_gives_up_connecting");
}

#[test]
#[ignore = "run by another test"]
fn child_that_gives_up_connecting() {
    fn descriptors() -> usize {
        fs::read_dir("/proc/self/fd").expect("a process").count()
    }
    // Nobody accepts, and the line is full: it answers no more.
    let full = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = full.local_addr().expect("bound");
    let mut line = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        line.push(stream);
    }
    on_every_real_home(move |home| {
        let before = descriptors();
        let connecting: Vec<_> = (0..50)
            .map(|seed| {
                home.spawn(move || {
                    let mut rng = Rng::new(seed);
                    for _ in 0..10 {
                        let micros = 1 + rng.below(10_000) as u64;
                        let timeout = Duration::from_micros(micros);
                        let error = TcpStream::connect_timeout(&address, timeout);
                        assert_eq!(error.expect_err("full").kind(), ErrorKind::TimedOut);
                    }
                })
            })
            .collect();
        for thread in connecting {
            thread.join().expect("no panic");
        }
        assert_eq!(descriptors(), before);
    });
    let before = descriptors();
    for workers in [1, 2] {
        let it = runtime(workers);
        let about = Arc::new(AtomicUsize::new(0));
        let connecting: Vec<_> = (0..100)
            .map(|_| {
                let about = Arc::clone(&about);
                it.spawn(move || {
                    about.fetch_add(1, SeqCst);
                    TcpStream::connect(address).map(drop)
                })
            })
            .collect();
        while about.load(SeqCst) < 100 {
            kernel::yield_now();
        }
        drop(it);
        for thread in connecting {
            assert!(
                thread
                    .join()
                    .expect_err("called off")
                    .is::<sward::Shutdown>()
            );
        }
    }
    assert_eq!(descriptors(), before);
    drop(line);
}

/// A socket under the number of a standard descriptor does its calls in blocking mode, on a kernel thread:
/// closing it ends them too.
#[test]
fn closing_a_standard_descriptor_ends_those_who_wait_in_it() {
    let (near, _far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    in_child::succeeds_with("net_crowds::child_closes_its_input", |it| {
        it.stdin(OwnedFd::from(near));
    });
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    in_child::succeeds_with("net_crowds::child_closes_its_datagrams", |it| {
        it.stdin(OwnedFd::from(datagrams));
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    in_child::succeeds_with("net_crowds::child_closes_its_listener", |it| {
        it.stdin(OwnedFd::from(listener));
    });
}

/// Several wait on the standard input, and it is closed.
fn closes<S: FromRawFd + IntoRawFd + Send + Sync + 'static>(
    wait: fn(&S) -> Option<ErrorKind>,
    close: fn(&S),
) {
    watched("closing", MINUTE, move || {
        runtime(2).run(move || {
            // SAFETY: nobody else uses the standard input here.
            let socket = Arc::new(unsafe { S::from_raw_fd(libc::STDIN_FILENO) });
            let begun = Arc::new(AtomicUsize::new(0));
            let waiters = [(); 3].map(|()| {
                let (socket, begun) = (Arc::clone(&socket), Arc::clone(&begun));
                sward::spawn(move || {
                    begun.fetch_add(1, SeqCst);
                    wait(&socket)
                })
            });
            while begun.load(SeqCst) < waiters.len() {
                sward::yield_now();
            }
            close(&socket);
            for waiter in waiters {
                assert_eq!(
                    waiter.join().expect("no panic"),
                    Some(ErrorKind::NotConnected)
                );
            }
            assert_eq!(wait(&socket), Some(ErrorKind::NotConnected));
        });
    });
}

#[test]
#[ignore = "run by another test"]
fn child_closes_its_input() {
    closes(
        |mut it: &UnixStream| it.read(&mut [0]).err().map(|it| it.kind()),
        UnixStream::close,
    );
}

#[test]
#[ignore = "run by another test"]
fn child_closes_its_datagrams() {
    closes(
        |it: &UdpSocket| it.recv(&mut [0]).err().map(|it| it.kind()),
        UdpSocket::close,
    );
}

#[test]
#[ignore = "run by another test"]
fn child_closes_its_listener() {
    closes(
        |it: &TcpListener| it.accept().err().map(|it| it.kind()),
        TcpListener::close,
    );
}

/// One call to write more than one system call takes.
#[test]
fn more_than_a_system_call_takes_is_written_by_one() {
    const BYTES: usize = (2 << 30) + (1 << 20);
    watched("gigabytes", MINUTE, || {
        runtime(2).run(|| {
            let (mut near, mut far) = UnixStream::pair().expect("a pair");
            let writer = sward::spawn(move || {
                // Never touched: no memory but a page.
                let zeros = vec![0; BYTES];
                near.write_all(&zeros).expect("a reader");
            });
            let mut buf = vec![1; 1 << 20];
            let mut read = 0;
            loop {
                let length = far.read(&mut buf).expect("connected");
                if length == 0 {
                    break;
                }
                read += length;
            }
            writer.join().expect("no panic");
            assert_eq!(read, BYTES);
        });
    });
}
