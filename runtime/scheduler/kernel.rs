//! What the scheduler asks of the kernel for its threads: clocks, slices, classes.
//!
//! A refusal changes speed only.

#![expect(unsafe_code, reason = "system calls that std does not have")]

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    sync::OnceLock,
};

/// The calling thread's number.
pub(crate) fn this_thread_id() -> libc::pid_t {
    // SAFETY: it takes nothing.
    unsafe { libc::gettid() }
}

/// The numbers of all threads of the process; `None` if the kernel does not say.
pub(crate) fn threads() -> Option<Vec<libc::pid_t>> {
    let entries = fs::read_dir("/proc/self/task").ok()?;
    entries
        .map(|it| it.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// Whether a thread of this process runs, or would if the machine had a processor for it; `false` if it
/// sleeps in a system call, or is not there.
pub(super) fn is_runnable(thread: libc::pid_t) -> bool {
    let mut path = [0; 48];
    let mut rest = &mut path[..];
    if write!(rest, "/proc/self/task/{thread}/stat").is_err() {
        return false;
    }
    let length = 48 - rest.len();
    let mut text = [0; 128];
    let read = OsStr::from_bytes(&path[..length]);
    let Ok(length) = File::open(read).and_then(|mut it| it.read(&mut text)) else {
        return false;
    };
    state_of(&text[..length]) == Some(b'R')
}

/// The letter after the thread's name, which may contain anything, and ends at the last parenthesis.
fn state_of(stat: &[u8]) -> Option<u8> {
    let end = stat.iter().rposition(|it| *it == b')')?;
    stat.get(end + 2).copied()
}

/// A clock that counts the calling thread's processor time, for others to read.
pub(super) fn this_thread_cpu_clock() -> Option<libc::clockid_t> {
    let mut clock = 0;
    // SAFETY: it takes nothing.
    let thread = unsafe { libc::pthread_self() };
    // SAFETY: it is this thread, and `clock` a place for the answer.
    let result = unsafe { libc::pthread_getcpuclockid(thread, &raw mut clock) };
    (result == 0).then_some(clock)
}

/// How much processor time the clock's thread has had, in nanoseconds; `None` if it has ended.
pub(super) fn cpu_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a place for the answer.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (result == 0)
        .then(|| time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

/// The kernel's `struct sched_attr`, its first version.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl Attributes {
    #[expect(clippy::cast_possible_truncation, reason = "it is 48")]
    const BYTES: u32 = size_of::<Self>() as u32;
}

/// Asks for the ordinary class with slices of `slice_ns`, which are short, and punctual timers:
/// who has little to do is then served soon (Linux 6.12).
pub(super) fn ask_for_short_slices(slice_ns: u64) {
    set_class(0, libc::SCHED_OTHER, slice_ns);
    punctual_timers();
}

/// Asks that the calling thread's timers are not late on purpose.
pub(super) fn punctual_timers() {
    // SAFETY: the command takes a number.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// Makes a thread a batch job: it yields to those that wake up.
pub(super) fn make_batch(thread: libc::pid_t) {
    set_class(thread, libc::SCHED_BATCH, 0);
}

/// Whether the process is of the ordinary class: if somebody has chosen another for it, it stays.
fn is_ordinary() -> bool {
    static ORDINARY: OnceLock<bool> = OnceLock::new();
    *ORDINARY.get_or_init(|| {
        // SAFETY: it takes a number; zero is the calling thread, which has its creator's class.
        let policy = unsafe { libc::sched_getscheduler(0) };
        policy == libc::SCHED_OTHER
    })
}

fn set_class(thread: libc::pid_t, policy: libc::c_int, slice_ns: u64) {
    if !is_ordinary() {
        return;
    }
    // SAFETY: it takes numbers.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, thread.cast_unsigned()) };
    let attributes = Attributes {
        size: Attributes::BYTES,
        policy: policy.cast_unsigned(),
        flags: 0,
        nice,
        priority: 0,
        runtime: slice_ns,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the structure has the size that it says.
    unsafe { libc::syscall(libc::SYS_sched_setattr, thread, &raw const attributes, 0) };
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{is_runnable, state_of, this_thread_id};
    use std::{sync::mpsc, thread};

    #[test]
    fn who_runs_and_who_sleeps_is_told_apart() {
        assert!(is_runnable(this_thread_id()), "it asks");
        let (tell, told) = mpsc::channel();
        let (end, wait) = mpsc::channel::<()>();
        let sleeper = thread::spawn(move || {
            tell.send(this_thread_id()).expect("somebody asks");
            _ = wait.recv();
        });
        let id = told.recv().expect("it runs");
        while is_runnable(id) {
            thread::yield_now();
        }
        drop(end);
        sleeper.join().expect("no panic");
        while is_runnable(id) {
            thread::yield_now();
        }
    }

    #[test]
    fn a_name_may_look_like_a_state() {
        assert_eq!(state_of(b"12 (a) R (b) S 1 2"), Some(b'S'));
        assert_eq!(state_of(b"12 (a"), None);
        assert_eq!(state_of(b"12 (a)"), None);
    }
}
