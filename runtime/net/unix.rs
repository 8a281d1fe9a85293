//! Sockets of this machine, by path: `std::os::unix::net`'s names, signatures and errors.
//!
//! They wait and differ from std as those of [`net`](super) do.
//!
//! Inside a [simulation](crate::sim) they never reach the kernel, and their paths are names of the simulation
//! alone: [`sim::net`](crate::sim::net#unix-sockets) says what holds there.

#![expect(unsafe_code, reason = "a raw descriptor may be taken over")]

use super::{
    Shutdown, accepted, common, delegate, either, listening,
    socket::{Inner, Short, Socket, is_ours, send, send_vectored},
    stream_io, timeouts,
};
use crate::{
    sim::net::{Listener, LocalDatagram, Network, Stream},
    wait::{blocking, source::Direction},
};
use std::{
    fmt,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    iter::FusedIterator,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::net as system,
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

pub use std::os::unix::net::SocketAddr;

/// A connection on this machine: `std::os::unix::net::UnixStream`, green.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use sward::net::unix::UnixStream;
///
/// let (mut here, mut there) = UnixStream::pair()?;
/// here.write_all(b"hello")?;
/// let mut greeting = [0; 5];
/// there.read_exact(&mut greeting)?;
/// assert_eq!(&greeting, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream {
    socket: Arc<Socket<system::UnixStream, Stream<SocketAddr>>>,
}

common!(
    UnixStream,
    system::UnixStream,
    system::UnixStream,
    Stream<SocketAddr>
);
timeouts!(UnixStream, system::UnixStream);
stream_io!(UnixStream, Short::Unknown);

delegate! { UnixStream:
    /// The address of this end.
    fn local_addr(&self) -> SocketAddr;

    /// The address of the other end.
    fn peer_addr(&self) -> SocketAddr;

    /// Ends reading, writing or both, for everybody who has this connection. Reads that wait then
    /// get the end of the data, and writes an error.
    fn shutdown(&self, how: Shutdown) -> ();
}

impl UnixStream {
    /// Connects to the listener at `path`. Waits while that has too many connections to accept.
    ///
    /// # Errors
    ///
    /// The system's: `NotFound`, say, or `ConnectionRefused` if nobody listens there any more.
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// As [`connect`](Self::connect), for addresses of any kind.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    #[track_caller]
    pub fn connect_addr(socket_addr: &SocketAddr) -> io::Result<Self> {
        if let Some(network) = Network::current() {
            let stream = Self::of_simulated(Stream::connect_name(network, socket_addr)?);
            stream.socket.wait(Direction::Write, |it| match it {
                Inner::Simulated(end) => end.connected(),
                Inner::System(_) => Ok(()),
            })?;
            return Ok(stream);
        }
        match mio::net::UnixStream::connect_addr(socket_addr) {
            Ok(stream) => Ok(Self::of(OwnedFd::from(stream).into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The line of the listener is full, and the kernel tells nobody when there is room.
                let stream = blocking(|| system::UnixStream::connect_addr(socket_addr))?;
                stream.set_nonblocking(true)?;
                Ok(Self::of(stream))
            }
            Err(error) => Err(error),
        }
    }

    /// Makes two streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn pair() -> io::Result<(Self, Self)> {
        if let Some(network) = Network::current() {
            let (one, other) = Stream::pair(network)?;
            return Ok((Self::of_simulated(one), Self::of_simulated(other)));
        }
        let (one, other) = mio::net::UnixStream::pair()?;
        let [one, other] = [one, other].map(|it| Self::of(OwnedFd::from(it).into()));
        Ok((one, other))
    }
}

/// A socket that connections on this machine come to: `std::os::unix::net::UnixListener`, green.
///
/// Dropping or closing it leaves its path in the file system, as std's does.
///
/// # Examples
///
/// ```
/// use sward::net::unix::{UnixListener, UnixStream};
///
/// let path = std::env::temp_dir().join(format!("sward-listener-{}", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let _client = UnixStream::connect(&path)?;
/// let (_server, _address) = listener.accept()?;
/// std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener {
    /// mio's, because it gives out connections in non-blocking mode with one system call.
    socket: Arc<Socket<mio::net::UnixListener, Listener<SocketAddr>>>,
}

common!(
    UnixListener,
    mio::net::UnixListener,
    system::UnixListener,
    Listener<SocketAddr>
);

listening!(
    UnixListener,
    mio::net::UnixListener,
    system::UnixListener,
    UnixStream
);

delegate! { UnixListener:
    /// The address that it listens on.
    fn local_addr(&self) -> SocketAddr;
}

impl UnixListener {
    /// Listens at `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// The system's: `AddrInUse` if the path exists.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// As [`bind`](Self::bind), for addresses of any kind.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<Self> {
        match Network::current() {
            Some(network) => Listener::bind_name(network, socket_addr).map(Self::of_simulated),
            None => mio::net::UnixListener::bind_addr(socket_addr).map(Self::of),
        }
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// The system's: when no descriptor is left, say, and then the connection waits for the next
    /// call. [`TimedOut`](io::ErrorKind::TimedOut) after the [timeout](Self::set_accept_timeout);
    /// `NotConnected` if the listener was [closed](Self::close).
    #[track_caller]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        self.socket.wait(Direction::Read, |it| {
            accepted(|| match it {
                Inner::System(it) => it
                    .accept()
                    .map(|(it, from)| (UnixStream::of(OwnedFd::from(it).into()), from)),
                Inner::Simulated(it) => it
                    .accept()
                    .map(|(it, from)| (UnixStream::of_simulated(it), from)),
            })
        })
    }
}

#[expect(clippy::into_iter_without_iter, reason = "std's has `incoming` for it")]
impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

/// A socket for datagrams on this machine: `std::os::unix::net::UnixDatagram`, green.
///
/// # Examples
///
/// ```
/// use sward::net::unix::UnixDatagram;
///
/// let (here, there) = UnixDatagram::pair()?;
/// here.send(b"hello")?;
/// let mut buf = [0; 16];
/// let length = there.recv(&mut buf)?;
/// assert_eq!(&buf[..length], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram {
    socket: Arc<Socket<system::UnixDatagram, LocalDatagram>>,
}

common!(
    UnixDatagram,
    system::UnixDatagram,
    system::UnixDatagram,
    LocalDatagram
);
timeouts!(UnixDatagram, system::UnixDatagram);

delegate! { UnixDatagram:
    /// As [`connect`](Self::connect), for addresses of any kind.
    #[track_caller]
    fn connect_addr(&self, socket_addr: &SocketAddr) -> ();

    /// The address of this socket.
    fn local_addr(&self) -> SocketAddr;

    /// The address that it was connected to.
    fn peer_addr(&self) -> SocketAddr;

    /// Ends receiving, sending or both, for everybody who has this socket. Whoever receives then, or waits to,
    /// gets what has come before, and after that an empty datagram of nobody.
    fn shutdown(&self, how: Shutdown) -> ();
}

impl UnixDatagram {
    /// Makes a socket at `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// The system's: `AddrInUse` if the path exists.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// As [`bind`](Self::bind), for addresses of any kind.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<Self> {
        match Network::current() {
            Some(network) => LocalDatagram::bind(network, socket_addr).map(Self::of_simulated),
            None => Self::fresh(system::UnixDatagram::bind_addr(socket_addr)?),
        }
    }

    /// Makes a socket without an address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn unbound() -> io::Result<Self> {
        match Network::current() {
            Some(network) => LocalDatagram::unbound(network).map(Self::of_simulated),
            None => Self::fresh(system::UnixDatagram::unbound()?),
        }
    }

    /// Makes two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn pair() -> io::Result<(Self, Self)> {
        if let Some(network) = Network::current() {
            let (one, other) = LocalDatagram::pair(network)?;
            return Ok((Self::of_simulated(one), Self::of_simulated(other)));
        }
        let (one, other) = system::UnixDatagram::pair()?;
        Ok((Self::fresh(one)?, Self::fresh(other)?))
    }

    /// Connects to the socket at `path`: from then on only datagrams from there are received.
    ///
    /// # Errors
    ///
    /// The system's, or `NotConnected` if the socket was [closed](Self::close).
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.connect_addr(&SocketAddr::from_pathname(path)?)
    }

    fn fresh(system: system::UnixDatagram) -> io::Result<Self> {
        system.set_nonblocking(true)?;
        Ok(Self::of(system))
    }

    /// Sends a datagram to the socket at `path`, and returns how many bytes were sent. Waits while
    /// that has no room for it.
    ///
    /// # Errors
    ///
    /// The system's; [`TimedOut`](io::ErrorKind::TimedOut) after the write timeout; `NotConnected` if
    /// the socket was [closed](Self::close).
    #[track_caller]
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// As [`send_to`](Self::send_to), for addresses of any kind.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    #[track_caller]
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        // The kernel tells nobody but the connected that a receiver has room.
        self.socket
            .wait_by_looking(|it| either!(it, it => it.send_to_addr(buf, socket_addr)))
    }

    /// Sends a datagram to where the socket was connected to, and returns how many bytes were sent.
    /// Waits while that has no room for it.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
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
        self.socket.wait(Direction::Read, |it| match it {
            Inner::Simulated(it) => it.recv_from(buf),
            Inner::System(it) => match it.recv_from(buf) {
                Err(error) if is_end(it, &error) => Ok((0, SocketAddr::from_pathname("")?)),
                received => received,
            },
        })
    }

    /// Waits for a datagram and returns its length; what does not fit into `buf` is lost.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    #[track_caller]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.wait(Direction::Read, |it| match it {
            Inner::Simulated(it) => it.recv(buf),
            Inner::System(it) => match it.recv(buf) {
                Err(error) if is_end(it, &error) => Ok(0),
                received => received,
            },
        })
    }
}

/// Whether a call got nothing because receiving was shut down. The system tells only those calls that block,
/// by an empty datagram of nobody.
fn is_end(socket: &system::UnixDatagram, error: &io::Error) -> bool {
    if error.kind() != io::ErrorKind::WouldBlock {
        return false;
    }
    let mut asked = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: it is one of these, ours for the call, which does not wait.
    let answers = unsafe { libc::poll(&raw mut asked, 1, 0) };
    answers == 1 && asked.revents & libc::POLLRDHUP != 0
}
