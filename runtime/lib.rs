//! Go's concurrency behind std's names: M green threads on N kernel threads.
#![deny(
    clippy::exit,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod base;
mod coroutine;
mod driver;
pub mod net;
mod task;
mod wait;

pub use wait::Shutdown;
