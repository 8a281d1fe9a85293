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
//! descriptor is: a simulated socket is another `T` here.
//!
//! # What was not done
//!
//! - *`O_NONBLOCK` on descriptors 0, 1 and 2*: they are shared with who knows whom. A socket under
//!   one of these numbers (a daemon's, from inetd) does its calls in blocking mode, away from the
//!   worker, without timeouts.

#![expect(unsafe_code, reason = "std cannot put a file under a number")]

use crate::wait::{
    blocking,
    source::{Direction, Source},
};
use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::{Arc, OnceLock},
    time::Duration,
};

/// After how long to look again, at first.
const FIRST_LOOK: Duration = Duration::from_micros(100);
/// After how long to look again, at last.
const LAST_LOOK: Duration = Duration::from_millis(10);

/// A descriptor of type `T` and its source.
pub(crate) struct Socket<T> {
    /// Goes first: the poller forgets a descriptor before it is closed.
    watch: Watch,
    inner: T,
}

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

impl<T: AsFd> Socket<T> {
    /// `inner` is in non-blocking mode, unless it [may not](is_ours).
    pub(crate) fn new(inner: T) -> Self {
        let descriptor = inner.as_fd().as_raw_fd();
        Self {
            watch: Watch {
                source: Arc::new(Source::new()),
                descriptor,
                nonblocking: is_ours(&descriptor),
            },
            inner,
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

    pub(crate) fn inner(&self) -> &T {
        &self.inner
    }

    /// Does `call` until it would not block, or fails as [`Source::until_ready`].
    #[inline]
    #[track_caller]
    pub(crate) fn wait<R>(
        &self,
        direction: Direction,
        mut call: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        if !self.watch.nonblocking {
            return self.away(call);
        }
        let source = &self.watch.source;
        source.until_ready(self.inner.as_fd(), direction, || call(&self.inner))
    }

    /// As [`wait`](Self::wait) for `call`, which reads up to `wanted` bytes of a stream of that kind.
    #[inline]
    #[track_caller]
    pub(crate) fn read(
        &self,
        short: Short,
        wanted: usize,
        mut call: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if short == Short::Unknown || !self.watch.nonblocking {
            return self.wait(Direction::Read, call);
        }
        let source = &self.watch.source;
        source.until_read(self.inner.as_fd(), wanted, || call(&self.inner))
    }

    /// As [`wait`](Self::wait) for writing, for what the kernel does not tell the end of: looks again
    /// by itself, ever less often.
    #[track_caller]
    pub(crate) fn wait_by_looking<R>(
        &self,
        mut call: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        if !self.watch.nonblocking {
            return self.away(call);
        }
        let mut pause = FIRST_LOOK;
        let next = || {
            let now = pause;
            pause = (2 * pause).min(LAST_LOOK);
            Some(now)
        };
        let source = &self.watch.source;
        source.until_ready_or_due(self.inner.as_fd(), Direction::Write, next, || {
            call(&self.inner)
        })
    }

    /// Does `call`, which blocks, where it may.
    #[cold]
    #[track_caller]
    fn away<R>(&self, mut call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.call(|inner| blocking(|| call(inner)))
    }

    /// Does `call`, which does not block.
    pub(crate) fn call<R>(&self, call: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
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
        let descriptor = self.inner.as_fd();
        if self.watch.source.close(descriptor.as_raw_fd()) {
            bury(descriptor);
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

impl<T: AsFd + From<OwnedFd>> Socket<T> {
    /// Takes the descriptor out if this is the last handle to it, else a duplicate of it.
    ///
    /// # Panics
    ///
    /// If the system has no descriptor left for the duplicate.
    #[track_caller]
    pub(crate) fn take(socket: Arc<Self>) -> Taken<T> {
        let source = Arc::clone(&socket.watch.source);
        let (inner, shared) = match Arc::try_unwrap(socket) {
            Ok(Self { watch, inner }) => {
                drop(watch);
                (inner, false)
            }
            Err(shared) => match shared.inner.as_fd().try_clone_to_owned() {
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

impl<T: fmt::Debug> fmt::Debug for Socket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Puts a dead socket under the number of `descriptor`.
fn bury(descriptor: BorrowedFd<'_>) {
    let descriptor = descriptor.as_raw_fd();
    let Some(dead) = dead() else {
        // No descriptor left for it. The socket ends all the same; its file goes with the last handle.
        // SAFETY: takes numbers only.
        unsafe { libc::shutdown(descriptor, libc::SHUT_RDWR) };
        return;
    };
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
