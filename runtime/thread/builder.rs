//! A green thread with a name, or a stack of another size.

use super::{JoinHandle, Scope, ScopedJoinHandle, spawn};
use std::io;

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
#[derive(Debug, Default)]
#[must_use = "a green thread starts when it is spawned"]
pub struct Builder {
    name: Option<Box<str>>,
    stack_bytes: Option<usize>,
}

impl Builder {
    /// A green thread without a name, and with a stack of its runtime's size.
    pub fn new() -> Self {
        Self::default()
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
        self.name = Some(name.into());
        self
    }

    /// Gives it a stack of at least `bytes`, and never less than 16 KiB.
    ///
    /// Memory is used as the stack is, page by page.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_bytes = Some(bytes);
        self
    }

    #[track_caller]
    fn wish(self) -> spawn::Wish {
        spawn::Wish {
            name: self.name,
            stack_bytes: self.stack_bytes,
            ..spawn::Wish::here()
        }
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
        let wish = self.wish();
        spawn::here(|home| spawn::spawn_on(home, wish, f))?
    }

    /// Starts it in `scope`; see [`Scope::spawn`].
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope.spawn_with(self.wish(), f)
    }
}
