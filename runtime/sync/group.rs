//! [`Group`]: green threads that may fail, waited for together.
//!
//! What its threads tell it at their end is under an internal lock: to wait for a green one they might be called
//! off, half way to telling, and whoever waits for the group would do so for ever.

use super::{Semaphore, WaitGroup};
use crate::{
    base::lock::Lock,
    context::{Context, ContextError},
    wait::reason::Reason,
};
use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

/// Green threads that may fail, waited for together: Go's `errgroup.Group`.
///
/// A clone is another handle to the same group, by which its threads may add more.
///
/// # Examples
///
/// ```
/// use sward::sync::Group;
///
/// let group = Group::new();
/// for number in 1..=3 {
///     group.go(move || if number == 2 { Err("two") } else { Ok(()) });
/// }
/// assert_eq!(group.wait(), Err("two"));
/// ```
pub struct Group<E> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    members: WaitGroup,
    link: Option<Link<E>>,
    /// Values only go in and come out under it: no code of theirs runs.
    state: Lock<State<E>>,
}

struct State<E> {
    /// How many have not ended.
    active: usize,
    /// A permit for each that may be active.
    limit: Option<Arc<Semaphore>>,
    /// The first.
    failure: Option<Failure<E>>,
}

enum Failure<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

/// The context that the group cancels.
struct Link<E> {
    context: Context,
    /// What its cause says of an error.
    text: fn(&E) -> String,
}

impl<E> Link<E> {
    fn cause(&self, failure: &Failure<E>) -> String {
        match failure {
            Failure::Error(error) => (self.text)(error),
            Failure::Panic(_) => "a green thread of the group panicked".to_owned(),
        }
    }
}

/// One thread of the group, until this is dropped. It goes with the thread's closure, so that one that
/// never runs, or not to its end, because its runtime shuts down, has failed too.
struct Member<E> {
    group: Group<E>,
    permit: Option<Arc<Semaphore>>,
    /// How it ended is known.
    told: bool,
}

impl<E> Member<E> {
    fn fail(&self, failure: Failure<E>) {
        let link = self.group.shared.link.as_ref();
        let cause = link.map(|it| it.cause(&failure));
        let later = self.group.with(|state| {
            // A later failure goes, but not under the lock.
            if state.failure.is_none() {
                state.failure = Some(failure);
                None
            } else {
                Some(failure)
            }
        });
        // After the first failure is known, so that those who see the end find it.
        if let Some((link, cause)) = link.zip(cause) {
            link.context.cancel(cause);
        }
        drop(later);
    }
}

impl<E> Drop for Member<E> {
    fn drop(&mut self) {
        if !self.told {
            self.fail(Failure::Panic(Box::new(crate::Shutdown)));
        }
        self.group.with(|state| state.active -= 1);
        if let Some(permit) = &self.permit {
            permit.add(1);
        }
        self.group.shared.members.done();
    }
}

impl<E> Group<E> {
    /// Makes a group without threads, and without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::linked(None)
    }

    fn linked(link: Option<Link<E>>) -> Self {
        Self {
            shared: Arc::new(Shared {
                members: WaitGroup::new(),
                link,
                state: Lock::new(State {
                    active: 0,
                    limit: None,
                    failure: None,
                }),
            }),
        }
    }

    /// Lets at most `count` threads of the group be active at a time: [`go`](Self::go) then waits. With 0
    /// it waits until the caller's runtime shuts down.
    ///
    /// # Panics
    ///
    /// If some are active.
    #[track_caller]
    pub fn limit(&self, count: usize) {
        let limit = Arc::new(Semaphore::new(count));
        let idle = self.with(|state| {
            let idle = state.active == 0;
            if idle {
                state.limit = Some(limit);
            }
            idle
        });
        assert!(
            idle,
            "a group's limit cannot change while threads are active"
        );
    }

    fn with<R>(&self, f: impl FnOnce(&mut State<E>) -> R) -> R {
        f(&mut self.shared.state.lock())
    }
}

impl<E: fmt::Display> Group<E> {
    /// Makes a group, and a context for it that is made from `context`: the first thread of the group
    /// that fails or panics cancels it, and so does the end of the first [`wait`](Self::wait).
    ///
    /// Its [cause](Context::cause) is the text of the error. It interrupts nobody: a thread that does not
    /// look at the context goes on, and `wait` waits for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use sward::{context::Context, sync::Group};
    ///
    /// let (group, context) = Group::with_context(&Context::background());
    /// group.go(|| Err("no such page"));
    /// group.go(move || {
    ///     // Would wait for ever, if nobody failed.
    ///     _ = context.done().recv();
    ///     Ok(())
    /// });
    /// assert_eq!(group.wait(), Err("no such page"));
    /// ```
    pub fn with_context(context: &Context) -> (Self, Context) {
        let context = context.with_cancel();
        let group = Self::linked(Some(Link {
            context: context.clone(),
            text: E::to_string,
        }));
        (group, context)
    }
}

impl<E: Send + 'static> Group<E> {
    /// Spawns a green thread of the group that runs `f`. Waits first, if there is a limit and as many
    /// are active.
    ///
    /// # Panics
    ///
    /// If the green thread cannot be [spawned](crate::spawn).
    #[track_caller]
    pub fn go<F>(&self, f: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        let permit = self.with(|state| state.limit.clone());
        if let Some(permit) = &permit {
            permit.acquire(1).forget();
        }
        self.with(|state| state.active += 1);
        self.shared.members.add(1);
        let mut member = Member {
            group: self.clone(),
            permit,
            told: false,
        };
        drop(crate::spawn(move || {
            match catch_unwind(AssertUnwindSafe(f)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => member.fail(Failure::Error(error)),
                // The member tells, as it goes.
                Err(payload) if payload.is::<crate::Shutdown>() => resume_unwind(payload),
                Err(payload) => member.fail(Failure::Panic(payload)),
            }
            member.told = true;
            drop(member);
        }));
    }

    /// Waits until all threads of the group have ended. Then the group is as new.
    ///
    /// # Errors
    ///
    /// The first error that one of them returned since the last wait.
    ///
    /// # Panics
    ///
    /// If the first to fail panicked: with its payload. If it was ended by the shutdown of its
    /// runtime, the payload is [`Shutdown`](crate::Shutdown).
    #[track_caller]
    pub fn wait(&self) -> Result<(), E> {
        self.shared.members.wait_as(Reason::Group);
        if let Some(link) = &self.shared.link {
            link.context.cancel(ContextError::Canceled);
        }
        match self.with(|state| state.failure.take()) {
            None => Ok(()),
            Some(Failure::Error(error)) => Err(error),
            Some(Failure::Panic(payload)) => resume_unwind(payload),
        }
    }
}

impl<E> Clone for Group<E> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<E> Default for Group<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> fmt::Debug for Group<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("active", &self.with(|state| state.active))
            .finish_non_exhaustive()
    }
}
