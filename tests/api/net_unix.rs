//! The sockets of this machine on every home.

use crate::support::{Home, on_every_real_home};
use std::{
    env, fs,
    io::{self, ErrorKind, Read, Write},
    os::unix::net as system,
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use sward::net::{
    Shutdown,
    unix::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
};

fn kind<T>(result: io::Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|it| it.kind())
}

/// A path that nobody else has; the file goes with it.
struct Path(PathBuf);

impl Path {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        Self(env::temp_dir().join(format!("sward-test-{}-{number}", process::id())))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        // Not every test gets to make it.
        drop(fs::remove_file(&self.0));
    }
}

#[test]
fn streams_find_their_listener_by_path() {
    on_every_real_home(|home| {
        let path = Path::new();
        let listener = Arc::new(UnixListener::bind(&path.0).expect("a path"));
        assert_eq!(
            kind(UnixListener::bind(&path.0)).map(drop),
            Err(ErrorKind::AddrInUse)
        );
        let shared = Arc::clone(&listener);
        let server = home.spawn(move || {
            for stream in shared.incoming().take(20) {
                let stream = stream.expect("a client");
                io::copy(&mut &stream, &mut &stream).expect("an echo");
            }
        });
        for round in 0_u8..20 {
            let mut client = UnixStream::connect(&path.0).expect("a listener");
            let peer = client.peer_addr().expect("connected");
            assert_eq!(peer.as_pathname(), Some(&*path.0));
            client.write_all(&[round; 3]).expect("room");
            client.shutdown(Shutdown::Write).expect("connected");
            let mut all = Vec::new();
            client.read_to_end(&mut all).expect("an echo");
            assert_eq!(all, [round; 3]);
        }
        server.join().expect("the server");
        let timeout = Duration::from_millis(2);
        listener.set_accept_timeout(Some(timeout)).expect("open");
        let start = Instant::now();
        assert_eq!(kind(listener.accept()).map(drop), Err(ErrorKind::TimedOut));
        assert!(start.elapsed() >= timeout);
        listener.close();
        assert_eq!(
            kind(listener.accept()).map(drop),
            Err(ErrorKind::NotConnected)
        );
        assert_eq!(
            kind(UnixStream::connect(&path.0)).map(drop),
            Err(ErrorKind::ConnectionRefused)
        );
    });
}

/// More clients at once than the listener's line holds: they wait for their turn.
#[test]
fn a_full_listener_lets_its_clients_wait() {
    on_every_real_home(|home| {
        let path = Path::new();
        let theirs = system::UnixListener::bind(&path.0).expect("a path");
        shorten(&theirs);
        let listener = UnixListener::from(theirs);
        let clients: Vec<_> = (0..30)
            .map(|number: u8| {
                let path = path.0.clone();
                home.spawn(move || {
                    let mut stream = UnixStream::connect(path).expect("its turn");
                    stream.write_all(&[number]).expect("room");
                })
            })
            .collect();
        let mut numbers: Vec<_> = (0..30)
            .map(|_| {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut number = [0];
                stream.read_exact(&mut number).expect("data");
                number[0]
            })
            .collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..30));
        for client in clients {
            client.join().expect("a client");
        }
    });
}

/// Makes a listener's line hold one.
#[expect(unsafe_code, reason = "std cannot say how long the line is")]
fn shorten(listener: &system::UnixListener) {
    use std::os::fd::AsRawFd;
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
}

#[test]
fn a_pair_is_connected_both_ways_and_closes() {
    on_every_real_home(|home| {
        let (here, there) = UnixStream::pair().expect("descriptors");
        (&here).write_all(b"one").expect("room");
        let mut buf = [0; 3];
        (&there).read_exact(&mut buf).expect("data");
        assert_eq!(&buf, b"one");
        here.set_read_timeout(Some(Duration::from_millis(1)))
            .expect("open");
        assert_eq!(kind((&here).read(&mut buf)), Err(ErrorKind::TimedOut));
        here.set_read_timeout(None).expect("open");
        let clone = here.try_clone().expect("open");
        let reader = home.spawn(move || kind((&clone).read(&mut [0])));
        home.yield_now();
        here.close();
        assert_eq!(
            reader.join().expect("a thread"),
            Err(ErrorKind::NotConnected)
        );
        assert_eq!(kind((&here).write(&[1])), Err(ErrorKind::NotConnected));
        assert_eq!((&there).read(&mut buf).expect("an end"), 0);
        assert_eq!(kind((&there).write(&[1])), Err(ErrorKind::BrokenPipe));
    });
}

#[test]
fn a_full_stream_goes_on_when_it_is_read() {
    on_every_real_home(|home| {
        const BYTES: usize = 4 << 20;
        let (here, there) = UnixStream::pair().expect("descriptors");
        let writer = home.spawn(move || (&here).write_all(&vec![5; BYTES]));
        let mut all = Vec::new();
        (&there).read_to_end(&mut all).expect("data");
        writer.join().expect("a thread").expect("a reader");
        assert!(all.len() == BYTES && all.iter().all(|it| *it == 5));
    });
}

#[test]
fn datagrams_have_senders_with_and_without_names() {
    on_every_real_home(|_| {
        let (path, other) = (Path::new(), Path::new());
        let here = UnixDatagram::bind(&path.0).expect("a path");
        let there = UnixDatagram::bind_addr(&SocketAddr::from_pathname(&other.0).expect("short"))
            .expect("a path");
        assert_eq!(there.send_to(b"named", &path.0).expect("room"), 5);
        let mut buf = [0; 9];
        let (length, from) = here.recv_from(&mut buf).expect("a datagram");
        assert_eq!(
            (&buf[..length], from.as_pathname()),
            (&b"named"[..], Some(&*other.0))
        );
        let nameless = UnixDatagram::unbound().expect("a descriptor");
        nameless.connect(&path.0).expect("a socket");
        assert_eq!(
            nameless.peer_addr().expect("connected").as_pathname(),
            Some(&*path.0)
        );
        nameless.send(b"not").expect("room");
        let (length, from) = here.recv_from(&mut buf).expect("a datagram");
        assert_eq!((&buf[..length], from.is_unnamed()), (&b"not"[..], true));
        here.set_read_timeout(Some(Duration::from_millis(1)))
            .expect("open");
        assert_eq!(kind(here.recv(&mut buf)), Err(ErrorKind::TimedOut));
        here.close();
        assert_eq!(kind(here.recv(&mut buf)), Err(ErrorKind::NotConnected));
        assert_eq!(
            kind(nameless.send(b"gone")),
            Err(ErrorKind::ConnectionRefused)
        );
    });
}

fn fill_and_drain(
    home: Home,
    send: impl Fn(u32) -> io::Result<usize> + Send + 'static,
    receiver: &UnixDatagram,
) {
    let sender = home.spawn(move || {
        for number in 0..500 {
            assert_eq!(send(number).expect("room, some time"), 4);
        }
    });
    for number in 0..500_u32 {
        let mut buf = [0; 4];
        assert_eq!(receiver.recv(&mut buf).expect("a datagram"), 4);
        assert_eq!(u32::from_ne_bytes(buf), number);
        home.yield_now();
    }
    sender.join().expect("the sender");
}

/// A receiver has room for few datagrams: the sender waits for more, connected or not.
#[test]
fn a_full_receiver_lets_its_senders_wait() {
    on_every_real_home(|home| {
        let (here, there) = UnixDatagram::pair().expect("descriptors");
        fill_and_drain(home, move |it| here.send(&it.to_ne_bytes()), &there);
        let path = Path::new();
        let named = UnixDatagram::bind(&path.0).expect("a path");
        let sender = UnixDatagram::unbound().expect("a descriptor");
        let name = path.0.clone();
        fill_and_drain(
            home,
            move |it| sender.send_to(&it.to_ne_bytes(), &name),
            &named,
        );

        let sender = UnixDatagram::unbound().expect("a descriptor");
        let timeout = Duration::from_millis(5);
        sender.set_write_timeout(Some(timeout)).expect("open");
        let start = loop {
            let start = Instant::now();
            if let Err(error) = sender.send_to(&[0; 4], &path.0) {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                break start;
            }
        };
        assert!(start.elapsed() >= timeout);
    });
}

#[test]
fn std_s_sockets_become_ours_and_back() {
    on_every_real_home(|_| {
        let (one, other) = system::UnixStream::pair().expect("descriptors");
        let timeout = Some(Duration::from_secs(5));
        one.set_read_timeout(timeout).expect("open");
        let ours = UnixStream::from(one);
        assert_eq!(ours.read_timeout().expect("open"), timeout);
        (&other).write_all(b"x").expect("room");
        assert_eq!((&ours).read(&mut [0]).expect("data"), 1);
        let theirs = system::UnixStream::from(ours);
        assert_eq!(theirs.read_timeout().expect("open"), timeout);
        let path = Path::new();
        let listener = UnixListener::bind(&path.0).expect("a path");
        assert_eq!(
            listener.local_addr().expect("bound").as_pathname(),
            Some(&*path.0)
        );
        let _client = UnixStream::connect(&path.0).expect("a listener");
        let listener = system::UnixListener::from(listener);
        drop(listener.accept().expect("a client"));
        let (one, other) = UnixDatagram::pair().expect("descriptors");
        let one = system::UnixDatagram::from(one);
        one.send(b"datagram").expect("room");
        assert_eq!(other.recv(&mut [0; 20]).expect("a datagram"), 8);
        other.set_nonblocking(true).expect("open");
        assert_eq!(kind(other.recv(&mut [0; 20])), Err(ErrorKind::WouldBlock));
        assert!(other.take_error().expect("open").is_none());
    });
}
