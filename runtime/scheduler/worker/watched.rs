//! What others may see of a worker, and how they take its processor: the monitor's side.

#![expect(unsafe_code, reason = "looks at who runs on another thread")]

use super::Worker;
use crate::{
    base::primitives::{AtomicBool, AtomicU64, Ordering::Relaxed},
    scheduler::kernel,
    task::{Task, TaskRef},
};

/// What the monitor saw of a worker.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct Seen {
    pub(in crate::scheduler) turn: AtomicU64,
    /// Since when the turn is the same.
    pub(in crate::scheduler) since: AtomicU64,
    /// The thread's processor time at the last look.
    pub(in crate::scheduler) cpu: AtomicU64,
    /// When that was.
    pub(in crate::scheduler) at: AtomicU64,
    /// How many green threads its processor had spawned.
    pub(in crate::scheduler) spawned: AtomicU64,
    /// The thread's processor time when that was seen to have changed.
    pub(in crate::scheduler) cpu_at_spawn: AtomicU64,
    /// The thread's processor time when the turn was first seen, if stalls are to be named.
    pub(in crate::scheduler) cpu_at_start: AtomicU64,
    /// Work waited for it while others slept.
    pub(in crate::scheduler) helpless: AtomicBool,
    /// The turn that was named as a stall.
    pub(in crate::scheduler) warned: AtomicU64,
}

impl Worker {
    /// The turn in which it is, or which its green thread began before the processor was lost: another
    /// number for each. Zero if there was none.
    pub(in crate::scheduler) fn turn(&self) -> u64 {
        if self.grip.is_taken() {
            return self.lost_in.load(Relaxed);
        }
        self.turn_of_own()
    }

    fn turn_of_own(&self) -> u64 {
        self.own_processor().map_or(0, |it| {
            let turns = it.turns().wrapping_add(self.calls.load(Relaxed));
            (it.index as u64 + 1) << 32 | u64::from(turns)
        })
    }

    /// Notes in which turn it loses its processor, by whoever takes that, before it is somebody else's.
    pub(in crate::scheduler) fn note_lost(&self) {
        self.lost_in.store(self.turn_of_own(), Relaxed);
    }

    /// It runs the scheduler's code, or did just now.
    pub(in crate::scheduler) fn is_inside(&self) -> bool {
        self.grip.is_inside(self.context.runs())
    }

    /// Takes its processor, if it is stuck and `look` still wants it; see [`take`](crate::scheduler::grip::Grip::take).
    pub(in crate::scheduler) fn take<R>(&self, look: impl FnOnce() -> Option<R>) -> Option<R> {
        self.grip.take(self.context.runs(), || {
            let result = look()?;
            self.note_lost();
            Some(result)
        })
    }

    /// Locks it out of its processor while `look` has a look at it, if it is stuck.
    pub(in crate::scheduler) fn with_locked<R>(&self, look: impl FnOnce() -> R) -> Option<R> {
        self.grip.with_locked(self.context.runs(), look)
    }

    /// Takes its processor, which it has lent. If this returns `true`, it is the caller's.
    #[must_use]
    pub(in crate::scheduler) fn take_lent(&self) -> bool {
        // Before, for who sees it taken: the turn does not change while it is lent.
        self.note_lost();
        self.grip.take_lent()
    }

    /// How much processor time the thread has had, in nanoseconds.
    pub(in crate::scheduler) fn cpu_ns(&self) -> Option<u64> {
        match self.cpu_clock.load(Relaxed) {
            0 => None,
            clock => kernel::cpu_ns(clock),
        }
    }

    pub(in crate::scheduler) fn tid(&self) -> libc::pid_t {
        self.tid.load(Relaxed).cast_signed()
    }

    /// Notes that the thread is to be a batch job to the kernel until it has a processor again.
    pub(in crate::scheduler) fn set_batch(&self) {
        if self.scheduler().origin.is_ordinary() && !self.batch.swap(true, Relaxed) {
            kernel::make_batch(self.tid());
        }
    }

    /// The green thread that it runs now, or did just now.
    pub(in crate::scheduler) fn running(&self) -> Option<TaskRef> {
        let waiter = self.context.running()?;
        // SAFETY: what runs, or did just now, is a green thread.
        let task = unsafe { Task::of(waiter) };
        // SAFETY: its record is a block of the slab, whoever has it by now.
        unsafe { Task::try_share(task) }
    }
}
