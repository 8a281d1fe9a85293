//! Threads of both kinds, started and joined in the same way.

use std::thread;

/// Waits for a thread and returns what it did.
pub(crate) type Join = Box<dyn FnOnce() -> u64>;

/// How a thread starts.
pub(crate) type Spawn = fn(Box<dyn FnOnce() -> u64 + Send>) -> Join;

/// Starts a green thread.
pub(crate) fn green(f: Box<dyn FnOnce() -> u64 + Send>) -> Join {
    let thread = sward::spawn(f);
    Box::new(|| thread.join().expect("it does not panic"))
}

/// Starts a kernel thread.
pub(crate) fn kernel(f: Box<dyn FnOnce() -> u64 + Send>) -> Join {
    let thread = thread::spawn(f);
    Box::new(|| thread.join().expect("it does not panic"))
}
