//! What all sockets share: a descriptor with its source, calls that wait, and an end for everybody.
//!
//! Clones of a socket are handles to one `Socket`, so that they share what std's clones share in the
//! kernel: timeouts and the non-blocking mode. The descriptor is in non-blocking mode all the time.
//!
//! # Closing
//!
//! `close` may come while other threads are inside a call, or hold a `BorrowedFd`. Their descriptor's
//! number must not get a new owner meanwhile. So the number is not given back: another file is put
//! under it, a socket that is connected to nobody, and the system gives back the old file as soon as
//! no call is inside it. A call that comes too late fails on the dead socket and is told
//! `NotConnected`. The number itself goes with the last handle. That needs no count of those inside,
//! which would cost two atomic operations for each call.
//!
//! # The seam
//!
//! Nothing above this file does a system call that may wait, and nothing in it knows what the
//! descriptor is. A socket that is made inside a simulation has none: it is an end of that simulation's
//! network, with the same methods, and its source hears of edges from there. So each call branches once
//! on which it is, and all that waits is shared.
//!
//! # What was not done
//!
//! - *`O_NONBLOCK` on descriptors 0, 1 and 2*: they are shared with who knows whom. A socket under
//!   one of these numbers (a daemon's, from inetd) does its calls in blocking mode, away from the
//!   worker, without timeouts. `close` shuts it down, or those inside would wait on.

#![expect(
    unsafe_code,
    reason = "std cannot put a file under a number, nor write to a socket without SIGPIPE"
)]

use crate::{
    sim::net::Endpoint,
    wait::{
        blocking,
        source::{Direction, Source, Teller},
    },
};
use std::{
    fmt,
    io::{self, IoSlice},
    mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::{Arc, OnceLock},
    time::Duration,
};

/// After how long to look again, at first.
const FIRST_LOOK: Duration = Duration::from_micros(100);
/// After how long to look again, at last.
const LAST_LOOK: Duration = Duration::from_millis(10);
/// How many buffers the system takes at once.
const MOST_BUFFERS: usize = libc::UIO_MAXIOV as usize;

/// A descriptor of type `T`, or a simulated socket, and its source.
pub(crate) struct Socket<T, S> {
    /// Goes first: the poller forgets a descriptor before it is closed.
    watch: Watch,
    inner: Inner<T, S>,
}

/// What a socket is made of.
pub(crate) enum Inner<T, S> {
    System(T),
    Simulated(S),
}

/// Does the same with either, if both have such a method.
macro_rules! either {
    ($inner:expr, $it:pat => $call:expr) => {
        match $inner {
            $crate::net::socket::Inner::System($it) => $call,
            $crate::net::socket::Inner::Simulated($it) => $call,
        }
    };
}
pub(crate) use either;

/// What it means that a read got less than it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// There is no more.
    Drained,
    /// Nothing.
    Unknown,
}

/// What lets the poller forget a descriptor.
struct Watch {
    source: Arc<Source>,
    /// None in a simulation: -1.
    descriptor: RawFd,
    /// It is in non-blocking mode, as all are but the standard ones.
    nonblocking: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.source.forget(self.descriptor);
    }
}

/// Whether `descriptor` may be put into non-blocking mode.
pub(crate) fn is_ours(descriptor: &impl AsRawFd) -> bool {
    descriptor.as_raw_fd() > libc::STDERR_FILENO
}

impl<T: AsFd, S: Endpoint> Socket<T, S> {
    /// `inner` is in non-blocking mode, unless it [may not](is_ours).
    pub(crate) fn new(inner: T) -> Self {
        let descriptor = inner.as_fd().as_raw_fd();
        Self {
            watch: Watch {
                source: Arc::new(Source::new()),
                descriptor,
                nonblocking: is_ours(&descriptor),
            },
            inner: Inner::System(inner),
        }
    }

    /// An end of a simulated network.
    pub(crate) fn simulated(inner: S) -> Self {
        Self {
            watch: Watch {
                source: inner.source(),
                descriptor: -1,
                nonblocking: true,
            },
            inner: Inner::Simulated(inner),
        }
    }

    /// How many wait in that direction.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn waiting(&self, direction: Direction) -> usize {
        self.watch.source.waiting(direction)
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn is_registered(&self) -> bool {
        self.watch.source.is_registered()
    }

    /// What the system knows.
    ///
    /// # Panics
    ///
    /// If it is simulated.
    #[track_caller]
    pub(crate) fn system(&self) -> &T {
        match &self.inner {
            Inner::System(it) => it,
            Inner::Simulated(_) => no_descriptor(),
        }
    }

    /// What a simulated network knows.
    pub(crate) fn end(&self) -> Option<&S> {
        match &self.inner {
            Inner::System(_) => None,
            Inner::Simulated(it) => Some(it),
        }
    }

    #[inline]
    fn teller(&self) -> Teller<'_> {
        match &self.inner {
            Inner::System(it) => Teller::Poller(it.as_fd()),
            Inner::Simulated(_) => Teller::Network,
        }
    }

    /// Does `call` until it would not block, or fails as [`Source::until_ready`].
    #[inline]
    #[track_caller]
    pub(crate) fn wait<R>(
        &self,
        direction: Direction,
        mut call: impl FnMut(&Inner<T, S>) -> io::Result<R>,
    ) -> io::Result<R> {
        if !self.watch.nonblocking {
            return self.away(call);
        }
        let source = &self.watch.source;
        source.until_ready(self.teller(), direction, || call(&self.inner))
    }

    /// As [`wait`](Self::wait) for `call`, which reads up to `wanted` bytes of a stream of that kind.
    #[inline]
    #[track_caller]
    pub(crate) fn read(
        &self,
        short: Short,
        wanted: usize,
        mut call: impl FnMut(&Inner<T, S>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if short == Short::Unknown || !self.watch.nonblocking {
            return self.wait(Direction::Read, call);
        }
        let source = &self.watch.source;
        source.until_read(self.teller(), wanted, || call(&self.inner))
    }

    /// As [`wait`](Self::wait) for writing, for what the kernel does not tell the end of: looks again
    /// by itself, ever less often.
    #[track_caller]
    pub(crate) fn wait_by_looking<R>(
        &self,
        mut call: impl FnMut(&Inner<T, S>) -> io::Result<R>,
    ) -> io::Result<R> {
        if !self.watch.nonblocking {
            return self.away(call);
        }
        if let Inner::Simulated(_) = self.inner {
            // There it is told.
            return self.wait(Direction::Write, call);
        }
        let mut pause = FIRST_LOOK;
        let next = || {
            let now = pause;
            pause = (2 * pause).min(LAST_LOOK);
            Some(now)
        };
        let source = &self.watch.source;
        source.until_ready_or_due(self.teller(), Direction::Write, next, || call(&self.inner))
    }

    /// Does `call`, which blocks, where it may.
    #[cold]
    #[track_caller]
    fn away<R>(&self, mut call: impl FnMut(&Inner<T, S>) -> io::Result<R>) -> io::Result<R> {
        let done = self.call(|inner| blocking(|| call(inner)))?;
        // If it was closed meanwhile, it may be that which ended the call.
        self.check()?;
        Ok(done)
    }

    /// Does `call`, which does not block.
    pub(crate) fn call<R>(
        &self,
        call: impl FnOnce(&Inner<T, S>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.check()?;
        call(&self.inner).or_else(|error| {
            // What a descriptor says that was closed under the call is no news of it.
            self.check()?;
            Err(error)
        })
    }

    /// Fails with `NotConnected` if it was closed.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.watch.source.check()
    }

    /// Ends it for everybody: those who wait and those who come get `NotConnected`.
    pub(crate) fn close(&self) {
        if self.watch.source.close(self.watch.descriptor) {
            match &self.inner {
                Inner::System(it) => {
                    if !self.watch.nonblocking {
                        // Some may wait inside of the system, on the file that is under the number now.
                        shut(it.as_fd());
                    }
                    bury(it.as_fd());
                }
                Inner::Simulated(it) => it.hang_up(),
            }
        }
    }

    pub(crate) fn timeout(&self, direction: Direction) -> io::Result<Option<Duration>> {
        self.check()?;
        Ok(self.watch.source.timeout(direction))
    }

    pub(crate) fn set_timeout(
        &self,
        direction: Direction,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.check()?;
        self.watch.source.set_timeout(direction, timeout)
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.check()?;
        self.watch.source.set_nonblocking(nonblocking);
        Ok(())
    }
}

/// A descriptor that leaves its socket.
pub(crate) struct Taken<T> {
    pub(crate) inner: T,
    /// Whether it is to be left in non-blocking mode: it was asked for, or others still have it.
    pub(crate) nonblocking: bool,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
}

impl<T: AsFd + From<OwnedFd>, S: Endpoint> Socket<T, S> {
    /// Takes the descriptor out if this is the last handle to it, else a duplicate of it.
    ///
    /// # Panics
    ///
    /// If the system has no descriptor left for the duplicate; if it is simulated.
    #[track_caller]
    pub(crate) fn take(socket: Arc<Self>) -> Taken<T> {
        let source = Arc::clone(&socket.watch.source);
        let (inner, shared) = match Arc::try_unwrap(socket) {
            Ok(Self { watch, inner }) => {
                drop(watch);
                match inner {
                    Inner::System(inner) => (inner, false),
                    Inner::Simulated(_) => no_descriptor(),
                }
            }
            Err(shared) => match shared.system().as_fd().try_clone_to_owned() {
                Ok(duplicate) => (T::from(duplicate), true),
                Err(error) => panic!("cannot duplicate the descriptor of a shared socket: {error}"),
            },
        };
        Taken {
            inner,
            nonblocking: shared || source.is_nonblocking(),
            read_timeout: source.timeout(Direction::Read),
            write_timeout: source.timeout(Direction::Write),
        }
    }
}

impl<T: fmt::Debug, S: Endpoint> fmt::Debug for Socket<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner {
            Inner::System(it) => it.fmt(f),
            Inner::Simulated(it) => it.describe(f),
        }
    }
}

#[cold]
#[track_caller]
fn no_descriptor() -> ! {
    panic!("a socket of a simulated network has no descriptor: the kernel does not know it")
}

/// Writes to a stream. What std's own writes do differs by the kind of stream and the call; here, nobody there
/// is an error and never a signal, which ends programs that were not started by Rust.
pub(crate) fn send(descriptor: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let (start, length) = (buf.as_ptr().cast(), buf.len());
    // SAFETY: `buf` is there for the call, which only reads it.
    sent(unsafe { libc::send(descriptor.as_raw_fd(), start, length, libc::MSG_NOSIGNAL) })
}

/// As [`send`], of as many buffers as the system takes at once.
pub(crate) fn send_vectored(descriptor: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: plain data, for which zeros mean: no address, no buffers, nothing else.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // std promises that an `IoSlice` is what the system takes.
    message.msg_iov = bufs.as_ptr().cast_mut().cast();
    message.msg_iovlen = bufs.len().min(MOST_BUFFERS);
    let descriptor = descriptor.as_raw_fd();
    // SAFETY: `bufs` and all that it names are there for the call, which only reads them.
    sent(unsafe { libc::sendmsg(descriptor, &raw const message, libc::MSG_NOSIGNAL) })
}

fn sent(outcome: isize) -> io::Result<usize> {
    usize::try_from(outcome).map_err(|_| io::Error::last_os_error())
}

/// Puts a dead socket under the number of `descriptor`.
fn bury(descriptor: BorrowedFd<'_>) {
    let Some(dead) = dead() else {
        // No descriptor left for it. The socket ends all the same; its file goes with the last handle.
        return shut(descriptor);
    };
    let descriptor = descriptor.as_raw_fd();
    loop {
        // SAFETY: takes numbers only. Both descriptors are ours, and stay: one is replaced by what it
        // may become at any time, a socket that was closed.
        let result = unsafe { libc::dup3(dead.as_raw_fd(), descriptor, libc::O_CLOEXEC) };
        let again = result < 0
            && matches!(
                io::Error::last_os_error().raw_os_error(),
                Some(libc::EINTR | libc::EBUSY)
            );
        if !again {
            break;
        }
    }
}

/// Ends what goes on in a socket, for all who have its file; calls that wait in the system come back.
fn shut(descriptor: BorrowedFd<'_>) {
    // SAFETY: takes numbers only. It says that there is nobody at the other end, and ends it all the same.
    unsafe { libc::shutdown(descriptor.as_raw_fd(), libc::SHUT_RDWR) };
}

/// A socket connected to nobody, on which every call fails: the process's, made when needed first.
fn dead() -> Option<&'static OwnedFd> {
    static DEAD: OnceLock<OwnedFd> = OnceLock::new();
    if DEAD.get().is_none() {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes numbers only.
        let descriptor = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
        if descriptor >= 0 {
            // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
            let made = unsafe { OwnedFd::from_raw_fd(descriptor) };
            // Another thread's will do as well.
            drop(DEAD.set(made));
        }
    }
    DEAD.get()
}
