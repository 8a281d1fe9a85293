//! The receiving side of a channel, and iterators over what comes.

#![expect(unsafe_code, reason = "handles share a channel that counts them")]

use super::{
    clock::Clock,
    core::{Channel, Unreceived, Until},
    error::{RecvError, RecvTimeoutError, TryRecvError},
};
use crate::wait::{Waiting, deadline_after, reason::Reason, ticket::Verdict, unwind};
use std::{
    fmt,
    iter::FusedIterator,
    panic::{RefUnwindSafe, UnwindSafe},
    ptr::{self, NonNull},
    sync::Arc,
    time::{Duration, Instant},
};

/// The receiving side of a channel. Clones receive from the same channel, each message once.
///
/// When the last is dropped, what is in the buffer is dropped too, and senders get their messages back.
///
/// # Examples
///
/// ```
/// let (tx, rx) = sward::channel::bounded(0);
/// let answer = std::thread::spawn(move || rx.recv());
/// tx.send(42)?;
/// assert_eq!(answer.join().ok(), Some(Ok(42)));
/// # Ok::<(), sward::channel::SendError<i32>>(())
/// ```
///
/// It does not send:
///
/// ```compile_fail,E0599
/// let (_tx, rx) = sward::channel::bounded::<u8>(1);
/// rx.send(1);
/// ```
pub struct Receiver<T> {
    flavour: Flavour<T>,
}

/// Where the messages come from.
pub(super) enum Flavour<T> {
    Channel(NonNull<Channel<T>>),
    /// Time; then `T` is `Instant`.
    Clock(Arc<Clock>),
    Never,
}

// SAFETY: a handle gives access to the channel, which may be shared if messages may be sent.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Receiver<T> {}

impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl Receiver<Instant> {
    pub(super) fn from_clock(clock: Clock) -> Self {
        Self {
            flavour: Flavour::Clock(Arc::new(clock)),
        }
    }
}

/// What a clock's message is to a receiver that does not know that its messages are moments.
///
/// # Safety
///
/// The receiver's flavour is a clock.
unsafe fn moment<T>(at: Instant) -> T {
    debug_assert_eq!(size_of::<T>(), size_of::<Instant>());
    // SAFETY: receivers of clocks are made by `from_clock`, where `T` is `Instant`.
    unsafe { ptr::read(ptr::from_ref(&at).cast()) }
}

impl<T> Receiver<T> {
    /// The handle for a share that is already counted.
    pub(super) fn from_share(channel: NonNull<Channel<T>>) -> Self {
        Self {
            flavour: Flavour::Channel(channel),
        }
    }

    pub(super) const fn from_nothing() -> Self {
        Self {
            flavour: Flavour::Never,
        }
    }

    pub(super) fn flavour(&self) -> &Flavour<T> {
        &self.flavour
    }

    #[inline]
    pub(super) fn channel(&self) -> Option<&Channel<T>> {
        match &self.flavour {
            // SAFETY: the handle's share keeps the channel.
            Flavour::Channel(channel) => Some(unsafe { channel.as_ref() }),
            Flavour::Clock(_) | Flavour::Never => None,
        }
    }

    pub(super) fn clock(&self) -> Option<&Clock> {
        match &self.flavour {
            Flavour::Clock(clock) => Some(clock),
            Flavour::Channel(_) | Flavour::Never => None,
        }
    }

    /// A clock's message, for a selector that has it in hand.
    pub(super) fn tick(&self, at: Instant) -> Option<T> {
        match &self.flavour {
            // SAFETY: it is a clock.
            Flavour::Clock(_) => Some(unsafe { moment(at) }),
            Flavour::Channel(_) | Flavour::Never => None,
        }
    }

    #[inline]
    #[track_caller]
    fn receive(&self, until: Until) -> Result<T, Unreceived> {
        match self.channel() {
            Some(channel) => channel.receive(until),
            None => self.receive_otherwise(until),
        }
    }

    #[cold]
    #[track_caller]
    fn receive_otherwise(&self, until: Until) -> Result<T, Unreceived> {
        match (&self.flavour, until) {
            (Flavour::Clock(clock), _) => {
                let at = clock.receive(until)?;
                // SAFETY: it is a clock.
                Ok(unsafe { moment(at) })
            }
            (_, Until::Now) => Err(Unreceived::Late),
            (_, Until::Time(deadline)) => {
                wait_for_nothing(deadline);
                Err(Unreceived::Late)
            }
        }
    }

    /// Receives a message, and waits for one.
    ///
    /// Only the calling green thread waits; outside a runtime, the kernel thread does. Those who wait are
    /// served in order of arrival, and messages come in the order in which they were sent.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = sward::channel::bounded(1);
    /// tx.send('a')?;
    /// drop(tx);
    /// assert_eq!(rx.recv(), Ok('a'));
    /// assert_eq!(rx.recv(), Err(sward::channel::RecvError));
    /// # Ok::<(), sward::channel::SendError<char>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RecvError`] if nothing is left and the channel is closed or every sender gone, also if that
    /// happens meanwhile.
    #[inline]
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.receive(Until::Time(None)).map_err(|_| RecvError)
    }

    /// Receives a message if one is there.
    ///
    /// Without a buffer, a sender must be waiting already. If that is a `select!`, this waits until its
    /// message is evaluated.
    ///
    /// # Examples
    ///
    /// ```
    /// use sward::channel::{TryRecvError, unbounded};
    ///
    /// let (tx, rx) = unbounded::<i32>();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if it would have to wait, [`TryRecvError::Disconnected`] if nothing is left
    /// and nothing will come.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receive(Until::Now).map_err(|it| match it {
            Unreceived::Closed => TryRecvError::Disconnected,
            Unreceived::Late => TryRecvError::Empty,
        })
    }

    /// Receives a message, and waits at most `timeout` for it.
    ///
    /// As [`recv`](Self::recv). A time-out that the clock cannot count is none. A sender that is a
    /// `select!` and was met in time is waited for until its message is evaluated.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sward::channel::{RecvTimeoutError, unbounded};
    ///
    /// let (_tx, rx) = unbounded::<i32>();
    /// let late = rx.recv_timeout(Duration::from_millis(1));
    /// assert_eq!(late, Err(RecvTimeoutError::Timeout));
    /// ```
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] if the time passed first; no message is lost by that.
    /// [`RecvTimeoutError::Disconnected`] if nothing is left and nothing will come.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.receive_until(deadline_after(timeout))
    }

    /// Receives a message, and waits for it until `deadline` at the latest.
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// As for [`recv_timeout`](Self::recv_timeout).
    #[track_caller]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.receive_until(Some(deadline))
    }

    #[track_caller]
    fn receive_until(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        self.receive(Until::Time(deadline)).map_err(|it| match it {
            Unreceived::Closed => RecvTimeoutError::Disconnected,
            Unreceived::Late => RecvTimeoutError::Timeout,
        })
    }

    /// Closes the channel for everybody. `false` if it was closed.
    ///
    /// As [`Sender::close`](super::Sender::close). What time sends into ([`after`](super::after),
    /// [`tick`](super::tick), [`never`](super::never)) cannot be closed: `false`.
    pub fn close(&self) -> bool {
        self.channel().is_some_and(Channel::close)
    }

    /// Whether the buffer keeps no message. Always so without a buffer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the buffer has no room. Always so without a buffer.
    pub fn is_full(&self) -> bool {
        match (&self.flavour, self.channel()) {
            (_, Some(channel)) => channel.is_full(),
            (Flavour::Clock(clock), _) => clock.len() == clock.capacity(),
            _ => true,
        }
    }

    /// How many messages the buffer keeps. Always 0 without a buffer.
    pub fn len(&self) -> usize {
        match (&self.flavour, self.channel()) {
            (_, Some(channel)) => channel.len(),
            (Flavour::Clock(clock), _) => clock.len(),
            _ => 0,
        }
    }

    /// How many messages the buffer has room for; `None` if any number.
    pub fn capacity(&self) -> Option<usize> {
        match (&self.flavour, self.channel()) {
            (_, Some(channel)) => channel.capacity(),
            (Flavour::Clock(clock), _) => Some(clock.capacity()),
            _ => Some(0),
        }
    }

    /// Whether `other` receives from the same channel.
    ///
    /// ```
    /// let (_tx, rx) = sward::channel::unbounded::<()>();
    /// assert!(rx.same_channel(&rx.clone()));
    /// assert!(!rx.same_channel(&sward::channel::never()));
    /// ```
    pub fn same_channel(&self, other: &Self) -> bool {
        match (&self.flavour, &other.flavour) {
            (Flavour::Channel(one), Flavour::Channel(two)) => one == two,
            (Flavour::Clock(one), Flavour::Clock(two)) => Arc::ptr_eq(one, two),
            (Flavour::Never, Flavour::Never) => true,
            _ => false,
        }
    }

    /// Receives until nothing will come any more, waiting for each message.
    ///
    /// ```
    /// let (tx, rx) = sward::channel::unbounded();
    /// for number in 1..=3 {
    ///     tx.send(number)?;
    /// }
    /// drop(tx);
    /// assert_eq!(rx.iter().sum::<i32>(), 6);
    /// # Ok::<(), sward::channel::SendError<i32>>(())
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Receives what is there, without waiting.
    ///
    /// ```
    /// let (tx, rx) = sward::channel::unbounded();
    /// tx.send(1)?;
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1]);
    /// # Ok::<(), sward::channel::SendError<i32>>(())
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

/// Waits for what can never come, until `deadline`.
#[track_caller]
pub(super) fn wait_for_nothing(deadline: Option<Instant>) {
    let waiting = Waiting::new();
    waiting.open();
    if waiting.park(Reason::Never, deadline) == Verdict::CalledOff {
        unwind();
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let flavour = match &self.flavour {
            Flavour::Channel(channel) => {
                // SAFETY: the handle's share keeps the channel.
                unsafe { channel.as_ref() }.add_receiver();
                Flavour::Channel(*channel)
            }
            Flavour::Clock(clock) => Flavour::Clock(Arc::clone(clock)),
            Flavour::Never => Flavour::Never,
        };
        Self { flavour }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Flavour::Channel(channel) = self.flavour {
            // SAFETY: the handle's share goes with it.
            unsafe { Channel::release_receiver(channel) };
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// Receives until nothing will come any more: by [`Receiver::iter`].
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// Receives what is there: by [`Receiver::try_iter`].
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// Receives until nothing will come any more, and owns the receiver.
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

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

impl<T> FusedIterator for Iter<'_, T> {}
impl<T> FusedIterator for IntoIter<T> {}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Iter { .. }")
    }
}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("TryIter { .. }")
    }
}

impl<T> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("IntoIter { .. }")
    }
}
