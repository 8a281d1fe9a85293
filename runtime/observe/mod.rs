//! The eyes: what the runtimes do and have done, who waits for what, and for how long.

mod histogram;
mod metrics;

pub(crate) use histogram::Buckets;
pub use histogram::Histogram;
pub use metrics::Metrics;

use crate::scheduler::monitor;
use std::ptr;

/// How all runtimes of the process do, together.
///
/// See [`Runtime::metrics`](crate::Runtime::metrics) for one. The caller does not wait.
///
/// # Examples
///
/// ```
/// let metrics = sward::run(sward::metrics);
/// assert!(metrics.spawned >= 1 && metrics.running >= 1);
/// ```
pub fn metrics() -> Metrics {
    let mut all = Metrics::EMPTY;
    let mut classes = Vec::new();
    for scheduler in monitor::runtimes() {
        all.add(&scheduler.metrics());
        let class = scheduler.class();
        if !classes.iter().any(|it| ptr::eq(*it, class)) {
            classes.push(class);
            all.add_stacks(class.counts());
        }
    }
    all
}
