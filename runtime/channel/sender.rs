//! The sending side of a channel.

#![expect(unsafe_code, reason = "handles share a channel that counts them")]

use super::{
    core::{Channel, Unsent, Until},
    error::{SendError, SendTimeoutError, TrySendError},
};
use crate::wait::deadline_after;
use std::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    ptr::NonNull,
    time::{Duration, Instant},
};

/// The sending side of a channel. Clones send into the same channel.
///
/// When the last is dropped, receivers get what is in the buffer, and then
/// [`RecvError`](super::RecvError).
///
/// # Examples
///
/// ```
/// use sward::channel;
///
/// let (tx, rx) = channel::unbounded();
/// let tx2 = tx.clone();
/// tx.send("one")?;
/// tx2.send("two")?;
/// drop((tx, tx2));
/// assert_eq!(rx.iter().collect::<Vec<_>>(), ["one", "two"]);
/// # Ok::<(), channel::SendError<&str>>(())
/// ```
///
/// It does not receive:
///
/// ```compile_fail,E0599
/// let (tx, _rx) = sward::channel::bounded::<u8>(1);
/// tx.recv();
/// ```
pub struct Sender<T> {
    channel: NonNull<Channel<T>>,
}

// SAFETY: a handle gives access to the channel, which may be shared if messages may be sent.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Sender<T> {}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    /// The handle for a share that is already counted.
    pub(super) fn from_share(channel: NonNull<Channel<T>>) -> Self {
        Self { channel }
    }

    #[inline]
    pub(super) fn channel(&self) -> &Channel<T> {
        // SAFETY: the handle's share keeps the channel.
        unsafe { self.channel.as_ref() }
    }

    /// Whether somebody waits for a message.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.channel().shared().lock().receivers.is_empty()
    }

    /// Sends `message`, and waits for room in the buffer or, without a buffer, for a receiver.
    ///
    /// Only the calling green thread waits; outside a runtime, the kernel thread does. Those who wait are
    /// served in order of arrival.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = sward::channel::bounded(1);
    /// tx.send(7)?;
    /// assert_eq!(rx.recv(), Ok(7));
    /// # Ok::<(), sward::channel::SendError<i32>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message, if the channel is closed or every receiver is gone, also if that
    /// happens meanwhile.
    #[inline]
    #[track_caller]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        match self.channel().send(message, Until::Time(None)) {
            Ok(()) => Ok(()),
            Err(Unsent::Closed(message) | Unsent::Late(message)) => Err(SendError(message)),
        }
    }

    /// Sends `message` if that needs no waiting.
    ///
    /// Without a buffer, a receiver must be waiting already.
    ///
    /// # Examples
    ///
    /// ```
    /// use sward::channel::{TrySendError, bounded};
    ///
    /// let (tx, _rx) = bounded(1);
    /// assert_eq!(tx.try_send(1), Ok(()));
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// ```
    ///
    /// # Errors
    ///
    /// The message comes back: [`TrySendError::Full`] if it would have to wait,
    /// [`TrySendError::Disconnected`] if the channel is closed or every receiver is gone.
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        match self.channel().send(message, Until::Now) {
            Ok(()) => Ok(()),
            Err(Unsent::Closed(message)) => Err(TrySendError::Disconnected(message)),
            Err(Unsent::Late(message)) => Err(TrySendError::Full(message)),
        }
    }

    /// Sends `message`, and waits at most `timeout`.
    ///
    /// As [`send`](Self::send). A time-out that the clock cannot count is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sward::channel::{SendTimeoutError, bounded};
    ///
    /// let (tx, _rx) = bounded(0);
    /// let late = tx.send_timeout(1, Duration::from_millis(1));
    /// assert_eq!(late, Err(SendTimeoutError::Timeout(1)));
    /// ```
    ///
    /// # Errors
    ///
    /// The message comes back: [`SendTimeoutError::Timeout`] if the time passed first,
    /// [`SendTimeoutError::Disconnected`] if the channel is closed or every receiver is gone.
    #[track_caller]
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(message, deadline_after(timeout))
    }

    /// Sends `message`, and waits until `deadline` at the latest.
    ///
    /// As [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As for [`send_timeout`](Self::send_timeout).
    #[track_caller]
    pub fn send_deadline(&self, message: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(message, Some(deadline))
    }

    #[track_caller]
    fn send_until(&self, message: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        match self.channel().send(message, Until::Time(deadline)) {
            Ok(()) => Ok(()),
            Err(Unsent::Closed(message)) => Err(SendTimeoutError::Disconnected(message)),
            Err(Unsent::Late(message)) => Err(SendTimeoutError::Timeout(message)),
        }
    }

    /// Closes the channel for everybody. `false` if it was closed.
    ///
    /// Blocked and later senders get their message back. Receivers get what is in the buffer, and then
    /// [`RecvError`](super::RecvError): so closing a channel that nobody sends into tells all who receive
    /// from it at once, however many they are.
    ///
    /// # Examples
    ///
    /// ```
    /// use sward::channel::{RecvError, SendError, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// tx.send(1)?;
    /// assert!(tx.close());
    /// assert_eq!(tx.send(2), Err(SendError(2)));
    /// assert_eq!(rx.recv(), Ok(1));
    /// assert_eq!(rx.recv(), Err(RecvError));
    /// assert!(!tx.close());
    /// # Ok::<(), SendError<i32>>(())
    /// ```
    pub fn close(&self) -> bool {
        self.channel().close()
    }

    /// Whether the buffer keeps no message. Always so without a buffer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the buffer has no room. Always so without a buffer.
    pub fn is_full(&self) -> bool {
        self.channel().is_full()
    }

    /// How many messages the buffer keeps. Always 0 without a buffer.
    pub fn len(&self) -> usize {
        self.channel().len()
    }

    /// How many messages the buffer has room for; `None` if any number.
    pub fn capacity(&self) -> Option<usize> {
        self.channel().capacity()
    }

    /// Whether `other` sends into the same channel.
    ///
    /// ```
    /// let (tx, _rx) = sward::channel::unbounded::<()>();
    /// assert!(tx.same_channel(&tx.clone()));
    /// ```
    pub fn same_channel(&self, other: &Self) -> bool {
        self.channel == other.channel
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.channel().add_sender();
        Self {
            channel: self.channel,
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // SAFETY: the handle's share goes with it.
        unsafe { Channel::release_sender(self.channel) };
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}
