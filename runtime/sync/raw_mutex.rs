//! The lock of a [`Mutex`](super::Mutex) without a value: a word, and a line when somebody waits.
//!
//! To lock is one compare-exchange, to unlock one subtraction. Four bits:
//!
//! | bit          | meaning                                                 | set by             | cleared by        |
//! |--------------|---------------------------------------------------------|--------------------|-------------------|
//! | [`LOCKED`]   | somebody holds it                                       | who takes it, or who hands it over | the holder |
//! | [`WAITERS`]  | somebody may stand in the line                          | who joins the line | who empties it    |
//! | [`WOKEN`]    | one waiter was woken and competes: wake no other        | who unlocks        | that waiter       |
//! | [`STARVING`] | the first waiter has lost after [`PATIENCE`]: newcomers keep off | that waiter | who holds it, when the line is young or empty again |
//!
//! All but [`LOCKED`] and the clearing of [`WOKEN`] and [`STARVING`] change under the line's lock alone.
//!
//! *Barging*: who unlocks wakes the first waiter but does not keep the lock for it. A thread that is
//! running takes it again meanwhile for the price of an uncontended lock; were the lock handed over,
//! every section would cost a switch. The waiter that comes too late stands at the head of the line
//! again and clears [`WOKEN`] in the same step, so the holder will wake it, or another, once more.
//!
//! *Starvation*: a waiter that loses although it has waited for [`PATIENCE`] sets [`STARVING`]. From
//! then on the lock is handed from holder to waiter, in order, and a newcomer goes to the end of the
//! line. The first waiter that waited less, or is the last, ends that.
//!
//! [`WOKEN`] and [`STARVING`] exclude each other: the one is set only while the other is clear, under
//! the line's lock, or by the step that clears the other. Hence a waiter that was called sees from
//! [`WOKEN`], which only it would clear, whether it has to compete or was given the lock.
//!
//! *Adoption*: who waited for something else, under this lock, can be moved to the line as they stand
//! ([`adopt`](RawMutex::adopt)): a thousand who were notified of a change are not woken to find the lock taken.
//!
//! # No wake-up is lost
//!
//! - A waiter joins the line with [`LOCKED`] set, or [`STARVING`]: by the compare-exchange that sets
//!   [`WAITERS`]. So the holder sees it when it unlocks, and then waits for the line's lock.
//! - Who is adopted joins it when nobody may hold the lock; then the first of the line is woken by who
//!   moved it there.
//! - A holder that sees [`WOKEN`] wakes nobody: the woken one will take the lock, and wakes others when
//!   it unlocks; or finds it locked, clears [`WOKEN`], and that holder wakes.
//! - A waiter that is late or called off was not called: it has nothing to pass on. One that was woken
//!   competes before it looks at the time.
//!
//! # Edges
//!
//! - `[section]` what a holder wrote, to the next holder.
//!
//! Who holds it is noted for those who look, see [`holder`](crate::wait::holder).

#![expect(unsafe_code, reason = "waiters are moved from another line")]

use crate::{
    base::{
        lock::Lock,
        primitives::{
            AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
            PATIENCE, const_fn,
        },
    },
    wait::{
        End, NO_SLOT, Place, TimedOut,
        holder::Holder,
        line::{Called, Line},
        now,
        reason::Reason,
        wait_at,
    },
};
use std::{panic::Location, ptr, time::Instant};

const LOCKED: u32 = 1;
const WAITERS: u32 = 1 << 1;
const WOKEN: u32 = 1 << 2;
const STARVING: u32 = 1 << 3;

/// Who comes may take it.
const fn is_free(word: u32) -> bool {
    word & (LOCKED | STARVING) == 0
}

#[derive(Debug)]
pub(super) struct RawMutex {
    word: AtomicU32,
    holder: Holder,
    line: Lock<Line>,
}

impl RawMutex {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self {
                word: AtomicU32::new(0),
                holder: Holder::new(),
                line: Lock::new(Line::new()),
            }
        }
    }

    #[inline]
    #[track_caller]
    pub(super) fn lock(&self) {
        if !self.try_lock_new() {
            // Without a deadline it cannot be late.
            _ = self.lock_slowly(None, 0);
        }
        self.holder.set();
    }

    /// Takes the lock, as one of those whom it [adopted](Self::adopt) and then called.
    #[track_caller]
    pub(super) fn lock_adopted(&self) {
        if !self.was_handed_over(None) {
            // Without a deadline it cannot be late.
            _ = self.lock_slowly(None, WOKEN);
        }
        self.holder.set();
    }

    /// # Errors
    ///
    /// [`TimedOut`] if `deadline`, which is asked for if the lock is not free at once, came first.
    #[inline]
    #[track_caller]
    pub(super) fn lock_until(
        &self,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Result<(), TimedOut> {
        if !self.try_lock_new() {
            self.lock_slowly(deadline(), 0)?;
        }
        self.holder.set();
        Ok(())
    }

    /// Takes a lock that nobody holds and nobody waits for.
    #[inline]
    fn try_lock_new(&self) -> bool {
        // Acquire [section].
        self.word
            .compare_exchange(0, LOCKED, Acquire, Relaxed)
            .is_ok()
    }

    /// Takes the lock if nobody holds it and no starving waiter is owed it.
    #[must_use]
    pub(super) fn try_lock(&self) -> bool {
        let locked = self.try_lock_with(0);
        if locked {
            self.holder.set();
        }
        locked
    }

    /// As [`try_lock`](Self::try_lock), and clears `woken` in the same step.
    fn try_lock_with(&self, woken: u32) -> bool {
        let mut word = self.word.load(Relaxed);
        while is_free(word) {
            // Acquire [section].
            match self
                .word
                .compare_exchange_weak(word, (word | LOCKED) & !woken, Acquire, Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Waits for the lock; `woken` is [`WOKEN`] if this waiter is the one that it speaks of, else nothing.
    #[cold]
    #[track_caller]
    fn lock_slowly(&self, deadline: Option<Instant>, mut woken: u32) -> Result<(), TimedOut> {
        let mut since = None;
        loop {
            if self.try_lock_with(woken) {
                return Ok(());
            }
            let time = now();
            let starving = match since {
                Some(since) if time.saturating_duration_since(since) >= PATIENCE => STARVING,
                Some(_) => 0,
                None => {
                    since = Some(time);
                    0
                }
            };
            let line = self.line.lock();
            let mut word = self.word.load(Relaxed);
            loop {
                let next = if is_free(word) {
                    (word | LOCKED) & !woken
                } else {
                    (word | WAITERS | starving) & !woken
                };
                // Acquire [section], if it is free.
                match self
                    .word
                    .compare_exchange_weak(word, next, Acquire, Relaxed)
                {
                    Ok(_) if is_free(word) => return Ok(()),
                    Ok(_) => break,
                    Err(now) => word = now,
                }
            }
            let end = if woken == 0 { End::Back } else { End::Front };
            let place = Place {
                end,
                slot: NO_SLOT,
                reason: Reason::Mutex,
                subject: self.subject(),
                caller: Location::caller(),
            };
            wait_at(&self.line, line, |it| it, place, deadline)?;
            if self.was_handed_over(since) {
                return Ok(());
            }
            woken = WOKEN;
        }
    }

    /// Whether the caller, a waiter who was called, has the lock now; else it was woken to compete. If it
    /// was the last, or waited little, that ends starvation.
    fn was_handed_over(&self, since: Option<Instant>) -> bool {
        // Relaxed: nobody but this waiter clears `WOKEN`, and the wake-up came after it was set.
        let word = self.word.load(Relaxed);
        if word & WOKEN != 0 {
            return false;
        }
        let waited = since.map_or(PATIENCE, |it| now().saturating_duration_since(it));
        if word & WAITERS == 0 || waited < PATIENCE {
            self.word.fetch_and(!STARVING, Relaxed);
        }
        true
    }

    /// What those who wait for it [stand for](crate::wait::Waiting::stands_for).
    pub(super) fn subject(&self) -> usize {
        ptr::from_ref(&self.holder).addr()
    }

    /// The line of those who wait for this lock, for who may be [adopted](Self::adopt).
    pub(super) fn line(&self) -> &Lock<Line> {
        &self.line
    }

    /// Lets all who stand in `line` wait for this lock, behind those who do so already. They will be called
    /// one after the other, as it becomes free; if nobody has it now, the first is called at once, and
    /// is to be woken when the lock of `line` is let go.
    ///
    /// # Safety
    ///
    /// They all wait by [`wait_movable`](crate::wait::wait_movable), with [`line`](Self::line) as the
    /// second, and take this lock by [`lock_adopted`](Self::lock_adopted) if they are called there.
    #[must_use]
    pub(super) unsafe fn adopt(&self, others: &mut Line) -> Option<Called> {
        let mut line = self.line.lock();
        // SAFETY: the caller's promise, and the lock of the second line is ours.
        unsafe { others.move_to(&mut line) };
        // Relaxed: nothing is taken or let go of. Whoever holds the lock at this step sees the flag when it
        // unlocks, and then waits for the line's lock.
        let before = self.word.fetch_or(WAITERS, Relaxed);
        if before & (LOCKED | WOKEN | STARVING) != 0 {
            return None;
        }
        let called = self.call_to_compete(&mut line);
        drop(line);
        called
    }

    /// Calls the first of the line, who will compete for the lock. Under the line's lock, with neither
    /// [`WOKEN`] nor [`STARVING`].
    fn call_to_compete(&self, line: &mut Line) -> Option<Called> {
        let called = line.call_first();
        // Relaxed: these do not let go of the lock, nor take it.
        if called.is_none() || line.is_empty() {
            // Who still stands there was called elsewhere, and is about to leave.
            self.word.fetch_and(!WAITERS, Relaxed);
        }
        if called.is_some() {
            self.word.fetch_or(WOKEN, Relaxed);
        }
        called
    }

    /// Lets go of the lock, which the caller holds.
    #[inline]
    pub(super) fn unlock(&self) {
        self.holder.clear();
        // Release [section].
        let before = self.word.fetch_sub(LOCKED, Release);
        debug_assert!(before & LOCKED != 0, "a lock is unlocked by its holder");
        if before != LOCKED {
            self.unlock_slowly(before);
        }
    }

    #[cold]
    fn unlock_slowly(&self, before: u32) {
        if before & STARVING == 0 && before & (WAITERS | WOKEN) != WAITERS {
            return;
        }
        let mut line = self.line.lock();
        // Acquire [section], to pass it on: by now another may have held it.
        let word = self.word.load(Acquire);
        if word & (LOCKED | WOKEN) != 0 {
            // That holder sees to the line; or the one who was woken does.
            return;
        }
        let called = if word & STARVING != 0 {
            let called = line.call_first();
            let next = match &called {
                Some(_) if line.is_empty() => LOCKED | STARVING,
                Some(_) => LOCKED | STARVING | WAITERS,
                // All have gone.
                None => 0,
            };
            // Nobody else changes the word: newcomers keep off, others need the line. Release
            // [section].
            self.word.store(next, Release);
            called
        } else if word & WAITERS != 0 {
            self.call_to_compete(&mut line)
        } else {
            None
        };
        drop(line);
        drop(called);
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::{RawMutex, WAITERS};
    use crate::base::primitives::Ordering::Relaxed;
    use loom::{cell::UnsafeCell, model::Builder, sync::Arc, thread};
    use std::time::Instant;

    struct Counter {
        raw: RawMutex,
        // loom's own cell: it fails the model if two sections overlap or are not ordered.
        value: UnsafeCell<u32>,
    }

    fn counter() -> Arc<Counter> {
        Arc::new(Counter {
            raw: RawMutex::new(),
            value: UnsafeCell::new(0),
        })
    }

    impl Counter {
        fn add(&self) {
            self.value.with_mut(|it| {
                // SAFETY: loom checks that nobody else is here.
                unsafe { *it += 1 }
            });
        }

        fn section(&self) {
            self.raw.lock();
            // The holder of before has cleared its name before this one came.
            assert!(self.raw.holder.noted().is_some());
            self.add();
            self.raw.unlock();
        }
    }

    fn explore(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    /// Sections exclude each other and see each other, and nobody sleeps for ever.
    #[test]
    fn sections_exclude_each_other() {
        explore(|| {
            let counter = counter();
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let counter = Arc::clone(&counter);
                    thread::spawn(move || counter.section())
                })
                .collect();
            counter.section();
            for other in others {
                other.join().expect("a section");
            }
            counter.raw.lock();
            counter.value.with(|_| ());
            assert_eq!(counter.raw.word.load(Relaxed) & WAITERS, 0);
            counter.raw.unlock();
        });
    }

    /// One that locks again and again lets a starving waiter in.
    #[test]
    fn a_waiter_is_handed_the_lock() {
        explore(|| {
            let counter = counter();
            let hog = thread::spawn({
                let counter = Arc::clone(&counter);
                move || {
                    for _ in 0..3 {
                        counter.section();
                    }
                }
            });
            counter.section();
            hog.join().expect("the hog");
        });
    }

    /// A waiter that gives up does not keep the lock from another.
    #[test]
    fn a_late_waiter_takes_no_wake_up_with_it() {
        explore(|| {
            let counter = counter();
            let late = thread::spawn({
                let counter = Arc::clone(&counter);
                move || {
                    if counter.raw.lock_until(|| Some(Instant::now())).is_ok() {
                        counter.add();
                        counter.raw.unlock();
                    }
                }
            });
            let other = thread::spawn({
                let counter = Arc::clone(&counter);
                move || counter.section()
            });
            counter.section();
            late.join().expect("the late one");
            other.join().expect("the other");
        });
    }
}
