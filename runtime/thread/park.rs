//! The thread that calls, green or not: who it is, parking, sleeping, giving way.

use crate::{
    task::TaskRef,
    wait::{self, Waiting, reason::Reason, ticket::Verdict},
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    num::NonZeroU64,
    panic::{RefUnwindSafe, UnwindSafe},
    thread,
    time::{Duration, Instant},
};

/// A thread, green or not: its name, its identity, and a way to [`unpark`](Self::unpark) it.
#[derive(Clone)]
pub struct Thread {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Green(TaskRef),
    Kernel(thread::Thread),
}

// What a handle reaches of a record is atomic, or never changes.
impl UnwindSafe for Thread {}
impl RefUnwindSafe for Thread {}

/// A number that no other thread of the process has while it runs; no two green threads ever have the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ThreadId(Id);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Id {
    Green(NonZeroU64),
    Kernel(thread::ThreadId),
}

impl Hash for ThreadId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            Id::Green(number) => number.hash(state),
            Id::Kernel(id) => id.hash(state),
        }
    }
}

impl fmt::Debug for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Id::Green(number) => write!(f, "ThreadId({number})"),
            Id::Kernel(id) => fmt::Debug::fmt(&id, f),
        }
    }
}

impl Thread {
    pub(crate) fn green(task: TaskRef) -> Self {
        Self {
            kind: Kind::Green(task),
        }
    }

    pub(crate) fn task(&self) -> Option<&TaskRef> {
        match &self.kind {
            Kind::Green(task) => Some(task),
            Kind::Kernel(_) => None,
        }
    }

    /// The thread's identity.
    pub fn id(&self) -> ThreadId {
        ThreadId(match &self.kind {
            Kind::Green(task) => Id::Green(NonZeroU64::new(task.id()).unwrap_or(NonZeroU64::MAX)),
            Kind::Kernel(thread) => Id::Kernel(thread.id()),
        })
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Green(task) => task.name(),
            Kind::Kernel(thread) => thread.name(),
        }
    }

    /// Leaves a token for the thread, which ends its [`park`], or keeps the next one from waiting.
    ///
    /// Tokens do not add up. What the caller did before, the other sees when its `park` returns.
    pub fn unpark(&self) {
        match &self.kind {
            Kind::Green(task) => {
                task.unpark();
                wait::point();
            }
            Kind::Kernel(thread) => thread.unpark(),
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// The thread that calls: the green one, or else the kernel thread.
///
/// Inside of [`blocking`](crate::blocking()) it is the kernel thread, which is then the one that waits.
///
/// # Examples
///
/// ```
/// let name = sward::thread::Builder::new()
///     .name("mole".to_owned())
///     .spawn(|| sward::thread::current().name().map(str::to_owned))?
///     .join();
/// assert_eq!(name.expect("no panic").as_deref(), Some("mole"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn current() -> Thread {
    Thread {
        kind: TaskRef::running().map_or_else(|| Kind::Kernel(thread::current()), Kind::Green),
    }
}

/// Waits until somebody has called [`Thread::unpark`] on the calling thread, since its last `park`.
///
/// Green threads never come back without a token. On a kernel thread this is `std::thread::park`, which
/// may.
///
/// # Examples
///
/// ```
/// use sward::thread;
///
/// let sleeper = thread::spawn(thread::park);
/// sleeper.thread().unpark();
/// sleeper.join().expect("it was woken");
/// ```
#[track_caller]
pub fn park() {
    wait::point();
    match TaskRef::running() {
        Some(task) => task.park(None),
        None => wait::napping(thread::park),
    }
}

/// As [`park`], but for no longer than `timeout`.
#[track_caller]
pub fn park_timeout(timeout: Duration) {
    wait::point();
    match TaskRef::running() {
        Some(task) => task.park(wait::deadline_after(timeout)),
        None => wait::waiting(|| thread::park_timeout(timeout)),
    }
}

/// Waits for `timeout`, never less, on an idle machine hardly more: the clock is finer than 0.1 ms.
///
/// The calling green thread is parked; a kernel thread sleeps. A sleep of zero returns at once; one that
/// the clock cannot count lasts for ever.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// sward::run(|| sward::thread::sleep(Duration::from_millis(1)));
/// assert!(start.elapsed() >= Duration::from_millis(1));
/// ```
#[track_caller]
pub fn sleep(timeout: Duration) {
    if !timeout.is_zero() {
        sleep_to(wait::deadline_after(timeout));
    }
}

/// Waits until `deadline`, as [`sleep`] does.
///
/// The clock is [`time::now`](crate::time::now)'s. A deadline in the past returns at once.
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    if wait::now() < deadline {
        sleep_to(Some(deadline));
    }
}

#[track_caller]
fn sleep_to(deadline: Option<Instant>) {
    let waiting = Waiting::new();
    waiting.open();
    if waiting.park(Reason::Sleep, deadline) == Verdict::CalledOff {
        wait::unwind();
    }
}

/// Lets the other runnable green threads of this runtime run first; on a kernel thread, other kernel
/// threads.
///
/// The caller goes to the back of the queue of those that have run before; those that never ran get every
/// eighth turn. Where nobody else is runnable it goes on at once.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
///
/// let ready = Arc::new(AtomicBool::new(false));
/// sward::spawn({
///     let ready = Arc::clone(&ready);
///     move || ready.store(true, Ordering::Release)
/// });
/// while !ready.load(Ordering::Acquire) {
///     sward::yield_now();
/// }
/// ```
#[inline]
pub fn yield_now() {
    wait::yield_now();
}
