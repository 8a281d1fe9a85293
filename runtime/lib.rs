//! Go's concurrency behind std's names: M green threads on N kernel threads.
#![deny(
    clippy::exit,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod base;
pub mod channel;
mod wait;

pub use wait::Shutdown;
