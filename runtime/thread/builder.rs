//! A green thread with a name, or a stack of another size.

use super::{
    JoinHandle, Scope, ScopedJoinHandle,
    spawn::{self, Wish},
};
use std::{io, panic::Location};

/// A green thread that is still to be spawned, with a name or a stack of its own.
///
/// # Examples
///
/// ```
/// use sward::thread::Builder;
///
/// let deep = Builder::new()
///     .name("deep".to_owned())
///     .stack_size(4 << 20)
///     .spawn(|| [1_u8; 1 << 20].iter().map(|it| u64::from(*it)).sum::<u64>())?;
/// assert_eq!(deep.join().expect("the stack is large"), 1 << 20);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a green thread starts when it is spawned"]
pub struct Builder {
    wish: Wish,
}

impl Builder {
    /// A green thread without a name, and with a stack of its runtime's size.
    #[track_caller]
    #[expect(
        clippy::new_without_default,
        reason = "as in std; and it notes who calls"
    )]
    pub fn new() -> Self {
        Self { wish: Wish::new() }
    }

    /// Names it, for dumps and reports.
    ///
    /// # Panics
    ///
    /// If the name holds a zero byte, as in `std`.
    pub fn name(mut self, name: String) -> Self {
        assert!(
            !name.contains('\0'),
            "a thread's name may not contain zero bytes"
        );
        self.wish.name = Some(name.into());
        self
    }

    /// Gives it a stack of at least `bytes`, and never less than 16 KiB.
    ///
    /// Memory is used as the stack is, page by page.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.wish.stack_bytes = Some(bytes);
        self
    }

    /// Starts it; see [`spawn`](super::spawn()).
    ///
    /// # Errors
    ///
    /// If there is no memory for it, if the size of its stack is absurd, or if the global runtime is needed
    /// and cannot be started. Then `f` was dropped and not called. Afterwards nothing can fail: a stack
    /// is reserved.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let wish = self.asked_here();
        spawn::here(|home| spawn::spawn_on(home, wish, f))?
    }

    /// Starts it with a kernel thread of its own, on which it stays: Go's `LockOSThread`. For what is bound to
    /// a thread: OpenGL, C libraries with thread-locals of their own, a thread's signal mask.
    ///
    /// It is joined, woken and shut down like any other, and what it spawns goes to the runtime. It runs on
    /// the kernel thread's stack of 8 MiB, whatever [`stack_size`](Self::stack_size) says, and beside the
    /// runtime's workers, not as one of them. The price: a kernel thread, 100 microseconds to start, and a
    /// system call for each wait and each wake-up, some ten microseconds where others take a tenth of one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    ///
    /// let handle = sward::thread::Builder::new().spawn_pinned(|| {
    ///     let before = thread::current().id();
    ///     sward::thread::sleep(std::time::Duration::from_millis(1));
    ///     before == thread::current().id()
    /// })?;
    /// assert!(handle.join().expect("no panic"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no kernel thread to be had, or no memory, or the runtime shuts down. Then `f` was dropped
    /// and not called.
    #[track_caller]
    pub fn spawn_pinned<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let wish = self.asked_here();
        spawn::here(|home| spawn::spawn_pinned(home, wish, f))?
    }

    /// Starts it in `scope`; see [`Scope::spawn`].
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let wish = self.asked_here();
        scope.spawn_with(wish, f)
    }

    /// What is asked for, with the place where it is.
    #[track_caller]
    fn asked_here(self) -> Wish {
        Wish {
            at: Location::caller(),
            ..self.wish
        }
    }
}
