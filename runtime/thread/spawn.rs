//! How a green thread is made: a block with its closure, put where a worker finds it.

#![expect(unsafe_code, reason = "homes are reached by plain pointers")]

use super::JoinHandle;
use crate::{
    coroutine::stack::StackClass,
    runtime,
    task::{Options, Task, TaskRef},
    wait::{
        self,
        home::{self, Home},
        ticket::Waiter,
    },
};
use std::{io, panic::Location};

/// What one asks for, for a new green thread.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) name: Option<Box<str>>,
    pub(crate) stack_bytes: Option<usize>,
    /// Where it was asked for.
    pub(crate) at: &'static Location<'static>,
}

impl Wish {
    /// Nothing special, here.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self {
            name: None,
            stack_bytes: None,
            at: Location::caller(),
        }
    }
}

/// Starts a green thread that calls `f`, and returns a handle to wait for it.
///
/// Called on a green thread, it starts on the same runtime; on a kernel thread, on the global runtime,
/// which is started on first use with as many workers as the machine runs at once (the environment
/// variable `SWARD_WORKERS` says otherwise). The caller does not wait: `f` is called when a worker comes
/// to it. A panic in `f` ends this green thread alone, and is the `Err` of
/// [`join`](JoinHandle::join). A handle that is dropped leaves it running.
///
/// # Examples
///
/// ```
/// let word = String::from("sward");
/// let letters = sward::spawn(move || word.len());
/// assert_eq!(letters.join().expect("it counts"), 5);
/// ```
///
/// # Panics
///
/// If there is no memory for it, or no kernel thread for the global runtime;
/// [`Builder::spawn`](super::Builder::spawn) returns an error instead.
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let wish = Wish::new();
    match here(|home| spawn_on(home, wish, f)).and_then(|it| it) {
        Ok(handle) => handle,
        Err(error) => panic!("failed to spawn a green thread: {error}"),
    }
}

/// Runs `f` with the home on which a green thread is to start that is spawned here.
///
/// # Errors
///
/// If it is the global runtime's, and that cannot be started.
pub(crate) fn here<R>(f: impl FnOnce(&(dyn Home + 'static)) -> R) -> io::Result<R> {
    match home::home() {
        // SAFETY: an entered context's home is valid.
        Some(home) => Ok(f(unsafe { home.as_ref() })),
        None => Ok(runtime::global()?.with_home(f)),
    }
}

/// Starts a green thread on `home`.
pub(crate) fn spawn_on<F, T>(
    home: &(dyn Home + 'static),
    wish: Wish,
    f: F,
) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: the closure and its result live for ever, and may be sent.
    let task = unsafe { start(home, wish, f) }?;
    let handle = JoinHandle::new(task);
    wait::point();
    Ok(handle)
}

/// Starts a green thread on `home`, and returns the handle's share in it.
///
/// # Safety
///
/// The closure may be called, and its result dropped, on any thread; and nothing that they borrow ends
/// before they do.
///
/// # Errors
///
/// If there is no memory for it. Then `f` has been dropped.
pub(crate) unsafe fn start<F, T>(
    home: &(dyn Home + 'static),
    wish: Wish,
    f: F,
) -> io::Result<TaskRef>
where
    F: FnOnce() -> T,
{
    let class = match wish.stack_bytes {
        None => class_for::<F, T>(home.stack_class())?,
        Some(bytes) => StackClass::of(bytes)?,
    };
    let fresh = home.allocate(class)?;
    let options = Options {
        name: wish.name,
        class,
        spawned_at: wish.at,
    };
    let own = home.home_of_spawned();
    // SAFETY: a home's runtime lives as long as the home.
    let wake = unsafe { own.as_ref() }.wake();
    let task = Task::create(&fresh, own, wake, options, f);
    home.start(task.cast::<Waiter>());
    // SAFETY: a new task has a share for its handle.
    Ok(unsafe { TaskRef::from_share(task) })
}

/// Starts a green thread that has a kernel thread of its own.
pub(super) fn spawn_pinned<F, T>(
    home: &(dyn Home + 'static),
    wish: Wish,
    f: F,
) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let pin = home.pin(wish.name.as_deref())?;
    // SAFETY: a pinned home waits until it is launched.
    let own = unsafe { pin.home.as_ref() };
    let options = Options {
        name: wish.name,
        class: home.stack_class(),
        spawned_at: wish.at,
    };
    let task = Task::create(&pin.fresh, pin.home, own.wake(), options, f);
    own.launch(task.cast::<Waiter>());
    // SAFETY: a new task has a share for its handle.
    Ok(JoinHandle::new(unsafe { TaskRef::from_share(task) }))
}

/// The stack for a closure that is called on it: a large one needs room for itself.
#[inline]
fn class_for<F, T>(default: &'static StackClass) -> io::Result<&'static StackClass> {
    const LARGE: usize = 8 << 10;
    let own = size_of::<F>() + size_of::<T>() + align_of::<F>() + align_of::<T>();
    if own < LARGE {
        return Ok(default);
    }
    // Debug builds move a value through several frames.
    StackClass::of(default.bytes().saturating_add(own.saturating_mul(8)))
}
