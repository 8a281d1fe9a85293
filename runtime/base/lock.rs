//! A lock for sections of a few dozen instructions, in which no user code runs and nobody waits.
//!
//! It blocks the kernel thread, so it must never be held across a switch of stacks.

use super::primitives::{Mutex, MutexGuard, const_fn};
use std::{
    fmt,
    sync::{PoisonError, TryLockError},
};

/// A value that one thread at a time may look at.
pub(crate) struct Lock<T> {
    inner: Mutex<T>,
}

/// The right to look at what a [`Lock`] holds.
pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;

impl<T> Lock<T> {
    const_fn! {
        pub(crate) const fn new(value: T) -> Self {
            Self {
                inner: Mutex::new(value),
            }
        }
    }

    /// Waits for the section. A panic in another section does not matter: none leaves a value half
    /// changed, as no user code runs in them.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The section if it is free now.
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        match self.inner.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}
