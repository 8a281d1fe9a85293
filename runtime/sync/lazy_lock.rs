//! [`LazyLock`]: a value that is made when it is first wanted.

#![expect(
    unsafe_code,
    reason = "the value is reached without a lock once it is there"
)]

use super::once::Once;
use crate::base::primitives::const_fn;
use std::{
    cell::UnsafeCell,
    fmt, mem,
    ops::{Deref, DerefMut},
    panic::{RefUnwindSafe, UnwindSafe},
};

/// A value that is made when it is first wanted: [`std::sync::LazyLock`], green.
///
/// Who wants it while it is made waits: a green thread lets others run, a kernel thread sleeps. If its
/// making panics, all who want it later panic.
///
/// # Examples
///
/// ```
/// use sward::sync::LazyLock;
///
/// static TABLE: LazyLock<Vec<u32>> = LazyLock::new(|| (1..=3).map(|it| it * it).collect());
/// assert_eq!(TABLE[1], 4);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    once: Once,
    /// Changed in the run of `once`, by whoever runs it; afterwards shared.
    value: UnsafeCell<Value<T, F>>,
}

enum Value<T, F> {
    /// Not yet wanted.
    By(F),
    /// It is being made, or that has panicked.
    Gone,
    Made(T),
}

// SAFETY: to share it sends `F` to the thread that runs it and the value to the others, and shares the
// value; `F` itself is never shared.
unsafe impl<T: Sync + Send, F: Send> Sync for LazyLock<T, F> {}

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

#[cold]
#[track_caller]
fn poisoned() -> ! {
    panic!("LazyLock instance has previously been poisoned")
}

impl<T, F: FnOnce() -> T> Value<T, F> {
    fn made(&mut self) -> &mut T {
        if let Self::By(_) = self {
            let Self::By(f) = mem::replace(self, Self::Gone) else {
                poisoned();
            };
            *self = Self::Made(f());
        }
        match self {
            Self::Made(value) => value,
            Self::By(_) | Self::Gone => poisoned(),
        }
    }
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    const_fn! {
        /// A value that `f` will make.
        #[inline]
        pub const fn new(f: F) -> Self {
            Self {
                once: Once::new(),
                value: UnsafeCell::new(Value::By(f)),
            }
        }
    }

    /// The value, which is made if nobody has wanted it before. What made it is dropped at once.
    ///
    /// # Panics
    ///
    /// If its making panics, or has panicked before.
    #[inline]
    #[track_caller]
    pub fn force(this: &Self) -> &T {
        if let Some(value) = this.made() {
            return value;
        }
        this.make();
        this.made().unwrap_or_else(|| poisoned())
    }

    #[cold]
    #[track_caller]
    fn make(&self) {
        self.once.call_once_force(|state| {
            if state.is_poisoned() {
                poisoned();
            }
            // SAFETY: one run at a time, and nobody reads before it has ended.
            let value = unsafe { &mut *self.value.get() };
            value.made();
        });
    }

    /// The value, which is made if nobody has wanted it before.
    ///
    /// # Panics
    ///
    /// If its making panics, or has panicked before.
    #[inline]
    pub fn force_mut(this: &mut Self) -> &mut T {
        Self::force(this);
        match this.value.get_mut() {
            Value::Made(value) => value,
            Value::By(_) | Value::Gone => poisoned(),
        }
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it was made before.
    #[inline]
    pub fn get(this: &Self) -> Option<&T> {
        this.made()
    }

    /// The value, if it was made before.
    #[inline]
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        match this.value.get_mut() {
            Value::Made(value) => Some(value),
            Value::By(_) | Value::Gone => None,
        }
    }

    #[inline]
    fn made(&self) -> Option<&T> {
        if !self.once.is_completed() {
            return None;
        }
        // SAFETY: the run is over, as was just seen; after it, the value is not changed any more but
        // through `&mut self`.
        match unsafe { &*self.value.get() } {
            Value::Made(value) => Some(value),
            Value::By(_) | Value::Gone => None,
        }
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    #[inline]
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        Self::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("LazyLock");
        match Self::get(self) {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
