//! Contexts: one signal to end, for all the green threads that work on the same thing.
//!
//! A request spreads over many green threads; when its client goes, or its time is up, they should all
//! stop. Give each a [`Context`]. Contexts form a tree: whoever starts a part of the work makes a child
//! of the context that it was given, perhaps with a sooner deadline, and can end that part without
//! ending the whole. An end goes down the tree, never up.
//!
//! ```
//! use std::time::Duration;
//! use sward::{channel, context::{Context, ContextError}, select};
//!
//! /// Adds up what comes, until the context ends.
//! fn add_up(context: &Context, numbers: &channel::Receiver<u64>) -> Result<u64, ContextError> {
//!     let mut sum = 0;
//!     loop {
//!         select! {
//!             recv(context.done()) -> _ => return Err(context.err().unwrap_or(ContextError::Canceled)),
//!             recv(numbers) -> number => match number {
//!                 Ok(number) => sum += number,
//!                 Err(_) => return Ok(sum),
//!             },
//!         }
//!     }
//! }
//!
//! let context = Context::background().with_timeout(Duration::from_millis(2));
//! let (tx, rx) = channel::unbounded();
//! tx.send(1)?;
//! assert_eq!(add_up(&context, &rx), Err(ContextError::DeadlineExceeded));
//! # Ok::<(), channel::SendError<u64>>(())
//! ```
//!
//! What an end does is little: it closes [`done`](Context::done), and runs what was asked for with
//! [`after_func`](Context::after_func). It interrupts nobody. Who waits for a channel waits for `done` in
//! the same `select!`; what waits for a socket is ended by `context.after_func(move || socket.close())`.

mod keeper;
mod node;
mod scope;

pub use self::scope::Scope;

use self::node::{End, Node};
use crate::{
    channel::Receiver,
    wait::{self, deadline_after},
};
use std::{
    any::Any,
    error::Error,
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
    time::{Duration, Instant},
};

/// A signal to end, with a deadline perhaps, and values. See the [module](self).
///
/// A clone is the same context. A context that is dropped has not ended; it is gone when all that keep it
/// are: its clones, the contexts that were made from it, and the [`AfterFunc`]s that it gave. Then what it
/// was to run is dropped, and a clone of its [`done`](Self::done) is left without a sender.
///
/// # Examples
///
/// ```
/// use sward::context::{Context, ContextError};
///
/// let request = Context::background().with_value("request 7");
/// let lookup = request.with_cancel();
/// lookup.cancel("found in the cache");
/// assert_eq!(lookup.err(), Some(ContextError::Canceled));
/// assert_eq!(lookup.cause().map(ToString::to_string).as_deref(), Some("found in the cache"));
/// assert_eq!(lookup.value(), Some(&"request 7"));
/// assert_eq!(request.err(), None);
/// ```
#[derive(Clone)]
#[must_use = "a context that nobody keeps ends nothing"]
pub struct Context {
    node: Arc<Node>,
}

impl UnwindSafe for Context {}
impl RefUnwindSafe for Context {}

impl Context {
    /// A context without a parent, a deadline or values, which ends if it is cancelled itself.
    ///
    /// Each call makes another. `main` makes one, a test, or a server for all its requests.
    pub fn background() -> Self {
        Self { node: Node::root() }
    }

    fn child(&self, deadline: Option<Instant>) -> Self {
        Self {
            node: self.node.child(deadline, None),
        }
    }

    /// A context that ends with this one, or when it is cancelled itself.
    ///
    /// If this one has ended, it has too.
    ///
    /// # Examples
    ///
    /// ```
    /// use sward::context::Context;
    ///
    /// let parent = Context::background();
    /// let (one, two) = (parent.with_cancel(), parent.with_cancel());
    /// one.cancel("no longer needed");
    /// assert!(one.err().is_some() && two.err().is_none());
    /// parent.cancel("closing time");
    /// assert!(two.err().is_some());
    /// ```
    pub fn with_cancel(&self) -> Self {
        self.child(None)
    }

    /// A context that ends with this one, or after `timeout`, or when it is cancelled itself.
    ///
    /// As [`with_deadline`](Self::with_deadline). A time-out that the clock cannot count is none.
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        self.child(deadline_after(timeout))
    }

    /// A context that ends with this one, or at `deadline`, or when it is cancelled itself.
    ///
    /// If this one's deadline is sooner, that counts. A deadline that has passed has ended it already,
    /// when this returns. The clock is [`time::now`](crate::time::now)'s. All deadlines of a runtime are
    /// kept by one green thread, those of all kernel threads by one kernel thread, which start when they
    /// are needed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sward::{context::{Context, ContextError}, time};
    ///
    /// let deadline = time::now() + Duration::from_millis(2);
    /// let context = Context::background().with_deadline(deadline);
    /// assert_eq!(context.deadline(), Some(deadline));
    /// assert!(context.done().recv().is_err());
    /// assert_eq!(context.err(), Some(ContextError::DeadlineExceeded));
    /// assert!(time::now() >= deadline);
    /// ```
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        self.child(Some(deadline))
    }

    /// A context that ends with this one, or when it is cancelled itself, and that carries a value.
    ///
    /// Values are for what a request carries along (who asks, which trace it belongs to), not for
    /// arguments. They are found by type: make one for each kind of value.
    ///
    /// # Examples
    ///
    /// ```
    /// use sward::context::Context;
    ///
    /// #[derive(Debug, PartialEq)]
    /// struct UserId(u32);
    ///
    /// let context = Context::background().with_value(UserId(7));
    /// assert_eq!(context.with_cancel().value(), Some(&UserId(7)));
    /// assert_eq!(context.value::<u32>(), None);
    /// ```
    pub fn with_value<T: Any + Send + Sync>(&self, value: T) -> Self {
        Self {
            node: self.node.child(None, Some(Box::new(value))),
        }
    }

    /// The value of type `T` that was given last, to this context or one that it was made from.
    ///
    /// It looks at each of them, one after the other.
    pub fn value<T: Any>(&self) -> Option<&T> {
        self.node.value()
    }

    /// Ends this context and all that were made from it, directly or not.
    ///
    /// When this returns they have all ended, and what is to run [after](Self::after_func) them has been
    /// started. Those that had ended before keep their own cause. Nobody waits here, for anything that
    /// others do.
    ///
    /// `cause` is what [`cause`](Self::cause) tells. If there is nothing to tell, it is
    /// [`ContextError::Canceled`].
    ///
    /// # Panics
    ///
    /// If there is no memory for the green threads that are to run.
    pub fn cancel(&self, cause: impl Into<Box<dyn Error + Send + Sync>>) {
        let end = End::canceled(cause.into());
        wait::point();
        self.node.end(&end);
    }

    /// A channel that is closed when the context has ended, and that never carries a message.
    ///
    /// Wait for it with `recv`, or with others in `select!`; any number may. By then
    /// [`err`](Self::err) tells why.
    ///
    /// # Examples
    ///
    /// ```
    /// use sward::context::Context;
    ///
    /// let context = Context::background();
    /// let waiter = sward::spawn({
    ///     let context = context.clone();
    ///     move || context.done().recv().is_err() && context.err().is_some()
    /// });
    /// context.cancel("enough");
    /// assert_eq!(waiter.join().ok(), Some(true));
    /// ```
    pub fn done(&self) -> &Receiver<()> {
        self.node.done()
    }

    /// Why it ended, in one word; `None` while it has not.
    ///
    /// It costs one atomic load. A loop that never waits asks this.
    pub fn err(&self) -> Option<ContextError> {
        self.node.ended().map(|it| it.error)
    }

    /// Why it ended: what [`cancel`](Self::cancel) was told first, here or further up; `None` while it has
    /// not.
    ///
    /// After a deadline it is [`ContextError::DeadlineExceeded`].
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.node.ended().map(End::cause)
    }

    /// When it will end at the latest, if that is known.
    pub fn deadline(&self) -> Option<Instant> {
        self.node.deadline
    }

    /// Runs `f` in a green thread of its own when the context has ended; now, if it has.
    ///
    /// It runs on the runtime of whoever ends the context, a kernel thread's on the global one. By then
    /// all contexts that were made from this one have ended too. If the context goes before it ends, `f`
    /// is dropped; `f` should not keep that context, or neither goes.
    ///
    /// # Examples
    ///
    /// ```
    /// use sward::{channel, context::Context};
    ///
    /// let context = Context::background();
    /// let (tx, rx) = channel::bounded(1);
    /// let said = context.after_func(move || _ = tx.send("good-bye"));
    /// let unsaid = context.after_func(|| unreachable!("it was stopped"));
    /// assert!(unsaid.stop());
    /// context.cancel("the end");
    /// assert_eq!(rx.recv(), Ok("good-bye"));
    /// assert!(!said.stop());
    /// ```
    ///
    /// # Panics
    ///
    /// If the context has ended, and there is no memory for a green thread.
    pub fn after_func<F>(&self, f: F) -> AfterFunc
    where
        F: FnOnce() + Send + 'static,
    {
        wait::point();
        let number = match self.node.enlist(Box::new(f)) {
            Ok(number) => Some(number),
            Err(f) => {
                drop(crate::spawn(f));
                None
            }
        };
        AfterFunc {
            context: self.clone(),
            number,
        }
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::background()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("err", &self.err())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}

/// What is to run when a context has ended. See [`Context::after_func`].
///
/// Dropped, it changes nothing.
pub struct AfterFunc {
    context: Context,
    number: Option<u64>,
}

impl AfterFunc {
    /// Keeps it from running. Tells whether it did: `false` if it has been started, or stopped before.
    ///
    /// It does not wait for what has been started.
    pub fn stop(&self) -> bool {
        wait::point();
        self.number
            .and_then(|it| self.context.node.strike(it))
            .is_some()
    }
}

impl fmt::Debug for AfterFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// How a context ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContextError {
    /// It was cancelled.
    Canceled,
    /// Its deadline came first.
    DeadlineExceeded,
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Canceled => "context canceled",
            Self::DeadlineExceeded => "context deadline exceeded",
        })
    }
}

impl Error for ContextError {}
