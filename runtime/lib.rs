//! Go's concurrency behind std's names: M green threads on N kernel threads.
#![deny(
    clippy::exit,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod base;
pub mod channel;
pub mod context;
mod coroutine;
mod driver;
pub mod fs;
pub mod io;
pub mod net;
pub mod observe;
pub mod process;
mod runtime;
mod scheduler;
pub mod signal;
pub mod sim;
pub mod sync;
mod task;
pub mod thread;
pub mod time;
mod wait;

pub use observe::{Dump, Metrics, dump, metrics};
pub use runtime::{Runtime, RuntimeBuilder, blocking, run};
pub use thread::{scope, spawn, yield_now};
pub use wait::Shutdown;

/// The README's program compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
