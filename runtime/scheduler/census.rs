//! How many green threads there are, counted without stopping anybody.
//!
//! Each processor has two counts, which only whoever has it writes; what happens without one is counted in a
//! third place. Whoever adds them up reads the ends first: with an end it sees the spawn, and what the ended
//! has spawned, so what is spawned meanwhile makes the result larger, never smaller. If nobody but green
//! threads spawns, none at all is none for ever.
//!
//! # Edges
//!
//! - `[ended]` all that a green thread did, its spawns among it, to who counts its end.

use crate::base::primitives::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// The counts of one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts<'a> {
    pub(super) spawned: &'a AtomicU64,
    pub(super) finished: &'a AtomicU64,
}

/// A green thread has ended; nobody else writes this count.
#[inline]
pub(super) fn count_own_end(finished: &AtomicU64) {
    // Release [ended].
    finished.store(finished.load(Relaxed) + 1, Release);
}

/// As [`count_own_end`], where others write.
pub(super) fn count_end(finished: &AtomicU64) {
    // Release [ended].
    finished.fetch_add(1, Release);
}

/// How many were spawned and how many have ended, of which none is alive still.
pub(super) fn spawned_and_finished<'a, I>(places: I) -> (u64, u64)
where
    I: Iterator<Item = Counts<'a>> + Clone,
{
    // Acquire [ended].
    let finished = places.clone().map(|it| it.finished.load(Acquire)).sum();
    // Relaxed: no less than belongs to the ends, which were read before.
    let spawned = places.map(|it| it.spawned.load(Relaxed)).sum();
    (spawned, finished)
}

#[cfg(all(test, loom))]
mod model {
    use super::{
        super::processor::count, AtomicU64, Counts, count_end, count_own_end, spawned_and_finished,
    };
    use loom::{
        cell::UnsafeCell,
        sync::{
            Arc,
            atomic::{
                AtomicBool,
                Ordering::{Acquire, Release},
            },
        },
        thread,
    };

    #[derive(Default)]
    struct Place {
        spawned: AtomicU64,
        finished: AtomicU64,
    }

    struct Shared {
        /// Two processors, and where there is none.
        places: [Place; 3],
        /// The child is in a queue.
        queued: AtomicBool,
        /// What the two green threads do.
        deeds: [UnsafeCell<()>; 2],
    }

    impl Shared {
        fn run(&self, green: usize) {
            self.deeds[green].with_mut(|_| ());
        }

        fn counts(&self) -> [Counts<'_>; 3] {
            self.places.each_ref().map(|it| Counts {
                spawned: &it.spawned,
                finished: &it.finished,
            })
        }
    }

    /// One green thread spawns another and ends; that runs elsewhere, with a processor or without. Whoever
    /// counts none is told the truth, and sees what they did.
    fn explore(child_place: usize) {
        loom::model(move || {
            let shared = Arc::new(Shared {
                places: Default::default(),
                queued: AtomicBool::new(false),
                deeds: Default::default(),
            });
            count(&shared.places[0].spawned);
            let child = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    while !shared.queued.load(Acquire) {
                        thread::yield_now();
                    }
                    shared.run(1);
                    let finished = &shared.places[child_place].finished;
                    if child_place == 2 {
                        count_end(finished);
                    } else {
                        count_own_end(finished);
                    }
                }
            });
            let counter = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let (spawned, finished) = spawned_and_finished(shared.counts().into_iter());
                    assert!(spawned >= finished);
                    if spawned == finished {
                        // Both have ended.
                        shared.run(0);
                        shared.run(1);
                    }
                }
            });
            // The parent.
            count(&shared.places[0].spawned);
            shared.queued.store(true, Release);
            shared.run(0);
            count_own_end(&shared.places[0].finished);
            child.join().expect("no panic");
            counter.join().expect("no panic");
            let counts = spawned_and_finished(shared.counts().into_iter());
            assert_eq!(counts, (2, 2));
        });
    }

    #[test]
    fn none_is_none_for_ever() {
        explore(1);
    }

    #[test]
    fn an_end_without_a_processor_is_counted_too() {
        explore(2);
    }
}
