//! Green threads, behind `std::thread`'s names.
//!
//! A green thread is a function with a stack of its own that runs on one of its runtime's kernel
//! threads. It costs a page and a few hundred bytes, so a program may have a million of them. Everything
//! here that waits parks the green thread; its kernel thread runs others meanwhile.
//!
//! ```
//! use sward::thread;
//!
//! let answer = sward::run(|| {
//!     let sum: thread::JoinHandle<u64> = thread::spawn(|| (1..=10).sum());
//!     sum.join().expect("it adds up")
//! });
//! assert_eq!(answer, 55);
//! ```
//!
//! All of it works on plain kernel threads too, which then wait themselves.

mod builder;
mod join;
mod park;
mod scope;
mod spawn;

pub use builder::Builder;
pub use join::JoinHandle;
pub use park::{Thread, ThreadId, current, park, park_timeout, sleep, sleep_until, yield_now};
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use spawn::spawn;
pub(crate) use spawn::{Wish, spawn_on};

pub use std::thread::{Result, available_parallelism, panicking};
