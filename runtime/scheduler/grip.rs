//! A kernel thread's grip on its processor, and how another takes it while the first is stuck.
//!
//! Only the thread that has a processor touches its queue and its next slot, with plain stores. When
//! that thread is stuck in a green thread's code, the monitor takes the processor from it; and the stuck
//! code may call `spawn` at that very instant. So the thread marks when it is [inside](Grip::enter) the
//! scheduler, and the monitor takes only from those who are not:
//!
//! | the thread, [`Grip::enter`]                | the monitor, [`Grip::take`]                  |
//! |--------------------------------------------|----------------------------------------------|
//! | E1  inside += 1                            | T1  state := TRYING                          |
//! | E2  light barrier                          | T2  heavy barrier                            |
//! | E3  read state: if it is ours, go on       | T3  read inside: if any, give up             |
//! |                                            | T4  state: TRYING to LOCKED, then to TAKEN   |
//!
//! Each side writes first and reads after; with barriers of which one is before the other, one of the
//! two sees the other. The light one costs nothing but the compiler's freedom: the heavy one makes every
//! thread of the process pass a barrier (`membarrier`, 0.4 us). So a switch of green threads pays four
//! plain instructions for it. Where the kernel refuses, grips begin as [`CAREFUL`], which `enter` takes
//! for a reason to pass a fence of its own.
//!
//! A thread that enters and finds TRYING takes it back to its own; then T4 fails, and the monitor has
//! lost. With LOCKED it waits for a few instructions: the monitor has a look at the processor.
//!
//! A thread that announces a blocking call *lends* its processor: then anybody takes it by one exchange.
//!
//! | state        | the processor is                                   | left by                         |
//! |--------------|----------------------------------------------------|---------------------------------|
//! | [`MINE`]     | the thread's                                       | the thread, the monitor         |
//! | [`CAREFUL`]  | the same, without `membarrier`                     | the thread, the monitor         |
//! | [`TRYING`]   | the thread's; the monitor wants it                 | both                            |
//! | [`LOCKED`]   | the monitor's, for a moment                        | the monitor                     |
//! | [`LENT`]     | nobody's: the thread is in an announced call       | both                            |
//! | [`TAKEN`]    | another thread's                                   | the thread, with a new processor |
//!
//! # Edges
//!
//! - `[processor]` what a thread did with its processor, to the next who has it.
//!
//! # What was not done
//!
//! *A lock*: two read-modify-writes per switch, for something that happens a few times a second.

use crate::base::primitives::{
    AtomicU8,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    heavy_barrier, light_barrier, spin_loop, yield_thread,
};

const MINE: u8 = 0;
const CAREFUL: u8 = 1;
const TRYING: u8 = 2;
const LOCKED: u8 = 3;
const LENT: u8 = 4;
const TAKEN: u8 = 5;

/// One kernel thread's grip on its processor.
#[derive(Debug)]
pub(crate) struct Grip {
    /// The thread is in the scheduler's code, so many times. Written by the thread alone.
    inside: AtomicU8,
    state: AtomicU8,
    /// What the thread's own state is: `MINE`, or `CAREFUL` without `membarrier`.
    own: u8,
}

impl Grip {
    /// The grip of a thread that has no processor yet, and is inside.
    pub(crate) fn new(membarrier: bool) -> Self {
        Self {
            inside: AtomicU8::new(1),
            state: AtomicU8::new(TAKEN),
            own: if membarrier { MINE } else { CAREFUL },
        }
    }

    /// The thread comes from a green thread's code. If this returns `true` it has its processor, until it
    /// [leaves](Self::leave).
    #[must_use]
    #[inline]
    pub(crate) fn enter(&self) -> bool {
        // Relaxed: E2 orders it before E3.
        self.inside.store(1, Relaxed); // E1
        light_barrier(); // E2
        // Acquire [processor]: what the monitor did if it had it locked meanwhile. E3
        self.state.load(Acquire) == MINE || self.enter_slowly()
    }

    /// As [`enter`](Self::enter), from anywhere: the thread may be inside. To be followed by
    /// [`leave_again`](Self::leave_again).
    #[must_use]
    #[inline]
    pub(crate) fn enter_again(&self) -> bool {
        self.enter_again_simply() || self.enter_slowly()
    }

    /// As [`enter_again`](Self::enter_again), but `false` also if the monitor is about to do something.
    #[must_use]
    #[inline]
    pub(crate) fn enter_again_simply(&self) -> bool {
        // Relaxed: it is this thread's, and E2 orders it before E3. No read-modify-write, for the same reason.
        self.inside
            .store(self.inside.load(Relaxed).wrapping_add(1), Relaxed); // E1
        light_barrier(); // E2
        // Acquire [processor], as in `enter`. E3
        self.state.load(Acquire) == MINE
    }

    /// The thread is again where it was before it [entered again](Self::enter_again).
    #[inline]
    pub(crate) fn leave_again(&self) {
        // Release [processor].
        self.inside
            .store(self.inside.load(Relaxed).wrapping_sub(1), Release);
    }

    #[cold]
    fn enter_slowly(&self) -> bool {
        loop {
            // Acquire [processor]: what the monitor did while it had it locked.
            match self.state.load(Acquire) {
                CAREFUL => {
                    heavy_barrier(false);
                    // Acquire [processor], as in `enter`.
                    if self.state.load(Acquire) == CAREFUL {
                        return true;
                    }
                }
                MINE => return true,
                TRYING => {
                    // Acquire [processor]: nothing new, but no later look may move up.
                    if self
                        .state
                        .compare_exchange(TRYING, self.own, AcqRel, Relaxed)
                        .is_ok()
                    {
                        return true;
                    }
                }
                LOCKED => {
                    spin_loop();
                    yield_thread();
                }
                _ => return false,
            }
        }
    }

    /// The thread goes back to a green thread's code.
    #[inline]
    pub(crate) fn leave(&self) {
        // Release [processor].
        self.inside.store(0, Release);
    }

    /// Whether this very thread is inside.
    #[inline]
    pub(crate) fn is_inside(&self) -> bool {
        self.inside.load(Relaxed) > 0
    }

    /// The thread, which is inside, lends its processor to whoever wants it.
    pub(crate) fn lend(&self) {
        // Release [processor].
        self.state.store(LENT, Release);
    }

    /// The thread takes back what it has lent. If this returns `true`, nobody has wanted it.
    #[must_use]
    pub(crate) fn take_back(&self) -> bool {
        // Acquire [processor]: those who look at a lent processor's queue have only read.
        self.state
            .compare_exchange(LENT, self.own, AcqRel, Acquire)
            .is_ok()
    }

    /// The thread, which is inside, gives its processor away.
    pub(crate) fn give(&self) {
        self.state.store(TAKEN, Relaxed);
    }

    /// The thread, which is inside and has none, gets a processor.
    pub(crate) fn get(&self) {
        debug_assert_eq!(self.state.load(Relaxed), TAKEN);
        self.state.store(self.own, Relaxed);
    }

    /// The thread has its processor, though the monitor may be about to take it.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.state.load(Relaxed), MINE | CAREFUL | TRYING | LOCKED)
    }

    /// The processor is lent.
    pub(crate) fn is_lent(&self) -> bool {
        self.state.load(Relaxed) == LENT
    }

    /// Takes a processor that is lent. If this returns `true`, it is the caller's.
    #[must_use]
    pub(crate) fn take_lent(&self) -> bool {
        // Acquire [processor].
        self.state
            .compare_exchange(LENT, TAKEN, AcqRel, Relaxed)
            .is_ok()
    }

    /// Takes the processor of a thread that is stuck, if `look` still wants it: which one that is may only
    /// be asked in there, as the thread may have changed it until just before. What `look` found is the
    /// caller's then. One thread at a time may try.
    pub(crate) fn take<R>(&self, look: impl FnOnce() -> Option<R>) -> Option<R> {
        if !self.seize() {
            return None;
        }
        let result = look();
        let to = if result.is_some() { TAKEN } else { self.own };
        // Release [processor].
        self.state.store(to, Release);
        result
    }

    /// Locks the thread out of its processor while `look` has a look at it, if it is stuck.
    pub(crate) fn with_locked<R>(&self, look: impl FnOnce() -> R) -> Option<R> {
        if !self.seize() {
            return None;
        }
        let result = look();
        // Release [processor].
        self.state.store(self.own, Release);
        Some(result)
    }

    /// Locks the thread out, if it is not inside.
    fn seize(&self) -> bool {
        // T1
        if self
            .state
            .compare_exchange(self.own, TRYING, AcqRel, Relaxed)
            .is_err()
        {
            return false;
        }
        heavy_barrier(self.own == MINE); // T2
        // Acquire [processor]. T3
        if self.inside.load(Acquire) > 0 {
            // If this fails, the thread has done the same.
            _ = self
                .state
                .compare_exchange(TRYING, self.own, AcqRel, Relaxed);
            return false;
        }
        // T4. Acquire [processor]: it may have been inside between T3 and now.
        self.state
            .compare_exchange(TRYING, LOCKED, AcqRel, Relaxed)
            .is_ok()
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::Grip;
    use crate::base::primitives::{AtomicUsize, Ordering::Relaxed};
    use loom::{cell::UnsafeCell, sync::Arc, thread};

    /// A processor that one thread at a time may touch: loom's cell says if two do.
    struct Shared {
        grip: Grip,
        processor: UnsafeCell<usize>,
    }

    // SAFETY: what is checked here.
    #[expect(unsafe_code, reason = "the claim that the model checks")]
    unsafe impl Sync for Shared {}

    impl Shared {
        #[expect(unsafe_code, reason = "the claim that the model checks")]
        fn touch(&self) {
            // SAFETY: what is checked here.
            self.processor.with_mut(|it| unsafe { *it += 1 });
        }
    }

    fn shared(membarrier: bool) -> Arc<Shared> {
        let grip = Grip::new(membarrier);
        grip.get();
        grip.leave();
        Arc::new(Shared {
            grip,
            processor: UnsafeCell::new(0),
        })
    }

    /// The monitor takes the processor while the stuck thread pushes: never do both have it.
    fn take_over(membarrier: bool) {
        loom::model(move || {
            let shared = shared(membarrier);
            let monitor = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    if shared.grip.take(|| Some(())).is_some() {
                        shared.touch();
                    }
                }
            });
            if shared.grip.enter() {
                shared.touch();
            }
            shared.grip.leave();
            if shared.grip.enter_again() {
                shared.touch();
                // Inside the other, which keeps the processor.
                assert!(shared.grip.enter_again());
                shared.grip.leave_again();
                shared.touch();
            }
            shared.grip.leave_again();
            drop(monitor.join());
        });
    }

    #[test]
    fn a_processor_is_taken_or_kept() {
        take_over(true);
    }

    #[test]
    fn a_processor_is_taken_or_kept_without_membarrier() {
        take_over(false);
    }

    /// The monitor has a look while the stuck thread pushes.
    #[test]
    fn a_locked_processor_is_touched_by_the_monitor_alone() {
        loom::model(|| {
            let shared = shared(true);
            let monitor = thread::spawn({
                let shared = Arc::clone(&shared);
                move || shared.grip.with_locked(|| shared.touch())
            });
            assert!(shared.grip.enter(), "the monitor gives it back");
            shared.touch();
            shared.grip.leave();
            drop(monitor.join());
        });
    }

    /// The thread exchanges its processor for another while the monitor comes: whichever the monitor finds
    /// once the thread is locked out is the monitor's, and no other.
    #[test]
    fn the_monitor_takes_what_the_thread_has_then() {
        loom::model(|| {
            let (shared, other) = (shared(true), shared(true));
            let has = Arc::new(AtomicUsize::new(1));
            let monitor = thread::spawn({
                let (shared, other, has) =
                    (Arc::clone(&shared), Arc::clone(&other), Arc::clone(&has));
                move || {
                    let taken = shared.grip.take(|| Some(has.load(Relaxed)));
                    match taken {
                        Some(1) => shared.touch(),
                        Some(_) => other.touch(),
                        None => {}
                    }
                    taken
                }
            });
            let mut lost = None;
            if shared.grip.enter() {
                // It gives the first away, and somebody gives it the second.
                shared.touch();
                shared.grip.give();
                has.store(2, Relaxed);
                shared.grip.get();
                other.touch();
            } else {
                lost = Some(1);
            }
            shared.grip.leave();
            if shared.grip.enter() {
                other.touch();
            } else {
                lost = lost.or(Some(2));
            }
            assert_eq!(monitor.join().expect("no panic"), lost);
        });
    }

    /// A thread comes back from a blocking call and takes its loan back, and the monitor takes it at once:
    /// one of them has it.
    #[test]
    fn a_loan_taken_back_may_be_taken_at_once() {
        loom::model(|| {
            let shared = shared(true);
            assert!(shared.grip.enter());
            shared.touch();
            shared.grip.lend();
            shared.grip.leave();
            let monitor = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    if shared.grip.take_lent() || shared.grip.take(|| Some(())).is_some() {
                        shared.touch();
                    }
                }
            });
            _ = shared.grip.take_back();
            if shared.grip.enter() {
                shared.touch();
            }
            drop(monitor.join());
        });
    }

    /// What is lent is taken by one, or taken back.
    #[test]
    fn a_lent_processor_has_one_taker() {
        loom::model(|| {
            let shared = shared(true);
            let takers = [(); 2].map(|()| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let taken = shared.grip.take_lent();
                    if taken {
                        shared.touch();
                    }
                    usize::from(taken)
                })
            });
            assert!(shared.grip.enter(), "not lent yet");
            shared.touch();
            shared.grip.lend();
            let back = shared.grip.take_back();
            if back {
                shared.touch();
            }
            let taken: usize = takers.map(|it| it.join().expect("a taker")).iter().sum();
            assert_eq!(taken + usize::from(back), 1);
        });
    }
}
