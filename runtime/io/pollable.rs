//! Any descriptor as one that blocks green.
//!
//! What a descriptor can do is asked of the kernel once, when it is wrapped, and by that its calls go
//! one of three ways:
//!
//! | descriptor | mode | a call |
//! | --- | --- | --- |
//! | can be polled | [`Ours`](Mode::Ours), [`Found`](Mode::Found) | is tried, and waits for news where it would block |
//! | can be polled, and is 0, 1 or 2 | [`Shared`](Mode::Shared) | waits until the descriptor is ready, then is done where it may block |
//! | cannot be polled | no watch | is done where it may block |
//!
//! In the second way somebody else may take what made the descriptor ready, as the standard ones are
//! shared with other processes: then the call blocks a kernel thread, but no worker.
//!
//! The non-blocking mode belongs to the open file, which others may share: it is taken back when the
//! wrapper goes, if it was not there before.
//!
//! # Invariants
//!
//! - A descriptor is watched from `new` until the drop of `watch`, which is before that of `inner`.
//!
//! # What was not done
//!
//! - *Noticing that somebody else closed the descriptor*: the kernel does not tell. Waits go on until
//!   their timeout.

#![expect(unsafe_code, reason = "std cannot poll, nor change every file's mode")]

use crate::wait::{
    blocking,
    source::{Direction, Source},
};
use std::{
    fmt,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::Arc,
    time::Duration,
};

/// A descriptor whose calls wait green: they park the green thread, or let a plain kernel thread sleep,
/// until the descriptor is ready.
///
/// `T` is what owns or borrows the descriptor. `Read` and `Write` are there if `T` has them; for shared
/// references if `&T` has them, so that one thread may read while another writes. For other calls there
/// are [`read_with`](Self::read_with) and [`write_with`](Self::write_with).
///
/// A descriptor that cannot be polled, a regular file's, say, works too: its calls are made in
/// [`blocking`](crate::blocking()).
///
/// Writing to a pipe that nobody reads from is an error, and raises `SIGPIPE` first as anywhere, which programs
/// ignore that Rust has started. Sockets of [`net`](crate::net) never raise it.
///
/// # Examples
///
/// ```
/// use sward::io::{self, Async, Read, Write};
///
/// let (reader, writer) = io::Result::Ok(std::io::pipe()?)?;
/// let (mut reader, mut writer) = (Async::new(reader)?, Async::new(writer)?);
/// let words = sward::spawn(move || {
///     let mut words = String::new();
///     reader.read_to_string(&mut words).map(|_| words)
/// });
/// writer.write_all(b"through the pipe")?;
/// drop(writer);
/// assert_eq!(words.join().expect("no panic")?, "through the pipe");
/// # Ok::<(), io::Error>(())
/// ```
pub struct Async<T> {
    /// Goes first: the poller forgets a descriptor before it is closed. None if it cannot be polled.
    watch: Option<Watch>,
    inner: T,
}

/// The descriptor is known to the poller, and in this mode.
struct Watch {
    source: Arc<Source>,
    descriptor: RawFd,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Non-blocking, by us.
    Ours,
    /// Non-blocking, as it was before.
    Found,
    /// As it was: the descriptor is a standard one.
    Shared,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.source.forget(self.descriptor);
        if self.mode == Mode::Ours
            && let Ok(flags) = flags(self.descriptor)
        {
            // A descriptor that somebody else has closed meanwhile has no mode.
            drop(set_flags(self.descriptor, flags & !libc::O_NONBLOCK));
        }
    }
}

impl Watch {
    /// Waits until the descriptor is ready, by the kernel's word.
    #[track_caller]
    fn ready(&self, descriptor: BorrowedFd<'_>, direction: Direction) -> io::Result<()> {
        self.source
            .until_watched(direction, || is_ready(descriptor, direction))
    }
}

impl<T: AsFd> Async<T> {
    /// Makes the calls on `inner` wait green, and puts its descriptor into the system's non-blocking
    /// mode until [`into_inner`](Self::into_inner) or the drop of this; never descriptors 0, 1 and 2.
    ///
    /// # Errors
    ///
    /// The system's; [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is an `Async` with this
    /// descriptor already.
    pub fn new(inner: T) -> io::Result<Self> {
        Self::with_mode(inner, |descriptor| {
            if descriptor <= libc::STDERR_FILENO {
                return Ok(Mode::Shared);
            }
            let flags = flags(descriptor)?;
            if flags & libc::O_NONBLOCK != 0 {
                return Ok(Mode::Found);
            }
            set_flags(descriptor, flags | libc::O_NONBLOCK)?;
            Ok(Mode::Ours)
        })
    }

    /// As [`new`](Self::new) for what shares its open file with a standard descriptor: the mode stays as
    /// it is.
    pub(crate) fn shared(inner: T) -> io::Result<Self> {
        Self::with_mode(inner, |_| Ok(Mode::Shared))
    }

    fn with_mode(inner: T, mode: impl FnOnce(RawFd) -> io::Result<Mode>) -> io::Result<Self> {
        let source = Arc::new(Source::new());
        let watch = if source.watch(inner.as_fd())? {
            let descriptor = inner.as_fd().as_raw_fd();
            let mut watch = Watch {
                source,
                descriptor,
                mode: Mode::Shared,
            };
            watch.mode = mode(descriptor)?;
            Some(watch)
        } else {
            None
        };
        Ok(Self { watch, inner })
    }

    /// Waits until there is something to read: data, a connection, the end, or an error to be told of.
    /// What cannot be polled is always ready.
    ///
    /// Somebody else may take it before this thread does.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) after the read timeout; else the system's.
    #[track_caller]
    pub fn readable(&self) -> io::Result<()> {
        self.ready(Direction::Read)
    }

    /// Waits until there is room to write, or an error to be told of. What cannot be polled is always
    /// ready.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) after the write timeout; else the system's.
    #[track_caller]
    pub fn writable(&self) -> io::Result<()> {
        self.ready(Direction::Write)
    }

    #[track_caller]
    fn ready(&self, direction: Direction) -> io::Result<()> {
        match &self.watch {
            None => Ok(()),
            Some(watch) => watch.ready(self.inner.as_fd(), direction),
        }
    }

    /// Does `call`, which reads, as often as it fails with `WouldBlock`, and waits in between.
    ///
    /// # Errors
    ///
    /// What `call` gives, but for `WouldBlock`; [`TimedOut`](io::ErrorKind::TimedOut) after the read
    /// timeout.
    #[track_caller]
    pub fn read_with<R>(&self, call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.wait(Direction::Read, call)
    }

    /// Does `call`, which writes, as often as it fails with `WouldBlock`, and waits in between.
    ///
    /// # Errors
    ///
    /// What `call` gives, but for `WouldBlock`; [`TimedOut`](io::ErrorKind::TimedOut) after the write
    /// timeout.
    #[track_caller]
    pub fn write_with<R>(&self, call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.wait(Direction::Write, call)
    }

    #[track_caller]
    fn wait<R>(
        &self,
        direction: Direction,
        mut call: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        match &self.watch {
            None => {}
            Some(watch) if watch.mode == Mode::Shared => {
                watch.ready(self.inner.as_fd(), direction)?;
            }
            Some(watch) => {
                return watch.source.until_watched(direction, || call(&self.inner));
            }
        }
        blocking(|| call(&self.inner))
    }

    /// As [`wait`](Self::wait), for what only an exclusive reference can do.
    #[track_caller]
    fn wait_mut<R>(
        &mut self,
        direction: Direction,
        mut call: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let Self { watch, inner } = self;
        match watch {
            None => {}
            Some(watch) if watch.mode == Mode::Shared => watch.ready(inner.as_fd(), direction)?,
            Some(watch) => return watch.source.until_watched(direction, || call(inner)),
        }
        blocking(|| call(inner))
    }
}

impl<T> Async<T> {
    /// What was wrapped. Calls on it fail with `WouldBlock` where they would wait.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Gives back what was wrapped, in the mode in which it came.
    pub fn into_inner(self) -> T {
        let Self { watch, inner } = self;
        drop(watch);
        inner
    }

    /// For how long a read waits; `None` is for ever.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.timeout(Direction::Read)
    }

    /// For how long a write waits; `None` is for ever.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.timeout(Direction::Write)
    }

    /// Lets each read wait for `timeout` at most, counted from when it would block, and then fail with
    /// [`TimedOut`](io::ErrorKind::TimedOut). Reads that wait already are given `timeout` from now on.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no time at all; [`Unsupported`](io::ErrorKind::Unsupported) if the
    /// descriptor cannot be polled.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_timeout(Direction::Read, timeout)
    }

    /// Lets each write wait for `timeout` at most, counted from when it would block, and then fail with
    /// [`TimedOut`](io::ErrorKind::TimedOut). Writes that wait already are given `timeout` from now on.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no time at all; [`Unsupported`](io::ErrorKind::Unsupported) if the
    /// descriptor cannot be polled.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_timeout(Direction::Write, timeout)
    }

    fn timeout(&self, direction: Direction) -> Option<Duration> {
        self.watch.as_ref()?.source.timeout(direction)
    }

    fn set_timeout(&self, direction: Direction, timeout: Option<Duration>) -> io::Result<()> {
        match &self.watch {
            Some(watch) => watch.source.set_timeout(direction, timeout),
            None if timeout.is_none() => Ok(()),
            None => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a descriptor that cannot be polled has no timeout",
            )),
        }
    }
}

impl<T: AsFd + Read> Read for Async<T> {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wait_mut(Direction::Read, |it| it.read(buf))
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.wait_mut(Direction::Read, |it| it.read_vectored(bufs))
    }
}

impl<T: AsFd> Read for &Async<T>
where
    for<'a> &'a T: Read,
{
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wait(Direction::Read, |mut it| it.read(buf))
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.wait(Direction::Read, |mut it| it.read_vectored(bufs))
    }
}

impl<T: AsFd + Write> Write for Async<T> {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.wait_mut(Direction::Write, |it| it.write(buf))
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.wait_mut(Direction::Write, |it| it.write_vectored(bufs))
    }

    #[track_caller]
    fn flush(&mut self) -> io::Result<()> {
        self.wait_mut(Direction::Write, Write::flush)
    }
}

impl<T: AsFd> Write for &Async<T>
where
    for<'a> &'a T: Write,
{
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.wait(Direction::Write, |mut it| it.write(buf))
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.wait(Direction::Write, |mut it| it.write_vectored(bufs))
    }

    #[track_caller]
    fn flush(&mut self) -> io::Result<()> {
        self.wait(Direction::Write, |mut it| it.flush())
    }
}

impl<T: AsFd> AsFd for Async<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsFd> AsRawFd for Async<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<T: fmt::Debug> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = self.watch.as_ref().map(|it| it.mode);
        f.debug_struct("Async")
            .field("inner", &self.inner)
            .field("mode", &mode)
            .finish()
    }
}

/// The flags of the open file.
fn flags(descriptor: RawFd) -> io::Result<libc::c_int> {
    // SAFETY: takes numbers only.
    match unsafe { libc::fcntl(descriptor, libc::F_GETFL) } {
        flags if flags >= 0 => Ok(flags),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_flags(descriptor: RawFd, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Fails with `WouldBlock` if the descriptor is not ready.
fn is_ready(descriptor: BorrowedFd<'_>, direction: Direction) -> io::Result<()> {
    let mut asked = libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: match direction {
            Direction::Read => libc::POLLIN,
            Direction::Write => libc::POLLOUT,
        },
        revents: 0,
    };
    // SAFETY: `asked` is one place for one answer.
    match unsafe { libc::poll(&raw mut asked, 1, 0) } {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        1 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
