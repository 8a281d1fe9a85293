//! Where stacks are, for a signal handler: a list that it can walk without a lock.
//!
//! Every chunk has a [`Range`] in it. Ranges are never freed, only filled again with another chunk of
//! the same class, so that a walker can be anywhere in the list at any time.
//!
//! # Edges
//!
//! - `[range]` a range's fields and the number of its slots, from the thread that maps a chunk to the
//!   handler on any other.

#![expect(unsafe_code, reason = "a list of leaked boxes")]

use super::stack::StackClass;
use crate::base::{
    memory,
    primitives::{
        AtomicPtr, AtomicUsize, Fixed,
        Ordering::{Acquire, Relaxed, Release},
        static_item,
    },
};
use std::{iter, ptr};

/// A mapping that may hold stacks, for the signal handler: never freed, but used again.
pub(super) struct Range {
    class: &'static StackClass,
    /// Set before it is published, never changed.
    next: Fixed<*const Range>,
    slots: AtomicUsize,
    /// Zero while nothing is mapped.
    base: AtomicUsize,
}

// SAFETY: `next` is a link that never changes, to a `Range` that is never freed.
unsafe impl Sync for Range {}

static_item! {
    /// All ranges that ever were. Pushed to, never popped.
    static RANGES: AtomicPtr<Range> = AtomicPtr::new(ptr::null_mut());
}

/// A stack found by an address in its guard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guarded {
    pub(crate) class: &'static StackClass,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The slot's number in its chunk.
    pub(crate) index: usize,
}

impl Range {
    /// A new range, which handlers will find from now on.
    pub(super) fn publish(class: &'static StackClass) -> &'static Self {
        let range = Box::leak(Box::new(Range {
            class,
            next: Fixed::new(ptr::null()),
            slots: AtomicUsize::new(0),
            base: AtomicUsize::new(0),
        }));
        let mut first = RANGES.load(Relaxed);
        loop {
            range.next.set(first);
            // Release [range]: the fields, to the signal handler. Those that were pushed before keep their edges,
            // as each push is an exchange; it does not look at them.
            match RANGES.compare_exchange(first, range, Release, Relaxed) {
                Ok(_) => return range,
                Err(now) => first = now,
            }
        }
    }

    /// Stacks are there from now on.
    pub(super) fn fill(&self, base: usize, slots: usize) {
        self.slots.store(slots, Relaxed);
        // Release [range].
        self.base.store(base, Release);
    }

    /// Nothing is there any more.
    pub(super) fn empty(&self) {
        // Relaxed: handlers ask about stacks in use only.
        self.base.store(0, Relaxed);
    }
}

/// The stack in whose guard `address` lies. For a signal handler: takes no lock.
///
/// The answer holds if that stack is in use, as its chunk stays then.
pub(crate) fn guarded_by(address: usize) -> Option<Guarded> {
    // Acquire [range].
    let first = RANGES.load(Acquire).cast_const();
    // SAFETY: ranges are never freed.
    let first = unsafe { first.as_ref() };
    // SAFETY: as above.
    let mut all = iter::successors(first, |it| unsafe { it.next.get().as_ref() });
    all.find_map(|range| {
        // Acquire [range].
        let base = range.base.load(Acquire);
        let stride = range.class.stride();
        let offset = address.checked_sub(base)?;
        if base == 0 || offset >= stride * range.slots.load(Relaxed) {
            return None;
        }
        let index = offset / stride;
        let start = base + stride * index;
        (address - start < memory::page_bytes()).then_some(Guarded {
            class: range.class,
            start,
            end: start + stride,
            index,
        })
    })
}

#[cfg(all(test, loom))]
mod model {
    use super::{Range, StackClass, guarded_by};
    use crate::base::memory::page_bytes;
    use loom::thread;

    fn class() -> &'static StackClass {
        StackClass::of(1).expect("small enough")
    }

    /// A walker is on its way while two ranges are published and filled: it finds what is there, whole, or
    /// does not find it yet.
    #[test]
    fn ranges_are_found_whole() {
        loom::model(|| {
            let base = |number: usize| 1 << (30 + number);
            let map = move |number| Range::publish(class()).fill(base(number), number);
            let mapper = thread::spawn(move || map(1));
            let walker = thread::spawn(move || {
                for number in [1, 2] {
                    if let Some(found) = guarded_by(base(number)) {
                        assert_eq!((found.start, found.index), (base(number), 0));
                        assert_eq!(found.end, base(number) + class().stride());
                    }
                }
            });
            map(2);
            mapper.join().expect("no panic");
            walker.join().expect("no panic");
            for number in [1, 2] {
                let last = base(number) + class().stride() * (number - 1);
                assert_eq!(guarded_by(last).map(|it| it.index), Some(number - 1));
                assert!(guarded_by(last + page_bytes()).is_none(), "a stack");
                assert!(guarded_by(last + class().stride()).is_none(), "the end");
            }
        });
    }

    /// A range that was long is filled anew with a short chunk: what lies behind that is never taken for
    /// part of it.
    #[test]
    fn a_range_filled_anew_is_as_long_as_its_chunk() {
        loom::model(|| {
            let range = Range::publish(class());
            range.fill(1 << 30, 4);
            let mapper = thread::spawn(move || {
                range.empty();
                range.fill(1 << 31, 1);
            });
            let behind = (1 << 31) + 2 * class().stride();
            assert!(guarded_by(behind).is_none(), "another's");
            mapper.join().expect("no panic");
        });
    }
}
