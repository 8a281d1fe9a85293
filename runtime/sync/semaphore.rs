//! [`Semaphore`]: a number of permits, which are taken, several at a time, in order of arrival.
//!
//! The word holds how many permits are free and one bit, [`QUEUED`]: somebody may stand in the line. While
//! it is set nobody takes permits but by being called, so those who wait are never overtaken. Whoever
//! gives permits back and sees it, and whoever leaves the line without permits, calls those who can go on
//! now ([`settle`](Semaphore::settle)): the first whose request does not fit holds up all behind it.
//!
//! # Edges
//!
//! - `[permit]` what came before a permit was given back, to whoever gets it.

#![expect(unsafe_code, reason = "who waits says in its frame how much it wants")]

use crate::{
    base::{
        lock::Lock,
        primitives::{
            AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
            const_fn,
        },
    },
    wait::{TimedOut, deadline_after, line::Line, reason::Reason, wait_in_line},
};
use std::{
    fmt,
    mem::ManuallyDrop,
    ptr,
    time::{Duration, Instant},
};

const QUEUED: usize = 1;
const ONE: usize = 2;

/// A number of permits, taken several at a time, in order of arrival: Go's `semaphore.Weighted`.
///
/// A green thread that waits lets others run, a kernel thread sleeps. A request that cannot be met yet
/// holds up those that come later, even smaller ones, so that it is met in the end.
///
/// # Examples
///
/// ```
/// use sward::sync::Semaphore;
///
/// let seats = Semaphore::new(3);
/// let two = seats.acquire(2);
/// assert!(seats.try_acquire(2).is_none());
/// drop(two);
/// assert!(seats.try_acquire(2).is_some());
/// ```
pub struct Semaphore {
    word: AtomicUsize,
    line: Lock<Line>,
}

/// Permits of a [`Semaphore`], which go back when this is dropped.
#[must_use = "the permits go back at once if this is not kept"]
#[clippy::has_significant_drop]
pub struct Permits<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

/// Settles when dropped, unless its wait ended well.
struct Leaving<'a> {
    semaphore: Option<&'a Semaphore>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(semaphore) = self.semaphore {
            semaphore.settle();
        }
    }
}

impl Semaphore {
    /// The most permits that there can be.
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    const_fn! {
        /// Makes one with `permits` free permits; it allocates nothing.
        ///
        /// # Panics
        ///
        /// If there are more than [`MAX_PERMITS`](Self::MAX_PERMITS).
        #[must_use]
        pub const fn new(permits: usize) -> Self {
            assert!(permits <= Self::MAX_PERMITS, "too many permits");
            Self {
                word: AtomicUsize::new(permits * ONE),
                line: Lock::new(Line::new()),
            }
        }
    }

    /// Takes `count` permits; waits until there are as many and all who came before have got theirs.
    ///
    /// More than there will ever be are waited for all the same: others may [`add`](Self::add) some.
    #[inline]
    #[track_caller]
    pub fn acquire(&self, count: usize) -> Permits<'_> {
        crate::wait::point();
        if !self.try_take(count) {
            // Without a deadline it cannot be late.
            _ = self.wait_for(count, None);
        }
        self.permits(count)
    }

    /// Takes `count` permits if they are free and nobody waits; never waits itself.
    #[inline]
    pub fn try_acquire(&self, count: usize) -> Option<Permits<'_>> {
        crate::wait::point();
        self.try_take(count).then(|| self.permits(count))
    }

    /// As [`acquire`](Self::acquire), and waits for `timeout` at most; `None` if that was too short. Then
    /// nothing was taken, and it holds up nobody any more.
    #[track_caller]
    pub fn acquire_timeout(&self, count: usize, timeout: Duration) -> Option<Permits<'_>> {
        crate::wait::point();
        if !self.try_take(count) {
            self.wait_for(count, deadline_after(timeout)).ok()?;
        }
        Some(self.permits(count))
    }

    /// Adds `count` permits.
    ///
    /// # Panics
    ///
    /// If there were more than [`MAX_PERMITS`](Self::MAX_PERMITS); they then are not added.
    #[track_caller]
    pub fn add(&self, count: usize) {
        assert!(
            count <= Self::MAX_PERMITS
                && self.word.load(Relaxed) / ONE <= Self::MAX_PERMITS - count,
            "too many permits"
        );
        self.give(count);
    }

    /// The permits of whoever has just taken them.
    #[inline]
    fn permits(&self, count: usize) -> Permits<'_> {
        Permits {
            semaphore: self,
            count,
        }
    }

    #[inline]
    fn try_take(&self, count: usize) -> bool {
        let mut word = self.word.load(Relaxed);
        while word & QUEUED == 0 && word / ONE >= count {
            // Acquire [permit].
            match self
                .word
                .compare_exchange_weak(word, word - count * ONE, Acquire, Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Puts `count` permits back.
    #[inline]
    fn give(&self, count: usize) {
        // Release [permit].
        if self.word.fetch_add(count * ONE, Release) & QUEUED != 0 {
            self.settle();
        }
    }

    /// # Errors
    ///
    /// [`TimedOut`] if `deadline` came first.
    #[cold]
    #[track_caller]
    fn wait_for(&self, count: usize, deadline: Option<Instant>) -> Result<(), TimedOut> {
        let line = self.line.lock();
        let mut word = self.word.load(Relaxed);
        loop {
            let fits = word & QUEUED == 0 && word / ONE >= count;
            let next = if fits {
                word - count * ONE
            } else {
                word | QUEUED
            };
            // Acquire [permit], if it fits.
            match self
                .word
                .compare_exchange_weak(word, next, Acquire, Relaxed)
            {
                Ok(_) if fits => return Ok(()),
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        let mut leaving = Leaving {
            semaphore: Some(self),
        };
        let wanted = ptr::from_ref(&count).cast_mut().cast();
        wait_in_line(
            &self.line,
            line,
            |it| it,
            wanted,
            Reason::Semaphore,
            deadline,
        )?;
        leaving.semaphore = None;
        Ok(())
    }

    /// Gives free permits to those who wait, in order, as far as they go.
    #[cold]
    fn settle(&self) {
        loop {
            let mut line = self.line.lock();
            // Acquire [permit], to pass it on. With the bit set it can only grow meanwhile.
            let word = self.word.load(Acquire);
            if word & QUEUED == 0 {
                return;
            }
            let mut wanted = 0;
            let called = line.call_first_if(|slot| {
                // SAFETY: the slot of one that stands in this line, whose lock is ours, is a number in
                // its frame.
                wanted = unsafe { *slot.cast::<usize>() };
                wanted <= word / ONE
            });
            if called.is_some() {
                self.word.fetch_sub(wanted * ONE, Relaxed);
            }
            if line.is_empty() {
                self.word.fetch_and(!QUEUED, Relaxed);
            }
            drop(line);
            match called {
                Some(called) => called.call.wake(),
                None => return,
            }
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("free", &(self.word.load(Relaxed) / ONE))
            .finish_non_exhaustive()
    }
}

impl Permits<'_> {
    /// Keeps the permits out of the semaphore for good.
    pub fn forget(self) {
        _ = ManuallyDrop::new(self);
    }
}

impl Drop for Permits<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.give(self.count);
    }
}

impl fmt::Debug for Permits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::Semaphore;
    use crate::base::primitives::Ordering::Relaxed;
    use loom::{cell::UnsafeCell, model::Builder, sync::Arc, thread};
    use std::time::{Duration, Instant};

    fn explore(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    /// One permit lets one in at a time, who sees what the one before did.
    #[test]
    fn one_permit_lets_one_in() {
        explore(|| {
            let shared = Arc::new((Semaphore::new(1), UnsafeCell::new(0)));
            let section = |shared: &(Semaphore, UnsafeCell<i32>)| {
                let permit = shared.0.acquire(1);
                shared.1.with_mut(|_| ());
                drop(permit);
            };
            let others = [0, 1].map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || section(&shared))
            });
            section(&shared);
            for other in others {
                other.join().expect("no panic");
            }
            assert_eq!(shared.0.word.load(Relaxed), 2);
        });
    }

    /// A time-out against a grant: no permit is lost, and the one behind gets in.
    #[test]
    fn a_late_request_takes_no_permit_with_it() {
        explore(|| {
            let semaphore = Arc::new(Semaphore::new(2));
            let held = semaphore.acquire(1);
            let late = thread::spawn({
                let semaphore = Arc::clone(&semaphore);
                move || {
                    let late = semaphore.wait_for(2, Some(Instant::now()));
                    late.is_ok().then(|| drop(semaphore.permits(2)))
                }
            });
            let behind = thread::spawn({
                let semaphore = Arc::clone(&semaphore);
                move || drop(semaphore.acquire(1))
            });
            drop(held);
            _ = late.join().expect("no panic");
            behind.join().expect("no panic");
            assert_eq!(semaphore.word.load(Relaxed), 4);
            assert!(semaphore.acquire_timeout(2, Duration::ZERO).is_some());
        });
    }
}
