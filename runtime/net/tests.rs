//! What needs a look inside: counts of who waits, and a poll thread of the tests' own.

use super::{TcpListener, TcpStream};
use std::{
    io::{self, ErrorKind, Read, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("a listener");
    let (far, address) = listener.accept().expect("a client");
    assert_eq!(near.local_addr().expect("bound"), address);
    (near, far)
}

#[test]
fn an_echo_comes_back() {
    let (near, far) = pair();
    thread::scope(|scope| {
        scope.spawn(|| io::copy(&mut &far, &mut &far).expect("echo"));
        let mut buf = [0; 4];
        for round in 0_u32..1000 {
            (&near).write_all(&round.to_ne_bytes()).expect("room");
            (&near).read_exact(&mut buf).expect("the echo");
            assert_eq!(u32::from_ne_bytes(buf), round);
        }
        near.shutdown(super::Shutdown::Write).expect("connected");
    });
}

#[test]
fn a_big_transfer_is_whole() {
    const BYTES: usize = 64 << 20;
    let (near, far) = pair();
    thread::scope(|scope| {
        scope.spawn(move || {
            let chunk: Vec<u8> = (0..=250).cycle().take(251 * 4000).collect();
            let mut left = BYTES;
            while left > 0 {
                let now = left.min(chunk.len());
                (&near).write_all(&chunk[..now]).expect("a reader");
                left -= now;
            }
        });
        let mut buf = vec![0; 1 << 20];
        let mut seen = 0;
        loop {
            let got = (&far).read(&mut buf).expect("data");
            if got == 0 {
                break;
            }
            for byte in &buf[..got] {
                assert_eq!(usize::from(*byte), seen % 251);
                seen += 1;
            }
        }
        assert_eq!(seen, BYTES);
    });
}

#[test]
fn a_read_that_waits_too_long_times_out_and_the_stream_goes_on() {
    let (near, far) = pair();
    let timeout = Duration::from_millis(5);
    near.set_read_timeout(Some(timeout)).expect("open");
    let start = Instant::now();
    let error = (&near).read(&mut [0; 8]).expect_err("nothing was written");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= timeout);
    (&far).write_all(b"late").expect("room");
    let mut buf = [0; 4];
    (&near).read_exact(&mut buf).expect("data");
    assert_eq!(&buf, b"late");
}

#[test]
fn closing_ends_every_wait_and_every_later_call() {
    let (near, far) = pair();
    let near = Arc::new(near);
    let readers: Vec<_> = (0..16)
        .map(|_| {
            let near = Arc::clone(&near);
            thread::spawn(move || (&*near).read(&mut [0]).map_err(|it| it.kind()))
        })
        .collect();
    while near.waiting_reads() < 16 {
        thread::yield_now();
    }
    near.close();
    for reader in readers {
        assert_eq!(
            reader.join().expect("a reader"),
            Err(ErrorKind::NotConnected)
        );
    }
    assert_eq!(near.waiting_reads(), 0);
    let kind = |error: io::Error| error.kind();
    assert_eq!(
        (&*near).write(b"x").map_err(kind),
        Err(ErrorKind::NotConnected)
    );
    assert_eq!(
        (&*near).read(&mut []).map_err(kind),
        Err(ErrorKind::NotConnected)
    );
    assert_eq!(near.peer_addr().map_err(kind), Err(ErrorKind::NotConnected));
    assert_eq!((&far).read(&mut [0]).expect("the end"), 0);
}
