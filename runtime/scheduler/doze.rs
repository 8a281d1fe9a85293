//! The monitor's sleep: while nothing is awake that it would have to watch.
//!
//! The first that wakes, wakes it.
//!
//! | going to sleep, [`Doze::begin`]    | one who wakes, [`Doze::must_end`]       |
//! |------------------------------------|-----------------------------------------|
//! | M1  say that it sleeps             | K1  it is not among the sleepers        |
//! | M2  fence                          | K2  fence                               |
//! | M3  look whether anybody is awake  | K3  read whether the monitor sleeps     |
//!
//! Each side writes first and reads after: with both fences one of the two sees the other.

use crate::base::primitives::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
    fence,
};

/// Whether the monitor sleeps until it is unparked.
#[derive(Debug)]
pub(super) struct Doze {
    sleeps: AtomicBool,
}

impl Doze {
    pub(super) fn new() -> Self {
        Self {
            sleeps: AtomicBool::new(false),
        }
    }

    /// The monitor sleeps from now on, unless `is_awake`: if this returns `false`, it does not.
    #[must_use]
    pub(super) fn begin(&self, is_awake: impl FnOnce() -> bool) -> bool {
        self.sleeps.store(true, Relaxed); // M1
        fence(SeqCst); // M2
        // M3
        let stays = !is_awake();
        if !stays {
            self.sleeps.store(false, Relaxed);
        }
        stays
    }

    /// It has not been woken.
    pub(super) fn goes_on(&self) -> bool {
        self.sleeps.load(Relaxed)
    }

    /// The caller has [woken](Self::begin), or brought, something to watch. If this returns `true`, it must
    /// unpark the monitor.
    #[must_use]
    #[inline]
    pub(super) fn must_end(&self) -> bool {
        fence(SeqCst); // K2
        // K3. By one of them only; the token that is left for it says the rest.
        self.sleeps.load(Relaxed) && self.sleeps.swap(false, Relaxed)
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::Doze;
    use crate::base::{
        parker::Parker,
        primitives::{AtomicUsize, Ordering::Relaxed},
    };
    use loom::{sync::Arc, thread};

    /// The monitor does not sleep while a worker is awake: a model that sleeps for ever fails.
    #[test]
    fn the_monitor_wakes_for_whoever_is_awake() {
        loom::model(|| {
            let shared = Arc::new((Doze::new(), Parker::new(), AtomicUsize::new(0)));
            let workers = [(); 2].map(|()| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (doze, parker, awake) = &*shared;
                    awake.fetch_add(1, Relaxed); // K1
                    if doze.must_end() {
                        parker.unpark();
                    }
                })
            });
            let (doze, parker, awake) = &*shared;
            if doze.begin(|| awake.load(Relaxed) > 0) {
                while doze.goes_on() {
                    parker.park(None);
                }
            }
            for worker in workers {
                worker.join().expect("no panic");
            }
        });
    }
}
