//! UDP on every home.

use crate::support::{Home, on_every_home, on_every_real_home};
use std::{
    io::{self, ErrorKind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use sward::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::now,
};

fn kind<T>(result: io::Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|it| it.kind())
}

fn socket() -> (Arc<UdpSocket>, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    (Arc::new(socket), address)
}

#[test]
fn datagrams_go_to_and_fro_with_their_senders() {
    on_every_home(|home| {
        let (here, address) = socket();
        let server = home.spawn(move || {
            let mut buf = [0; 64];
            for _ in 0..100 {
                let (length, from) = here.recv_from(&mut buf).expect("a datagram");
                here.send_to(&buf[..length], from).expect("room");
            }
        });
        let (there, own) = socket();
        for round in 0_u8..100 {
            there.send_to(&[round, 1, 2], address).expect("room");
            let mut buf = [0; 64];
            let peeked = there.peek_from(&mut buf).expect("the answer");
            assert_eq!(peeked, (3, address));
            assert_eq!(there.recv_from(&mut buf).expect("the answer"), peeked);
            assert_eq!(&buf[..3], &[round, 1, 2]);
        }
        assert_eq!(there.local_addr().expect("bound"), own);
        server.join().expect("the server");
    });
}

/// A hundred share a socket: each datagram comes to one of them, whole.
#[test]
fn many_readers_get_whole_datagrams_each_once() {
    on_every_home(|home| {
        const READERS: usize = 50;
        const DATAGRAMS: u32 = 2000;
        let (here, address) = socket();
        let seen = Arc::new(Mutex::new(vec![0; 2000]));
        let got = Arc::new(AtomicU32::new(0));
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (here, seen, got) = (Arc::clone(&here), Arc::clone(&seen), Arc::clone(&got));
                home.spawn(move || {
                    let mut buf = [0; 16];
                    loop {
                        match here.recv(&mut buf) {
                            Ok(length) => {
                                assert_eq!(length, 4);
                                let number = u32::from_ne_bytes(buf[..4].try_into().expect("4"));
                                seen.lock().expect("whole")[number as usize] += 1;
                                got.fetch_add(1, Relaxed);
                            }
                            Err(error) => return error.kind(),
                        }
                    }
                })
            })
            .collect();
        let (there, _) = socket();
        there.connect(address).expect("an address");
        for number in 0..DATAGRAMS {
            // The kernel drops what finds no room: at most 100 are under way.
            while number > got.load(Relaxed) + 100 {
                home.yield_now();
            }
            there.send(&number.to_ne_bytes()).expect("room");
        }
        while got.load(Relaxed) < DATAGRAMS {
            home.yield_now();
        }
        here.close();
        for reader in readers {
            assert_eq!(reader.join().expect("a reader"), ErrorKind::NotConnected);
        }
        assert!(seen.lock().expect("whole").iter().all(|it| *it == 1));
    });
}

#[test]
fn timeouts_and_closing_end_receiving() {
    on_every_home(|home| {
        let (here, address) = socket();
        let timeout = Duration::from_millis(2);
        here.set_read_timeout(Some(timeout)).expect("open");
        let start = now();
        assert_eq!(
            kind(here.recv_from(&mut [0])).map(drop),
            Err(ErrorKind::TimedOut)
        );
        assert_eq!(
            kind(here.peek(&mut [0])).map(drop),
            Err(ErrorKind::TimedOut)
        );
        assert!(now() - start >= 2 * timeout);
        here.set_read_timeout(None).expect("open");
        let shared = Arc::clone(&here);
        let receiver = home.spawn(move || kind(shared.recv(&mut [0])));
        home.yield_now();
        here.close();
        assert_eq!(
            receiver.join().expect("a thread"),
            Err(ErrorKind::NotConnected)
        );
        assert_eq!(
            kind(here.send_to(&[1], address)),
            Err(ErrorKind::NotConnected)
        );
        assert_eq!(kind(here.connect(address)), Err(ErrorKind::NotConnected));
        assert_eq!(
            kind(here.local_addr()).map(drop),
            Err(ErrorKind::NotConnected)
        );
        assert_eq!(kind(here.set_ttl(3)), Err(ErrorKind::NotConnected));
    });
}

#[test]
fn an_empty_datagram_is_a_datagram() {
    on_every_home(|_| {
        let (here, address) = socket();
        let (there, own) = socket();
        assert_eq!(there.send_to(&[], address).expect("room"), 0);
        assert_eq!(there.send_to(b"next", address).expect("room"), 4);
        assert_eq!(here.recv_from(&mut []).expect("the empty one"), (0, own));
        let mut buf = [0; 9];
        assert_eq!(here.recv(&mut buf).expect("the next"), 4);
    });
}

/// The kernel tells a connected socket that nobody is there.
#[test]
fn nobody_there_is_told_to_the_connected() {
    on_every_home(|_| {
        let (gone, address) = socket();
        gone.close();
        let (here, _) = socket();
        here.connect(address).expect("an address");
        assert_eq!(here.peer_addr().expect("connected"), address);
        here.send(b"anybody?").expect("room");
        assert_eq!(kind(here.recv(&mut [0])), Err(ErrorKind::ConnectionRefused));
    });
}

#[test]
fn no_address_is_an_error() {
    on_every_home(|_| {
        let (here, address) = socket();
        let none: &[SocketAddr] = &[];
        assert_eq!(kind(here.send_to(&[1], none)), Err(ErrorKind::InvalidInput));
        assert_eq!(
            kind(UdpSocket::bind(none)).map(drop),
            Err(ErrorKind::InvalidInput)
        );
        assert_eq!(
            kind(UdpSocket::bind(address)).map(drop),
            Err(ErrorKind::AddrInUse)
        );
        assert!(here.send_to(&[1], "no-such-host.invalid:1").is_err());
        assert!(
            here.send_to(&vec![0; 100_000], address).is_err(),
            "too long"
        );
    });
}

#[test]
fn options_are_the_system_s() {
    on_every_home(|home: Home| {
        let (here, _) = socket();
        here.set_broadcast(true).expect("open");
        assert!(here.broadcast().expect("open"));
        here.set_multicast_loop_v4(false).expect("open");
        assert!(!here.multicast_loop_v4().expect("open"));
        here.set_multicast_ttl_v4(9).expect("open");
        assert_eq!(here.multicast_ttl_v4().expect("open"), 9);
        here.set_ttl(8).expect("open");
        assert_eq!(here.ttl().expect("open"), 8);
        assert!(here.take_error().expect("open").is_none());
        let group = Ipv4Addr::new(224, 0, 0, 251);
        // Where there is no interface for groups, joining and leaving fail alike.
        let joined = here.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_ok();
        assert_eq!(
            here.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
                .is_ok(),
            joined
        );
        if let Ok(six) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
            six.set_multicast_loop_v6(false).expect("open");
            assert!(!six.multicast_loop_v6().expect("open"));
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
            let joined = six.join_multicast_v6(&group, 0).is_ok();
            assert_eq!(six.leave_multicast_v6(&group, 0).is_ok(), joined);
        }
        here.set_nonblocking(true).expect("open");
        assert_eq!(kind(here.recv(&mut [0])), Err(ErrorKind::WouldBlock));
        assert!(format!("{here:?}").starts_with("UdpSocket"));
        // Both are waited for in the same way, wherever the test runs.
        let clone = here.try_clone().expect("open");
        let receiver = home.spawn(move || kind(clone.recv(&mut [0])));
        assert_eq!(
            receiver.join().expect("a thread"),
            Err(ErrorKind::WouldBlock)
        );
    });
}

#[test]
fn std_s_sockets_become_ours_and_back() {
    on_every_real_home(|_| {
        let theirs = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let timeout = Some(Duration::from_secs(3));
        theirs.set_write_timeout(timeout).expect("open");
        let address = theirs.local_addr().expect("bound");
        let ours = UdpSocket::from(theirs);
        assert_eq!(ours.write_timeout().expect("open"), timeout);
        ours.send_to(b"to myself", address).expect("room");
        let theirs = std::net::UdpSocket::from(ours);
        assert_eq!(theirs.write_timeout().expect("open"), timeout);
        assert_eq!(theirs.recv(&mut [0; 20]).expect("a datagram"), 9);
    });
}
