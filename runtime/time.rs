//! The clock by which green threads sleep and time out.

pub use crate::thread::{sleep, sleep_until};
use std::time::Instant;

/// The time by the clock on which [`sleep_until`] and all deadlines here are counted.
///
/// It is `Instant::now`, but in a simulation, where it is virtual: so code that asks this clock can be
/// tested there.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sward::time;
///
/// let start = time::now();
/// time::sleep_until(start + Duration::from_millis(1));
/// assert!(time::now() - start >= Duration::from_millis(1));
/// ```
pub fn now() -> Instant {
    crate::wait::now()
}
