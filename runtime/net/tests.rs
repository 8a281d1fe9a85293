//! What needs a look inside: who is counted as waiting, and who is registered.

use super::{TcpListener, TcpStream, is_at_hand};
use crate::{Runtime, Shutdown};
use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("a listener");
    let (far, _) = listener.accept().expect("a client");
    (near, far)
}

/// How many reads of `stream` wait.
fn waiting(stream: &TcpStream) -> usize {
    stream.waiting_reads()
}

/// However a wait ends, the one who waited is counted no more; the first of the line alone is called.
#[test]
fn whoever_waits_is_counted_until_the_wait_ends() {
    const READERS: usize = 8;
    let (near, far) = pair();
    let read = || (&near).read(&mut [0]).map_err(|it| it.kind());
    for round in 0..3 {
        thread::scope(|scope| {
            let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
            while waiting(&near) < READERS {
                thread::yield_now();
            }
            match round {
                0 => (&far).write_all(&[7; READERS]).expect("room"),
                1 => near
                    .set_read_timeout(Some(Duration::from_millis(1)))
                    .expect("open"),
                _ => near.close(),
            }
            let expected = match round {
                0 => Ok(1),
                1 => Err(ErrorKind::TimedOut),
                _ => Err(ErrorKind::NotConnected),
            };
            for reader in readers {
                assert_eq!(reader.join().expect("a reader"), expected);
            }
            assert_eq!(waiting(&near), 0);
        });
        if round < 2 {
            near.set_read_timeout(None).expect("open");
        }
    }
}

/// Nor are those whose runtime ends.
#[test]
fn whoever_is_called_off_is_counted_no_more() {
    const READERS: usize = 100;
    let (near, far) = pair();
    let near = Arc::new(near);
    for workers in [1, 2] {
        let runtime = Runtime::builder().workers(workers).build();
        let runtime = runtime.expect("a runtime");
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let near = Arc::clone(&near);
                runtime.spawn(move || (&*near).read(&mut [0]).map(drop))
            })
            .collect();
        while waiting(&near) < READERS {
            thread::yield_now();
        }
        drop(runtime);
        for reader in readers {
            assert!(reader.join().expect_err("called off").is::<Shutdown>());
        }
        assert_eq!(waiting(&near), 0);
    }
    // Nobody took anything along.
    (&far).write_all(b"!").expect("room");
    assert_eq!((&*near).read(&mut [0; 2]).expect("data"), 1);
}

/// Readers share what comes at once: nobody is left in the line with data there.
#[test]
fn what_comes_at_once_serves_the_whole_line() {
    const READERS: usize = 8;
    let (near, far) = pair();
    thread::scope(|scope| {
        for _ in 0..50 {
            let readers: Vec<_> = (0..READERS)
                .map(|_| scope.spawn(|| (&near).read_exact(&mut [0]).expect("data")))
                .collect();
            while waiting(&near) < READERS / 2 {
                thread::yield_now();
            }
            (&far).write_all(&[7; READERS]).expect("room");
            for reader in readers {
                reader.join().expect("a reader");
            }
        }
    });
}

#[test]
fn a_socket_that_never_blocked_is_not_registered() {
    let (near, far) = pair();
    (&near).write_all(b"there").expect("room");
    let mut buf = [0; 5];
    (&far).read_exact(&mut buf).expect("data");
    assert!(!near.is_registered());
}

#[test]
fn names_are_told_from_addresses() {
    assert!(is_at_hand::<SocketAddr>());
    assert!(is_at_hand::<&[SocketAddr]>());
    assert!(is_at_hand::<(IpAddr, u16)>());
    assert!(!is_at_hand::<&str>());
    assert!(!is_at_hand::<String>());
    assert!(!is_at_hand::<(&str, u16)>());
}
