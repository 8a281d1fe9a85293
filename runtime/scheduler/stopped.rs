//! A spawn against the end of its runtime: what was left behind may go on, and spawn.
//!
//! What it spawns is refused, or was there in time to be abandoned with the rest:
//!
//! | who spawns, [`goes_on`]                 | the end, [`stop`]                         |
//! |-----------------------------------------|-------------------------------------------|
//! | P1  the record is in the slab           | Q1  `stopped` is set                      |
//! | P2  a barrier: of an entry, or a fence  | Q2  a heavy barrier                       |
//! | P3  reads `stopped`                     | Q3  walks over the slab, and abandons     |
//!
//! Each side writes first and reads after: one of the two sees the other.

use crate::base::primitives::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
    fence, heavy_barrier,
};

/// Whether what was just spawned may run, by a thread that has entered the scheduler since.
#[inline]
pub(super) fn goes_on(stopped: &AtomicBool) -> bool {
    // P2 is that of the entry. Relaxed: nothing is received. P3
    !stopped.load(Relaxed)
}

/// As [`goes_on`], by a thread that has entered nothing.
pub(super) fn goes_on_outside(stopped: &AtomicBool) -> bool {
    fence(SeqCst); // P2
    goes_on(stopped)
}

/// Nothing that is spawned runs from now on, but for what a walk over the slab finds after this.
pub(super) fn stop(stopped: &AtomicBool, membarrier: bool) {
    stopped.store(true, Relaxed); // Q1
    heavy_barrier(membarrier); // Q2
}

#[cfg(all(test, loom))]
mod model {
    use super::{
        super::{front::Front, grip::Grip},
        AtomicBool, Relaxed, goes_on, goes_on_outside, stop,
    };
    use crate::{base::primitives::without_membarrier, wait::home::Running};
    use loom::{sync::Arc, thread};
    use std::ptr::NonNull;

    struct Shared {
        grip: Grip,
        /// Of the spawner's processor.
        front: Front,
        stopped: AtomicBool,
        /// The record is in the slab.
        there: AtomicBool,
    }

    /// Whatever is spawned at the end is refused or found.
    fn explore(membarrier: bool, spawner_goes_on: fn(&Shared) -> bool) {
        explore_beside(membarrier, spawner_goes_on, |_| {});
    }

    fn explore_beside(
        membarrier: bool,
        spawner_goes_on: fn(&Shared) -> bool,
        monitor: fn(&Shared),
    ) {
        loom::model(move || {
            let shared = Arc::new(Shared {
                grip: Grip::new(membarrier),
                front: Front::new(),
                stopped: AtomicBool::new(false),
                there: AtomicBool::new(false),
            });
            shared.grip.set_own(&shared.front);
            shared.grip.get();
            let spawner = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    shared.there.store(true, Relaxed); // P1
                    spawner_goes_on(&shared)
                }
            });
            let monitor = thread::spawn({
                let shared = Arc::clone(&shared);
                move || monitor(&shared)
            });
            stop(&shared.stopped, membarrier);
            let found = shared.there.load(Relaxed); // Q3
            let goes_on = spawner.join().expect("no panic");
            monitor.join().expect("no panic");
            assert!(found || !goes_on, "nobody tells who joins it");
        });
    }

    fn with_a_processor(shared: &Shared) -> bool {
        shared.grip.enter_again();
        assert!(shared.grip.has(), "nobody takes it");
        let goes_on = goes_on(&shared.stopped);
        shared.grip.leave_again();
        goes_on
    }

    #[test]
    fn a_spawn_with_a_processor_is_refused_or_found() {
        explore(true, with_a_processor);
    }

    #[test]
    fn a_spawn_with_a_processor_is_refused_or_found_without_membarrier() {
        without_membarrier(|| explore(false, with_a_processor));
    }

    /// The spawner takes its processor back from a monitor that tries to lock it out: that is an entry too.
    #[test]
    fn a_spawn_against_the_monitor_is_refused_or_found_without_membarrier() {
        without_membarrier(|| {
            explore_beside(false, with_a_processor, |shared| {
                let runs = Running::nobody();
                runs.set(Some(NonNull::dangling()));
                shared.grip.with_locked(&runs, || ());
            });
        });
    }

    #[test]
    fn a_spawn_without_a_processor_is_refused_or_found() {
        explore(true, |it| goes_on_outside(&it.stopped));
    }
}
