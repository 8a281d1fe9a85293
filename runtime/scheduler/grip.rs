//! A kernel thread's grip on its processor, and how another takes it while the first is stuck.
//!
//! Only the thread that has a processor touches its queue and its next slot, with plain stores. When
//! that thread is stuck in a green thread's code, the monitor takes the processor from it; and the stuck
//! code may call `spawn` at that very instant. So the thread marks when it is *inside* the scheduler: no
//! green thread [runs](Running), or one has [entered again](Grip::enter_again). The monitor takes only from
//! those who are not:
//!
//! | the thread, as it enters                   | the monitor, [`Grip::take`]                   |
//! |--------------------------------------------|-----------------------------------------------|
//! | E1  nobody runs, or again += 1             | T1  state := TRYING                           |
//! | E2  light barrier                          | T2  heavy barrier                             |
//! | E3  read state: if it is ours, go on       | T3  read who runs, and again: if inside, give up |
//! |                                            | T4  state: TRYING to LOCKED, then to TAKEN    |
//!
//! Each side writes first and reads after; with barriers of which one is before the other, one of the
//! two sees the other. The light one costs nothing but the compiler's freedom: the heavy one makes every
//! thread of the process pass a barrier (`membarrier`, 0.4 us).
//!
//! What E3 reads is a pointer to the [`Front`] of the processor, which the thread wants anyhow; every other
//! state is a [stand-in](Front::stand_in), with which short paths fail by themselves. And who runs is
//! written at every switch anyhow. So what a turn pays for all this is next to nothing, and a wake-up pays
//! for the count: two instructions.
//!
//! Where the kernel refuses its barrier, a thread's own state is [`Careful`](State::Careful), with which it
//! passes a fence of its own before it goes on.
//!
//! A thread that enters and finds TRYING takes it back to its own; then T4 fails, and the monitor has
//! lost. With LOCKED it waits for a few instructions: the monitor has a look at the processor.
//!
//! A thread that announces a blocking call *lends* its processor: then anybody takes it by one exchange.
//!
//! # Edges
//!
//! - `[processor]` what a thread did with its processor, to the next who has it.
//!
//! # What was not done
//!
//! *A lock*: two read-modify-writes per switch, for something that happens a few times a second.

use super::front::Front;
use crate::{
    base::primitives::{
        AtomicPtr, AtomicU8,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        heavy_barrier, light_barrier, spin_loop, yield_thread,
    },
    wait::home::Running,
};
use std::ptr;

/// Whose a processor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// As [`Mine`](State::Mine), without `membarrier`.
    Careful,
    /// The thread's; the monitor wants it. Left by both.
    Trying,
    /// The monitor's, for a moment. Left by the monitor.
    Locked,
    /// Nobody's: the thread is in an announced call. Left by both.
    Lent,
    /// Another thread's. Left by the thread, with a new processor.
    Taken,
    /// The thread's. Left by the thread and the monitor.
    Mine,
}

/// All but [`State::Mine`], in the order of their stand-ins.
const ABSENT: [State; 5] = [
    State::Careful,
    State::Trying,
    State::Locked,
    State::Lent,
    State::Taken,
];

/// One kernel thread's grip on its processor.
#[derive(Debug)]
pub(crate) struct Grip {
    /// The front of the thread's processor, or the stand-in for the state it is in.
    state: AtomicPtr<Front>,
    /// The front of the processor that the thread has, or had when it was taken; null without one.
    own: AtomicPtr<Front>,
    /// A green thread of the thread's is in the scheduler's code, so deep. Written by the thread alone.
    again: AtomicU8,
    membarrier: bool,
    stand_ins: Box<[Front; ABSENT.len()]>,
}

impl Grip {
    /// The grip of a thread that has no processor yet.
    pub(crate) fn new(membarrier: bool) -> Self {
        let grip = Self {
            state: AtomicPtr::new(ptr::null_mut()),
            own: AtomicPtr::new(ptr::null_mut()),
            again: AtomicU8::new(0),
            membarrier,
            stand_ins: Box::new(ABSENT.map(|_| Front::stand_in())),
        };
        // For others, who only compare it: the thread itself gives again, once this has its place.
        grip.give();
        grip
    }

    /// As E3, for a thread that is inside: the front of its processor, or a stand-in, which lives as long as
    /// this. If it is the processor's, the thread has that until it leaves or gives it away. Never null.
    #[inline]
    pub(crate) fn front(&self) -> *const Front {
        // Acquire [processor]: what the monitor did if it had it locked meanwhile. E3
        self.state.load(Acquire)
    }

    /// Makes the stand-ins ready for the next time. How often threads were parked with them.
    pub(crate) fn rewind(&self) -> u64 {
        self.stand_ins.iter().map(Front::rewind).sum()
    }

    /// As E3, for a thread that is inside: whether it has its processor, until it leaves or gives it away.
    #[must_use]
    #[inline]
    pub(crate) fn has(&self) -> bool {
        self.has_simply() || self.has_after_all()
    }

    /// As [`has`](Self::has), but `false` also if the monitor is about to do something.
    #[must_use]
    #[inline]
    pub(crate) fn has_simply(&self) -> bool {
        // Acquire [processor], as in `front`. E3
        ptr::eq(self.state.load(Acquire), self.own.load(Relaxed))
    }

    #[cold]
    fn has_after_all(&self) -> bool {
        loop {
            // Acquire [processor]: what the monitor did while it had it locked.
            match self.state() {
                State::Mine => return true,
                State::Careful => {
                    heavy_barrier(false);
                    // Acquire [processor], as in `front`.
                    if self.state() == State::Careful {
                        return true;
                    }
                }
                // If this fails, the monitor was faster. Acquire [processor]: nothing new, but no later look may
                // move up.
                State::Trying => {
                    if self.exchange(State::Trying, self.mine()) {
                        if !self.membarrier {
                            // Not for the grip: for others who rely on an entry's barrier.
                            heavy_barrier(false);
                        }
                        return true;
                    }
                }
                State::Locked => {
                    spin_loop();
                    yield_thread();
                }
                State::Lent | State::Taken => return false,
            }
        }
    }

    /// The thread enters, from anywhere: it may be inside. To be followed by
    /// [`leave_again`](Self::leave_again).
    #[inline]
    pub(crate) fn enter_again(&self) {
        // Relaxed: it is this thread's, and E2 orders it before E3. No read-modify-write, for the same reason.
        self.again
            .store(self.again.load(Relaxed).wrapping_add(1), Relaxed); // E1
        light_barrier(); // E2
    }

    /// The thread is again where it was before it [entered again](Self::enter_again).
    #[inline]
    pub(crate) fn leave_again(&self) {
        // Release [processor].
        self.again
            .store(self.again.load(Relaxed).wrapping_sub(1), Release);
    }

    /// Whether this very thread has entered again.
    pub(crate) fn is_again(&self) -> bool {
        self.again.load(Relaxed) > 0
    }

    /// Whether the thread is inside. `runs` says who runs on it.
    pub(crate) fn is_inside(&self, runs: &Running) -> bool {
        // Acquire [processor], both. In whatever order: a thread that comes after T2 sees T1, and one that has
        // entered again leaves again before somebody else runs.
        self.again.load(Acquire) > 0 || !runs.is_somebody()
    }

    /// The front of the processor that the thread has, or had when it was taken.
    #[inline]
    pub(crate) fn own(&self) -> *const Front {
        // Acquire [processor]: as the thread gets it from others.
        self.own.load(Acquire)
    }

    /// Says which processor the thread [gets](Self::get), by whoever has it; or that it has none.
    pub(crate) fn set_own(&self, own: *const Front) {
        // Release [processor]: for the thread.
        self.own.store(own.cast_mut(), Release);
    }

    /// The thread, which is inside, lends its processor to whoever wants it.
    pub(crate) fn lend(&self) {
        // Release [processor].
        self.state.store(self.stand_in(State::Lent), Release);
    }

    /// The thread takes back what it has lent. If this returns `true`, nobody has wanted it.
    #[must_use]
    pub(crate) fn take_back(&self) -> bool {
        // Acquire [processor]: those who look at a lent processor's queue have only read.
        self.exchange(State::Lent, self.mine())
    }

    /// The thread, which is inside, gives its processor away, or begins without one.
    pub(crate) fn give(&self) {
        // Release: what was noted before, for who sees it gone.
        self.state.store(self.stand_in(State::Taken), Release);
    }

    /// The thread, which is inside and has none, gets its [own](Self::set_own) processor.
    pub(crate) fn get(&self) {
        debug_assert_eq!(self.state(), State::Taken);
        self.state.store(self.mine(), Relaxed);
    }

    /// The thread has its processor, though the monitor may be about to take it.
    pub(crate) fn is_held(&self) -> bool {
        !matches!(self.state(), State::Lent | State::Taken)
    }

    /// The processor is lent.
    pub(crate) fn is_lent(&self) -> bool {
        self.state() == State::Lent
    }

    /// The thread has none, or not any more.
    pub(crate) fn is_taken(&self) -> bool {
        self.state() == State::Taken
    }

    /// Takes a processor that is lent. If this returns `true`, it is the caller's.
    #[must_use]
    pub(crate) fn take_lent(&self) -> bool {
        // Acquire [processor].
        self.exchange(State::Lent, self.stand_in(State::Taken))
    }

    /// Takes the processor of a thread that is stuck, if `look` still wants it: which one that is may only
    /// be asked in there, as the thread may have changed it until just before. What `look` found is the
    /// caller's then. One thread at a time may try. `runs` says who runs on the thread.
    pub(crate) fn take<R>(&self, runs: &Running, look: impl FnOnce() -> Option<R>) -> Option<R> {
        if !self.seize(runs) {
            return None;
        }
        let result = look();
        let to = match &result {
            Some(_) => self.stand_in(State::Taken),
            None => self.mine(),
        };
        // Release [processor].
        self.state.store(to, Release);
        result
    }

    /// Locks the thread out of its processor while `look` has a look at it, if it is stuck.
    pub(crate) fn with_locked<R>(&self, runs: &Running, look: impl FnOnce() -> R) -> Option<R> {
        if !self.seize(runs) {
            return None;
        }
        let result = look();
        // Release [processor].
        self.state.store(self.mine(), Release);
        Some(result)
    }

    /// Locks the thread out, if it is not inside.
    fn seize(&self, runs: &Running) -> bool {
        let mine = self.mine();
        let trying = self.stand_in(State::Trying);
        // T1
        if self
            .state
            .compare_exchange(mine, trying, AcqRel, Relaxed)
            .is_err()
        {
            return false;
        }
        heavy_barrier(self.membarrier); // T2
        // T3
        if self.is_inside(runs) {
            // If this fails, the thread has done the same.
            _ = self.exchange(State::Trying, mine);
            return false;
        }
        // T4. Acquire [processor]: it may have been inside between T3 and now.
        self.exchange(State::Trying, self.stand_in(State::Locked))
    }

    /// How the state is while it is the thread's and nobody tries to take it.
    fn mine(&self) -> *mut Front {
        if self.membarrier {
            self.own.load(Relaxed)
        } else {
            self.stand_in(State::Careful)
        }
    }

    fn stand_in(&self, state: State) -> *mut Front {
        ptr::from_ref(&self.stand_ins[state as usize]).cast_mut()
    }

    fn state(&self) -> State {
        self.state_of(self.state.load(Acquire))
    }

    fn state_of(&self, front: *const Front) -> State {
        let absent = ABSENT.into_iter();
        absent
            .zip(&*self.stand_ins)
            .find_map(|(state, it)| ptr::eq(front, it).then_some(state))
            .unwrap_or(State::Mine)
    }

    fn exchange(&self, from: State, to: *mut Front) -> bool {
        self.state
            .compare_exchange(self.stand_in(from), to, AcqRel, Acquire)
            .is_ok()
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::{Front, Grip, Running};
    use crate::base::primitives::without_membarrier;
    use loom::{cell::UnsafeCell, sync::Arc, thread};
    use std::ptr::{self, NonNull};

    /// Two processors that one thread at a time may touch: loom's cell says if two do.
    struct Shared {
        grip: Grip,
        runs: Running,
        fronts: [Front; 2],
        processors: [UnsafeCell<usize>; 2],
    }

    // SAFETY: what is checked here.
    #[expect(unsafe_code, reason = "the claim that the model checks")]
    unsafe impl Sync for Shared {}
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "the claim that the model checks")]
    unsafe impl Send for Shared {}

    impl Shared {
        /// A thread with the first processor, in a green thread's code.
        fn new(membarrier: bool) -> Arc<Self> {
            let shared = Arc::new(Self {
                grip: Grip::new(membarrier),
                runs: Running::nobody(),
                fronts: [Front::new(), Front::new()],
                processors: Default::default(),
            });
            shared.get(0);
            shared.leave();
            shared
        }

        fn get(&self, processor: usize) {
            self.grip.set_own(&self.fronts[processor]);
            self.grip.get();
        }

        fn leave(&self) {
            self.runs.set(Some(NonNull::dangling()));
        }

        /// Whether the thread, which enters, has its processor.
        fn enter(&self) -> bool {
            self.runs.set(None);
            self.grip.has()
        }

        #[expect(unsafe_code, reason = "the claim that the model checks")]
        fn touch(&self, processor: usize) {
            // SAFETY: what is checked here.
            self.processors[processor].with_mut(|it| unsafe { *it += 1 });
        }

        /// As a worker does: touches what it finds at hand, and may look anew.
        fn touch_by_front(&self) {
            if ptr::eq(self.grip.front(), &self.fronts[0]) || self.grip.has() {
                self.touch(0);
            }
        }
    }

    /// The monitor takes the processor while the stuck thread pushes: never do both have it.
    fn take_over(membarrier: bool) {
        loom::model(move || {
            let shared = Shared::new(membarrier);
            let monitor = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    if shared.grip.take(&shared.runs, || Some(())).is_some() {
                        shared.touch(0);
                    }
                }
            });
            shared.runs.set(None);
            shared.touch_by_front();
            shared.leave();
            shared.grip.enter_again();
            shared.touch_by_front();
            // Inside the other, which keeps the processor.
            shared.grip.enter_again();
            shared.touch_by_front();
            shared.grip.leave_again();
            shared.touch_by_front();
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
        without_membarrier(|| take_over(false));
    }

    /// The monitor has a look while the stuck thread pushes.
    fn look(monitor: fn(&Shared), touch: fn(&Shared)) {
        loom::model(move || {
            let shared = Shared::new(true);
            let monitor = thread::spawn({
                let shared = Arc::clone(&shared);
                move || monitor(&shared)
            });
            touch(&shared);
            shared.leave();
            drop(monitor.join());
        });
    }

    fn with_locked(shared: &Shared) {
        shared.grip.with_locked(&shared.runs, || shared.touch(0));
    }

    #[test]
    fn a_locked_processor_is_touched_by_the_monitor_alone() {
        look(with_locked, |shared| {
            assert!(shared.enter(), "the monitor gives it back");
            shared.touch(0);
        });
    }

    #[test]
    fn a_front_is_at_hand_after_the_monitor_only() {
        look(with_locked, |shared| {
            shared.runs.set(None);
            shared.touch_by_front();
        });
    }

    #[test]
    fn a_processor_that_is_not_wanted_is_given_back() {
        let monitor = |shared: &Shared| {
            let look = || {
                shared.touch(0);
                None::<()>
            };
            assert_eq!(shared.grip.take(&shared.runs, look), None);
        };
        look(monitor, |shared| {
            assert!(shared.enter(), "the monitor gives it back");
            shared.touch(0);
        });
    }

    /// The thread exchanges its processor for another while the monitor comes: whichever the monitor finds
    /// once the thread is locked out is the monitor's, and no other.
    #[test]
    fn the_monitor_takes_what_the_thread_has_then() {
        loom::model(|| {
            let shared = Shared::new(true);
            let monitor = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let taken = shared.grip.take(&shared.runs, || Some(shared.grip.own()));
                    let taken = taken.map(|it| usize::from(ptr::eq(it, &shared.fronts[1])));
                    taken.inspect(|it| shared.touch(*it))
                }
            });
            let mut lost = None;
            if shared.enter() {
                // It gives the first away, and somebody gives it the second.
                shared.touch(0);
                shared.grip.give();
                shared.get(1);
                shared.touch(1);
            } else {
                lost = Some(0);
            }
            shared.leave();
            if shared.enter() {
                shared.touch(1);
            } else {
                lost = lost.or(Some(1));
            }
            assert_eq!(monitor.join().expect("no panic"), lost);
        });
    }

    /// Who has a processor gives it to a thread that waits for one.
    #[test]
    fn a_processor_is_received_as_it_was_left() {
        loom::model(|| {
            let shared = Shared::new(true);
            assert!(shared.enter());
            shared.grip.give();
            shared.grip.set_own(ptr::null());
            let receiver = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    if !shared.grip.own().is_null() {
                        shared.grip.get();
                        shared.touch(1);
                    }
                }
            });
            shared.touch(1);
            shared.grip.set_own(&shared.fronts[1]);
            drop(receiver.join());
        });
    }

    /// A thread comes back from a blocking call and takes its loan back, and the monitor takes it at once:
    /// one of them has it.
    #[test]
    fn a_loan_taken_back_may_be_taken_at_once() {
        loom::model(|| {
            let shared = Shared::new(true);
            shared.grip.enter_again();
            assert!(shared.grip.has());
            shared.touch(0);
            shared.grip.lend();
            shared.grip.leave_again();
            let monitor = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    if shared.grip.take_lent()
                        || shared.grip.take(&shared.runs, || Some(())).is_some()
                    {
                        shared.touch(0);
                    }
                }
            });
            _ = shared.grip.take_back();
            if shared.enter() {
                shared.touch(0);
            }
            drop(monitor.join());
        });
    }

    /// What is lent is taken by one, or taken back.
    #[test]
    fn a_lent_processor_has_one_taker() {
        loom::model(|| {
            let shared = Shared::new(true);
            let takers = [(); 2].map(|()| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let taken = shared.grip.take_lent();
                    if taken {
                        shared.touch(0);
                    }
                    usize::from(taken)
                })
            });
            assert!(shared.enter(), "not lent yet");
            shared.touch(0);
            shared.grip.lend();
            let back = shared.grip.take_back();
            if back {
                shared.touch(0);
            }
            let taken: usize = takers.map(|it| it.join().expect("a taker")).iter().sum();
            assert_eq!(taken + usize::from(back), 1);
        });
    }
}
