//! [`Pool`]: used values, kept for the next who needs one.
//!
//! The values lie in a few shards, each under a lock of its own. Which shard is tried first follows from
//! the address of the caller's stack, so a thread that gets and gives back again and again mostly finds
//! its own value, still warm, and threads mostly do not meet. A shard that is locked is passed over.

use crate::base::{lock::Lock, primitives::const_fn};
use std::{
    fmt,
    hint::black_box,
    ops::{Deref, DerefMut},
    ptr,
};

const SHARDS: usize = 8;

/// More are not kept in a shard.
const KEPT: usize = 64;

/// Used values, kept for the next who needs one: Go's `sync.Pool`.
///
/// Nobody waits for a value: if none is there, one is made. At most a few hundred are kept.
///
/// # Examples
///
/// ```
/// use sward::sync::Pool;
///
/// static BUFFERS: Pool<Vec<u8>> = Pool::new(Vec::new);
/// let mut buffer = BUFFERS.get();
/// // What it was used for before is still there.
/// buffer.clear();
/// buffer.extend_from_slice(b"hello");
/// ```
pub struct Pool<T> {
    make: fn() -> T,
    shards: [Lock<Vec<T>>; SHARDS],
}

/// A value of a [`Pool`], which goes back when this is dropped; not in a panic, which may have left it
/// half done.
#[must_use = "the value goes back at once if this is not kept"]
pub struct PoolGuard<'a, T> {
    pool: &'a Pool<T>,
    /// `None` only while it is dropped.
    value: Option<T>,
}

/// A number that mostly differs between stacks, and mostly stays on one.
fn stack_number() -> usize {
    let here = 0_u8;
    ptr::from_ref(black_box(&here)).addr() >> 16
}

impl<T> Pool<T> {
    const_fn! {
        /// Makes an empty pool, whose values `make` makes.
        #[must_use]
        pub const fn new(make: fn() -> T) -> Self {
            Self {
                make,
                shards: [
                    Lock::new(Vec::new()),
                    Lock::new(Vec::new()),
                    Lock::new(Vec::new()),
                    Lock::new(Vec::new()),
                    Lock::new(Vec::new()),
                    Lock::new(Vec::new()),
                    Lock::new(Vec::new()),
                    Lock::new(Vec::new()),
                ],
            }
        }
    }

    /// A value that was used before, or a new one.
    pub fn get(&self) -> PoolGuard<'_, T> {
        let value = self
            .shards()
            .find_map(|shard| shard.try_lock().and_then(|mut it| it.pop()));
        PoolGuard {
            pool: self,
            value: Some(value.unwrap_or_else(self.make)),
        }
    }

    /// All shards, from the one that this thread tries first.
    fn shards(&self) -> impl Iterator<Item = &Lock<Vec<T>>> {
        let first = stack_number();
        (0..SHARDS).map(move |step| &self.shards[(first + step) % SHARDS])
    }

    /// Keeps `value`, or gives it back if there is no room for it.
    fn keep(&self, value: T) -> Option<T> {
        let mut value = Some(value);
        for shard in self.shards() {
            if let Some(mut kept) = shard.try_lock()
                && kept.len() < KEPT
            {
                kept.extend(value.take());
                return None;
            }
        }
        value
    }
}

impl<T> Deref for PoolGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("only its drop takes it")
    }
}

impl<T> DerefMut for PoolGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("only its drop takes it")
    }
}

impl<T> Drop for PoolGuard<'_, T> {
    fn drop(&mut self) {
        if !std::thread::panicking()
            && let Some(value) = self.value.take()
        {
            // What has no place is dropped here, under no lock.
            drop(self.pool.keep(value));
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for PoolGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}
