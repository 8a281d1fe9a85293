//! A lock of one word, for a kernel thread: a futex that is never poisoned.
//!
//! std's is as good, but asks at both ends of each section whether the thread panics, which is a third of
//! its price when nobody contends. No user code runs in our sections, so there is nothing to poison.
//!
//! | word        | meaning                                               |
//! |-------------|-------------------------------------------------------|
//! | [`FREE`]    | nobody has it                                         |
//! | [`HELD`]    | somebody has it, and nobody sleeps                    |
//! | [`WANTED`]  | somebody has it, and others may sleep (Drepper, 2011) |
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

#![expect(unsafe_code, reason = "a lock gives access to what it guards")]

use super::primitives::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
    PAUSES, const_fn, futex_wait, futex_wake, spin_loop,
};
use std::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    sync::{LockResult, TryLockError, TryLockResult},
};

const FREE: u32 = 0;
const HELD: u32 = 1;
const WANTED: u32 = 2;
/// How many pauses of the processor there are before the first look.
const SHORTEST: u32 = 4;
/// How many there are between two looks at most: some 2 microseconds.
const LONGEST: u32 = 128;

/// A value that one thread at a time may look at.
pub(crate) struct Mutex<T> {
    word: AtomicU32,
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
        // Acquire [section].
        if self
            .word
            .compare_exchange(FREE, HELD, Acquire, Relaxed)
            .is_err()
        {
            self.wait();
        }
        Ok(self.guard())
    }

    /// The section if it is free now.
    #[inline]
    pub(crate) fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        // Acquire [section].
        match self.word.compare_exchange(FREE, HELD, Acquire, Relaxed) {
            Ok(_) => Ok(self.guard()),
            Err(_) => Err(TryLockError::WouldBlock),
        }
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
            // Acquire [section].
            if self.word.load(Relaxed) == FREE
                && self
                    .word
                    .compare_exchange(FREE, HELD, Acquire, Relaxed)
                    .is_ok()
            {
                return;
            }
            paused += pauses;
            pauses = LONGEST.min(2 * pauses);
        }
        // Acquire [section]. Whoever has slept may not be the last sleeper.
        while self.word.swap(WANTED, Acquire) != FREE {
            futex_wait(&self.word, WANTED, None);
        }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release [section].
        if self.mutex.word.swap(FREE, Release) == WANTED {
            wake(&self.mutex.word);
        }
    }
}

#[cold]
fn wake(word: &AtomicU32) {
    futex_wake(word, 1);
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
    use loom::{cell::UnsafeCell, sync::Arc, thread};

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
        loom::model(|| {
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
