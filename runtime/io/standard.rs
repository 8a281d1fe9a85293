//! The standard streams of the process, which it shares with who knows whom.
//!
//! Their descriptors stay in blocking mode. Input waits for the poller's word and is then read where it
//! may block; the poller watches a duplicate of descriptor 0, which leaves the number itself alone.
//! Output is written to std's streams where it may block, so that `println!` and this keep their order.
//!
//! Locks are this crate's: a guard may be held over a wait, which std's must not.
//!
//! # Lock order
//!
//! Ours, then std's, which is only held inside of one blocking call.

use super::Async;
use crate::{
    sync::{Mutex, MutexGuard, PoisonError},
    wait::blocking,
};
use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, IoSlice, IsTerminal, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::LazyLock,
};

/// Descriptor 0, read without a buffer.
struct Input {
    /// A duplicate of it, made when it is read first; none if there is nothing to read from.
    watched: Option<Async<File>>,
    opened: bool,
}

static INPUT: LazyLock<Mutex<BufReader<Input>>> = LazyLock::new(|| {
    Mutex::new(BufReader::new(Input {
        watched: None,
        opened: false,
    }))
});
static OUTPUT: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
static COMPLAINTS: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.opened {
            self.watched = match io::stdin().as_fd().try_clone_to_owned() {
                Ok(duplicate) => Some(Async::shared(File::from(duplicate))?),
                // As in std: who closed it has nothing to say.
                Err(error) if error.raw_os_error() == Some(libc::EBADF) => None,
                Err(error) => return Err(error),
            };
            self.opened = true;
        }
        match &mut self.watched {
            Some(watched) => watched.read(buf),
            None => Ok(0),
        }
    }
}

/// The process's standard input: `std::io::Stdin`, green.
///
/// It has a buffer of its own, shared by all handles, but not with `std::io::stdin()`: a program uses
/// one of the two.
#[derive(Debug)]
pub struct Stdin {
    std: io::Stdin,
}

/// The standard input, locked: nobody else reads from it.
pub struct StdinLock<'a> {
    input: MutexGuard<'a, BufReader<Input>>,
    std: io::Stdin,
}

/// A handle to the standard input of the process.
///
/// Reading waits: a green thread is parked, a plain kernel thread sleeps. If another process takes the
/// input first that this was told of, a kernel thread that is no worker blocks for the next.
///
/// # Examples
///
/// ```no_run
/// use sward::io;
///
/// for line in io::stdin().lines() {
///     println!("{}", line?.to_uppercase());
/// }
/// # Ok::<(), io::Error>(())
/// ```
pub fn stdin() -> Stdin {
    Stdin { std: io::stdin() }
}

impl Stdin {
    /// Keeps others from reading until the guard is dropped. Waits for them, in order of arrival.
    pub fn lock(&self) -> StdinLock<'static> {
        StdinLock {
            input: INPUT.lock().unwrap_or_else(PoisonError::into_inner),
            std: io::stdin(),
        }
    }

    /// Waits for a line, and appends it to `buf` with its end. Returns its length in bytes: 0 at the end
    /// of the input.
    ///
    /// # Errors
    ///
    /// The system's; `InvalidData` if the line is not UTF-8.
    pub fn read_line(&self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_line(buf)
    }

    /// The lines of the input, without their ends: each `next` waits for one.
    pub fn lines(self) -> Lines {
        Lines { input: self }
    }
}

/// The lines of the standard input.
#[derive(Debug)]
pub struct Lines {
    input: Stdin,
}

impl Iterator for Lines {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => {
                if line.ends_with('\n') {
                    line.pop();
                    if line.ends_with('\r') {
                        line.pop();
                    }
                }
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl Read for StdinLock<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl BufRead for StdinLock<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.input.consume(amount);
    }
}

impl fmt::Debug for StdinLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdinLock").finish_non_exhaustive()
    }
}

impl Read for &Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.lock().read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_to_string(buf)
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }
}

/// The descriptor of a standard stream.
macro_rules! descriptor {
    ($name:ty) => {
        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.std.as_raw_fd()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.std.as_fd()
            }
        }

        impl $name {
            /// Whether it is a terminal.
            pub fn is_terminal(&self) -> bool {
                self.std.is_terminal()
            }
        }
    };
}

/// One of the two standard streams that are written to.
macro_rules! output {
    ($name:ident, $lock:ident, $function:ident, $std:path, $mutex:ident, $what:literal) => {
        #[doc = concat!("The process's standard ", $what, ": `std::io::", stringify!($name), "`, green.")]
        #[derive(Debug)]
        pub struct $name {
            std: io::$name,
        }

        #[doc = concat!("The standard ", $what, ", locked: nobody else writes to it through this crate.")]
        #[derive(Debug)]
        pub struct $lock<'a> {
            _section: MutexGuard<'a, ()>,
            std: io::$name,
        }

        #[doc = concat!("A handle to the standard ", $what, " of the process.")]
        ///
        /// What is written goes to std's stream of that name, in [`blocking`](crate::blocking()), and keeps
        /// its order with what std's macros print.
        pub fn $function() -> $name {
            $name { std: $std() }
        }

        impl $name {
            /// Keeps others from writing through this crate until the guard is dropped. Waits for them,
            /// in order of arrival.
            pub fn lock(&self) -> $lock<'static> {
                $lock {
                    _section: $mutex.lock().unwrap_or_else(PoisonError::into_inner),
                    std: $std(),
                }
            }
        }

        impl Write for $lock<'_> {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                blocking(|| $std().write(buf))
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                blocking(|| $std().write_vectored(bufs))
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                blocking(|| $std().write_all(buf))
            }

            fn flush(&mut self) -> io::Result<()> {
                blocking(|| $std().flush())
            }
        }

        impl Write for &$name {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.lock().write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.lock().write_vectored(bufs)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.lock().write_all(buf)
            }

            fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> io::Result<()> {
                self.lock().write_fmt(arguments)
            }

            fn flush(&mut self) -> io::Result<()> {
                self.lock().flush()
            }
        }

        impl Write for $name {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                (&*self).write_all(buf)
            }

            fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> io::Result<()> {
                (&*self).write_fmt(arguments)
            }

            fn flush(&mut self) -> io::Result<()> {
                (&*self).flush()
            }
        }
    };
}

descriptor!(Stdin);
descriptor!(StdinLock<'_>);
descriptor!(Stdout);
descriptor!(StdoutLock<'_>);
descriptor!(Stderr);
descriptor!(StderrLock<'_>);
output!(Stdout, StdoutLock, stdout, io::stdout, OUTPUT, "output");
output!(Stderr, StderrLock, stderr, io::stderr, COMPLAINTS, "error");
