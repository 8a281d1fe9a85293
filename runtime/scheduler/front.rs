//! The head of a processor: the words that its thread touches in every turn and wake-up; and stand-ins.
//!
//! A thread that comes from a green thread's code reads one pointer, which a [`Grip`](super::grip::Grip)
//! keeps: to the head of its processor, or, if that was taken or somebody is about to, to a stand-in. With a
//! stand-in every short path ends where it ends now and then anyhow: it is always time to look around, and
//! somebody always looks who becomes runnable. So none of them has to ask whether the processor is still there.

use crate::{
    base::primitives::{AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed},
    task::Task,
};
use std::ptr::{self, NonNull};

/// Every so many turns a worker looks at alarms, descriptors and the injector.
pub(crate) const LOOK_AROUND: u32 = 67;

/// The next that becomes runnable is looked at: how long until it runs?
pub(crate) const SAMPLE: u32 = 1;
/// Every turn is.
pub(crate) const TRACE: u32 = 2;
/// It stands in for a processor.
const ABSENT: u32 = 4;

/// The head of a processor, or what stands in for one. Its thread's own, but for what is said below; how often
/// threads were parked with a stand-in is added when that is rewound, so the figure may lag behind a little.
#[derive(Debug)]
pub(crate) struct Front {
    /// How many turns have begun; it wraps. The monitor looks whether it changes.
    tick: AtomicU32,
    /// Which turns are looked at. Zero nearly always, so that a switch costs no more than to see that. Whoever
    /// begins or ends a trace writes it too.
    pub(super) attention: AtomicU32,
    /// Who runs next. The monitor looks whether it is null.
    pub(super) slot: AtomicPtr<Task>,
    /// How often a green thread was parked. Read by anybody.
    parks: AtomicU64,
}

impl Front {
    fn with(tick: u32, attention: u32) -> Self {
        Self {
            tick: AtomicU32::new(tick),
            attention: AtomicU32::new(attention),
            slot: AtomicPtr::new(ptr::null_mut()),
            parks: AtomicU64::new(0),
        }
    }

    /// The head of a processor.
    pub(crate) fn new() -> Self {
        Self::with(0, 0)
    }

    /// What stands in for one, for one thread.
    pub(crate) fn stand_in() -> Self {
        Self::with(LOOK_AROUND - 1, ABSENT)
    }

    /// A turn begins: whether it is time to look around. It always is with a stand-in.
    #[inline]
    pub(crate) fn tick(&self) -> bool {
        let tick = self.tick.load(Relaxed).wrapping_add(1);
        self.tick.store(tick, Relaxed);
        tick.is_multiple_of(LOOK_AROUND)
    }

    /// How many turns have begun; it wraps.
    #[inline]
    pub(crate) fn turns(&self) -> u32 {
        self.tick.load(Relaxed)
    }

    /// Green threads were parked.
    #[inline]
    pub(crate) fn add_parks(&self, parks: u64) {
        self.parks.store(self.parks() + parks, Relaxed);
    }

    /// How often a green thread was parked.
    pub(crate) fn parks(&self) -> u64 {
        self.parks.load(Relaxed)
    }

    /// A stand-in has done its service: it is ready for the next, and had so many parks.
    pub(crate) fn rewind(&self) -> u64 {
        debug_assert_eq!(self.attention.load(Relaxed), ABSENT, "a stand-in");
        self.tick.store(LOOK_AROUND - 1, Relaxed);
        let parks = self.parks();
        self.parks.store(0, Relaxed);
        parks
    }

    /// Lets `task` run next, if nothing was to run next and nobody looks. If this returns `false`, nothing was
    /// done; nor does a stand-in do anything.
    #[inline]
    pub(crate) fn run_next_simply(&self, task: NonNull<Task>) -> bool {
        let simple = self.attention.load(Relaxed) == 0 && self.slot.load(Relaxed).is_null();
        if simple {
            self.slot.store(task.as_ptr(), Relaxed);
        }
        simple
    }
}
