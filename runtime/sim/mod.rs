//! Tests under every order: a seed decides which green thread runs next, and the clock is virtual.
//!
//! [`explore`] runs a test once for each seed. In each run one kernel thread, the caller's, runs all
//! green threads of the test; who goes on is a random choice at every wait, yield and spawn, at most
//! operations of [`channel`](crate::channel) and [`sync`](crate::sync) that could wait, and in every
//! `select!`. The same seed makes the same choices, so a run that fails can be [replayed](replay).
//!
//! ```
//! use std::time::Duration;
//! use sward::{sim, time};
//!
//! sim::explore(0..100, || {
//!     let start = time::now();
//!     let sleeper = sward::spawn(|| time::sleep_until(time::now() + Duration::from_hours(1)));
//!     sleeper.join().expect("it only sleeps");
//!     assert_eq!(time::now() - start, Duration::from_hours(1));
//! });
//! ```
//!
//! # Time
//!
//! It stands still while anybody can run. When nobody can, the clock jumps to the next alarm: hours cost
//! nothing, and are exact. Ask [`time::now`](crate::time::now), not `Instant::now`. What is due at the same moment
//! comes in any order, and may come after others have run.
//!
//! # What fails
//!
//! - A panic of the test's own closure. One of another green thread is the `Err` of its `join`, as ever:
//!   join what must not panic.
//! - A deadlock: nothing can ever run, and the closure has not returned.
//! - A run without an end: more [steps](Explorer::most_steps) than allowed.
//! - A wake-up from outside, by another kernel thread: no seed decides when that comes.
//!
//! Green threads that are left when the closure returns are called off, as by a runtime's shutdown.
//!
//! # Sockets
//!
//! TCP, UDP and Unix sockets that are made inside are ends of a network of that run alone, in memory: see [`net`].
//!
//! # What to heed
//!
//! - All of the test must be inside, and everything it shares be made inside: nothing may survive from one run
//!   into the next, nor come from the clock, the kernel's sockets or a random state.
//! - What the kernel decides is not simulated. Files and standard output are read and written in place, and the
//!   end of a child process is waited for there, while nobody else runs. A wait for a pipe or any
//!   other descriptor fails with `Unsupported`. A signal or another kernel thread that wakes a green thread fails the run.
//! - A kernel thread that is started inside is outside: what it spawns runs elsewhere, by the real clock.
//! - Any call into this crate may let others run, even one that would not wait, like `spawn` and `unpark`. There
//!   is one kernel thread, so a lock of `std` that is held over such a call blocks all for ever.
//! - Between two such calls a green thread is alone. Where a test shares plain atomics, a
//!   [`yield_now`](crate::yield_now) beside them lets others come between.
//! - [`blocking`](crate::blocking()) calls its closure while nobody else runs. A wait for other green threads in there,
//!   or in a destructor that runs because of a panic, would last for ever, and aborts the process with a
//!   message; a wait with a deadline passes at once.

mod choice;
mod clock;
mod explorer;
mod home;
mod log;
pub mod net;
mod simulation;

pub use explorer::{Explorer, Report, explore, replay, run};
