//! [`Barrier`]: lets a number of threads go on together.

use crate::{
    base::{lock::Lock, primitives::const_fn},
    wait::{NO_SLOT, line::Line, reason::Reason, wait_in_line},
};
use std::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
};

/// Where several threads wait for each other, round after round: [`std::sync::Barrier`], green.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use sward::sync::Barrier;
///
/// let barrier = Arc::new(Barrier::new(3));
/// let threads: Vec<_> = (0..3)
///     .map(|_| {
///         let barrier = Arc::clone(&barrier);
///         thread::spawn(move || barrier.wait().is_leader())
///     })
///     .collect();
/// let leaders = threads
///     .into_iter()
///     .map(|it| it.join().expect("no panic"))
///     .filter(|leads| *leads);
/// assert_eq!(leaders.count(), 1);
/// ```
pub struct Barrier {
    size: usize,
    round: Lock<Round>,
}

#[derive(Debug)]
struct Round {
    /// Tells this round from others.
    number: usize,
    /// How many have come in this round.
    arrived: usize,
    line: Line,
}

// A panic comes between no two changes of a round.
impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

/// Whether a thread was the one of its round that leads.
pub struct BarrierWaitResult {
    leads: bool,
}

impl BarrierWaitResult {
    /// `true` for one thread of each round.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leads
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult")
            .field("is_leader", &self.leads)
            .finish()
    }
}

/// Takes back an arrival whose wait was called off, unless its round is over.
struct Arrival<'a> {
    barrier: &'a Barrier,
    number: usize,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        let mut round = self.barrier.round.lock();
        if round.number == self.number {
            round.arrived -= 1;
        }
    }
}

impl Barrier {
    const_fn! {
        /// Makes a barrier at which `n` threads wait for each other. With 0 or 1 nobody waits.
        #[must_use]
        pub const fn new(n: usize) -> Self {
            Self {
                size: n,
                round: Lock::new(Round {
                    number: 0,
                    arrived: 0,
                    line: Line::new(),
                }),
            }
        }
    }

    /// Waits until as many threads as the barrier is for have come. The one that comes last leads, and
    /// does not wait. All go on together, and the next round begins.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        crate::wait::point();
        let mut round = self.round.lock();
        round.arrived += 1;
        if round.arrived >= self.size {
            round.arrived = 0;
            round.number = round.number.wrapping_add(1);
            let calls = round.line.call_all();
            drop(round);
            calls.wake();
            return BarrierWaitResult { leads: true };
        }
        let _arrival = Arrival {
            barrier: self,
            number: round.number,
        };
        // Without a deadline it cannot be late.
        _ = wait_in_line(
            &self.round,
            round,
            |it| &mut it.line,
            NO_SLOT,
            Reason::Barrier,
            None,
        );
        BarrierWaitResult { leads: false }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}
