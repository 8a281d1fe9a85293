//! One act of waiting: whoever waits opens its ticket, the first to call it wins, others call in vain.
//!
//! A [`Waiter`] is a green thread or a kernel thread, seen by those who may end its wait. It has one
//! ticket, a word, used for one wait after another:
//!
//! | phase      | meaning                                                     | who may leave it        |
//! |------------|-------------------------------------------------------------|-------------------------|
//! | [`IDLE`]   | not waiting; calls are void                                 | the waiter, by `open`   |
//! | [`OPEN`]   | stands in lines; may be called or held                      | anybody, once           |
//! | [`HELD`]   | a partner has claimed it and runs user code before it commits | that partner          |
//! | [`CALLED`] | over; the verdict says why, and the winner owes a wake-up   | the waiter, when it runs |
//!
//! Four flags go with the phase. [`PARKED`]: the waiter has left its stack, and whoever wakes it must
//! queue it. [`WOKEN`]: the wake-up came before that, and the worker that parks it must queue it.
//! *Whoever sets the second of these two queues the waiter*, nobody else. [`MISSED`]: somebody called
//! while the ticket was held, so that a claim handed back must send the waiter to look again.
//! [`UNPARKABLE`]: this wait is `thread::park`, which `unpark` may end from anywhere.
//! [`SHIELDED`]: this wait is not called off when the runtime shuts down.
//!
//! # Who may touch a waiter
//!
//! A pointer to a waiter is valid while the lock is held under which its node stands in a line: the
//! waiter unlinks its nodes, under those locks, before it goes on. After a call that won, it stays
//! valid until the wake-up that is owed. A call that lost gives no right to the waiter beyond the lock.
//!
//! # Edges
//!
//! - `[stack]` what the switch saved, from the worker that parked a green thread to its next one.
//! - `[cause]` what the winner wrote before it woke the waiter, to the waiter after it resumed.

#![expect(
    unsafe_code,
    reason = "a waiter lives in the frame or block of whoever waits"
)]

use crate::base::primitives::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    Room, fence,
};
use std::{fmt, mem::ManuallyDrop, ptr::NonNull};

const IDLE: usize = 0;
const OPEN: usize = 1;
const HELD: usize = 2;
const CALLED: usize = 3;
/// The bits of the phase.
const PHASE: usize = 3;
/// The waiter is off its stack.
const PARKED: usize = 1 << 2;
/// The wake-up came before the waiter was off its stack.
const WOKEN: usize = 1 << 3;
/// Somebody called in vain while the ticket was held.
const MISSED: usize = 1 << 4;
/// `unpark` may call this wait.
const UNPARKABLE: usize = 1 << 5;
/// A runtime that shuts down does not call this wait off.
const SHIELDED: usize = 1 << 6;
/// The verdict stands above the flags.
const VERDICT: u32 = 7;

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A claim was handed back after others had called: look again, then wait again.
    Retry,
    /// The deadline came first.
    TimedOut,
    /// The runtime is shutting down: leave every line, then unwind.
    CalledOff,
    /// The node with this index was called.
    Chosen(usize),
}

impl Verdict {
    const fn encode(self) -> usize {
        match self {
            Self::Retry => 0,
            Self::TimedOut => 1 << VERDICT,
            Self::CalledOff => 2 << VERDICT,
            Self::Chosen(index) => (index + 3) << VERDICT,
        }
    }

    const fn decode(word: usize) -> Self {
        match word >> VERDICT {
            0 => Self::Retry,
            1 => Self::TimedOut,
            2 => Self::CalledOff,
            index => Self::Chosen(index - 3),
        }
    }
}

/// Makes a parked waiter runnable: queues the green thread, or unparks the kernel thread.
pub(crate) type Wake = unsafe fn(NonNull<Waiter>);

/// A green or kernel thread, seen by those who may end its wait.
#[repr(C)]
pub(crate) struct Waiter {
    ticket: AtomicUsize,
    wake: Wake,
    room: Room,
}

impl Waiter {
    /// A waiter that `wake` makes runnable again.
    ///
    /// `wake` gets a pointer to this very waiter, once per wait, after it was parked.
    pub(crate) fn new(wake: Wake) -> Self {
        Self {
            ticket: AtomicUsize::new(IDLE),
            wake,
            room: Room::new(),
        }
    }

    /// # Safety
    ///
    /// The waiter is valid, as long as the ticket is used.
    #[inline]
    unsafe fn ticket<'a>(waiter: NonNull<Self>) -> &'a AtomicUsize {
        // SAFETY: the caller's promise.
        unsafe { &(*waiter.as_ptr()).room }.enter();
        // SAFETY: the caller's promise. No reference to the whole, which may go before this one does.
        unsafe { &(*waiter.as_ptr()).ticket }
    }

    /// Opens the ticket, before the first node is put into a line.
    #[inline]
    pub(crate) fn open(&self) {
        debug_assert_eq!(
            self.ticket.load(Relaxed) & PHASE,
            IDLE,
            "one wait at a time"
        );
        // Relaxed: the lock of each line publishes it with the node.
        self.ticket.store(OPEN, Relaxed);
    }

    /// As [`open`](Self::open), for a kernel thread, which has no stack to leave: it must always be
    /// woken by its parker.
    #[inline]
    pub(crate) fn open_parked(&self) {
        self.ticket.store(OPEN | PARKED, Relaxed);
    }

    /// Lets [`unpark`](Self::unpark) call this wait, after it was opened and before the waiter looks
    /// for an earlier token.
    pub(crate) fn let_unpark(&self) {
        self.ticket.fetch_or(UNPARKABLE, Relaxed);
        fence(SeqCst); // U1: the ticket is open for `unpark`, then the token is read.
    }

    /// As [`open`](Self::open), for a wait that must not be called off: what it waits for ends by itself.
    /// In one step, as a runtime that shuts down looks at tickets at any time.
    pub(crate) fn open_shielded(&self) {
        self.ticket.store(OPEN | SHIELDED, Relaxed);
    }

    /// Whether it may be called or held now. One that is held is marked, so that it looks again when it
    /// is handed back.
    ///
    /// # Safety
    ///
    /// As for [`call`](Self::call).
    pub(crate) unsafe fn probe(waiter: NonNull<Self>) -> bool {
        // SAFETY: the caller's promise.
        let ticket = unsafe { Self::ticket(waiter) };
        let mut word = ticket.load(Relaxed);
        loop {
            match word & PHASE {
                OPEN => return true,
                HELD if word & MISSED == 0 => {}
                _ => return false,
            }
            // Relaxed: the holder only learns that it was missed; the line's lock has passed on why.
            match ticket.compare_exchange_weak(word, word | MISSED, Relaxed, Relaxed) {
                Ok(_) => return false,
                Err(now) => word = now,
            }
        }
    }

    /// Opens the ticket in the hands of a partner: only the hold that this returns can end the wait.
    ///
    /// # Safety
    ///
    /// The waiter is the caller's own and idle, and stays until the hold has ended. `parked` if it has no
    /// stack to leave.
    pub(crate) unsafe fn open_held(waiter: NonNull<Self>, parked: bool) -> Hold {
        // SAFETY: the caller's promise.
        let ticket = unsafe { Self::ticket(waiter) };
        debug_assert_eq!(ticket.load(Relaxed) & PHASE, IDLE, "one wait at a time");
        // Relaxed: whoever gets the hold gets it through a lock or a call.
        ticket.store(HELD | if parked { PARKED } else { 0 }, Relaxed);
        Hold { waiter }
    }

    /// The waiter is off its stack. If this returns `true`, it has been woken meanwhile and the
    /// caller must queue it. If not, it may run elsewhere by now and must not be touched again.
    #[must_use]
    #[inline]
    pub(crate) fn park(&self) -> bool {
        // Release [stack], to whoever wakes it; Acquire [cause], to pass it on by the queue. The flag is not
        // set yet, and adding is one instruction.
        self.ticket.fetch_add(PARKED, AcqRel) & WOKEN != 0
    }

    /// It is off its stack, and nobody has called it: a hint.
    pub(crate) fn is_parked(&self) -> bool {
        let word = self.ticket.load(Relaxed);
        word & PARKED != 0 && matches!(word & PHASE, OPEN | HELD)
    }

    /// As [`is_parked`](Self::is_parked), and if it is, what it did before it parked is seen.
    pub(crate) fn is_surely_parked(&self) -> bool {
        let word = self.ticket.load(Acquire); // Acquire [stack].
        word & PARKED != 0 && matches!(word & PHASE, OPEN | HELD)
    }

    /// It does not wait: a hint.
    pub(crate) fn is_idle(&self) -> bool {
        self.ticket.load(Relaxed) & PHASE == IDLE
    }

    /// Why the wait is over; to be asked by the waiter itself, once, after it was woken.
    #[inline]
    pub(crate) fn finish(&self) -> Verdict {
        // Relaxed: the queue, or the parker's token, has passed on [cause].
        let word = self.ticket.load(Relaxed);
        debug_assert_eq!(word & PHASE, CALLED, "woken, but never called");
        self.ticket.store(IDLE, Relaxed);
        Verdict::decode(word)
    }

    /// Ends a wait that nobody has called, before parking. If this returns `false`, it was called
    /// or held after all and the waiter must park.
    #[must_use]
    pub(crate) fn withdraw(&self) -> bool {
        let mut word = self.ticket.load(Relaxed);
        loop {
            if word & PHASE != OPEN {
                return false;
            }
            // Acquire: a partner that has handed its claim back is done with this waiter.
            match self
                .ticket
                .compare_exchange_weak(word, IDLE, Acquire, Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Calls the ticket: `Some` for the first, who owes the wake-up.
    ///
    /// # Safety
    ///
    /// The waiter must be valid by the rule of this file's header.
    #[inline]
    pub(crate) unsafe fn call(waiter: NonNull<Self>, verdict: Verdict) -> Option<Call> {
        // SAFETY: the caller's promise.
        let ticket = unsafe { Self::ticket(waiter) };
        let won = claim(ticket, CALLED | verdict.encode(), 0, 0)?;
        Some(Call {
            waiter,
            parked: won & PARKED != 0,
        })
    }

    /// Calls the wait off, as the runtime shuts down, unless it is shielded.
    ///
    /// # Safety
    ///
    /// The waiter must be valid, by the caller's own share in it.
    pub(crate) unsafe fn call_off(waiter: NonNull<Self>) -> Option<Call> {
        // SAFETY: the caller's promise.
        let ticket = unsafe { Self::ticket(waiter) };
        let won = claim(ticket, CALLED | Verdict::CalledOff.encode(), 0, SHIELDED)?;
        Some(Call {
            waiter,
            parked: won & PARKED != 0,
        })
    }

    /// Ends a `thread::park`, and no other wait.
    ///
    /// # Safety
    ///
    /// The waiter must be valid, by the caller's own share in it.
    pub(crate) unsafe fn unpark(waiter: NonNull<Self>) -> Option<Call> {
        fence(SeqCst); // U2: the token is left, then the ticket is read.
        // SAFETY: the caller's promise.
        let ticket = unsafe { Self::ticket(waiter) };
        let won = claim(ticket, CALLED | Verdict::Chosen(0).encode(), UNPARKABLE, 0)?;
        Some(Call {
            waiter,
            parked: won & PARKED != 0,
        })
    }

    /// Claims the ticket without ending the wait: `Some` if it was open.
    ///
    /// # Safety
    ///
    /// As for [`call`](Self::call). The waiter then stays where it is until the hold ends.
    pub(crate) unsafe fn hold(waiter: NonNull<Self>) -> Option<Hold> {
        // SAFETY: the caller's promise.
        let ticket = unsafe { Self::ticket(waiter) };
        claim(ticket, HELD, 0, 0)?;
        Some(Hold { waiter })
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}

/// Takes an open ticket that has the flags `needed` and not `refused` to `phase`, and returns what it
/// was. A held one is marked, so that its holder knows.
#[inline]
fn claim(ticket: &AtomicUsize, phase: usize, needed: usize, refused: usize) -> Option<usize> {
    let mut word = ticket.load(Relaxed);
    loop {
        if word & (needed | refused) != needed {
            return None;
        }
        let next = match word & PHASE {
            OPEN => phase | (word & (PARKED | SHIELDED)),
            HELD if word & MISSED == 0 => word | MISSED,
            _ => return None,
        };
        // Acquire [stack]: to pass it on by the queue.
        match ticket.compare_exchange_weak(word, next, Acquire, Relaxed) {
            Ok(_) if word & PHASE == OPEN => return Some(word),
            Ok(_) => return None,
            Err(now) => word = now,
        }
    }
}

/// A call that won. The waiter goes on when it is [woken](Self::wake) or this is dropped.
#[must_use = "the waiter sleeps until this is dropped"]
#[derive(Debug)]
pub(crate) struct Call {
    waiter: NonNull<Waiter>,
    parked: bool,
}

// SAFETY: a waiter is shared between threads by design; the call is the right to wake it once.
unsafe impl Send for Call {}

impl Call {
    /// Lets the waiter go on; not under a lock that it may want.
    #[inline]
    #[expect(clippy::unused_self, reason = "the drop wakes; this says so")]
    pub(crate) fn wake(self) {}

    /// Who is to be woken, if it was off its stack already when it was called.
    #[inline]
    pub(crate) fn parked(&self) -> Option<NonNull<Waiter>> {
        self.parked.then_some(self.waiter)
    }

    /// The wake-up of a call that was won and set aside.
    ///
    /// # Safety
    ///
    /// A `Call` on this waiter's present wait was forgotten, and only once is it taken up again.
    pub(crate) unsafe fn owed(waiter: NonNull<Waiter>) -> Self {
        Self {
            waiter,
            // Not known any more; the wake-up will look.
            parked: false,
        }
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: a waiter that was called stays until it is woken, which only happens here.
        let waiter = unsafe { self.waiter.as_ref() };
        let wake = waiter.wake;
        // Release [cause], to the worker that parks it; Acquire [stack].
        if self.parked || waiter.ticket.fetch_or(WOKEN, AcqRel) & PARKED != 0 {
            // SAFETY: the waiter is parked, and this call alone may wake it.
            unsafe { wake(self.waiter) };
        }
    }
}

/// A claim on a waiter whose wait is not yet over: to be committed, or handed back.
#[must_use = "the waiter cannot be called by others until this is committed or dropped"]
#[derive(Debug)]
pub(crate) struct Hold {
    waiter: NonNull<Waiter>,
}

// SAFETY: as for `Call`.
unsafe impl Send for Hold {}

impl Hold {
    /// Ends the wait with `verdict`.
    pub(crate) fn commit(self, verdict: Verdict) -> Call {
        ManuallyDrop::new(self).end(CALLED | verdict.encode())
    }

    /// Takes the held ticket to `phase`, which is [`CALLED`] with a verdict.
    fn end(&self, phase: usize) -> Call {
        // SAFETY: a waiter that is held stays until the hold ends, which is by this swap at the
        // earliest.
        let ticket = unsafe { Waiter::ticket(self.waiter) };
        let mut word = ticket.load(Relaxed);
        loop {
            debug_assert_eq!(word & PHASE, HELD, "only the holder ends a hold");
            // Acquire [stack], as in `claim`.
            match ticket.compare_exchange_weak(
                word,
                phase | (word & (PARKED | SHIELDED)),
                Acquire,
                Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        Call {
            waiter: self.waiter,
            parked: word & PARKED != 0,
        }
    }
}

impl Drop for Hold {
    /// Hands the claim back: the waiter waits on, or looks again if somebody missed it.
    fn drop(&mut self) {
        // SAFETY: as in `end`.
        let ticket = unsafe { Waiter::ticket(self.waiter) };
        let mut word = ticket.load(Relaxed);
        while word & MISSED == 0 {
            // Release: this partner is done with the waiter, which may withdraw and go.
            match ticket.compare_exchange_weak(
                word,
                OPEN | (word & (PARKED | SHIELDED)),
                Release,
                Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.end(CALLED | Verdict::Retry.encode()).wake();
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::{Call, Verdict, Waiter};
    use crate::base::primitives::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    };
    use loom::{
        cell::UnsafeCell,
        sync::{Arc, Mutex},
        thread,
    };
    use std::ptr::NonNull;

    /// A waiter, how often it was queued (the queue's own edge), its stack, and what its winner wrote.
    #[repr(C)]
    struct Task {
        waiter: Waiter,
        queued: AtomicUsize,
        stack: UnsafeCell<()>,
        cause: [AtomicUsize; 2],
    }

    /// Puts the task into its queue, from which a worker may take it at once.
    unsafe fn queue(waiter: NonNull<Waiter>) {
        // SAFETY: every waiter of these models is the first field of a task.
        let task = unsafe { waiter.cast::<Task>().as_ref() };
        task.stack.with_mut(|_| ());
        task.queued.fetch_add(1, Release);
    }

    fn task() -> Arc<Task> {
        Arc::new(Task {
            waiter: Waiter::new(queue),
            queued: AtomicUsize::new(0),
            stack: UnsafeCell::new(()),
            cause: [AtomicUsize::new(0), AtomicUsize::new(0)],
        })
    }

    /// The worker's side: the task leaves its stack and is parked, and runs again when it is queued.
    fn park_and_run(task: &Task) -> Verdict {
        task.stack.with_mut(|_| ());
        if !task.waiter.park() {
            while task.queued.load(Acquire) == 0 {
                thread::yield_now();
            }
            task.queued.fetch_sub(1, Relaxed);
        }
        task.stack.with_mut(|_| ());
        task.waiter.finish()
    }

    fn call(task: &Arc<Task>, index: usize) -> Option<Call> {
        task.cause[index].store(1, Relaxed);
        // SAFETY: the `Arc` keeps the waiter.
        unsafe { Waiter::call(NonNull::from(&task.waiter), Verdict::Chosen(index)) }
    }

    /// Two callers race with the switch: one wins, the task runs once and sees what that one wrote.
    #[test]
    fn many_callers_have_one_winner() {
        loom::model(|| {
            let task = task();
            task.waiter.open();
            let callers = [0, 1].map(|index| {
                let task = Arc::clone(&task);
                thread::spawn(move || {
                    let call = call(&task, index);
                    // What the winner does before it wakes is seen too.
                    call.map(|it| {
                        task.cause[index].store(2, Relaxed);
                        it.wake();
                    })
                    .is_some()
                })
            });
            let Verdict::Chosen(winner) = park_and_run(&task) else {
                panic!("somebody called");
            };
            assert_eq!(task.cause[winner].load(Relaxed), 2);
            let won = callers.map(|it| it.join().expect("a caller"));
            assert_eq!(won, [winner == 0, winner == 1]);
            assert_eq!(task.queued.load(Relaxed), 0);
        });
    }

    /// The call of a time-out against that of a partner: one verdict, one wake-up.
    #[test]
    fn a_time_out_and_a_call_exclude_each_other() {
        loom::model(|| {
            let task = task();
            task.waiter.open();
            let alarm = thread::spawn({
                let task = Arc::clone(&task);
                move || {
                    // SAFETY: the `Arc` keeps the waiter.
                    let call =
                        unsafe { Waiter::call(NonNull::from(&task.waiter), Verdict::TimedOut) };
                    call.map(Call::wake).is_some()
                }
            });
            let partner = thread::spawn({
                let task = Arc::clone(&task);
                move || call(&task, 0).map(Call::wake).is_some()
            });
            let verdict = park_and_run(&task);
            let late = alarm.join().expect("the alarm");
            let called = partner.join().expect("the partner");
            assert!(late != called);
            assert_eq!(verdict == Verdict::TimedOut, late);
        });
    }

    /// A hold that is handed back lets the waiter wait on, or sends it to look again if somebody
    /// called in vain: never is that call lost.
    #[test]
    fn a_claim_handed_back_hides_no_call() {
        loom::model(|| {
            let task = task();
            task.waiter.open();
            let holder = thread::spawn({
                let task = Arc::clone(&task);
                move || {
                    // SAFETY: the `Arc` keeps the waiter.
                    drop(unsafe { Waiter::hold(NonNull::from(&task.waiter)) });
                }
            });
            let caller = thread::spawn({
                let task = Arc::clone(&task);
                move || call(&task, 0).map(Call::wake).is_some()
            });
            // Whatever the order, the task runs again: called, or told to look again.
            let verdict = park_and_run(&task);
            let won = caller.join().expect("the caller");
            drop(holder.join());
            match verdict {
                Verdict::Chosen(0) => assert!(won),
                Verdict::Retry => {
                    assert!(!won);
                    assert_eq!(task.cause[0].load(Relaxed), 1);
                }
                other @ (Verdict::TimedOut | Verdict::CalledOff | Verdict::Chosen(_)) => {
                    panic!("{other:?}")
                }
            }
        });
    }

    /// A partner hands its claim back, and the waiter withdraws and is gone.
    #[test]
    fn a_claim_handed_back_lets_the_waiter_go() {
        loom::model(|| {
            // The line's lock, and whether the waiter stands there.
            let line = Arc::new(Mutex::new(true));
            let waiter = Waiter::new(queue);
            waiter.open();
            let share = Share(NonNull::from(&waiter));
            let holder = thread::spawn({
                let line = Arc::clone(&line);
                move || {
                    let Share(waiter) = { share };
                    let stands = line.lock().expect("no panic");
                    // SAFETY: it stands there.
                    let hold = stands.then(|| unsafe { Waiter::hold(waiter) });
                    drop(stands);
                    drop(hold);
                }
            });
            while !waiter.withdraw() {
                thread::yield_now();
            }
            *line.lock().expect("no panic") = false;
            drop(waiter);
            holder.join().expect("no panic");
        });
    }

    /// Whoever has it finds the waiter in a line.
    struct Share(NonNull<Waiter>);

    // SAFETY: as it is used above.
    unsafe impl Send for Share {}
}
