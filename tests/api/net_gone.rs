//! Who writes to nobody gets an error, and no signal, whatever the program does with `SIGPIPE`.

#![expect(unsafe_code, reason = "Rust's own programs ignore the signal")]

use crate::support::{in_child, on_every_real_home};
use std::{
    io::{self, ErrorKind, IoSlice, Write},
    os::fd::OwnedFd,
};
use sward::{
    blocking,
    net::{
        Shutdown, TcpListener, TcpStream, UdpSocket,
        unix::{UnixDatagram, UnixListener, UnixStream},
    },
};

/// Restores what a program has that was not started by Rust.
fn die_by_broken_pipes() {
    // SAFETY: the default action is no code of ours.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert_ne!(before, libc::SIG_ERR);
}

/// Every way to write to a stream.
const WAYS: [fn(&mut dyn Write) -> io::Result<()>; 5] = [
    |it| it.write(b"lost").map(drop),
    |it| it.write_all(b"lost"),
    |it| {
        let bufs = [IoSlice::new(b"lo"), IoSlice::new(b"st")];
        it.write_vectored(&bufs).map(drop)
    },
    |it| write!(it, "{}", 1),
    |it| sward::io::copy(&mut &b"lost"[..], it).map(drop),
];

/// Writes until that is refused for good: a connection may be told later that its peer is gone.
fn is_refused(stream: &mut dyn Write) {
    for way in WAYS {
        loop {
            match way(stream) {
                Ok(()) => sward::yield_now(),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(error) => break assert_eq!(error.kind(), ErrorKind::BrokenPipe),
            }
        }
    }
}

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("a listener");
    (near, listener.accept().expect("a client").0)
}

#[test]
fn writing_to_nobody_is_an_error_and_no_signal() {
    in_child::succeeds("net_gone::child_writes_to_nobody");
}

#[test]
#[ignore = "run by another test"]
fn child_writes_to_nobody() {
    die_by_broken_pipes();
    on_every_real_home(|_| {
        let (near, far) = tcp();
        drop(far);
        is_refused(&mut &near);
        let (near, _far) = tcp();
        near.shutdown(Shutdown::Write).expect("connected");
        is_refused(&mut &near);
        near.close();
        let error = (&near).write(b"lost").expect_err("closed");
        assert_eq!(error.kind(), ErrorKind::NotConnected);

        let (near, far) = UnixStream::pair().expect("a pair");
        drop(far);
        is_refused(&mut &near);
        let (near, _far) = UnixStream::pair().expect("a pair");
        near.shutdown(Shutdown::Write).expect("connected");
        is_refused(&mut &near);

        let (near, far) = UnixDatagram::pair().expect("a pair");
        drop(far);
        let error = near.send(b"lost").expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let (near, far) = UnixDatagram::pair().expect("a pair");
        far.shutdown(Shutdown::Read).expect("connected");
        let error = near.send(b"lost").expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let (near, _far) = UnixDatagram::pair().expect("a pair");
        near.shutdown(Shutdown::Both).expect("connected");
        let error = near.send(b"lost").expect_err("it was shut down");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);

        let near = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let nobody = UdpSocket::bind("127.0.0.1:0").expect("a port");
        near.connect(nobody.local_addr().expect("bound"))
            .expect("an address");
        drop(nobody);
        while near.send(b"lost").is_ok() {}
    });
}

/// A socket under the number of a standard descriptor stays in blocking mode: its calls are made elsewhere.
#[test]
fn a_standard_descriptor_s_peer_may_be_gone_too() {
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    drop(far);
    in_child::succeeds_with("net_gone::child_with_a_broken_input", |it| {
        it.stdin(OwnedFd::from(near));
    });
}

#[test]
#[ignore = "run by another test"]
fn child_with_a_broken_input() {
    use std::os::fd::{FromRawFd, IntoRawFd};
    die_by_broken_pipes();
    on_every_real_home(|_| {
        // SAFETY: nobody uses the standard input here, and it is not given back.
        let stream = unsafe { UnixStream::from_raw_fd(libc::STDIN_FILENO) };
        is_refused(&mut &stream);
        // The number stays open.
        _ = stream.into_raw_fd();
    });
}

/// Buffers of any number are one call; what is too many for the system is a part.
#[test]
fn as_many_buffers_as_one_likes_are_written() {
    fn check(near: impl Write + Send + 'static, mut far: impl io::Read) {
        const COUNT: usize = 3_000;
        let writer = sward::spawn(move || {
            let mut near = near;
            let bytes: Vec<u8> = (0..COUNT).map(|it| it.to_le_bytes()[0]).collect();
            let bufs: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
            let first = near.write_vectored(&bufs).expect("connected");
            assert!(first > 0 && first <= COUNT);
            near.write_all(&bytes[first..]).expect("connected");
            assert_eq!(near.write_vectored(&[]).expect("connected"), 0);
        });
        let mut all = Vec::new();
        far.read_to_end(&mut all).expect("connected");
        writer.join().expect("no panic");
        let expected = (0..COUNT).map(|it| it.to_le_bytes()[0]);
        assert!(all.into_iter().eq(expected));
    }
    on_every_real_home(|_| {
        let (near, far) = tcp();
        check(near, far);
        let (near, far) = UnixStream::pair().expect("a pair");
        check(near, far);
        let path = std::env::temp_dir().join(format!("sward-buffers-{}", std::process::id()));
        drop(std::fs::remove_file(&path));
        let listener = UnixListener::bind(&path).expect("a path");
        let near = UnixStream::connect(&path).expect("a listener");
        let (far, _) = listener.accept().expect("a client");
        blocking(|| std::fs::remove_file(&path)).expect("it was there");
        check(near, far);
    });
}
