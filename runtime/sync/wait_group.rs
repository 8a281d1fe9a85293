//! [`WaitGroup`]: waits until a number of things are done.
//!
//! The count and one bit, [`WAITERS`], share a word. While nobody waits, `add` and `done` are one
//! atomic step each. The step to zero with [`WAITERS`] set happens under the line's lock only, together
//! with clearing the bit and calling everybody in the line. So a group that is used again at once keeps
//! those who waited for the last time apart from those who wait for the next.
//!
//! # Edges
//!
//! - `[done]` what came before `done`, to who returns from `wait`.

use crate::{
    base::{
        lock::Lock,
        primitives::{
            AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
            const_fn,
        },
    },
    wait::{NO_SLOT, TimedOut, deadline_after, line::Line, reason::Reason, wait_in_line},
};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Somebody may stand in the line.
const WAITERS: usize = 1;
/// One thing that is not yet done.
const ONE: usize = 2;

/// The word and the line, apart from the handles' sharing.
#[derive(Debug)]
struct Counter {
    word: AtomicUsize,
    line: Lock<Line>,
}

impl Counter {
    const_fn! {
        const fn new() -> Self {
            Self {
                word: AtomicUsize::new(0),
                line: Lock::new(Line::new()),
            }
        }
    }

    /// Counts `count` more. If this returns `false`, the counter is full and the caller must panic.
    #[inline]
    fn add(&self, count: usize) -> bool {
        // Relaxed: whoever hands out work orders that itself.
        let before = self.word.fetch_add(count * ONE, Relaxed);
        if before <= usize::MAX / 2 {
            return true;
        }
        self.word.fetch_sub(count * ONE, Relaxed);
        false
    }

    /// Counts `count` less. If this returns `false`, there were not as many, nothing has changed and
    /// the caller must panic.
    #[inline]
    #[must_use]
    fn done(&self, count: usize) -> bool {
        let mut word = self.word.load(Relaxed);
        loop {
            if word / ONE < count {
                return false;
            }
            if word == count * ONE + WAITERS {
                return self.last_done(count);
            }
            // Release [done].
            match self
                .word
                .compare_exchange_weak(word, word - count * ONE, Release, Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// As [`done`](Self::done), when somebody may wait for it.
    #[cold]
    fn last_done(&self, count: usize) -> bool {
        let mut line = self.line.lock();
        let mut word = self.word.load(Relaxed);
        loop {
            if word / ONE < count {
                return false;
            }
            let left = word - count * ONE;
            let next = if left == WAITERS { 0 } else { left };
            // Acquire [done], to pass it on; Release [done].
            match self.word.compare_exchange_weak(word, next, AcqRel, Relaxed) {
                Ok(_) if left == WAITERS => break,
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        let calls = line.call_all();
        drop(line);
        calls.wake();
        true
    }

    #[inline]
    fn is_done(&self) -> bool {
        // Acquire [done].
        self.word.load(Acquire) < ONE
    }

    /// # Errors
    ///
    /// [`TimedOut`] if `deadline` came first.
    #[cold]
    #[track_caller]
    fn wait(&self, reason: Reason, deadline: Option<Instant>) -> Result<(), TimedOut> {
        let line = self.line.lock();
        let mut word = self.word.load(Acquire);
        loop {
            if word < ONE {
                return Ok(());
            }
            // Acquire [done], should it be done by now.
            match self
                .word
                .compare_exchange_weak(word, word | WAITERS, Relaxed, Acquire)
            {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        wait_in_line(&self.line, line, |it| it, NO_SLOT, reason, deadline)
    }
}

/// Waits until a number of things are done: Go's `sync.WaitGroup`.
///
/// A clone is another handle to the same group; the count belongs to all. Green threads and kernel
/// threads may add, finish and wait.
///
/// The things that are counted must be added before somebody waits for them: by the thread that starts
/// them, not by themselves. A group may be used again as soon as [`wait`](Self::wait) has returned to
/// anybody.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use sward::sync::WaitGroup;
///
/// let group = WaitGroup::new();
/// for _ in 0..3 {
///     group.add(1);
///     let group = group.clone();
///     thread::spawn(move || {
///         // .. some work ..
///         group.done();
///     });
/// }
/// group.wait();
/// ```
#[derive(Clone)]
pub struct WaitGroup {
    counter: Arc<Counter>,
}

impl WaitGroup {
    /// Makes a group that has nothing to wait for.
    pub fn new() -> Self {
        Self {
            counter: Arc::new(Counter::new()),
        }
    }

    /// Counts `delta` more things, or fewer if it is negative. When none is left, everybody who waits
    /// is released.
    ///
    /// # Panics
    ///
    /// If fewer than none would be left, or more than fit; the count stays as it was.
    #[inline]
    #[track_caller]
    pub fn add(&self, delta: isize) {
        let count = delta.unsigned_abs();
        if delta >= 0 {
            assert!(
                count <= usize::MAX / 8 && self.counter.add(count),
                "a wait group counts no more than fits"
            );
        } else {
            assert!(
                self.counter.done(count),
                "a wait group's count cannot go below zero"
            );
        }
    }

    /// One thing is done: `add(-1)`. What came before it has happened for whoever returns from
    /// [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// If nothing was left to be done.
    #[inline]
    #[track_caller]
    pub fn done(&self) {
        crate::wait::point();
        assert!(
            self.counter.done(1),
            "a wait group's count cannot go below zero"
        );
    }

    /// Waits until all is done; returns at once if nothing is left. All who wait are released together,
    /// even if the group is used again at once.
    #[inline]
    #[track_caller]
    pub fn wait(&self) {
        self.wait_as(Reason::WaitGroup);
    }

    /// As [`wait`](Self::wait), for what is made of one.
    #[inline]
    #[track_caller]
    pub(super) fn wait_as(&self, reason: Reason) {
        crate::wait::point();
        if !self.counter.is_done() {
            // Without a deadline it cannot be late.
            _ = self.counter.wait(reason, None);
        }
    }

    /// Spawns a green thread that runs `f`, and counts it until it has ended, be it by a panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// use sward::sync::WaitGroup;
    ///
    /// static SUM: AtomicU32 = AtomicU32::new(0);
    /// let group = WaitGroup::new();
    /// for number in 1..=4 {
    ///     group.go(move || _ = SUM.fetch_add(number, Relaxed));
    /// }
    /// group.wait();
    /// assert_eq!(SUM.load(Relaxed), 10);
    /// ```
    ///
    /// # Panics
    ///
    /// If the green thread cannot be [spawned](crate::spawn).
    #[track_caller]
    pub fn go<F: FnOnce() + Send + 'static>(&self, f: F) {
        self.add(1);
        // It goes with the closure, so it counts down even if that never runs.
        let member = Member(self.clone());
        drop(crate::spawn(move || {
            let _member = member;
            f();
        }));
    }

    /// As [`wait`](Self::wait), for `timeout` at most. `false` if things were left by then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let group = sward::sync::WaitGroup::new();
    /// group.add(1);
    /// assert!(!group.wait_timeout(Duration::from_millis(1)));
    /// group.done();
    /// assert!(group.wait_timeout(Duration::ZERO));
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        crate::wait::point();
        self.counter.is_done() || {
            let deadline = deadline_after(timeout);
            self.counter.wait(Reason::WaitGroup, deadline).is_ok()
        }
    }
}

/// One that is counted until this is dropped.
struct Member(WaitGroup);

impl Drop for Member {
    fn drop(&mut self) {
        self.0.done();
    }
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("count", &(self.counter.word.load(Relaxed) / ONE))
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::WaitGroup;
    use std::{
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        thread,
    };

    /// One who was released counts up at once: the others who waited with it are released as well.
    #[test]
    fn those_who_waited_are_released_even_if_more_is_added_at_once() {
        let (group, returned) = (WaitGroup::new(), AtomicUsize::new(0));
        for _ in 0..1_000 {
            returned.store(0, SeqCst);
            group.add(1);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        group.wait();
                        group.add(1);
                        returned.fetch_add(1, SeqCst);
                        while returned.load(SeqCst) < 3 {
                            thread::yield_now();
                        }
                        group.done();
                    });
                }
                while group.counter.line.lock().len() < 3 {
                    thread::yield_now();
                }
                group.done();
            });
            group.wait();
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::{Counter, Reason};
    use loom::{cell::UnsafeCell, model::Builder, sync::Arc, thread};

    struct Shared {
        counter: Counter,
        /// What the workers do.
        deeds: [UnsafeCell<()>; 2],
    }

    impl Shared {
        fn work(&self, index: usize) {
            self.deeds[index].with_mut(|_| ());
            assert!(self.counter.done(1));
        }

        fn wait(&self, asks: bool) {
            if !asks || !self.counter.is_done() {
                assert!(self.counter.wait(Reason::WaitGroup, None).is_ok());
            }
            self.deeds.iter().for_each(|it| it.with(|_| ()));
            assert!(!self.counter.done(1), "below zero");
        }
    }

    /// Two who wait are released by the last, see what all did, and not before.
    fn explore(asks: bool) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(move || {
            let shared = Arc::new(Shared {
                counter: Counter::new(),
                deeds: Default::default(),
            });
            assert!(shared.counter.add(2));
            let worker = thread::spawn({
                let shared = Arc::clone(&shared);
                move || shared.work(0)
            });
            let waiter = thread::spawn({
                let shared = Arc::clone(&shared);
                move || shared.wait(asks)
            });
            shared.work(1);
            shared.wait(asks);
            worker.join().expect("a worker");
            waiter.join().expect("who waits");
        });
    }

    #[test]
    fn the_last_releases_who_waits() {
        explore(false);
    }

    #[test]
    fn who_asks_after_the_last_sees_what_all_did() {
        explore(true);
    }
}
