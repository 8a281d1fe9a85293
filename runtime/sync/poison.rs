//! Poisoning: a lock remembers that a panic ran through a section and may have left things half done.
//!
//! And what locks that can be poisoned, and their guards, have in common, each written once.

use crate::base::primitives::{AtomicBool, Ordering::Relaxed, const_fn};
use std::sync::{LockResult, PoisonError};

/// Whether what unwinds now, if anything does, poisons what it holds: a panic
/// does, the shutdown of a runtime does not.
///
/// The one place that decides this.
#[inline]
pub(super) fn poisons() -> bool {
    crate::wait::poisons()
}

/// The flag of one lock. Relaxed: it is only written and judged by who holds the lock, and a look from
/// outside ([`get`](Self::get)) promises nothing.
#[derive(Debug)]
pub(super) struct Flag {
    poisoned: AtomicBool,
}

/// Whether a panic was under way when the section began: it then is not this section's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    panicking: bool,
}

impl Flag {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self {
                poisoned: AtomicBool::new(false),
            }
        }
    }

    /// A section begins.
    #[inline]
    pub(super) fn enter() -> Entry {
        Entry {
            panicking: poisons(),
        }
    }

    /// A section that may have changed things ends.
    #[inline]
    pub(super) fn leave(&self, entry: Entry) {
        if !entry.panicking && poisons() {
            self.poisoned.store(true, Relaxed);
        }
    }

    #[inline]
    pub(super) fn get(&self) -> bool {
        self.poisoned.load(Relaxed)
    }

    #[inline]
    pub(super) fn clear(&self) {
        self.poisoned.store(false, Relaxed);
    }

    /// `guard`, as an error if the lock is poisoned.
    #[inline]
    pub(super) fn judge<G>(&self, guard: G) -> LockResult<G> {
        if self.get() {
            Err(PoisonError::new(guard))
        } else {
            Ok(guard)
        }
    }
}

/// What a lock has that is made of a `poison` and a `value`, beside the ways to lock it.
macro_rules! lock {
    ($name:ident) => {
        // After a panic the value is reached through the poison alone.
        impl<T: ?Sized> UnwindSafe for $name<T> {}
        impl<T: ?Sized> RefUnwindSafe for $name<T> {}

        impl<T> $name<T> {
            /// Gives back the value. Nobody else can have the lock, so nobody waits.
            ///
            /// # Errors
            ///
            /// If it is poisoned; the value is in the error.
            pub fn into_inner(self) -> LockResult<T> {
                let Self { poison, value, .. } = self;
                poison.judge(value.into_inner())
            }
        }

        impl<T: ?Sized> $name<T> {
            /// Whether a panic has poisoned it. Unless it is locked this may change at any time.
            #[inline]
            pub fn is_poisoned(&self) -> bool {
                self.poison.get()
            }

            /// Takes the poison away: later locks succeed. For who has put the value in order again.
            ///
            /// # Examples
            ///
            /// ```
            /// use sward::sync::{Mutex, PoisonError};
            ///
            /// let mutex = Mutex::new(1);
            /// let value = mutex.lock().unwrap_or_else(|poisoned| {
            ///     let mut guard = poisoned.into_inner();
            ///     *guard = 0;
            ///     mutex.clear_poison();
            ///     guard
            /// });
            /// assert_eq!(*value, 1);
            /// ```
            #[inline]
            pub fn clear_poison(&self) {
                self.poison.clear();
            }

            /// The value. Nobody else has the lock, so it is not locked.
            ///
            /// # Errors
            ///
            /// If it is poisoned; the reference is in the error.
            pub fn get_mut(&mut self) -> LockResult<&mut T> {
                self.poison.judge(self.value.get_mut())
            }
        }

        impl<T> From<T> for $name<T> {
            fn from(value: T) -> Self {
                Self::new(value)
            }
        }

        impl<T: Default> Default for $name<T> {
            fn default() -> Self {
                Self::new(T::default())
            }
        }
    };
}

/// What a guard shows: the value of its `$lock`.
macro_rules! guard {
    ($name:ident, $lock:ident) => {
        // SAFETY: a shared guard gives shared references to the value alone.
        unsafe impl<T: ?Sized + Sync> Sync for $name<'_, T> {}

        impl<T: ?Sized> Deref for $name<'_, T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: the guard's holder has locked it, for reading at least, so nobody else writes.
                unsafe { &*self.$lock.value.get() }
            }
        }

        impl<T: ?Sized + fmt::Debug> fmt::Debug for $name<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }

        impl<T: ?Sized + fmt::Display> fmt::Display for $name<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&**self, f)
            }
        }
    };
    ($name:ident, $lock:ident, mut) => {
        guard!($name, $lock);

        impl<T: ?Sized> DerefMut for $name<'_, T> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: the guard's holder has locked it for itself, and the guard is borrowed uniquely.
                unsafe { &mut *self.$lock.value.get() }
            }
        }
    };
}

pub(super) use {guard, lock};
