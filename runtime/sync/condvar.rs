//! [`Condvar`]: waits for a change of what a mutex guards.
//!
//! Who waits stands in the line before it unlocks the mutex; so whoever changes the value under the
//! mutex and notifies afterwards finds it there. For the same reason a look at [`waiting`], a plain
//! count, is enough for a notification that finds nobody: the mutex has passed the count on.
//!
//! A notification of one calls a waiter, and only that wakes it: there are no spurious wake-ups. One that
//! was called and then is called off before it has the mutex again passes its notification on.
//!
//! A notification of all wakes one at most. They all want the mutex next, and only one can have it; so they
//! are moved to its line as they stand there, and it calls them one after the other. Of a thousand, each is
//! woken once. Who is late after that was notified in time; who is called off leaves the mutex's line,
//! and has nothing to pass on, as all were notified.
//!
//! # What was not done
//!
//! *Moving the one that [`notify_one`](Condvar::notify_one) calls*, if the mutex is locked: a green thread
//! that is woken runs after its waker has given way, which mostly is after the mutex was unlocked.
//!
//! [`waiting`]: Condvar

#![expect(
    unsafe_code,
    reason = "those who wait hold the mutex to which they are moved"
)]

use super::{LockResult, Mutex, MutexGuard, PoisonError, raw_mutex::RawMutex};
use crate::{
    base::{
        lock::Lock,
        primitives::{AtomicUsize, Ordering::Relaxed, const_fn},
    },
    wait::{
        End, Late, NO_SLOT, Place, deadline_after, line::Line, now, reason::Reason, wait_movable,
    },
};
use std::{
    fmt,
    panic::{Location, RefUnwindSafe, UnwindSafe},
    ptr::NonNull,
    time::{Duration, Instant},
};

/// Who waits, and with which mutex.
#[derive(Debug)]
struct Queue {
    line: Line,
    /// Of all who stand in the line; `None` before the first. Each of them has borrowed it.
    mutex: Option<NonNull<RawMutex>>,
}

// SAFETY: the mutex is only used while those stand in the line who have borrowed it, and may be used from
// any thread.
unsafe impl Send for Queue {}

/// Waits for a change of what a [`Mutex`] guards: [`std::sync::Condvar`], green.
///
/// Green threads and kernel threads may wait for and notify each other. They are notified in the order in
/// which they came. There are no spurious wake-ups; but as between a notification and the lock of the mutex
/// others may change the value again, a condition is to be checked after every wait, or left to
/// [`wait_while`](Self::wait_while).
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use sward::sync::{Condvar, Mutex};
///
/// let shared = Arc::new((Mutex::new(false), Condvar::new()));
/// let other = Arc::clone(&shared);
/// let thread = thread::spawn(move || {
///     *other.0.lock().expect("not poisoned") = true;
///     other.1.notify_one();
/// });
/// let ready = shared.0.lock().expect("not poisoned");
/// let ready = shared.1.wait_while(ready, |ready| !*ready).expect("not poisoned");
/// assert!(*ready);
/// # drop(ready);
/// # thread.join().expect("no panic");
/// ```
pub struct Condvar {
    /// How many stand in the line. Written under its lock.
    waiting: AtomicUsize,
    queue: Lock<Queue>,
}

/// Whether a wait of a [`Condvar`] ended because its time was over.
#[derive(Debug, PartialEq, Eq, Copy, Clone)]
pub struct WaitTimeoutResult {
    late: bool,
}

impl WaitTimeoutResult {
    /// `true` if the time was over before a notification came.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.late
    }
}

/// Passes a notification on when it is dropped in an unwinding.
struct PassOn<'a> {
    to: Option<&'a Condvar>,
}

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        if let Some(condvar) = self.to {
            condvar.notify_one();
        }
    }
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

impl Condvar {
    const_fn! {
        /// Makes one that nobody waits for; it allocates nothing.
        pub const fn new() -> Self {
            Self {
                waiting: AtomicUsize::new(0),
                queue: Lock::new(Queue {
                    line: Line::new(),
                    mutex: None,
                }),
            }
        }
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again. A notification that comes
    /// after the mutex is unlocked is not missed.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned when it is locked again; the guard is in the error.
    ///
    /// # Panics
    ///
    /// If others wait with another mutex.
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        crate::wait::point();
        match self.wait_until(guard, None) {
            Ok((guard, _)) => Ok(guard),
            Err(poisoned) => Err(PoisonError::new(poisoned.into_inner().0)),
        }
    }

    /// Waits as long as `condition` is true of what the mutex guards. It is asked before every wait,
    /// with the mutex locked.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned when it is locked again; the guard is in the error.
    ///
    /// # Panics
    ///
    /// If others wait with another mutex.
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait`](Self::wait), for `timeout` at most; to lock the mutex again may take longer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sward::sync::{Condvar, Mutex};
    ///
    /// let (mutex, changed) = (Mutex::new(1), Condvar::new());
    /// let guard = mutex.lock().expect("not poisoned");
    /// let (guard, result) = changed
    ///     .wait_timeout(guard, Duration::from_millis(1))
    ///     .expect("not poisoned");
    /// assert!(result.timed_out());
    /// # drop(guard);
    /// ```
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned when it is locked again; the guard is in the error.
    ///
    /// # Panics
    ///
    /// If others wait with another mutex.
    #[track_caller]
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        crate::wait::point();
        self.wait_until(guard, deadline_after(timeout))
    }

    /// Waits as long as `condition` is true of what the mutex guards, for `timeout` at most. The
    /// result says whether it was still true at the end.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned when it is locked again; the guard is in the error.
    ///
    /// # Panics
    ///
    /// If others wait with another mutex.
    #[track_caller]
    pub fn wait_timeout_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let deadline = deadline_after(timeout);
        loop {
            if !condition(&mut guard) {
                return Ok((guard, WaitTimeoutResult { late: false }));
            }
            if deadline.is_some_and(|it| now() >= it) {
                return Ok((guard, WaitTimeoutResult { late: true }));
            }
            guard = self.wait_until(guard, deadline)?.0;
        }
    }

    #[track_caller]
    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let mutex: &'a Mutex<T> = guard.mutex();
        let mut pass_on = PassOn { to: None };
        let waited = self.stand_and_wait(mutex.raw(), deadline, || drop(guard));
        let guard = match waited {
            Ok(Notified::WithAll) => mutex.lock_adopted(),
            Ok(Notified::Alone) => {
                pass_on.to = Some(self);
                mutex.lock()
            }
            Err(Late { .. }) => mutex.lock(),
        };
        pass_on.to = None;
        let result = WaitTimeoutResult {
            late: waited == Err(Late { moved: false }),
        };
        match guard {
            Ok(guard) => Ok((guard, result)),
            Err(poisoned) => Err(PoisonError::new((poisoned.into_inner(), result))),
        }
    }

    /// Stands in the line, runs `unlock`, and waits.
    #[track_caller]
    fn stand_and_wait(
        &self,
        mutex: &RawMutex,
        deadline: Option<Instant>,
        unlock: impl FnOnce(),
    ) -> Result<Notified, Late> {
        let mut queue = self.queue.lock();
        if queue.line.is_empty() {
            queue.mutex = Some(NonNull::from(mutex));
        } else if queue.mutex != Some(NonNull::from(mutex)) {
            drop(queue);
            panic!("a condition variable is waited for with one mutex at a time");
        }
        // Relaxed: the unlocking of the mutex passes it on.
        self.waiting.store(queue.line.len() + 1, Relaxed);
        let place = Place {
            caller: Location::caller(),
            end: End::Back,
            slot: NO_SLOT,
            reason: Reason::Condvar,
            subject: mutex.subject(),
        };
        let mut leaving = Leaving {
            condvar: Some(self),
        };
        let moved = wait_movable(
            &self.queue,
            queue,
            |it| &mut it.line,
            mutex.line(),
            place,
            deadline,
            unlock,
        )?;
        leaving.condvar = None;
        Ok(if moved {
            Notified::WithAll
        } else {
            Notified::Alone
        })
    }

    /// Wakes the one that has waited longest, if anybody waits.
    pub fn notify_one(&self) {
        crate::wait::point();
        // Relaxed: the mutex has passed it on, if the caller has held it since.
        if self.waiting.load(Relaxed) == 0 {
            return;
        }
        let mut queue = self.queue.lock();
        let called = queue.line.call_first();
        self.waiting.store(queue.line.len(), Relaxed);
        drop(queue);
        drop(called);
    }

    /// Notifies all who wait now; who comes later waits. They are woken one after the other, as each leaves the
    /// mutex to the next.
    pub fn notify_all(&self) {
        crate::wait::point();
        if self.waiting.load(Relaxed) == 0 {
            return;
        }
        let mut queue = self.queue.lock();
        let Queue { line, mutex } = &mut *queue;
        let called = match mutex {
            Some(mutex) if !line.is_empty() => {
                // SAFETY: whoever stands in the line has borrowed it, and leaves under the line's lock.
                let mutex = unsafe { mutex.as_ref() };
                // SAFETY: they wait by `stand_and_wait`, which names this mutex's line, and then do as
                // those whom it adopted.
                unsafe { mutex.adopt(line) }
            }
            _ => None,
        };
        self.waiting.store(0, Relaxed);
        drop(queue);
        drop(called);
    }
}

/// How a notification came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notified {
    /// To this waiter alone, who may have to pass it on.
    Alone,
    /// To all, who were moved to the mutex's line; it was called there.
    WithAll,
}

/// Counts again after somebody has left the line without being called.
struct Leaving<'a> {
    condvar: Option<&'a Condvar>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(condvar) = self.condvar {
            let queue = condvar.queue.lock();
            condvar.waiting.store(queue.line.len(), Relaxed);
        }
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::Condvar;
    use crate::sync::Mutex;
    use loom::{model::Builder, sync::Arc, thread};
    use std::time::Duration;

    /// Whoever changes the value and then notifies is not missed, whichever way it notifies.
    #[test]
    fn a_change_and_its_notification_are_not_missed() {
        for all in [false, true] {
            let mut builder = Builder::new();
            builder.preemption_bound = Some(3);
            builder.check(move || {
                let shared = Arc::new((Mutex::new(0), Condvar::new()));
                let others = [0, 1].map(|_| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        *shared.0.lock().expect("not poisoned") += 1;
                        if all {
                            shared.1.notify_all();
                        } else {
                            shared.1.notify_one();
                        }
                    })
                });
                let value = shared.0.lock().expect("not poisoned");
                let value = shared.1.wait_while(value, |it| *it < 2);
                assert_eq!(*value.expect("not poisoned"), 2);
                for other in others {
                    other.join().expect("no panic");
                }
            });
        }
    }

    /// All who were notified at once get the mutex, one after the other: whether it was held by then or
    /// not, and though one of them is late when it stands in the mutex's line already.
    #[test]
    fn all_who_are_notified_get_the_mutex() {
        for (held, late) in [(true, false), (false, false), (true, true), (false, true)] {
            let mut builder = Builder::new();
            builder.preemption_bound = Some(2);
            builder.check(move || {
                let shared = Arc::new((Mutex::new((false, 0)), Condvar::new()));
                let waiters = [false, late].map(|late| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        let mut guard = shared.0.lock().expect("not poisoned");
                        if late && !guard.0 {
                            // In a model the time is always over.
                            let waited = shared.1.wait_timeout(guard, Duration::ZERO);
                            let (now, result) = waited.expect("not poisoned");
                            assert!(now.0 || result.timed_out());
                            guard = now;
                        } else {
                            guard = shared
                                .1
                                .wait_while(guard, |it| !it.0)
                                .expect("not poisoned");
                        }
                        guard.1 += 1;
                    })
                });
                let mut guard = shared.0.lock().expect("not poisoned");
                guard.0 = true;
                if held {
                    shared.1.notify_all();
                    drop(guard);
                } else {
                    drop(guard);
                    shared.1.notify_all();
                }
                for waiter in waiters {
                    waiter.join().expect("no panic");
                }
                assert_eq!(shared.0.lock().expect("not poisoned").1, 2);
            });
        }
    }
}
