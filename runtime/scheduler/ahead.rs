//! The next few out of the queues, on their way into the caches while others have their turns.
//!
//! Where more green threads run in turns than fit into the caches, a turn begins with a chain of misses: the
//! record leads to the head of the stack, and that to where the thread left off. A look that comes too early
//! waits itself, so between the steps lie the turns of a batch or two:
//!
//! | in the batch      | is fetched                    | found by                                  |
//! |-------------------|-------------------------------|-------------------------------------------|
//! | that fills        | the record                    | the queue, one by one                     |
//! | before it         | the head of the stack         | the record, which is there by then        |
//! | before that       | the frames it left off in     | the head, which is there by then          |
//! | before that       | nothing any more              | it runs                                   |
//!
//! The heads of a batch are asked for in one go because each is on a page of its own: a processor of today
//! walks the page tables for several at once, but goes on past a prefetch only when its walk is done, and past
//! a locked instruction, such as a queue's, only when all that came before is. One by one, the walks were
//! three quarters of a turn's time among a hundred thousand threads.
//!
//! Those in here are out of their queues, where thieves would find them. When the queues are empty and another
//! processor is idle they go back; and where their processor does not come to them, the monitor moves them.

use crate::{
    base::primitives::{AtomicUsize, Ordering::Relaxed},
    task::Task,
};
use std::{cell::Cell, ptr::NonNull};

/// How many there are at most.
pub(super) const AHEAD: usize = 4 * BATCH;
/// For how many the page tables are walked at the same time, more or less.
const BATCH: usize = 4;

/// Up to [`AHEAD`], first in, first out. Its processor's own, but for the number.
#[derive(Debug)]
pub(super) struct Ahead {
    /// A ring: who was the `n`th to come stands in place `n`.
    places: [Cell<Option<NonNull<Task>>>; AHEAD],
    /// How many have gone; it wraps.
    gone: Cell<usize>,
    /// How many there are. Read by anybody, as a hint.
    count: AtomicUsize,
}

impl Ahead {
    pub(super) fn new() -> Self {
        Self {
            places: [const { Cell::new(None) }; AHEAD],
            gone: Cell::new(0),
            count: AtomicUsize::new(0),
        }
    }

    /// How many there are: a hint to those who do not own it.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Own: takes the first.
    #[inline]
    pub(super) fn pop(&self) -> Option<NonNull<Task>> {
        let count = self.len().checked_sub(1)?;
        let gone = self.gone.get();
        self.gone.set(gone.wrapping_add(1));
        self.count.store(count, Relaxed);
        self.places[gone % AHEAD].take()
    }

    /// Own: puts in who is the last from now on; there is room. If this returns `true`, a batch is full.
    #[inline]
    pub(super) fn push(&self, task: NonNull<Task>) -> bool {
        let count = self.len();
        debug_assert!(count < AHEAD, "one more than there is room for");
        let come = self.gone.get().wrapping_add(count);
        self.places[come % AHEAD].set(Some(task));
        self.count.store(count + 1, Relaxed);
        come.wrapping_add(1).is_multiple_of(BATCH)
    }

    /// Own, after a batch is full: those of the batch that came so many batches before it, if they are here still.
    #[inline]
    pub(super) fn batch(&self, before: usize) -> impl Iterator<Item = NonNull<Task>> {
        let come = self.gone.get().wrapping_add(self.len());
        let first = come.wrapping_sub((before + 1) * BATCH);
        (0..BATCH).filter_map(move |it| self.places[first.wrapping_add(it) % AHEAD].get())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{AHEAD, Ahead, BATCH};
    use crate::task::Task;
    use std::ptr::{self, NonNull};

    /// No task, and never looked at.
    fn nth(number: usize) -> NonNull<Task> {
        let at = ptr::without_provenance_mut((number + 1) * align_of::<Task>());
        NonNull::new(at).expect("it is not zero")
    }

    #[test]
    fn they_leave_in_the_order_in_which_they_came() {
        let ahead = Ahead::new();
        assert_eq!(ahead.pop(), None);
        let (mut come, mut gone) = (0, 0);
        // However many there are when one is taken.
        for most in (1..=AHEAD).chain((1..AHEAD).rev()) {
            while ahead.len() < most {
                ahead.push(nth(come));
                come += 1;
            }
            assert_eq!(ahead.pop(), Some(nth(gone)));
            gone += 1;
            assert_eq!(ahead.len(), come - gone);
        }
        while let Some(task) = ahead.pop() {
            assert_eq!(task, nth(gone));
            gone += 1;
        }
        assert_eq!((gone, ahead.len()), (come, 0));
    }

    #[test]
    fn a_batch_is_fetched_in_steps_and_each_of_it_once() {
        let ahead = Ahead::new();
        let mut steps = [const { Vec::new() }; 3];
        for number in 0..10 * AHEAD {
            if ahead.len() == AHEAD {
                ahead.pop();
            }
            if ahead.push(nth(number)) {
                for (before, fetched) in steps.iter_mut().enumerate() {
                    fetched.extend(ahead.batch(before));
                }
            }
        }
        for (before, fetched) in steps.iter().enumerate() {
            let expected = (0..10 * AHEAD - before * BATCH).map(nth);
            assert!(fetched.iter().copied().eq(expected), "{before} before");
        }
    }

    #[test]
    fn who_has_gone_is_not_fetched() {
        let ahead = Ahead::new();
        let full = (0..2 * BATCH).filter(|it| ahead.push(nth(*it))).count();
        assert_eq!(full, 2);
        assert_eq!(ahead.pop(), Some(nth(0)));
        assert!(ahead.batch(1).eq((1..BATCH).map(nth)));
        assert_eq!(ahead.batch(2).next(), None);
    }
}
