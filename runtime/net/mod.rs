//! Sockets that let other green threads run: `std::net`'s names, signatures and errors.
//!
//! A call that would block waits: a green thread leaves its kernel thread to others meanwhile, a plain
//! kernel thread sleeps. Any number of threads may call one socket at once. Those who wait for the
//! same direction are served in order of arrival, but a newcomer whose system call succeeds at once
//! overtakes them.
//!
//! What differs from std:
//!
//! - A timeout that ran out is [`ErrorKind::TimedOut`](std::io::ErrorKind::TimedOut), where std has
//!   `WouldBlock` on Unix. A timeout that is set while calls wait is theirs too, from that moment on.
//! - Each socket has `close(&self)`, for all its clones: calls that wait and all later ones get
//!   [`ErrorKind::NotConnected`](std::io::ErrorKind::NotConnected), and the peer sees the end.
//! - Descriptors are in the system's non-blocking mode; `set_nonblocking` says whether *calls* wait.
//!   Clones share one descriptor, its timeouts and that mode.
//! - `TcpListener` has a timeout for `accept`, which never returns connections that were aborted
//!   before they were accepted.
//!
//! Names are resolved by the system, away from the workers.
//!
//! Inside a [simulation](crate::sim), sockets are ends of [its own network](crate::sim::net),
//! and the kernel does not see them.

mod names;
mod socket;
mod tcp;
#[cfg(all(test, not(loom)))]
mod tests;
mod udp;
pub mod unix;

pub(crate) use names::Name;
pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
    ToSocketAddrs,
};
pub use tcp::{Incoming, TcpListener, TcpStream};
pub use udp::UdpSocket;

use crate::{sim::net::Network, wait::blocking};
use std::{alloc::Layout, io, option, slice};

/// The addresses that `names` stand for.
fn resolve<A: ToSocketAddrs>(names: &A) -> io::Result<Vec<SocketAddr>> {
    if let Some(network) = Network::current()
        && let Some(name) = names::text(names)
    {
        return Ok(vec![network.resolve(name)?]);
    }
    let find = || Ok(names.to_socket_addrs()?.collect());
    if is_at_hand::<A>() {
        find()
    } else {
        blocking(find)
    }
}

/// The first address that `name` stands for, if any.
fn resolve_first<A: ToSocketAddrs>(name: &A) -> io::Result<Option<SocketAddr>> {
    if let Some(network) = Network::current()
        && let Some(name) = names::text(name)
    {
        return network.resolve(name).map(Some);
    }
    let find = || Ok(name.to_socket_addrs()?.next());
    if is_at_hand::<A>() {
        find()
    } else {
        blocking(find)
    }
}

/// Whether an `A` is an address, or several, rather than a name: it gives them out as std's addresses
/// do, from an option or a slice. There is no way to ask for the type, but these look like no other
/// of std's. If it errs, a thread blocks that need not, or moves that need not.
const fn is_at_hand<A: ToSocketAddrs>() -> bool {
    const fn same(one: Layout, other: Layout) -> bool {
        one.size() == other.size() && one.align() == other.align()
    }
    let given = Layout::new::<A::Iter>();
    same(given, Layout::new::<option::IntoIter<SocketAddr>>())
        || same(given, Layout::new::<slice::Iter<'_, SocketAddr>>())
}

/// Does `f` with one address after another, until it succeeds.
fn first_success<A: ToSocketAddrs, T>(
    names: &A,
    f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut f = f;
    let mut last = None;
    for address in resolve(names)? {
        match f(address) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "could not resolve to any addresses",
        )
    }))
}

/// Accepts until there is something to tell: what was aborted before it was accepted is passed over.
fn accepted<T>(mut accept: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match accept() {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                ) => {}
            result => return result,
        }
    }
}

/// What all sockets have: `$name` is made of a `$system`, which holds the descriptor of a `$std`.
macro_rules! common {
    ($name:ident, $system:ty, $std:ty, $simulated:ty) => {
        impl $name {
            /// `system` is in non-blocking mode.
            pub(super) fn of(system: $system) -> Self {
                Self {
                    socket: Arc::new(Socket::new(system)),
                }
            }

            /// An end of a simulated network.
            fn of_simulated(end: $simulated) -> Self {
                Self {
                    socket: Arc::new(Socket::simulated(end)),
                }
            }

            /// Makes a second handle to this socket. Both share everything, as in std, and the
            /// descriptor too; it is closed when the last is dropped.
            ///
            /// # Errors
            ///
            /// `NotConnected` if the socket was [closed](Self::close).
            pub fn try_clone(&self) -> io::Result<Self> {
                self.socket.check()?;
                Ok(Self {
                    socket: Arc::clone(&self.socket),
                })
            }

            /// Takes the error that the socket keeps, if any, as std's does.
            ///
            /// # Errors
            ///
            /// The system's, or `NotConnected` if the socket was [closed](Self::close).
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.socket.call(|it| either!(it, it => it.take_error()))
            }

            /// Says whether calls on this socket and its clones fail with `WouldBlock` where they
            /// would wait. Calls that wait already go on waiting.
            ///
            /// # Errors
            ///
            /// `NotConnected` if the socket was [closed](Self::close).
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.socket.set_nonblocking(nonblocking)
            }

            /// Closes the socket for everybody: calls that wait, on any clone, and later ones fail
            /// with [`NotConnected`](io::ErrorKind::NotConnected). Closing it again does nothing.
            ///
            /// The system's socket is given back at once; the number of its descriptor stays taken
            /// until the last clone is dropped, so that nobody else's socket can be mistaken for it.
            ///
            /// A socket that the program was given as descriptor 0, 1 or 2 is shut down instead, also for other
            /// processes that share it.
            pub fn close(&self) {
                self.socket.close();
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.socket.fmt(f)
            }
        }

        impl AsFd for $name {
            /// The descriptor, which is in non-blocking mode.
            ///
            /// # Panics
            ///
            /// If the socket was made in a [simulation](crate::sim::net): it has none.
            #[track_caller]
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.system().as_fd()
            }
        }

        impl AsRawFd for $name {
            /// The descriptor, which is in non-blocking mode.
            ///
            /// # Panics
            ///
            /// If the socket was made in a [simulation](crate::sim::net): it has none.
            #[track_caller]
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl From<OwnedFd> for $name {
            /// Takes the descriptor of such a socket, and puts it into non-blocking mode.
            fn from(descriptor: OwnedFd) -> Self {
                Self::from(<$std>::from(descriptor))
            }
        }

        impl From<$name> for OwnedFd {
            /// Gives the descriptor away, as the conversion into std's type does.
            ///
            /// # Panics
            ///
            /// If the socket has clones and there is no descriptor left for a duplicate; if the
            /// socket was made in a [simulation](crate::sim::net).
            #[track_caller]
            fn from(socket: $name) -> Self {
                <$std>::from(socket).into()
            }
        }

        impl FromRawFd for $name {
            unsafe fn from_raw_fd(descriptor: RawFd) -> Self {
                // SAFETY: the caller's promise: it is an open descriptor that nobody else owns.
                Self::from(unsafe { OwnedFd::from_raw_fd(descriptor) })
            }
        }

        impl IntoRawFd for $name {
            /// Gives the descriptor away, as the conversion into std's type does.
            ///
            /// # Panics
            ///
            /// If the socket has clones and there is no descriptor left for a duplicate; if the
            /// socket was made in a [simulation](crate::sim::net).
            #[track_caller]
            fn into_raw_fd(self) -> RawFd {
                <$std>::from(self).into_raw_fd()
            }
        }
    };
}

/// What sockets have that carry data: timeouts, which go over from std's and back.
macro_rules! timeouts {
    ($name:ident, $std:ty) => {
        impl $name {
            /// For how long a read waits; `None` is for ever.
            ///
            /// # Errors
            ///
            /// `NotConnected` if the socket was [closed](Self::close).
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                self.socket.timeout(Direction::Read)
            }

            /// For how long a write waits; `None` is for ever.
            ///
            /// # Errors
            ///
            /// `NotConnected` if the socket was [closed](Self::close).
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                self.socket.timeout(Direction::Write)
            }

            /// Lets each read wait for `timeout` at most, counted from when it would block, and then
            /// fail with [`TimedOut`](io::ErrorKind::TimedOut). Reads that wait already, on any
            /// clone, are given `timeout` from now on.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for no time at all; `NotConnected` if the socket was
            /// [closed](Self::close).
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.socket.set_timeout(Direction::Read, timeout)
            }

            /// Lets each write wait for `timeout` at most, counted from when it would block, and then
            /// fail with [`TimedOut`](io::ErrorKind::TimedOut). Writes that wait already, on any
            /// clone, are given `timeout` from now on.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for no time at all; `NotConnected` if the socket was
            /// [closed](Self::close).
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.socket.set_timeout(Direction::Write, timeout)
            }
        }

        impl From<$std> for $name {
            /// Takes over std's socket with its timeouts, and puts it into non-blocking mode: here,
            /// calls wait.
            fn from(system: $std) -> Self {
                if is_ours(&system) {
                    // The system refuses this to no socket.
                    drop(system.set_nonblocking(true));
                }
                let timeouts = [
                    (Direction::Read, system.read_timeout()),
                    (Direction::Write, system.write_timeout()),
                ];
                let this = Self::of(system);
                for (direction, timeout) in timeouts {
                    if let Ok(Some(timeout)) = timeout {
                        // It is not zero, as it comes from the system.
                        drop(this.socket.set_timeout(direction, Some(timeout)));
                    }
                }
                this
            }
        }

        impl From<$name> for $std {
            /// Gives the descriptor away, with its timeouts and mode; a duplicate of it if there are
            /// clones, which then stays in the non-blocking mode that it shares with them.
            ///
            /// # Panics
            ///
            /// If the socket has clones and there is no descriptor left for a duplicate; if the
            /// socket was made in a [simulation](crate::sim::net).
            #[track_caller]
            fn from(socket: $name) -> Self {
                let taken = Socket::take(socket.socket);
                let system = taken.inner;
                if is_ours(&system) {
                    // The system refuses none of this to a socket; a closed one does not matter.
                    drop(system.set_nonblocking(taken.nonblocking));
                    drop(system.set_read_timeout(taken.read_timeout));
                    drop(system.set_write_timeout(taken.write_timeout));
                }
                system
            }
        }
    };
}

/// What listeners have, beside ways to be made and to accept: `$name` is made of a `$system`, which holds the
/// descriptor of a `$std`, and gives out `$stream`s.
macro_rules! listening {
    ($name:ident, $system:ty, $std:ty, $stream:ty) => {
        impl $name {
            /// The connections that come, without end: each `next` is an [`accept`](Self::accept).
            pub fn incoming(&self) -> Incoming<'_> {
                Incoming { listener: self }
            }

            /// For how long [`accept`](Self::accept) waits; `None` is for ever.
            ///
            /// # Errors
            ///
            /// `NotConnected` if the listener was [closed](Self::close).
            pub fn accept_timeout(&self) -> io::Result<Option<Duration>> {
                self.socket.timeout(Direction::Read)
            }

            /// Lets each [`accept`](Self::accept) wait for `timeout` at most, and then fail with
            /// [`TimedOut`](io::ErrorKind::TimedOut). Those that wait already are given `timeout` from now
            /// on.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for no time at all; `NotConnected` if the listener was
            /// [closed](Self::close).
            pub fn set_accept_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.socket.set_timeout(Direction::Read, timeout)
            }
        }

        impl From<$std> for $name {
            /// Takes over std's listener, and puts it into non-blocking mode: here, calls wait.
            fn from(system: $std) -> Self {
                if is_ours(&system) {
                    // The system refuses this to no socket.
                    drop(system.set_nonblocking(true));
                }
                Self::of(<$system>::from_std(system))
            }
        }

        impl From<$name> for $std {
            /// Gives the descriptor away, with its mode; a duplicate of it if there are clones, which then
            /// stays in the non-blocking mode that it shares with them.
            ///
            /// # Panics
            ///
            /// If the listener has clones and there is no descriptor left for a duplicate; if it was made in a
            /// [simulation](crate::sim::net).
            #[track_caller]
            fn from(listener: $name) -> Self {
                let taken = Socket::take(listener.socket);
                let system = Self::from(OwnedFd::from(taken.inner));
                if is_ours(&system) {
                    // The system refuses this to no socket.
                    drop(system.set_nonblocking(taken.nonblocking));
                }
                system
            }
        }

        #[doc = concat!("The connections that come to a [`", stringify!($name), "`], without end.")]
        #[derive(Debug)]
        pub struct Incoming<'a> {
            listener: &'a $name,
        }

        impl Iterator for Incoming<'_> {
            type Item = io::Result<$stream>;

            #[track_caller]
            fn next(&mut self) -> Option<Self::Item> {
                Some(self.listener.accept().map(|(stream, _)| stream))
            }
        }

        impl FusedIterator for Incoming<'_> {}
    };
}

/// What std's method of the same name does, and does not wait for.
macro_rules! delegate {
    ($name:ident: $(
        $(#[$doc:meta])*
        fn $method:ident(&self $(, $argument:ident: $type:ty)*) -> $result:ty;
    )*) => {
        impl $name {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// The system's, or `NotConnected` if the socket was [closed](Self::close).
                pub fn $method(&self $(, $argument: $type)*) -> io::Result<$result> {
                    self.socket.call(|it| either!(it, it => it.$method($($argument),*)))
                }
            )*
        }
    };
}

/// What streams have: `Read` and `Write`, for shared references too; `$short` is what their short
/// reads mean.
macro_rules! stream_io {
    ($name:ident, $short:expr) => {
        impl Read for &$name {
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                if buf.is_empty() {
                    // The system would wait for data that this does not want.
                    return self.socket.check().map(|()| 0);
                }
                self.socket
                    .read($short, buf.len(), |it| either!(it, it => Read::read(&mut &*it, buf)))
            }

            #[track_caller]
            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                if bufs.iter().all(|it| it.is_empty()) {
                    return self.socket.check().map(|()| 0);
                }
                let wanted = bufs.iter().map(|it| it.len()).sum();
                self.socket
                    .read($short, wanted, |it| either!(it, it => Read::read_vectored(&mut &*it, bufs)))
            }
        }

        impl Write for &$name {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.socket
                    .wait(Direction::Write, |it| match it {
                        Inner::System(it) => send(it.as_fd(), buf),
                        Inner::Simulated(it) => Write::write(&mut &*it, buf),
                    })
            }

            #[track_caller]
            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.socket
                    .wait(Direction::Write, |it| match it {
                        Inner::System(it) => send_vectored(it.as_fd(), bufs),
                        Inner::Simulated(it) => Write::write_vectored(&mut &*it, bufs),
                    })
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Read for $name {
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buf)
            }

            #[track_caller]
            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }

        impl Write for $name {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            #[track_caller]
            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

use {common, delegate, listening, socket::either, stream_io, timeouts};
