//! [`Mutex`]: a value that one thread at a time may use; who waits gives way to other green threads.

#![expect(unsafe_code, reason = "a mutex hands out references to its value")]

use super::{
    poison::{Entry, Flag, guard, lock},
    raw_mutex::RawMutex,
};
use crate::{base::primitives::const_fn, wait::deadline_after};
use std::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{LockResult, TryLockError, TryLockResult},
    time::Duration,
};

/// A value that one thread at a time may use: [`std::sync::Mutex`], green.
///
/// A green thread that waits for it lets others run on its kernel thread; a plain kernel thread sleeps.
/// Both kinds may use the same mutex. A guard may be held over a call that blocks, `sleep` or a
/// channel's `recv` for instance: all who want the mutex then wait that long, and nobody else.
///
/// Who unlocks wakes the one who has waited longest, but a thread that comes along may be quicker. Once
/// one has lost in this way after a millisecond, the mutex is handed over in order of arrival, until
/// nobody has waited that long. It is not re-entrant: a thread that locks it twice waits for itself.
///
/// A panic while it is locked poisons it, as in `std`; the end of a green thread by a runtime's
/// shutdown does not.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use sward::sync::Mutex;
///
/// let total = Arc::new(Mutex::new(0));
/// let threads: Vec<_> = (1..=4)
///     .map(|number| {
///         let total = Arc::clone(&total);
///         thread::spawn(move || *total.lock().expect("no thread panics") += number)
///     })
///     .collect();
/// for thread in threads {
///     thread.join().expect("it only adds");
/// }
/// assert_eq!(*total.lock().expect("no thread panicked"), 10);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    poison: Flag,
    value: UnsafeCell<T>,
}

// SAFETY: the value is used by one thread at a time; so to share the mutex is to send the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

lock!(Mutex);

impl<T> Mutex<T> {
    const_fn! {
        /// Makes an unlocked mutex; it allocates nothing.
        ///
        /// # Examples
        ///
        /// ```
        /// static NAMES: sward::sync::Mutex<Vec<String>> = sward::sync::Mutex::new(Vec::new());
        /// NAMES.lock().expect("not poisoned").push("Ada".to_owned());
        /// ```
        #[inline]
        pub const fn new(value: T) -> Self {
            Self {
                raw: RawMutex::new(),
                poison: Flag::new(),
                value: UnsafeCell::new(value),
            }
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks it and returns a guard that unlocks it when dropped. Waits as long as others hold it.
    ///
    /// # Examples
    ///
    /// ```
    /// let mutex = sward::sync::Mutex::new(1);
    /// *mutex.lock().expect("not poisoned") += 1;
    /// assert_eq!(*mutex.lock().expect("not poisoned"), 2);
    /// ```
    ///
    /// # Errors
    ///
    /// If it is poisoned; the guard is in the error.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        crate::wait::point();
        self.raw.lock();
        self.guard()
    }

    /// Locks it if nobody holds it now; never waits. It also fails if another has waited for so long
    /// that the mutex goes to it next.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](TryLockError::WouldBlock) if it is not free; `Poisoned`, with the guard, if it is
    /// free and poisoned.
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        crate::wait::point();
        if !self.raw.try_lock() {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.guard()?)
    }

    /// Locks it, and waits for `timeout` at most. If it is free, no time is too short.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let mutex = sward::sync::Mutex::new(1);
    /// let guard = mutex.lock_timeout(Duration::ZERO).expect("it is free");
    /// assert!(mutex.lock_timeout(Duration::from_millis(1)).is_err());
    /// # drop(guard);
    /// ```
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](TryLockError::WouldBlock) if others held it for that long; `Poisoned`, with the
    /// guard, if it was locked and is poisoned.
    #[track_caller]
    pub fn lock_timeout(&self, timeout: Duration) -> TryLockResult<MutexGuard<'_, T>> {
        crate::wait::point();
        match self.raw.lock_until(|| deadline_after(timeout)) {
            Ok(()) => Ok(self.guard()?),
            Err(_) => Err(TryLockError::WouldBlock),
        }
    }

    /// The guard of who has just locked it.
    #[inline]
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        self.poison.judge(MutexGuard {
            mutex: self,
            entry: Flag::enter(),
            not_send: PhantomData,
        })
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(guard)) => out.field("data", &&**guard.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &"<locked>"),
        };
        out.field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}

/// The right to use a [`Mutex`]'s value; unlocks it when dropped.
///
/// It stays on the thread that locked it, as `std`'s guard does; a green thread may move to another
/// kernel thread with it.
///
/// ```compile_fail
/// fn must_be_send<T: Send>(_: T) {}
/// let mutex = sward::sync::Mutex::new(1);
/// must_be_send(mutex.lock());
/// ```
#[must_use = "if unused the Mutex will immediately unlock"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    entry: Entry,
    not_send: PhantomData<*const ()>,
}

guard!(MutexGuard, mutex, mut);

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Whose guard this is.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T: ?Sized> Mutex<T> {
    /// The lock itself.
    pub(super) fn raw(&self) -> &RawMutex {
        &self.raw
    }

    /// Locks it as one of those whom the raw lock has adopted and called.
    ///
    /// # Errors
    ///
    /// If it is poisoned; the guard is in the error.
    #[track_caller]
    pub(super) fn lock_adopted(&self) -> LockResult<MutexGuard<'_, T>> {
        self.raw.lock_adopted();
        self.guard()
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.poison.leave(self.entry);
        self.mutex.raw.unlock();
    }
}
