//! The eyes: what the runtimes do and have done, who waits for what, and for how long.

mod circles;
pub(crate) mod deadlock;
mod dump;
mod histogram;
mod json;
mod metrics;
pub(crate) mod signal;
pub(crate) mod subject;
pub mod trace;
pub(crate) mod watchdog;

pub use circles::{Circle, Stuck};
pub use dump::{Arm, Dump, GreenThread, Party, State, WaitsFor};
pub(crate) use histogram::Buckets;
pub use histogram::Histogram;
pub use metrics::Metrics;

use crate::scheduler::{Scheduler, monitor};
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

/// Lists all green threads of the process: what each does, what it waits for, where and for how long, and
/// where it was spawned.
///
/// It stops nobody, and takes a few tenths of a microsecond for each. See [`Runtime::dump`](crate::Runtime::dump) for
/// those of one runtime.
///
/// # Examples
///
/// ```
/// use sward::observe::State;
///
/// let sleeper = sward::spawn(sward::thread::park);
/// let dump = sward::run(move || {
///     while sward::dump().green_threads().iter().all(|it| it.state != State::Parked) {
///         sward::yield_now();
///     }
///     let dump = sward::dump();
///     sleeper.thread().unpark();
///     dump
/// });
/// assert!(dump.to_string().contains("parked (park) for 0.0"));
/// ```
pub fn dump() -> Dump {
    dump::take(None)
}

/// Those of one runtime.
pub(crate) fn dump_of(scheduler: &Scheduler) -> Dump {
    dump::take(Some(scheduler))
}
