//! Time and descriptors: what becomes due, what becomes ready, and one thread that sleeps for all.
//!
//! Nothing here knows what a task is. [`alarms`] keeps values of any kind until their time,
//! [`poller`] keeps one source per descriptor and tells which of them the kernel has news of, and
//! both give back what they were given. The scheduler decides who turns the poller: an idle worker
//! sleeps in it until the first alarm of all, a busy one looks in without waiting.
//!
//! ```text
//!   alarms of each processor ── first deadline ──┐
//!                                                ▼
//!   kernel: readiness ──────────────────────►  poller, turned by one thread at a time
//!                                                ▲
//!   other threads ── wake, earlier alarm ── sleep word
//! ```
//!
//! Times are nanoseconds since the process looked at the [`clock`] first, in 64 bits: they compare
//! in one instruction and last for 584 years.

pub(crate) mod alarms;
pub(crate) mod clock;
pub(crate) mod ordered;
pub(crate) mod poller;
mod slab;
mod sleep;
mod timer;

pub(crate) use slab::Key;
