//! [`RwLock`]: a value that many threads may read or one may write.
//!
//! Who waits gives way to other green threads.

#![expect(unsafe_code, reason = "an rwlock hands out references to its value")]

use super::{
    poison::{Entry, Flag, guard, lock},
    raw_rwlock::RawRwLock,
};
use crate::{base::primitives::const_fn, wait::deadline_after};
use std::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{LockResult, TryLockError, TryLockResult},
    time::Duration,
};

/// A value that many threads may read at once or one may write: [`std::sync::RwLock`], green.
///
/// A green thread that waits lets others run on its kernel thread; a plain kernel thread sleeps. Guards
/// may be held over calls that block.
///
/// Nobody starves: a writer that waits holds up readers that come after it, and a writer that leaves
/// first lets in all readers that wait. So a thread must not read twice at once: between its two reads a
/// writer may come to wait for the first, and the second waits for that writer.
/// [`read_preferring`](Self::read_preferring) makes the other kind, whose readers pass waiting writers.
///
/// A panic while it is locked for writing poisons it, as in `std`.
///
/// # Examples
///
/// ```
/// use sward::sync::RwLock;
///
/// let names = RwLock::new(vec!["Ada"]);
/// {
///     let one = names.read().expect("not poisoned");
///     let two = names.read().expect("not poisoned");
///     assert_eq!(one.len() + two.len(), 2);
/// }
/// names.write().expect("not poisoned").push("Grace");
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    poison: Flag,
    value: UnsafeCell<T>,
}

// SAFETY: to share the lock may be to send the value (by a write guard, or `into_inner`).
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers share the value, writers use it from other threads.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

lock!(RwLock);

impl<T> RwLock<T> {
    const_fn! {
        /// Makes an unlocked lock, whose waiting writers hold up new readers; it allocates nothing.
        #[inline]
        pub const fn new(value: T) -> Self {
            Self {
                raw: RawRwLock::new(false),
                poison: Flag::new(),
                value: UnsafeCell::new(value),
            }
        }
    }

    const_fn! {
        /// As [`new`](Self::new), but readers enter whenever nobody writes, past writers that wait. Then
        /// a thread may read twice at once; but as long as there is always a reader, writers wait.
        ///
        /// # Examples
        ///
        /// ```
        /// static LIMIT: sward::sync::RwLock<u32> = sward::sync::RwLock::read_preferring(3);
        /// assert_eq!(*LIMIT.read().expect("not poisoned"), 3);
        /// ```
        #[inline]
        pub const fn read_preferring(value: T) -> Self {
            Self {
                raw: RawRwLock::new(true),
                poison: Flag::new(),
                value: UnsafeCell::new(value),
            }
        }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks it for reading, together with other readers. Waits while somebody writes, and (unless it
    /// prefers readers) behind writers that wait.
    ///
    /// # Errors
    ///
    /// If it is poisoned; the guard is in the error.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        crate::wait::point();
        // Without a deadline it cannot be late.
        _ = self.raw.read(|| None);
        self.read_guard()
    }

    /// Locks it for reading if that is possible now; never waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](TryLockError::WouldBlock) if [`read`](Self::read) would wait; `Poisoned`, with the
    /// guard, if it would not and the lock is poisoned.
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        crate::wait::point();
        if !self.raw.try_read() {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.read_guard()?)
    }

    /// As [`read`](Self::read), and waits for `timeout` at most. If it need not wait, no time is too
    /// short.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](TryLockError::WouldBlock) if it had to wait for longer; `Poisoned`, with the guard,
    /// if it was locked and is poisoned.
    #[track_caller]
    pub fn read_timeout(&self, timeout: Duration) -> TryLockResult<RwLockReadGuard<'_, T>> {
        crate::wait::point();
        match self.raw.read(|| deadline_after(timeout)) {
            Ok(()) => Ok(self.read_guard()?),
            Err(_) => Err(TryLockError::WouldBlock),
        }
    }

    /// Locks it for writing. Waits until nobody else reads or writes.
    ///
    /// # Errors
    ///
    /// If it is poisoned; the guard is in the error.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        crate::wait::point();
        // Without a deadline it cannot be late.
        _ = self.raw.write(|| None);
        self.write_guard()
    }

    /// Locks it for writing if that is possible now; never waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](TryLockError::WouldBlock) if [`write`](Self::write) would wait; `Poisoned`, with
    /// the guard, if it would not and the lock is poisoned.
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        crate::wait::point();
        if !self.raw.try_write() {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.write_guard()?)
    }

    /// As [`write`](Self::write), and waits for `timeout` at most. A writer that gives up holds up
    /// nobody any more.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let lock = sward::sync::RwLock::new(1);
    /// let reader = lock.read().expect("not poisoned");
    /// assert!(lock.write_timeout(Duration::from_millis(1)).is_err());
    /// assert!(lock.read_timeout(Duration::ZERO).is_ok());
    /// # drop(reader);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`read_timeout`](Self::read_timeout).
    #[track_caller]
    pub fn write_timeout(&self, timeout: Duration) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        crate::wait::point();
        match self.raw.write(|| deadline_after(timeout)) {
            Ok(()) => Ok(self.write_guard()?),
            Err(_) => Err(TryLockError::WouldBlock),
        }
    }

    /// The guard of who has just locked it for reading.
    #[inline]
    fn read_guard(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.poison.judge(RwLockReadGuard {
            lock: self,
            not_send: PhantomData,
        })
    }

    /// The guard of who has just locked it for writing.
    #[inline]
    fn write_guard(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.poison.judge(RwLockWriteGuard {
            lock: self,
            entry: Flag::enter(),
            not_send: PhantomData,
        })
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(guard)) => out.field("data", &&**guard.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}

/// The right to read an [`RwLock`]'s value, with others; ends when dropped.
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    not_send: PhantomData<*const ()>,
}

guard!(RwLockReadGuard, lock);

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.unlock_read();
    }
}

/// The right to read and write an [`RwLock`]'s value; ends when dropped.
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    entry: Entry,
    not_send: PhantomData<*const ()>,
}

guard!(RwLockWriteGuard, lock, mut);

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on as a reader; no writer comes in between, and readers that wait are let in.
    ///
    /// # Examples
    ///
    /// ```
    /// use sward::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let lock = RwLock::new(1);
    /// let mut writer = lock.write().expect("not poisoned");
    /// *writer += 1;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!(*reader + *lock.read().expect("not poisoned"), 4);
    /// ```
    pub fn downgrade(this: Self) -> RwLockReadGuard<'a, T> {
        let this = ManuallyDrop::new(this);
        let lock = this.lock;
        lock.poison.leave(this.entry);
        lock.raw.downgrade();
        RwLockReadGuard {
            lock,
            not_send: PhantomData,
        }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.leave(self.entry);
        self.lock.raw.unlock_write();
    }
}
