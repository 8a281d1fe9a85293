//! A dump when a signal comes: its handler leaves a word for the monitor, which writes.

#![expect(unsafe_code, reason = "signal handlers are the system's")]

use crate::{
    base::fatal::LastWords,
    scheduler::origin::{FAULTS, all_but_faults},
};
use std::{
    fmt::Write,
    io, mem, ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::Thread,
};

/// Somebody wants a dump.
static WANTED: AtomicBool = AtomicBool::new(false);
/// Who writes it.
static WRITER: OnceLock<Thread> = OnceLock::new();

/// Lets `thread` be unparked when a dump is wanted. The first stays.
pub(crate) fn serve_by(thread: &Thread) {
    WRITER.get_or_init(|| thread.clone());
}

/// Writes a dump to the standard error, if one is wanted.
pub(crate) fn serve() {
    // Relaxed: the handler has nothing else to say, and `unpark` comes after it.
    if WANTED.load(Relaxed) && WANTED.swap(false, Relaxed) {
        // It cannot fail: `LastWords` takes everything.
        _ = write!(LastWords::new(), "sward: {}", super::dump());
    }
}

/// The handler.
extern "C" fn on_signal(_signal: libc::c_int) {
    // SAFETY: the calling thread's own `errno`, which the interrupted code may be about to read.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { errno.read() };
    WANTED.store(true, Relaxed);
    if let Some(writer) = WRITER.get() {
        // One exchange and a system call: it neither locks nor allocates.
        writer.unpark();
    }
    // SAFETY: as above.
    unsafe { errno.write(before) };
}

/// Whether a dump may be asked for by this signal.
///
/// # Errors
///
/// `InvalidInput` if it is none, cannot be handled, or tells of a fault; `AlreadyExists` if the program has
/// a handler of its own for it.
pub(crate) fn check(signal: i32) -> io::Result<()> {
    let refuse = |kind, why: String| {
        let what = format!("cannot dump on signal {signal}: {why}");
        Err(io::Error::new(kind, what))
    };
    if FAULTS.contains(&signal) {
        let why = "it tells of a fault in the program".to_owned();
        return refuse(io::ErrorKind::InvalidInput, why);
    }
    if [libc::SIGKILL, libc::SIGSTOP].contains(&signal) {
        let why = "no program can handle it".to_owned();
        return refuse(io::ErrorKind::InvalidInput, why);
    }
    // SAFETY: all zeros are a `sigaction`.
    let mut now: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: it only asks; `now` is a place for the answer.
    if unsafe { libc::sigaction(signal, ptr::null(), &raw mut now) } != 0 {
        let error = io::Error::last_os_error();
        return refuse(io::ErrorKind::InvalidInput, error.to_string());
    }
    if [libc::SIG_DFL, libc::SIG_IGN, handler()].contains(&now.sa_sigaction) {
        return Ok(());
    }
    let why = "the program has a handler for it".to_owned();
    refuse(io::ErrorKind::AlreadyExists, why)
}

/// Dumps from now on when this signal comes, which was [checked](check).
///
/// # Errors
///
/// The system's.
pub(crate) fn install(signal: i32) -> io::Result<()> {
    // SAFETY: all zeros are a `sigaction`.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler();
    // On the alternate stack: it may come while a green thread is at the end of its own.
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    action.sa_mask = all_but_faults();
    // SAFETY: the handler does only what a handler may.
    if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn handler() -> libc::sighandler_t {
    (on_signal as extern "C" fn(libc::c_int)) as libc::sighandler_t
}
