//! [`Once`]: runs a piece of code once; who comes meanwhile waits.
//!
//! | state          | meaning                                                          |
//! |----------------|------------------------------------------------------------------|
//! | [`INCOMPLETE`] | it has not run, or was called off                                |
//! | [`POISONED`]   | it has panicked                                                  |
//! | [`RUNNING`]    | somebody runs it: stand in the line, and look again when called  |
//! | [`COMPLETE`]   | it has run, for good                                             |
//!
//! [`RUNNING`] is left under the lock of the line, together with calling all who stand there; who waits
//! looks at the state under that lock.
//!
//! # Edges
//!
//! - `[run]` what the code did, to all who then find it complete.

use crate::{
    base::{
        lock::Lock,
        primitives::{
            AtomicU8,
            Ordering::{Acquire, Relaxed, Release},
            const_fn,
        },
    },
    sync::poison::poisons,
    wait::{NO_SLOT, line::Line, reason::Reason, wait_in_line},
};
use std::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
};

const INCOMPLETE: u8 = 0;
const POISONED: u8 = 1;
const RUNNING: u8 = 2;
const COMPLETE: u8 = 3;

/// Runs a piece of code once: [`std::sync::Once`], green.
///
/// Who comes while it runs waits for its end: a green thread lets others run, a kernel thread sleeps. The
/// code may block. It must not wait for itself by the same `Once`.
///
/// # Examples
///
/// ```
/// use sward::sync::Once;
///
/// static START: Once = Once::new();
/// let mut runs = 0;
/// START.call_once(|| runs += 1);
/// START.call_once(|| runs += 1);
/// assert_eq!(runs, 1);
/// ```
pub struct Once {
    state: AtomicU8,
    line: Lock<Line>,
}

/// What a [`Once`] tells the code that it runs by [`call_once_force`](Once::call_once_force).
pub struct OnceState {
    poisoned: bool,
}

impl OnceState {
    /// An earlier run has panicked.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

impl fmt::Debug for OnceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceState")
            .field("poisoned", &self.poisoned)
            .finish()
    }
}

/// A run; it ends when this is dropped.
struct Run<'a> {
    once: &'a Once,
    /// The state before.
    before: u8,
    completed: bool,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let next = if self.completed {
            COMPLETE
        } else if poisons() {
            POISONED
        } else {
            self.before
        };
        let mut line = self.once.line.lock();
        self.once.state.store(next, Release); // Release [run].
        let calls = line.call_all();
        drop(line);
        calls.wake();
    }
}

impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

#[expect(clippy::new_without_default, reason = "std's has none")]
impl Once {
    const_fn! {
        /// Makes one that has not run; it allocates nothing.
        #[inline]
        #[must_use]
        pub const fn new() -> Self {
            Self {
                state: AtomicU8::new(INCOMPLETE),
                line: Lock::new(Line::new()),
            }
        }
    }

    /// Runs `f`, unless it or another was run before. When this returns, one has run to its end, and what
    /// it did is seen.
    ///
    /// # Panics
    ///
    /// If `f` panics, or another has panicked before.
    #[inline]
    #[track_caller]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if !self.is_completed() {
            let mut f = Some(f);
            self.call(false, &mut |_| {
                if let Some(f) = f.take() {
                    f();
                }
            });
        }
    }

    /// As [`call_once`](Self::call_once), but runs `f` if earlier ones have panicked.
    ///
    /// # Panics
    ///
    /// If `f` panics.
    #[inline]
    #[track_caller]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        if !self.is_completed() {
            let mut f = Some(f);
            self.call(true, &mut |state| {
                if let Some(f) = f.take() {
                    f(state);
                }
            });
        }
    }

    /// Whether a run has come to its end. Then what it did is seen.
    #[inline]
    pub fn is_completed(&self) -> bool {
        // Acquire [run].
        self.state.load(Acquire) == COMPLETE
    }

    /// Waits until somebody has run it to the end.
    ///
    /// # Panics
    ///
    /// If a run has panicked.
    #[track_caller]
    pub fn wait(&self) {
        while !self.is_completed() {
            let state = self.wait_for_change(|state| state != COMPLETE && state != POISONED);
            assert!(
                state != POISONED,
                "Once instance has previously been poisoned"
            );
        }
    }

    /// As [`wait`](Self::wait), also if runs have panicked: until one has come to its end.
    #[track_caller]
    pub fn wait_force(&self) {
        while !self.is_completed() {
            self.wait_for_change(|state| state != COMPLETE);
        }
    }

    /// Waits for a run to end if `should` says so of the state, and returns the state before.
    #[track_caller]
    fn wait_for_change(&self, should: impl Fn(u8) -> bool) -> u8 {
        let line = self.line.lock();
        // Relaxed: whoever goes on by this asks again, or does not go on.
        let state = self.state.load(Relaxed);
        if should(state) {
            // Without a deadline it cannot be late.
            _ = wait_in_line(&self.line, line, |it| it, NO_SLOT, Reason::Once, None);
        }
        state
    }

    #[cold]
    #[track_caller]
    fn call(&self, force: bool, f: &mut dyn FnMut(&OnceState)) {
        loop {
            // Acquire [run].
            let before = self.state.load(Acquire);
            match before {
                COMPLETE => return,
                RUNNING => {
                    self.wait_for_change(|state| state == RUNNING);
                }
                POISONED if !force => panic!("Once instance has previously been poisoned"),
                _ => {
                    // Acquire [run]: a run that panicked has left things behind.
                    if self
                        .state
                        .compare_exchange(before, RUNNING, Acquire, Relaxed)
                        .is_ok()
                    {
                        let mut run = Run {
                            once: self,
                            before,
                            completed: false,
                        };
                        f(&OnceState {
                            poisoned: before == POISONED,
                        });
                        run.completed = true;
                        return;
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::Once;
    use loom::{cell::UnsafeCell, model::Builder, sync::Arc, thread};

    /// It runs once, and all see what it did.
    #[test]
    fn one_runs_and_all_see_it() {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let shared = Arc::new((Once::new(), UnsafeCell::new(0)));
            let run = |shared: &(Once, UnsafeCell<i32>)| {
                shared.0.call_once(|| shared.1.with_mut(|_| ()));
                shared.1.with(|_| ());
            };
            let others = [0, 1].map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || run(&shared))
            });
            shared.0.wait();
            shared.1.with(|_| ());
            for other in others {
                other.join().expect("no panic");
            }
        });
    }
}
