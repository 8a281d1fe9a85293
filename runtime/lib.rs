//! Go's concurrency behind std's names: M green threads on N kernel threads.
#![deny(
    clippy::exit,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod base;
pub mod sync;
mod wait;

pub use wait::Shutdown;
