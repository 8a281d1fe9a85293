//! `std::sync::mpsc`, green: many senders, one receiver.
//!
//! The names, types and errors of [`std::sync::mpsc`] over this crate's own [channels](crate::channel),
//! which have more: many receivers, `select!`, closing. Waiting gives the kernel thread to other green
//! threads; a plain kernel thread sleeps. Values come out in the order in which they went in.

use crate::channel;
use std::{
    cell::Cell, fmt, iter::FusedIterator, marker::PhantomData, panic::RefUnwindSafe, time::Duration,
};

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

/// Makes a channel that holds any number of values: [`std::sync::mpsc::channel`].
///
/// # Examples
///
/// ```
/// use std::thread;
/// use sward::sync::mpsc::channel;
///
/// let (sender, receiver) = channel();
/// for number in 1..=3 {
///     let sender = sender.clone();
///     thread::spawn(move || sender.send(number));
/// }
/// drop(sender);
/// assert_eq!(receiver.iter().sum::<i32>(), 6);
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = channel::unbounded();
    (Sender { inner: sender }, Receiver::new(receiver))
}

/// Makes a channel that holds up to `bound` values: [`std::sync::mpsc::sync_channel`]. With 0 a value is
/// handed over while both wait for each other.
///
/// # Examples
///
/// ```
/// use sward::sync::mpsc::{TrySendError, sync_channel};
///
/// let (sender, receiver) = sync_channel(1);
/// sender.send(1)?;
/// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
/// assert_eq!(receiver.recv(), Ok(1));
/// # Ok::<(), sward::sync::mpsc::SendError<i32>>(())
/// ```
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let (sender, receiver) = channel::bounded(bound);
    (SyncSender { inner: sender }, Receiver::new(receiver))
}

/// The sending side of a [`channel()`], which never waits.
pub struct Sender<T> {
    inner: channel::Sender<T>,
}

/// The sending side of a [`sync_channel`], which waits while that is full.
pub struct SyncSender<T> {
    inner: channel::Sender<T>,
}

/// The receiving side, for one thread at a time.
///
/// ```compile_fail
/// fn must_be_sync<T: Sync>(_: T) {}
/// must_be_sync(sward::sync::mpsc::channel::<i32>().1);
/// ```
pub struct Receiver<T> {
    inner: channel::Receiver<T>,
    /// As `std`'s, it can be sent but not shared.
    not_sync: PhantomData<Cell<()>>,
}

impl<T> RefUnwindSafe for Receiver<T> {}

/// What a [`Receiver`] gets, until all senders are gone.
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// What a [`Receiver`] gets without waiting.
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// What a [`Receiver`] that is used up gets, until all senders are gone.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Sender<T> {
    /// Sends a value; never waits. That it was sent does not mean that it will be received.
    ///
    /// # Errors
    ///
    /// If the receiver is gone: the value comes back.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.inner
            .send(value)
            .map_err(|error| SendError(error.into_inner()))
    }
}

impl<T> SyncSender<T> {
    /// Sends a value; waits while the channel is full. That it was sent does not mean that it will be
    /// received, unless the bound is 0.
    ///
    /// # Errors
    ///
    /// If the receiver is gone, be it during the wait: the value comes back.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.inner
            .send(value)
            .map_err(|error| SendError(error.into_inner()))
    }

    /// Sends a value if there is room, or with bound 0 if the receiver waits for it; never waits.
    ///
    /// # Errors
    ///
    /// If there is no room, or the receiver is gone: the value comes back.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.inner.try_send(value).map_err(|error| match error {
            channel::TrySendError::Full(value) => TrySendError::Full(value),
            channel::TrySendError::Disconnected(value) => TrySendError::Disconnected(value),
        })
    }
}

impl<T> Receiver<T> {
    fn new(inner: channel::Receiver<T>) -> Self {
        Self {
            inner,
            not_sync: PhantomData,
        }
    }

    /// Receives a value; waits until there is one.
    ///
    /// # Errors
    ///
    /// If there is none and all senders are gone.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.inner.recv().map_err(|_| RecvError)
    }

    /// Receives a value if there is one; never waits.
    ///
    /// # Errors
    ///
    /// If there is none now, or never again because all senders are gone.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.inner.try_recv().map_err(|error| match error {
            channel::TryRecvError::Empty => TryRecvError::Empty,
            channel::TryRecvError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// As [`recv`](Self::recv), and waits for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If there was none by then, or there is none and all senders are gone.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.inner
            .recv_timeout(timeout)
            .map_err(|error| match error {
                channel::RecvTimeoutError::Timeout => RecvTimeoutError::Timeout,
                channel::RecvTimeoutError::Disconnected => RecvTimeoutError::Disconnected,
            })
    }

    /// What comes, until all senders are gone; waits for each value.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// What is there now; never waits.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for IntoIter<T> {}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
