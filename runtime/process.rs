//! Processes whose end and whose pipes are waited for green: `std::process`'s names and signatures.
//!
//! Starting a process is std's doing, away from the worker. Its pipes are [`Async`]. Its end is waited
//! for by a process descriptor, which the poller watches; where the system has none, by a call that
//! blocks away from the worker.
//!
//! # What was not done
//!
//! - *Reaping what is dropped*: as in std, who drops a [`Child`] without waiting leaves a zombie.

#![expect(unsafe_code, reason = "std has no process descriptors")]

use crate::{
    io::Async,
    thread,
    wait::{blocking, home, start_process},
};
use std::{
    ffi::OsStr,
    fmt,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    panic::resume_unwind,
    path::Path,
    process as system,
};

pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id,
};

/// A process to be started: `std::process::Command`, green.
///
/// # Examples
///
/// ```
/// use sward::process::Command;
///
/// let output = Command::new("echo").arg("hello").output()?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"hello\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Command {
    inner: system::Command,
    /// Which of the three standard streams were said. The others depend on how it is started.
    said: [bool; 3],
}

impl Command {
    /// A command that runs `program`, without arguments, in this process's environment and directory.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Self {
        Self {
            inner: system::Command::new(program),
            said: [false; 3],
        }
    }

    /// Adds an argument.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Self {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.inner.args(args);
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env<K, V>(&mut self, key: K, val: V) -> &mut Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.env(key, val);
        self
    }

    /// Sets variables of the child's environment.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.envs(vars);
        self
    }

    /// Removes a variable from the child's environment.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Self {
        self.inner.env_remove(key);
        self
    }

    /// Lets the child begin without any environment.
    pub fn env_clear(&mut self) -> &mut Self {
        self.inner.env_clear();
        self
    }

    /// Sets the child's directory.
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Self {
        self.inner.current_dir(dir);
        self
    }

    /// Sets the child's standard input. Without this it is ours for [`spawn`](Self::spawn) and
    /// [`status`](Self::status), and nothing for [`output`](Self::output).
    pub fn stdin<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Self {
        self.said[0] = true;
        self.inner.stdin(cfg);
        self
    }

    /// Sets the child's standard output. Without this it is ours for [`spawn`](Self::spawn) and
    /// [`status`](Self::status), and a pipe for [`output`](Self::output).
    pub fn stdout<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Self {
        self.said[1] = true;
        self.inner.stdout(cfg);
        self
    }

    /// Sets the child's standard error. Without this it is ours for [`spawn`](Self::spawn) and
    /// [`status`](Self::status), and a pipe for [`output`](Self::output).
    pub fn stderr<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Self {
        self.said[2] = true;
        self.inner.stderr(cfg);
        self
    }

    /// Sets what the child is told its name was: its argument of number zero.
    pub fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Self {
        self.inner.arg0(arg);
        self
    }

    /// Sets the child's user.
    pub fn uid(&mut self, id: u32) -> &mut Self {
        self.inner.uid(id);
        self
    }

    /// Sets the child's group.
    pub fn gid(&mut self, id: u32) -> &mut Self {
        self.inner.gid(id);
        self
    }

    /// Puts the child into a process group; 0 is one of its own.
    pub fn process_group(&mut self, pgroup: i32) -> &mut Self {
        self.inner.process_group(pgroup);
        self
    }

    /// Has `f` called in the child, before it becomes the program.
    ///
    /// # Safety
    ///
    /// As of std's method of that name: between fork and exec, hardly anything may be done. Nothing of
    /// this crate may.
    pub unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Self
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: the caller's promise.
        unsafe { self.inner.pre_exec(f) };
        self
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.inner.get_program()
    }

    /// The arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.inner.get_args()
    }

    /// The variables that were set, or removed.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.inner.get_envs()
    }

    /// The child's directory, if one was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.inner.get_current_dir()
    }

    /// Starts the process, away from the worker.
    ///
    /// # Errors
    ///
    /// The system's: `NotFound` if there is no such program.
    pub fn spawn(&mut self) -> io::Result<Child> {
        Child::of(blocking(|| start_process(|| self.inner.spawn()))?)
    }

    /// Starts the process and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Starts the process, waits for its end, and returns what it wrote to standard output and error.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn), and if what it writes cannot be read.
    #[track_caller]
    pub fn output(&mut self) -> io::Result<Output> {
        // What was not said is another thing here; what std's command was told cannot be taken back,
        // but only be told again.
        self.default_streams(Stdio::null, Stdio::piped);
        let child = self.spawn();
        self.default_streams(Stdio::inherit, Stdio::inherit);
        child?.wait_with_output()
    }

    /// Becomes the program: this process does, with all its threads, green or not, and goes on as the other.
    /// Returns only if that fails.
    ///
    /// Nothing is dropped and no thread is told. As the calling process it has its standard streams.
    pub fn exec(&mut self) -> io::Error {
        self.inner.exec()
    }

    /// Sets the streams that the user did not.
    fn default_streams(&mut self, input: fn() -> Stdio, output: fn() -> Stdio) {
        let [stdin, stdout, stderr] = self.said;
        if !stdin {
            self.inner.stdin(input());
        }
        if !stdout {
            self.inner.stdout(output());
        }
        if !stderr {
            self.inner.stderr(output());
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A process that was started: `std::process::Child`, green.
///
/// Dropping it neither ends the process nor waits for it.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use sward::process::{Command, Stdio};
///
/// let mut sort = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// if let Some(mut stdin) = sort.stdin.take() {
///     stdin.write_all(b"pear\napple\n")?;
/// }
/// assert_eq!(sort.wait_with_output()?.stdout, b"apple\npear\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Child {
    inner: system::Child,
    /// Our end of its standard input, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Our end of its standard output, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Our end of its standard error, if that is a pipe.
    pub stderr: Option<ChildStderr>,
}

impl Child {
    fn of(mut inner: system::Child) -> io::Result<Self> {
        let pipes = (|| {
            let stdin = inner.stdin.take().map(ChildStdin::of).transpose()?;
            let stdout = inner.stdout.take().map(ChildStdout::of).transpose()?;
            let stderr = inner.stderr.take().map(ChildStderr::of).transpose()?;
            Ok((stdin, stdout, stderr))
        })();
        match pipes {
            Ok((stdin, stdout, stderr)) => Ok(Self {
                inner,
                stdin,
                stdout,
                stderr,
            }),
            Err(error) => {
                // Nobody would ever know of it.
                drop(inner.kill());
                drop(blocking(|| inner.wait()));
                Err(error)
            }
        }
    }

    /// The number of the process. After it was waited for, the system may give it to another.
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Ends the process by force. If it has ended already, this does nothing.
    ///
    /// # Errors
    ///
    /// The system's, if it may not be ended.
    pub fn kill(&mut self) -> io::Result<()> {
        self.inner.kill()
    }

    /// Waits for the end of the process, after closing our end of its standard input: a green thread is
    /// parked, a plain kernel thread sleeps. Afterwards it returns the same at once.
    ///
    /// A child that writes more than a pipe holds never ends unless somebody reads:
    /// [`wait_with_output`](Self::wait_with_output) does.
    ///
    /// # Errors
    ///
    /// The system's, if somebody else waited for the process.
    #[track_caller]
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        if let Some(status) = self.inner.try_wait()? {
            return Ok(status);
        }
        // Should there be no descriptor, the call below waits.
        if let Ok(ended) = self.descriptor().and_then(Async::new) {
            drop(ended.readable());
        }
        blocking(|| self.inner.wait())
    }

    /// How the process ended, if it has.
    ///
    /// # Errors
    ///
    /// The system's, if somebody else waited for the process.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.inner.try_wait()
    }

    /// Closes our end of its standard input, and waits for the end of the process and of what it writes
    /// to pipes. A green thread waits for the one pipe in another, which it starts.
    ///
    /// # Errors
    ///
    /// The system's.
    #[track_caller]
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = match (self.stdout.take(), self.stderr.take()) {
            (Some(stdout), Some(stderr)) if home::running().is_none() => {
                // std reads both pipes on one kernel thread, which is ours to block.
                self.inner.stdout = Some(stdout.into());
                self.inner.stderr = Some(stderr.into());
                return self.inner.wait_with_output();
            }
            (Some(stdout), Some(stderr)) => thread::scope(|scope| {
                let other = thread::Builder::new().spawn_scoped(scope, || drain(Some(stderr)))?;
                let stdout = drain(Some(stdout));
                let stderr = other.join().unwrap_or_else(|it| resume_unwind(it));
                io::Result::Ok((stdout?, stderr?))
            })?,
            (stdout, stderr) => (drain(stdout)?, drain(stderr)?),
        };
        let status = self.wait()?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    /// A descriptor that is readable when the process has ended.
    fn descriptor(&self) -> io::Result<OwnedFd> {
        let id = libc::c_long::from(self.inner.id());
        // SAFETY: takes numbers only. The process is ours and was not waited for, so that the number is
        // still its own.
        let number = unsafe { libc::syscall(libc::SYS_pidfd_open, id, libc::c_long::from(0)) };
        let number = RawFd::try_from(number).unwrap_or(-1);
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    }
}

/// All that comes out of a pipe, if there is one.
fn drain(pipe: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Our end of a pipe to a child.
macro_rules! pipe {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            pipe: Async<system::$name>,
        }

        impl $name {
            fn of(pipe: system::$name) -> io::Result<Self> {
                Ok(Self { pipe: Async::new(pipe)? })
            }
        }

        impl AsFd for $name {
            /// The descriptor, which is in non-blocking mode.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.pipe.as_fd()
            }
        }

        impl AsRawFd for $name {
            /// The descriptor, which is in non-blocking mode.
            fn as_raw_fd(&self) -> RawFd {
                self.pipe.as_raw_fd()
            }
        }

        impl IntoRawFd for $name {
            /// Gives the descriptor away, in blocking mode.
            fn into_raw_fd(self) -> RawFd {
                self.pipe.into_inner().into_raw_fd()
            }
        }

        impl From<OwnedFd> for $name {
            /// Takes over a descriptor, which is put into non-blocking mode.
            ///
            /// # Panics
            ///
            /// If the system refuses to watch it, for want of memory say.
            #[track_caller]
            fn from(descriptor: OwnedFd) -> Self {
                match Self::of(descriptor.into()) {
                    Ok(pipe) => pipe,
                    Err(error) => panic!("the descriptor cannot be watched: {error}"),
                }
            }
        }

        impl From<$name> for system::$name {
            /// Gives the pipe away, in blocking mode.
            fn from(pipe: $name) -> Self {
                pipe.pipe.into_inner()
            }
        }

        impl From<$name> for OwnedFd {
            /// Gives the descriptor away, in blocking mode.
            fn from(pipe: $name) -> Self {
                pipe.pipe.into_inner().into()
            }
        }

        impl From<$name> for Stdio {
            /// Makes the pipe a standard stream of another child.
            fn from(pipe: $name) -> Self {
                pipe.pipe.into_inner().into()
            }
        }
    };
}

/// What a pipe does that is read from.
macro_rules! readable {
    ($name:ident) => {
        impl Read for $name {
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.pipe.read(buf)
            }

            #[track_caller]
            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.pipe.read_vectored(bufs)
            }
        }
    };
}

pipe! {
    /// Our end of a child's standard input. Dropping it ends that input.
    ChildStdin
}
pipe! {
    /// Our end of a child's standard output.
    ChildStdout
}
pipe! {
    /// Our end of a child's standard error.
    ChildStderr
}
readable!(ChildStdout);
readable!(ChildStderr);

impl Write for ChildStdin {
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

impl Write for &ChildStdin {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&self.pipe).write(buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.pipe).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
