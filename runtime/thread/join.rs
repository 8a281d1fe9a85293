//! Waiting for a green thread's result.

#![expect(unsafe_code, reason = "the handle alone may take the result")]

use super::Thread;
use crate::{observe::deadlock::Deadlock, task::TaskRef, wait::Shutdown};
use std::{fmt, marker::PhantomData, mem::ManuallyDrop, ptr, thread};

/// The right to join a green thread: to wait for it and to take its result.
///
/// Dropped, it leaves the green thread running, and its result is dropped when there is one.
pub struct JoinHandle<T> {
    thread: Thread,
    result: PhantomData<fn() -> T>,
}

// SAFETY: the result may be sent by the bound on every way to make a handle.
unsafe impl<T> Send for JoinHandle<T> {}
// SAFETY: as above; a shared handle gives no access to the result.
unsafe impl<T> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// The handle of a green thread that was made with a closure which returns `T`; with the share that
    /// is its handle's.
    pub(crate) fn new(task: TaskRef) -> Self {
        Self {
            thread: Thread::green(task),
            result: PhantomData,
        }
    }

    fn task(&self) -> &TaskRef {
        match self.thread.task() {
            Some(task) => task,
            None => unreachable!("a handle's thread is green"),
        }
    }

    /// Waits until the green thread has ended, and returns what it returned.
    ///
    /// Only the caller waits: a green thread is parked, a kernel thread sleeps. All that the green thread
    /// did happened before this returns.
    ///
    /// # Examples
    ///
    /// ```
    /// let handle = sward::spawn(|| 6 * 7);
    /// assert_eq!(handle.join().expect("no panic"), 42);
    ///
    /// let handle = sward::spawn(|| if true { std::panic::resume_unwind(Box::new("gone")) });
    /// assert_eq!(handle.join().expect_err("it panicked").downcast_ref(), Some(&"gone"));
    /// ```
    ///
    /// # Errors
    ///
    /// The payload of its panic; [`Shutdown`] if its runtime was shut down first, whether it
    /// was unwound or left behind.
    #[track_caller]
    pub fn join(self) -> thread::Result<T> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, and only used below to release what it holds.
        let thread = unsafe { ptr::read(&raw const this.thread) };
        let guard = Detach(thread);
        guard.task().wait_done();
        let thread = guard.disarm();
        match thread.task() {
            Some(task) if task.is_abandoned() => Err(Box::new(Shutdown)),
            // SAFETY: the handle is consumed, and it is done.
            Some(task) => unsafe { task.take_result() },
            None => unreachable!("a handle's thread is green"),
        }
    }

    /// As [`join`](Self::join), unless there is a deadlock.
    ///
    /// # Errors
    ///
    /// [`Deadlock`]; the green thread stays as it is.
    #[track_caller]
    pub(crate) fn join_unless_deadlock(self) -> Result<thread::Result<T>, Deadlock> {
        self.task().wait_done_or_deadlock()?;
        Ok(self.join())
    }

    /// The green thread itself, to [`unpark`](Thread::unpark) it.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Whether it has ended, so that [`join`](Self::join) would return at once.
    pub fn is_finished(&self) -> bool {
        self.task().is_over()
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: the handle goes, and was not joined.
        unsafe { self.task().detach() };
    }
}

/// A handle whose `join` may be called off: then it is as if it was dropped.
struct Detach(Thread);

impl Detach {
    fn task(&self) -> &TaskRef {
        match self.0.task() {
            Some(task) => task,
            None => unreachable!("a handle's thread is green"),
        }
    }

    fn disarm(self) -> Thread {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped.
        unsafe { ptr::read(&raw const this.0) }
    }
}

impl Drop for Detach {
    fn drop(&mut self) {
        // SAFETY: the handle goes, and was not joined.
        unsafe { self.task().detach() };
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}
