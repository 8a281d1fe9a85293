//! How many refer to a record: when it may be freed, and who may take a share without having one.
//!
//! A block whose count is zero is free. The count, which follows the waiter, stays readable then, as those who
//! walk over the slab look at it: they take a share only from a count that is not zero.
//!
//! # Edges
//!
//! - `[freed]` the last use of each share, to whoever frees the block; and the whole record, from whoever made
//!   it, to those who find it by themselves.

use crate::base::primitives::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// The shares in one record.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Shares(AtomicU32);

impl Shares {
    /// The record is whole: from now on there are two shares, and others may take some.
    #[inline]
    pub(super) fn begin(&self) {
        // Release [freed].
        self.0.store(2, Release);
    }

    /// One more, by someone who has none. `false` if the block is free.
    pub(super) fn try_take(&self) -> bool {
        let mut count = self.0.load(Relaxed);
        while count != 0 {
            // Acquire [freed]: the whole record.
            match self
                .0
                .compare_exchange_weak(count, count + 1, Acquire, Relaxed)
            {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
        false
    }

    /// One more, by someone who has one.
    #[inline]
    pub(super) fn add(&self) {
        // Relaxed: a share is made from a share.
        self.0.fetch_add(1, Relaxed);
    }

    /// One less. If this returns `true` it was the last, and the block is the caller's.
    #[must_use]
    #[inline]
    pub(super) fn give_back(&self) -> bool {
        // Release [freed].
        let last = self.0.fetch_sub(1, Release) == 1;
        if last {
            // Acquire [freed]. A load and not a fence: tools that look for races know it, and it costs no more.
            self.0.load(Acquire);
        }
        last
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::{AtomicU32, Shares};
    use loom::{cell::UnsafeCell, sync::Arc, thread};

    /// A block, and its record, which is written when it is made and when it is freed.
    struct Block(Shares, UnsafeCell<()>);

    impl Block {
        fn make(&self) {
            self.1.with_mut(|_| ());
            self.0.begin();
        }

        fn look(&self) {
            self.1.with(|_| ());
        }

        fn release(&self) -> bool {
            let last = self.0.give_back();
            if last {
                self.1.with_mut(|_| ());
            }
            last
        }
    }

    /// Two that have shares, and one that walks by: none finds the record gone, or half made, and it is freed
    /// once.
    #[test]
    fn a_record_stays_as_long_as_somebody_has_a_share() {
        loom::model(|| {
            let block = Arc::new(Block(Shares(AtomicU32::new(0)), UnsafeCell::new(())));
            let walker = thread::spawn({
                let block = Arc::clone(&block);
                move || {
                    block.0.try_take() && {
                        block.look();
                        block.release()
                    }
                }
            });
            block.make();
            let runner = thread::spawn({
                let block = Arc::clone(&block);
                move || {
                    block.look();
                    block.release()
                }
            });
            block.0.add();
            let mut freed = usize::from(block.release());
            block.look();
            freed += usize::from(block.release());
            freed += usize::from(walker.join().expect("no panic"));
            freed += usize::from(runner.join().expect("no panic"));
            assert_eq!(freed, 1, "once");
        });
    }
}
