//! UDP sockets.

#![expect(unsafe_code, reason = "a raw descriptor may be taken over")]

use super::{
    Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, common, delegate, either, first_success,
    resolve_first,
    socket::{Socket, is_ours},
    timeouts,
};
use crate::{
    sim::net::{Datagram, Network},
    wait::source::Direction,
};
use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    sync::Arc,
    time::Duration,
};

/// A UDP socket: `std::net::UdpSocket`, green.
///
/// Any number of threads may send and receive; each datagram goes to one of those who receive.
///
/// # Examples
///
/// ```
/// use sward::net::UdpSocket;
///
/// let here = UdpSocket::bind("127.0.0.1:0")?;
/// let there = UdpSocket::bind("127.0.0.1:0")?;
/// here.send_to(b"hello", there.local_addr()?)?;
/// let mut buf = [0; 16];
/// let (length, sender) = there.recv_from(&mut buf)?;
/// assert_eq!((&buf[..length], sender), (&b"hello"[..], here.local_addr()?));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket {
    socket: Arc<Socket<std::net::UdpSocket, Datagram>>,
}

common!(
    UdpSocket,
    std::net::UdpSocket,
    std::net::UdpSocket,
    Datagram
);
timeouts!(UdpSocket, std::net::UdpSocket);

delegate! { UdpSocket:
    /// The address that it was connected to.
    fn peer_addr(&self) -> SocketAddr;

    /// The address of this socket.
    fn local_addr(&self) -> SocketAddr;

    /// Says whether it may send to broadcast addresses (`SO_BROADCAST`).
    fn set_broadcast(&self, broadcast: bool) -> ();

    /// Whether it may send to broadcast addresses.
    fn broadcast(&self) -> bool;

    /// Says whether what it sends to an IPv4 group comes back to this machine.
    fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> ();

    /// Whether what it sends to an IPv4 group comes back to this machine.
    fn multicast_loop_v4(&self) -> bool;

    /// Sets how many routers a packet to an IPv4 group may pass.
    fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> ();

    /// How many routers a packet to an IPv4 group may pass.
    fn multicast_ttl_v4(&self) -> u32;

    /// Says whether what it sends to an IPv6 group comes back to this machine.
    fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> ();

    /// Whether what it sends to an IPv6 group comes back to this machine.
    fn multicast_loop_v6(&self) -> bool;

    /// Sets how many routers a packet may pass (`IP_TTL`).
    fn set_ttl(&self, ttl: u32) -> ();

    /// How many routers a packet may pass.
    fn ttl(&self) -> u32;

    /// Joins the IPv4 group `multiaddr` on the interface with the address `interface`; on one that
    /// the system chooses if that is unspecified.
    fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> ();

    /// Joins the IPv6 group `multiaddr` on the interface with this number; 0 is any.
    fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> ();

    /// Leaves an IPv4 group.
    fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> ();

    /// Leaves an IPv6 group.
    fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> ();
}

impl UdpSocket {
    /// Takes the first of the addresses that can be had. Port 0 asks the system for a free one.
    ///
    /// # Errors
    ///
    /// That of the last attempt, `AddrInUse` for example; that of looking up a name; `InvalidInput`
    /// if there is no address.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        first_success(&addr, |address| {
            if let Some(network) = Network::current() {
                return Datagram::bind(network, address).map(Self::of_simulated);
            }
            let system = std::net::UdpSocket::bind(address)?;
            system.set_nonblocking(true)?;
            Ok(Self::of(system))
        })
    }

    /// Connects to the first of the addresses that the system takes: from then on only datagrams
    /// from there are received. Nothing is sent for this.
    ///
    /// # Errors
    ///
    /// That of the last attempt; that of looking up a name; `InvalidInput` if there is no address;
    /// `NotConnected` if the socket was [closed](Self::close).
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        self.socket.check()?;
        first_success(&addr, |address| {
            self.socket
                .call(|it| either!(it, it => it.connect(address)))
        })
    }

    /// Sends a datagram to the first of the addresses, and returns how many bytes were sent. Waits
    /// while the system has no room for it.
    ///
    /// # Errors
    ///
    /// The system's; that of looking up a name; `InvalidInput` if there is no address;
    /// [`TimedOut`](io::ErrorKind::TimedOut) after the write timeout; `NotConnected` if the socket was
    /// [closed](Self::close).
    #[track_caller]
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let Some(address) = resolve_first(&addr)? else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no addresses to send data to",
            ));
        };
        self.socket.wait(
            Direction::Write,
            |it| either!(it, it => it.send_to(buf, address)),
        )
    }

    /// Sends a datagram to where the socket was connected to, and returns how many bytes were sent.
    ///
    /// # Errors
    ///
    /// The system's; [`TimedOut`](io::ErrorKind::TimedOut) after the write timeout; `NotConnected` if
    /// the socket was [closed](Self::close).
    #[track_caller]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket
            .wait(Direction::Write, |it| either!(it, it => it.send(buf)))
    }

    /// Waits for a datagram. Returns its length and sender; what does not fit into `buf` is lost.
    ///
    /// # Errors
    ///
    /// The system's; [`TimedOut`](io::ErrorKind::TimedOut) after the read timeout; `NotConnected` if
    /// the socket was [closed](Self::close).
    #[track_caller]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket
            .wait(Direction::Read, |it| either!(it, it => it.recv_from(buf)))
    }

    /// As [`recv_from`](Self::recv_from), and leaves the datagram for the next call.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    #[track_caller]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket
            .wait(Direction::Read, |it| either!(it, it => it.peek_from(buf)))
    }

    /// Waits for a datagram and returns its length; what does not fit into `buf` is lost.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    #[track_caller]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket
            .wait(Direction::Read, |it| either!(it, it => it.recv(buf)))
    }

    /// As [`recv`](Self::recv), and leaves the datagram for the next call.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket
            .wait(Direction::Read, |it| either!(it, it => it.peek(buf)))
    }
}
