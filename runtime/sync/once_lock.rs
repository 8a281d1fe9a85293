//! [`OnceLock`]: a value that is set once, and who waits for it gives way to other green threads.

#![expect(
    unsafe_code,
    reason = "the value is reached without a lock once it is there"
)]

use super::once::Once;
use crate::base::primitives::const_fn;
use std::{
    cell::UnsafeCell,
    fmt, mem,
    panic::{RefUnwindSafe, UnwindSafe},
};

/// A value that is set once: [`std::sync::OnceLock`], green.
///
/// # Examples
///
/// ```
/// use sward::sync::OnceLock;
///
/// static NAME: OnceLock<String> = OnceLock::new();
/// assert_eq!(NAME.get(), None);
/// assert_eq!(NAME.get_or_init(|| "Ada".to_owned()), "Ada");
/// assert_eq!(NAME.set("Grace".to_owned()), Err("Grace".to_owned()));
/// ```
pub struct OnceLock<T> {
    once: Once,
    /// Written in the run of `once`, by whoever runs it; afterwards shared.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: to share it may be to send the value (one thread sets, another takes), and shares the value.
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}
// SAFETY: it owns the value.
unsafe impl<T: Send> Send for OnceLock<T> {}

impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    const_fn! {
        /// Makes an empty one; it allocates nothing.
        #[inline]
        #[must_use]
        pub const fn new() -> Self {
            Self {
                once: Once::new(),
                value: UnsafeCell::new(None),
            }
        }
    }

    /// The value, if it is set. Never waits.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if self.once.is_completed() {
            self.shared()
        } else {
            None
        }
    }

    /// What is there after the run of `once` was seen to be complete.
    #[inline]
    fn shared(&self) -> Option<&T> {
        debug_assert!(self.once.is_completed());
        // SAFETY: after the run, which both callers have seen, the value is not written any more but
        // through `&mut self`.
        unsafe { &*self.value.get() }.as_ref()
    }

    /// The value, if it is set.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// The value; waits until it is set.
    ///
    /// # Panics
    ///
    /// Never: the value is there once the wait is over.
    #[inline]
    #[track_caller]
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        self.shared().expect("the run has set the value")
    }

    /// Sets the value, unless it is set; waits while another thread makes it.
    ///
    /// # Errors
    ///
    /// If it is set: `value` comes back.
    #[inline]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init_from(|| value.take());
        value.map_or(Ok(()), Err)
    }

    /// The value; if it is not set, it is made by `f`. Others that want it meanwhile wait for that.
    ///
    /// # Panics
    ///
    /// If `f` panics. Then nothing is set, and others try again.
    #[inline]
    #[track_caller]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        self.get_or_init_from(|| Some(f()));
        self.shared().expect("the run has set the value")
    }

    /// Runs `f` if nobody has, and sets what it makes.
    #[cold]
    #[track_caller]
    fn get_or_init_from(&self, f: impl FnOnce() -> Option<T>) {
        self.once.call_once_force(|_| {
            let value = f();
            // SAFETY: one run at a time, and nobody reads before it has ended.
            unsafe { *self.value.get() = value };
        });
    }

    /// Gives back the value, if it is set.
    #[inline]
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out, if it is set, and leaves an empty one.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        mem::take(self).into_inner()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let lock = Self::new();
        // It is new, so it takes the value.
        drop(lock.set(value));
        lock
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().cloned().map_or_else(Self::new, Self::from)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
