//! How many kernel threads sleep until another thread of this process wakes them, and for nothing else.
//!
//! Whoever wants to know that *nobody* can do anything any more, the detector of deadlocks, needs an
//! instant at which all threads slept, and finds it by looking at one after the other: each says when it
//! lies down, by counting a *nap*, in the same section or step that makes it visible as a sleeper. If no nap
//! began while all were looked at, and each was asleep when it was looked at, then all were asleep when the
//! look began.
//!
//! A thread is awake again when somebody has *decided* to wake it, who says so, and not only when it comes
//! round to it: else two threads that wake each other might be taken for asleep, both.
//!
//! # Edges
//!
//! - `[nap]` what came before a thread lay down, to those who see it asleep.
//!
//! The counts are statics of the process, which no model touches.

use super::primitives::global::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// How often a thread has lain down.
static NAPS: AtomicUsize = AtomicUsize::new(0);
/// How many kernel threads sleep that are no idle workers.
static ASLEEP: AtomicUsize = AtomicUsize::new(0);

/// A worker lies down where it is counted otherwise. Under the lock by which it is.
pub(crate) fn worker_lies_down() {
    // Relaxed: the lock orders it for those who look.
    NAPS.fetch_add(1, Relaxed);
}

/// The calling thread sleeps from now on, until another wakes it.
pub(crate) fn lie_down() {
    NAPS.fetch_add(1, Relaxed);
    // Release [nap]: whoever sees it asleep sees the nap.
    ASLEEP.fetch_add(1, Release);
}

/// The caller is about to wake a thread that [lies down](lie_down), or is that thread itself. If it comes
/// before that was counted, the count is one too low for a moment.
pub(crate) fn get_up() {
    // Release [nap], to pass it on.
    ASLEEP.fetch_sub(1, AcqRel);
}

/// How often threads have lain down so far.
pub(crate) fn naps() -> usize {
    NAPS.load(Acquire)
}

/// How many sleep now; a moment's dip below zero is none.
pub(crate) fn asleep() -> usize {
    // Acquire [nap].
    usize::try_from(ASLEEP.load(Acquire).cast_signed()).unwrap_or(0)
}

/// As long as this lives, the calling thread sleeps in the kernel until another thread wakes it.
#[derive(Debug)]
pub(crate) struct Nap(());

impl Nap {
    pub(crate) fn begin() -> Self {
        lie_down();
        Self(())
    }
}

impl Drop for Nap {
    fn drop(&mut self) {
        get_up();
    }
}
