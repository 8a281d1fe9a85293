//! TCP: a listener and streams.

#![expect(unsafe_code, reason = "a raw descriptor may be taken over")]

use super::{
    Shutdown, SocketAddr, ToSocketAddrs, accepted, common, delegate, either, first_success,
    listening,
    socket::{Inner, Short, Socket, is_ours, send, send_vectored},
    stream_io, timeouts,
};
use crate::{
    sim::net::{Listener, Network, Stream},
    wait::source::Direction,
};
use std::{
    fmt,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    iter::FusedIterator,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    sync::Arc,
    time::Duration,
};

/// A TCP connection: `std::net::TcpStream`, green.
///
/// Reads and writes wait in the calling green thread, or kernel thread. One may read while another
/// writes, and many may read: each read gets what one system call got.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use sward::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (mut server, _) = listener.accept()?;
/// client.write_all(b"hello")?;
/// let mut greeting = [0; 5];
/// server.read_exact(&mut greeting)?;
/// assert_eq!(&greeting, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpStream {
    socket: Arc<Socket<std::net::TcpStream, Stream>>,
}

common!(TcpStream, std::net::TcpStream, std::net::TcpStream, Stream);
timeouts!(TcpStream, std::net::TcpStream);
stream_io!(TcpStream, Short::Drained);

delegate! { TcpStream:
    /// The address of the other end.
    fn peer_addr(&self) -> SocketAddr;

    /// The address of this end.
    fn local_addr(&self) -> SocketAddr;

    /// Ends reading, writing or both, for everybody who has this connection. Reads that wait then
    /// get the end of the data, and writes an error.
    fn shutdown(&self, how: Shutdown) -> ();

    /// Says whether small writes are sent at once instead of being gathered (`TCP_NODELAY`).
    fn set_nodelay(&self, nodelay: bool) -> ();

    /// Whether small writes are sent at once.
    fn nodelay(&self) -> bool;

    /// Sets how many routers a packet may pass (`IP_TTL`).
    fn set_ttl(&self, ttl: u32) -> ();

    /// How many routers a packet may pass.
    fn ttl(&self) -> u32;
}

impl TcpStream {
    /// Connects to the first of the addresses that lets itself be connected to, trying one after
    /// another.
    ///
    /// # Errors
    ///
    /// That of the last attempt; that of looking up a name; `InvalidInput` if there is no address.
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        first_success(&addr, |it| Self::connect_within(it, None))
    }

    /// Connects to `addr` within `timeout`.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) after that time; `InvalidInput` if it is no time at all;
    /// else the system's.
    #[track_caller]
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        Self::connect_within(*addr, Some(timeout))
    }

    /// What it is in a simulation.
    pub(crate) fn simulated(&self) -> Option<&Stream> {
        self.socket.end()
    }

    /// How many reads wait.
    #[cfg(all(test, not(loom)))]
    pub(super) fn waiting_reads(&self) -> usize {
        self.socket.waiting(Direction::Read)
    }

    /// The poller knows its descriptor.
    #[cfg(all(test, not(loom)))]
    pub(super) fn is_registered(&self) -> bool {
        self.socket.is_registered()
    }

    #[track_caller]
    fn connect_within(address: SocketAddr, timeout: Option<Duration>) -> io::Result<Self> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a 0 duration timeout",
            ));
        }
        let stream = match Network::current() {
            Some(network) => Self::of_simulated(Stream::connect(network, address)?),
            None => Self::of(OwnedFd::from(mio::net::TcpStream::connect(address)?).into()),
        };
        let socket = &stream.socket;
        // Nobody else has the socket yet, so its timeout is free for this.
        socket.set_timeout(Direction::Write, timeout)?;
        socket.wait(Direction::Write, |it| match it {
            Inner::Simulated(end) => end.connected(),
            Inner::System(system) => match system.peer_addr() {
                Ok(_) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    Err(match system.take_error()? {
                        Some(error) => error,
                        None => io::ErrorKind::WouldBlock.into(),
                    })
                }
                Err(error) => Err(error),
            },
        })?;
        socket.set_timeout(Direction::Write, None)?;
        Ok(stream)
    }

    /// Waits for data and copies it without taking it: the next read gets the same.
    ///
    /// # Errors
    ///
    /// As for reading: the system's, [`TimedOut`](io::ErrorKind::TimedOut) after the read timeout,
    /// `NotConnected` if the stream was [closed](Self::close).
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.socket.check().map(|()| 0);
        }
        self.socket
            .wait(Direction::Read, |it| either!(it, it => it.peek(buf)))
    }
}

/// A TCP socket that connections come to: `std::net::TcpListener`, green.
///
/// Any number of threads may accept from one listener; each connection goes to one of them.
///
/// # Examples
///
/// ```
/// use sward::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// let (server, address) = listener.accept()?;
/// assert_eq!(address, client.local_addr()?);
/// assert_eq!(server.peer_addr()?, address);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener {
    /// mio's, because it gives out connections in non-blocking mode with one system call.
    socket: Arc<Socket<mio::net::TcpListener, Listener>>,
}

common!(
    TcpListener,
    mio::net::TcpListener,
    std::net::TcpListener,
    Listener
);

listening!(
    TcpListener,
    mio::net::TcpListener,
    std::net::TcpListener,
    TcpStream
);

delegate! { TcpListener:
    /// The address that it listens on.
    fn local_addr(&self) -> SocketAddr;

    /// Sets how many routers a packet may pass, for the connections to come (`IP_TTL`).
    fn set_ttl(&self, ttl: u32) -> ();

    /// How many routers a packet may pass.
    fn ttl(&self) -> u32;
}

impl TcpListener {
    /// Listens on the first of the addresses that can be had. Port 0 asks the system for a free one.
    ///
    /// # Errors
    ///
    /// That of the last attempt, `AddrInUse` for example; that of looking up a name; `InvalidInput`
    /// if there is no address.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        first_success(&addr, |address| match Network::current() {
            Some(network) => Listener::bind(network, address).map(Self::of_simulated),
            None => mio::net::TcpListener::bind(address).map(Self::of),
        })
    }

    /// Waits for a connection. One that was aborted before it was accepted is passed over.
    ///
    /// # Errors
    ///
    /// The system's: when no descriptor is left, say, and then the connection waits for the next
    /// call. [`TimedOut`](io::ErrorKind::TimedOut) after the [timeout](Self::set_accept_timeout);
    /// `NotConnected` if the listener was [closed](Self::close).
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.socket.wait(Direction::Read, |it| {
            accepted(|| match it {
                Inner::System(it) => it
                    .accept()
                    .map(|(it, from)| (TcpStream::of(OwnedFd::from(it).into()), from)),
                Inner::Simulated(it) => it
                    .accept()
                    .map(|(it, from)| (TcpStream::of_simulated(it), from)),
            })
        })
    }
}
