//! Green threads that borrow, and that end together: the first that fails cancels the context.
//!
//! It is [`thread::scope`] with one thing more, a [`Duty`] that each child carries
//! in its closure. It is fulfilled by a success; dropped otherwise, by an error, a panic, a shutdown, or
//! because the child never ran, it cancels the context. So no way out is forgotten.

use super::Context;
use crate::{
    base::lock::Lock,
    thread::{self, ScopedJoinHandle},
};
use std::{fmt, sync::Arc};

/// A scope whose green threads may borrow from outside, and fail. See [`Context::scope`].
///
/// A clone is another handle to the same scope, by which its green threads may start more.
pub struct Scope<'scope, 'env, E> {
    inner: &'scope thread::Scope<'scope, 'env>,
    context: Context,
    /// The first error.
    failure: Arc<Lock<Option<E>>>,
}

/// Cancels the context when it is dropped, unless it was fulfilled.
struct Duty {
    context: Context,
    is_fulfilled: bool,
}

impl Duty {
    fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            is_fulfilled: false,
        }
    }

    /// Passes a success on; keeps an error, if it is the first, and cancels the context.
    fn discharge<T, E: fmt::Display>(
        mut self,
        result: Result<T, E>,
        failure: &Lock<Option<E>>,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.is_fulfilled = true;
                Some(value)
            }
            Err(error) => {
                let cause = error.to_string();
                let mut first = failure.lock();
                let later = if first.is_none() {
                    *first = Some(error);
                    None
                } else {
                    Some(error)
                };
                drop(first);
                self.context.cancel(cause);
                self.is_fulfilled = true;
                drop(later);
                None
            }
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if !self.is_fulfilled {
            self.context
                .cancel("a green thread of the context's scope did not return");
        }
    }
}

impl Context {
    /// Runs `f` with a scope in which green threads can be started that borrow from here; the first to
    /// fail, or to panic, cancels this context.
    ///
    /// `f` itself counts as one of them. Whatever happens, this returns when all have ended: the caller
    /// waits, a green thread parked, a kernel thread asleep. **A cancelled context interrupts nobody.** A
    /// child that does not look at [`done`](Self::done) or [`err`](Self::err), and waits for something
    /// else, delays the end of the scope for as long as it likes.
    ///
    /// The [cause](Self::cause) is then the text of the error. To cancel the scope's own work only, use a
    /// context made for it: `context.with_cancel().scope(..)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use sward::context::Context;
    ///
    /// let context = Context::background();
    /// let result: Result<(), String> = context.scope(|scope| {
    ///     // Waits for ever, if nobody fails.
    ///     scope.spawn(|| Ok(context.done().recv().is_err()));
    ///     scope.spawn(|| "7 lemons".parse::<u32>().map_err(|it| it.to_string()));
    ///     Ok(())
    /// });
    /// assert_eq!(result, Err("invalid digit found in string".to_owned()));
    /// ```
    ///
    /// # Errors
    ///
    /// The first error that `f` or a child returned.
    ///
    /// # Panics
    ///
    /// As [`thread::scope`]: if a child panicked that was not joined, or `f` did;
    /// after all children have ended.
    #[track_caller]
    pub fn scope<'env, F, T, E>(&self, f: F) -> Result<T, E>
    where
        F: for<'scope> FnOnce(&Scope<'scope, 'env, E>) -> Result<T, E>,
        E: fmt::Display + Send + 'env,
    {
        let failure = Arc::new(Lock::new(None));
        let value = thread::scope(|inner| {
            let scope = Scope {
                inner,
                context: self.clone(),
                failure: Arc::clone(&failure),
            };
            let duty = Duty::new(self);
            duty.discharge(f(&scope), &failure)
        });
        match (failure.lock().take(), value) {
            (Some(error), _) => Err(error),
            (None, Some(value)) => Ok(value),
            (None, None) => unreachable!("who has no value has left an error"),
        }
    }
}

impl<'scope, E: fmt::Display + Send + 'scope> Scope<'scope, '_, E> {
    /// Starts a green thread that may borrow whatever outlives the scope.
    ///
    /// If it returns an error or panics, the context is cancelled. Joined, it gives `Some` value if it
    /// succeeded, and `None` if it failed: its error, if it was the first, is the scope's.
    ///
    /// # Panics
    ///
    /// If there is no memory for it.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> ScopedJoinHandle<'scope, Option<T>>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        let (duty, failure) = (Duty::new(&self.context), Arc::clone(&self.failure));
        self.inner.spawn(move || {
            // Named whole, so that the closure has it from the start, run or not.
            let duty = duty;
            duty.discharge(f(), &failure)
        })
    }

    /// The context that the first failure cancels.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

impl<E> Clone for Scope<'_, '_, E> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner,
            context: self.context.clone(),
            failure: Arc::clone(&self.failure),
        }
    }
}

impl<E> fmt::Debug for Scope<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}
