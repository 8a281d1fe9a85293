//! What the scheduler asks of the kernel for its threads: clocks, slices, classes.
//!
//! A refusal changes speed only.

#![expect(unsafe_code, reason = "system calls that std does not have")]

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    ptr,
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
    state(thread) == Some(b'R')
}

/// The kernel's letter for what a thread of this process does; `None` if it is not there. Allocates nothing.
pub(crate) fn state(thread: libc::pid_t) -> Option<u8> {
    let mut path = [0; 48];
    let mut rest = &mut path[..];
    write!(rest, "/proc/self/task/{thread}/stat").ok()?;
    let length = 48 - rest.len();
    let mut text = [0; 128];
    let read = OsStr::from_bytes(&path[..length]);
    let length = File::open(read)
        .and_then(|mut it| it.read(&mut text))
        .ok()?;
    state_of(&text[..length])
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// A class for ordinary programs.
    const fn fair(policy: libc::c_int, nice: i32, slice_ns: u64) -> Self {
        Self {
            size: Self::BYTES,
            policy: policy.cast_unsigned(),
            flags: 0,
            nice,
            priority: 0,
            runtime: slice_ns,
            deadline: 0,
            period: 0,
        }
    }

    /// Gives them to a thread; `false` if the kernel refuses.
    fn set(&self, thread: libc::pid_t) -> bool {
        // SAFETY: the structure has the size that it says.
        unsafe { libc::syscall(libc::SYS_sched_setattr, thread, ptr::from_ref(self), 0) == 0 }
    }
}

/// What it starts has the usual slices again.
const RESET_ON_FORK: u64 = 1;

/// How the kernel treats a thread among others, as those inherit it that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(Attributes);

impl Class {
    pub(super) fn of_this_thread() -> Self {
        let mut it = Attributes::fair(libc::SCHED_OTHER, 0, 0);
        // SAFETY: a place of the size that is said; zero is the calling thread.
        unsafe {
            libc::syscall(
                libc::SYS_sched_getattr,
                0,
                &raw mut it,
                Attributes::BYTES,
                0,
            )
        };
        let fair = [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE];
        let is_fair = fair.contains(&it.policy.cast_signed());
        if it.flags & RESET_ON_FORK != 0 && (!is_fair || it.nice < 0) {
            return Self(Attributes::fair(libc::SCHED_OTHER, 0, 0));
        }
        if is_fair {
            it = Attributes::fair(it.policy.cast_signed(), it.nice, 0);
        }
        Self(it)
    }

    /// Gives it to the calling thread, if that has another.
    pub(super) fn take_on(self) {
        let own = Self::of_this_thread();
        if own != self && !self.0.set(0) {
            // Not everybody may be nicer to itself again.
            let mut rest = self.0;
            rest.nice = own.0.nice;
            rest.set(0);
        }
    }

    pub(super) fn is_ordinary(self) -> bool {
        self.0.policy.cast_signed() == libc::SCHED_OTHER
    }

    pub(super) fn is_batch(self) -> bool {
        self.0.policy.cast_signed() == libc::SCHED_BATCH
    }
}

/// Asks for the ordinary class with slices of `slice_ns`, which are short: who has little to do is then
/// served soon (Linux 6.12). For threads of that class.
pub(super) fn ask_for_short_slices(slice_ns: u64) {
    set_class(0, libc::SCHED_OTHER, slice_ns);
}

/// Asks that the calling thread's timers are not late on purpose.
pub(super) fn punctual_timers() {
    set_timer_slack(1);
}

/// By how many nanoseconds the kernel lets the calling thread's timers be late.
pub(super) fn timer_slack() -> libc::c_ulong {
    // SAFETY: the command takes nothing.
    let slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
    libc::c_ulong::try_from(slack).unwrap_or(1)
}

pub(super) fn set_timer_slack(ns: libc::c_ulong) {
    // SAFETY: the command takes a number.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, ns) };
}

/// Makes a thread a batch job: it yields to those that wake up. For one of the ordinary class.
pub(super) fn make_batch(thread: libc::pid_t) {
    set_class(thread, libc::SCHED_BATCH, 0);
}

/// Makes the calling thread, a batch job, an ordinary one.
pub(super) fn make_ordinary() {
    set_class(0, libc::SCHED_OTHER, 0);
}

fn set_class(thread: libc::pid_t, policy: libc::c_int, slice_ns: u64) {
    // SAFETY: it takes numbers.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, thread.cast_unsigned()) };
    let mut attributes = Attributes::fair(policy, nice, slice_ns);
    if nice >= 0 {
        // Else it would take the niceness back, too.
        attributes.flags = RESET_ON_FORK;
    }
    attributes.set(thread);
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
