//! Reads that get less than they asked for: what comes after them is read all the same.

#![expect(unsafe_code, reason = "std sends no urgent data")]

use crate::support::{Home, Rng, on_every_home, on_every_real_home, seeds};
use std::{
    io::{ErrorKind, IoSliceMut, Read, Write},
    os::fd::AsRawFd,
    sync::Arc,
    time::Duration,
};
use sward::net::{Shutdown, TcpListener, TcpStream};

/// Two ends of a connection; `near` has waited, so that the poller watches it.
fn pair(home: Home) -> (Arc<TcpStream>, Arc<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("a listener");
    let (far, _) = listener.accept().expect("a client");
    for stream in [&near, &far] {
        stream.set_nodelay(true).expect("connected");
    }
    let (near, far) = (Arc::new(near), Arc::new(far));
    let reader = home.spawn({
        let near = Arc::clone(&near);
        move || {
            near.set_read_timeout(Some(Duration::from_millis(1)))
                .expect("open");
            let error = (&*near).read(&mut [0]).expect_err("nothing to read");
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            near.set_read_timeout(None).expect("open");
        }
    });
    reader.join().expect("a reader");
    (near, far)
}

/// The byte at that place of everything that is sent.
fn pattern(place: usize) -> u8 {
    u8::try_from(place % 251).expect("below 251")
}

/// Reads into one or two buffers, of a size that is large or small.
fn read_some(stream: &TcpStream, rng: &mut Rng, buf: &mut [u8]) -> usize {
    let wanted = if rng.below(2) == 0 {
        1 + rng.below(16)
    } else {
        1 + rng.below(buf.len())
    };
    let buf = &mut buf[..wanted];
    let mut stream = stream;
    if rng.below(3) == 0 {
        let (one, other) = buf.split_at_mut(rng.below(wanted));
        stream
            .read_vectored(&mut [IoSliceMut::new(one), IoSliceMut::new(other)])
            .expect("bytes")
    } else {
        stream.read(buf).expect("bytes")
    }
}

#[test]
fn every_byte_arrives_in_pieces_of_any_size() {
    const BYTES: usize = 60_000;
    on_every_home(|home| {
        for seed in seeds() {
            let (near, far) = pair(home);
            let writer = home.spawn(move || {
                let mut rng = Rng::new(seed);
                let mut sent = 0;
                while sent < BYTES {
                    let length = (1 + rng.below(700)).min(BYTES - sent);
                    let piece: Vec<_> = (sent..sent + length).map(pattern).collect();
                    (&*far).write_all(&piece).expect("room");
                    sent += length;
                    for _ in 0..rng.below(4) {
                        home.yield_now();
                    }
                }
                // The end comes right after data, on half of the seeds as half a close.
                if seed % 2 == 0 {
                    far.shutdown(Shutdown::Write).expect("connected");
                }
                far
            });
            let mut rng = Rng::new(seed + 1000);
            let mut buf = [0; 1000];
            let mut seen = 0;
            while seen < BYTES {
                let length = read_some(&near, &mut rng, &mut buf);
                assert_ne!(length, 0, "seed {seed}: an end after {seen} bytes");
                for byte in &buf[..length] {
                    assert_eq!(*byte, pattern(seen), "seed {seed}: byte {seen}");
                    seen += 1;
                }
            }
            drop(writer.join().expect("the writer"));
            for _ in 0..3 {
                let end = (&*near).read(&mut buf).expect("an end");
                assert_eq!(end, 0, "seed {seed}");
            }
        }
    });
}

/// Data and the end of it arrive as one: a short read gets the one, and the next must not wait for
/// news of the other.
#[test]
fn the_end_is_seen_after_a_short_read() {
    on_every_home(|home| {
        for round in 0..100 {
            let (near, far) = pair(home);
            let peer = home.spawn(move || {
                (&*far).write_all(b"last words").expect("room");
                match round % 3 {
                    0 => far.shutdown(Shutdown::Write).expect("connected"),
                    1 => far.close(),
                    _ => {}
                }
            });
            let mut read = 0;
            if round % 2 == 0 {
                // The end is there before the first byte is read.
                peer.join().expect("the peer");
            }
            loop {
                match (&*near).read(&mut [0; 100]).expect("words") {
                    0 => break,
                    length => read += length,
                }
            }
            assert_eq!(read, 10, "round {round}");
        }
    });
}

/// Several readers, each of which may find the stream empty while data comes for the others.
#[test]
fn readers_share_what_comes_in_short_pieces() {
    const BYTES: usize = 4000;
    on_every_home(|home| {
        for seed in seeds() {
            let (near, far) = pair(home);
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    let near = Arc::clone(&near);
                    home.spawn(move || {
                        let mut sum = 0;
                        loop {
                            match (&*near).read(&mut [0; 9]).expect("bytes") {
                                0 => return sum,
                                length => sum += length,
                            }
                        }
                    })
                })
                .collect();
            let mut rng = Rng::new(seed);
            let mut sent = 0;
            while sent < BYTES {
                let length = (1 + rng.below(20)).min(BYTES - sent);
                (&*far).write_all(&[7; 20][..length]).expect("room");
                sent += length;
                home.yield_now();
            }
            far.shutdown(Shutdown::Write).expect("connected");
            let sum: usize = readers
                .into_iter()
                .map(|it| it.join().expect("a reader"))
                .sum();
            assert_eq!(sum, BYTES, "seed {seed}");
        }
    });
}

/// A read stops at the mark of urgent data, short, with more behind it that no news will come of.
#[test]
fn what_is_behind_urgent_data_is_read_without_news() {
    on_every_real_home(|home| {
        for _ in 0..20 {
            let (near, far) = pair(home);
            (&*far).write_all(b"before").expect("room");
            // SAFETY: the buffer is as long as said.
            let sent =
                unsafe { libc::send(far.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
            assert_eq!(sent, 1);
            (&*far).write_all(b"behind").expect("room");
            let mut words = [0; 12];
            let mut read = 0;
            while read < words.len() {
                // More room than there is data: each read is short.
                let mut buf = [0; 100];
                let length = (&*near).read(&mut buf).expect("words");
                assert_ne!(length, 0);
                words[read..read + length].copy_from_slice(&buf[..length]);
                read += length;
            }
            assert_eq!(&words, b"beforebehind");
        }
    });
}

/// What the kernel has long had is found by calls that may not wait, and by a timeout that is short.
#[test]
fn who_cannot_wait_for_news_looks() {
    on_every_real_home(|home| {
        let (near, far) = pair(home);
        let mut buf = [0; 100];
        for round in 0..100 {
            (&*far).write_all(b"one").expect("room");
            assert_eq!((&*near).read(&mut buf).expect("bytes"), 3);
            (&*far).write_all(b"two").expect("room");
            if round % 2 == 0 {
                near.set_nonblocking(true).expect("open");
                assert_eq!((&*near).read(&mut buf).expect("bytes"), 3);
                near.set_nonblocking(false).expect("open");
            } else {
                near.set_read_timeout(Some(Duration::from_nanos(1)))
                    .expect("open");
                assert_eq!((&*near).read(&mut buf).expect("bytes"), 3);
                let error = (&*near).read(&mut buf).expect_err("nothing");
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                near.set_read_timeout(None).expect("open");
            }
        }
    });
}
