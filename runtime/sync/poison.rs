//! Poisoning: a lock remembers that a panic ran through a section and may have left things half done.

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
