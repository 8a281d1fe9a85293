//! A lock for a kernel thread: a word, and a futex for those who wait long; it is never poisoned.
//!
//! std's asks at both ends of each section whether the thread panics, which is a third of its price when
//! nobody contends. No user code runs in our sections, so there is nothing to poison.
//!
//! | word     | meaning            | `wanted`   | meaning                                  |
//! |----------|--------------------|------------|------------------------------------------|
//! | [`FREE`] | nobody has it      | 0          | nobody sleeps who has not been woken     |
//! | [`HELD`] | somebody has it    | [`WANTED`] | somebody may sleep, on this second word  |
//!
//! # Letting go
//!
//! It is a plain store, and a look at a word that hardly ever changes; an exchange that told both at once
//! would cost as much as the taking: of 26 ns for the two, 12 (and of a message through a buffer between
//! two green threads a fourth). Whoever is about to sleep pays for the order:
//!
//! | lets go                                         | is about to sleep                                 |
//! |-------------------------------------------------|---------------------------------------------------|
//! | L1  word: FREE                                  | S1  wanted: WANTED                                |
//! | L2  light barrier                               | S2  heavy barrier                                 |
//! | L3  read wanted: if WANTED, clear it, wake one  | S3  take the word if it is FREE; else sleep while wanted is WANTED |
//!
//! Each side writes first and reads after, so one of the two sees the other. Who is woken begins anew, and
//! leaves WANTED behind when it has got the lock: it may not be the last sleeper. Where the kernel refuses
//! its heavy barrier (`membarrier`), nobody sleeps for longer than [`NAP`] without a look.
//!
//! So a lock is looked at once more after it was let go. Whoever frees one must know that the threads that
//! had it have returned from there, as every borrow of it says.
//!
//! # Who comes second
//!
//! Whoever finds the lock taken looks again after a pause, each twice as long as the last, up to
//! [`LONGEST`]. A thread that is at it then does dozens of sections while the word, and what it guards, stay
//! in its cache; with short pauses two threads take every section from each other, and each pays for the
//! lines that come and go. Measured with eight senders and eight receivers of one channel on two cores: 104 ns
//! per message with looks at every pause, 59 with at most 16 pauses between looks, 29 with 64, 25 with 128, 22
//! with 256. Only who has paused for [`PAUSES`] in all goes to sleep: the owner has lost its core, and a
//! wake-up costs the owner a thousand sections.
//!
//! # Edges
//!
//! - `[section]` what was done in a section, to the next one.
//!
//! # What was not done
//!
//! *A queue of waiters* (MCS): the order that it keeps is the very exchange of lines that pauses avoid.
//! *Both in one word* (Drepper, 2011), which needs the exchange.

#![expect(unsafe_code, reason = "a lock gives access to what it guards")]

use super::primitives::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
    PAUSES, const_fn, futex_wait, futex_wake, light_barrier, spin_loop, try_heavy_barrier,
};
use std::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    sync::{LockResult, TryLockError, TryLockResult},
    time::{Duration, Instant},
};

const FREE: u32 = 0;
const HELD: u32 = 1;
const WANTED: u32 = 1;
/// How many pauses of the processor there are before the first look.
const SHORTEST: u32 = 4;
/// How many there are between two looks at most: some 2 microseconds.
const LONGEST: u32 = 128;
/// How long a thread sleeps at most that cannot be sure to be woken.
const NAP: Duration = Duration::from_millis(1);

/// A value that one thread at a time may look at.
pub(crate) struct Mutex<T> {
    word: AtomicU32,
    /// Whether somebody may sleep on this.
    wanted: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: one thread at a time gets at the value.
unsafe impl<T: Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Mutex<T> {}

/// The section; it ends when this is dropped, by the same thread.
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    own_thread: PhantomData<*const ()>,
}

impl<T> Mutex<T> {
    const_fn! {
        pub(crate) const fn new(value: T) -> Self {
            Self {
                word: AtomicU32::new(FREE),
                wanted: AtomicU32::new(0),
                value: UnsafeCell::new(value),
            }
        }
    }

    /// Waits for the section. The result is std's form; it is never an error.
    #[inline]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "in a model, loom's stands in its place"
    )]
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        if !self.take() {
            self.wait();
        }
        Ok(self.guard())
    }

    /// The section if it is free now.
    #[inline]
    pub(crate) fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if self.take() {
            Ok(self.guard())
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Takes the word if it is free.
    #[inline]
    fn take(&self) -> bool {
        // Acquire [section].
        self.word
            .compare_exchange(FREE, HELD, Acquire, Relaxed)
            .is_ok()
    }

    #[inline]
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            own_thread: PhantomData,
        }
    }

    #[cold]
    fn wait(&self) {
        let (mut pauses, mut paused) = (SHORTEST, 0);
        while paused < PAUSES {
            for _ in 0..pauses {
                spin_loop();
            }
            if self.word.load(Relaxed) == FREE && self.take() {
                return;
            }
            paused += pauses;
            pauses = LONGEST.min(2 * pauses);
        }
        loop {
            // An exchange, as below, for one order of both. S1
            self.wanted.swap(WANTED, Relaxed);
            let sure = try_heavy_barrier(); // S2
            // S3
            if self.take() {
                return;
            }
            let deadline = (!sure).then(|| Instant::now() + NAP);
            futex_wait(&self.wanted, WANTED, deadline);
        }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.word.store(FREE, Release); // Release [section]. L1
        light_barrier(); // L2
        // Relaxed: the barriers order it. L3
        if self.mutex.wanted.load(Relaxed) == WANTED {
            wake(&self.mutex.wanted);
        }
    }
}

#[cold]
fn wake(wanted: &AtomicU32) {
    // Before the wake-up: whoever is about to sleep then finds it cleared, unless others want it again. An
    // exchange: a store might come so late that it wiped out what somebody has written after the wake-up.
    wanted.swap(0, Relaxed);
    futex_wake(wanted, 1);
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the section is ours.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the section is ours, and the guard borrowed for writing.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Mutex;
    use std::thread;

    #[test]
    fn sections_exclude_each_other() {
        let count = Mutex::new(0_u64);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        if let Ok(mut count) = count.lock() {
                            *count += 1;
                        }
                    }
                });
            }
        });
        assert_eq!(count.lock().map(|it| *it).ok(), Some(200_000));
        let held = count.try_lock();
        assert!(held.is_ok() && count.try_lock().is_err());
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::Mutex;
    use loom::{cell::UnsafeCell, model::Builder, sync::Arc, thread};

    /// One at a time, each sees what the last did, and nobody sleeps for ever.
    #[test]
    #[expect(unsafe_code, reason = "the claim that the model checks")]
    fn sections_exclude_each_other() {
        struct Shared {
            mutex: Mutex<()>,
            count: UnsafeCell<usize>,
        }
        // SAFETY: what is checked here.
        unsafe impl Sync for Shared {}
        let mut builder = Builder::new();
        // Two sleepers and one who comes between: with fewer, an exchange that is a store goes unnoticed.
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let shared = Arc::new(Shared {
                mutex: Mutex::new(()),
                count: UnsafeCell::new(0),
            });
            let add = |shared: &Shared| {
                let section = shared.mutex.lock();
                // SAFETY: what is checked here.
                shared.count.with_mut(|it| unsafe { *it += 1 });
                drop(section);
            };
            let others = [(); 2].map(|()| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || add(&shared))
            });
            add(&shared);
            for other in others {
                other.join().expect("a section");
            }
            // SAFETY: all have ended.
            shared.count.with(|it| assert_eq!(unsafe { *it }, 3));
        });
    }

    /// Whoever finds it free sees what was done.
    #[test]
    fn a_section_that_is_free_at_once_comes_after_others() {
        loom::model(|| {
            let shared = Arc::new((Mutex::new(()), UnsafeCell::new(())));
            let other = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    if let Ok(section) = shared.0.try_lock() {
                        shared.1.with_mut(|_| ());
                        drop(section);
                    }
                }
            });
            let section = shared.0.lock();
            shared.1.with_mut(|_| ());
            drop(section);
            other.join().expect("no panic");
        });
    }
}
