//! How many kernel threads go on without a processor, and why: never more than may.
//!
//! A thread whose processor is given to another needs a *place beside*: one of `max_blocking` if it is in a
//! blocking call, announced or found, or one of [`MAX_COMPUTING`] if it computes. Whoever takes the
//! processor takes the place first, and then notes it at the worker; the worker gives it back as it joins
//! those who wait for a processor. So at every instant there are at most as many threads as processors and
//! places, and those who wait.
//!
//! A thread that waits for another thread of this crate, inside of a blocking call or as it unwinds, may
//! wait for one that its own processor should run. So if there is no place it goes without: its processor
//! can always be had.
//!
//! One who was found to compute and then announces a call changes places. If there is none to change to,
//! the green thread makes its call from elsewhere; or, where it must not leave its kernel thread, it keeps
//! the place that it has.
//!
//! # Edges
//!
//! None: a place is a number. What is noted at the worker is written before the processor is taken,
//! or under the lock that the worker passes as it comes back, or by the worker itself.

use crate::base::primitives::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};

/// How many kernel threads may be beside the processors' own because they compute for long.
pub(crate) const MAX_COMPUTING: usize = 64;

/// Why a thread goes on without a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Why {
    /// It does not: it has one, or waits for one.
    Not = 0,
    Calls = 1,
    Computes = 2,
    /// It is in a call, but waits for another thread of this crate: for this there is always a place.
    Waits = 3,
}

impl From<u8> for Why {
    fn from(byte: u8) -> Self {
        match byte {
            1 => Self::Calls,
            2 => Self::Computes,
            3 => Self::Waits,
            _ => Self::Not,
        }
    }
}

/// The places beside the processors of one runtime.
#[derive(Debug)]
pub(crate) struct Beside {
    calls: AtomicUsize,
    most_calls: usize,
    computing: AtomicUsize,
    /// How often a place was taken.
    taken: AtomicU64,
    /// How often there was none, or no thread for the processor.
    refused: AtomicU64,
}

impl Beside {
    pub(crate) fn new(most_calls: usize) -> Self {
        Self {
            calls: AtomicUsize::new(0),
            most_calls,
            computing: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn places(&self, why: Why) -> Option<(&AtomicUsize, usize)> {
        match why {
            Why::Not | Why::Waits => None,
            Why::Calls => Some((&self.calls, self.most_calls)),
            Why::Computes => Some((&self.computing, MAX_COMPUTING)),
        }
    }

    /// Takes a place. If this returns `true`, the thread must [give it back](Self::leave).
    #[must_use]
    pub(crate) fn enter(&self, why: Why) -> bool {
        let Some((count, most)) = self.places(why) else {
            return true;
        };
        // One exchange, so that two who see the last place do not both take it.
        let entered = count.fetch_update(AcqRel, Relaxed, |it| (it < most).then_some(it + 1));
        entered.is_ok()
    }

    /// Gives a place back.
    pub(crate) fn leave(&self, why: Why) {
        if let Some((count, _)) = self.places(why) {
            count.fetch_sub(1, AcqRel);
        }
    }

    /// A processor went to another thread.
    pub(crate) fn count_taken(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    /// A processor stays where it is, or lies idle, though something waits for it.
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// How often a processor went to another thread, and how often it could not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.taken.load(Relaxed), self.refused.load(Relaxed))
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::{Beside, Why};
    use crate::base::primitives::{AtomicUsize, Ordering::SeqCst};
    use loom::{sync::Arc, thread};

    /// Two who want the last place, while a third leaves another: never are more in there than may.
    #[test]
    fn places_are_never_more_than_may() {
        loom::model(|| {
            let shared = Arc::new((Beside::new(2), AtomicUsize::new(1)));
            assert!(shared.0.enter(Why::Calls));
            let wants = [(); 2].map(|()| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (beside, inside) = &*shared;
                    if beside.enter(Why::Calls) {
                        assert!(inside.fetch_add(1, SeqCst) < 2, "too many");
                        inside.fetch_sub(1, SeqCst);
                        beside.leave(Why::Calls);
                    }
                })
            });
            let (beside, inside) = &*shared;
            inside.fetch_sub(1, SeqCst);
            beside.leave(Why::Calls);
            for want in wants {
                want.join().expect("no panic");
            }
            assert!(beside.enter(Why::Calls) && beside.enter(Why::Calls));
            assert!(!beside.enter(Why::Calls));
            assert!(beside.enter(Why::Computes), "counted apart");
        });
    }
}
