//! What the crate's kernel threads begin with, whichever thread happens to start them.
//!
//! The kernel hands a thread's signal mask, class and niceness on to those that it starts. A spare worker
//! is started by whoever needs one, a pinned thread by whoever spawns it; either may have changed its own.
//! So a runtime's threads begin with what the thread had that built it, and never with less blocked: all
//! signals are until they have the right mask. Threads that only help take no signals at all.
//!
//! The other way round, what is asked here for a worker's sake (short slices, a batch job's class, punctual
//! timers) is not for those whom the program starts from there. Slices the kernel takes back by itself;
//! the rest is put aside while [`process::Command`](crate::process::Command) starts a child.
//!
//! # What was not done
//!
//! *A clean thread that starts all others*, as Go has one: it would also keep a changed root directory or
//! affinity from a pinned thread's pinned children, at two switches of kernel threads each.
//!
//! *Threads of std's* that are started by a green thread which has computed for long, so that its kernel
//! thread is a batch job: nobody tells us.

#![expect(unsafe_code, reason = "system calls that std does not have")]

use super::kernel::{self, Class};
use std::{fmt, io, mem::MaybeUninit, ptr, thread};

/// Signals that tell of a fault in the program: they cannot wait.
pub(crate) const FAULTS: [libc::c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGSYS,
];

/// What a runtime's threads begin with.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    signals: libc::sigset_t,
    class: Class,
    timer_slack: libc::c_ulong,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}

impl Origin {
    /// What the calling thread has.
    pub(super) fn here() -> Self {
        Self {
            signals: mask(libc::SIG_BLOCK, None),
            class: Class::of_this_thread(),
            timer_slack: kernel::timer_slack(),
        }
    }

    /// This, but the timers are as punctual as with the other.
    pub(super) fn with_timer_slack_of(self, other: Self) -> Self {
        Self {
            timer_slack: other.timer_slack,
            ..self
        }
    }

    /// The class is the ordinary one: if somebody has chosen another, it stays.
    pub(super) fn is_ordinary(&self) -> bool {
        self.class.is_ordinary()
    }

    /// Starts a kernel thread that begins with this.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn start(
        &self,
        name: String,
        stack_bytes: usize,
        f: impl FnOnce() + Send + 'static,
    ) -> io::Result<thread::JoinHandle<()>> {
        let origin = *self;
        let _blocked = Blocked::all();
        thread::Builder::new()
            .name(name)
            .stack_size(stack_bytes)
            .spawn(move || {
                origin.class.take_on();
                mask(libc::SIG_SETMASK, Some(&origin.signals));
                f();
            })
    }

    /// Runs `start`, which starts a process: that begins with nothing that was asked for this thread's sake.
    pub(super) fn start_process(&self, start: &mut dyn FnMut()) {
        let slack = kernel::timer_slack();
        let is_batch = self.is_ordinary() && Class::of_this_thread().is_batch();
        if is_batch {
            kernel::make_ordinary();
        }
        kernel::set_timer_slack(self.timer_slack);
        start();
        kernel::set_timer_slack(slack);
        if is_batch {
            kernel::make_batch(kernel::this_thread_id());
        }
    }
}

/// Starts a kernel thread that takes no signals, for the crate's own ends.
///
/// # Errors
///
/// The system's.
pub(crate) fn start_helper(
    name: &str,
    f: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let _blocked = Blocked::all();
    thread::Builder::new().name(name.to_owned()).spawn(f)
}

/// As long as this lives, the calling thread takes no signals but those that are its own fault.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn all() -> Self {
        Self(mask(libc::SIG_SETMASK, Some(&all_but_faults())))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        mask(libc::SIG_SETMASK, Some(&self.0));
    }
}

/// What may wait while a handler of ours runs, or while a thread begins: none that is a thread's own fault.
pub(crate) fn all_but_faults() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: a place for a set.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    for fault in FAULTS {
        // SAFETY: a set, filled above.
        unsafe { libc::sigdelset(set.as_mut_ptr(), fault) };
    }
    // SAFETY: filled above.
    unsafe { set.assume_init() }
}

/// Changes the calling thread's mask, if there is a `change`. Returns what it was.
fn mask(how: libc::c_int, change: Option<&libc::sigset_t>) -> libc::sigset_t {
    let mut before = MaybeUninit::uninit();
    // SAFETY: a place for a set.
    unsafe { libc::sigemptyset(before.as_mut_ptr()) };
    let change = change.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: a set or none, and a place for one. It fails for a wrong `how` only.
    unsafe { libc::pthread_sigmask(how, change, before.as_mut_ptr()) };
    // SAFETY: emptied above, and filled by the call.
    unsafe { before.assume_init() }
}
