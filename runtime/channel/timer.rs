//! `Timer` and `Ticker`: clocks that can be set anew, as Go has them since 1.23.

use super::{clock::Clock, receiver::Receiver};
use crate::wait::deadline_after;
use std::{
    fmt,
    time::{Duration, Instant},
};

/// A channel that gets one message after a while, and can be set anew or stopped: Go's `time.Timer`.
///
/// After [`reset`](Self::reset) or [`stop`](Self::stop) no message of the earlier setting is left anywhere,
/// so the channel need not be drained. Nothing runs for a timer, and one that is dropped leaves nothing
/// behind.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sward::channel::Timer;
///
/// let timer = Timer::new(Duration::ZERO);
/// // It is due, but nobody has received that.
/// assert!(timer.reset(Duration::from_secs(60)));
/// assert!(timer.receiver().try_recv().is_err());
/// assert!(timer.stop());
/// assert!(!timer.stop());
///
/// assert!(!timer.reset(Duration::from_millis(1)));
/// assert!(timer.receiver().recv().is_ok());
/// ```
pub struct Timer {
    receiver: Receiver<Instant>,
}

/// A channel that gets a message at every interval, and can be set anew or stopped: Go's `time.Ticker`.
///
/// It keeps one message: a receiver that comes late gets the oldest that it has missed, and then the next
/// in time. After [`reset`](Self::reset) or [`stop`](Self::stop) no message of the earlier setting is left
/// anywhere.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sward::channel::Ticker;
///
/// let ticker = Ticker::new(Duration::from_millis(1));
/// let first = ticker.receiver().recv()?;
/// let second = ticker.receiver().recv()?;
/// assert!(second - first >= Duration::from_millis(1));
/// assert!(ticker.stop());
/// assert!(ticker.receiver().try_recv().is_err());
/// # Ok::<(), sward::channel::RecvError>(())
/// ```
pub struct Ticker {
    receiver: Receiver<Instant>,
}

/// Sets the clock of a receiver, which has one.
fn set(
    receiver: &Receiver<Instant>,
    armed: bool,
    due: Option<Instant>,
    period: Option<Duration>,
) -> bool {
    receiver
        .clock()
        .is_some_and(|it| it.set(armed, due, period))
}

impl Timer {
    /// A timer that is due after `duration`; never, if the clock cannot count that far.
    pub fn new(duration: Duration) -> Self {
        let clock = Clock::new(deadline_after(duration), None, true);
        Self {
            receiver: Receiver::from_clock(clock),
        }
    }

    /// Where the message comes: the moment at which it was due. As in Go, it looks like a channel without
    /// a buffer.
    pub fn receiver(&self) -> &Receiver<Instant> {
        &self.receiver
    }

    /// Lets it be due after `duration`, and not as it was set before.
    ///
    /// `true` if a message was to come, or there and not received.
    pub fn reset(&self, duration: Duration) -> bool {
        set(&self.receiver, true, deadline_after(duration), None)
    }

    /// Lets no message come any more.
    ///
    /// `true` if one was to come, or there and not received: then nobody gets it.
    pub fn stop(&self) -> bool {
        set(&self.receiver, false, None, None)
    }
}

impl Ticker {
    /// A ticker that is due after every `period`.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    #[track_caller]
    pub fn new(period: Duration) -> Self {
        assert!(
            !period.is_zero(),
            "the period of a `Ticker` must not be zero"
        );
        let clock = Clock::new(deadline_after(period), Some(period), true);
        Self {
            receiver: Receiver::from_clock(clock),
        }
    }

    /// Where the messages come: the moments at which they were due. As in Go, it looks like a channel
    /// without a buffer.
    pub fn receiver(&self) -> &Receiver<Instant> {
        &self.receiver
    }

    /// Lets it be due after every `period` from now on. `true` if it was not stopped.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    #[track_caller]
    pub fn reset(&self, period: Duration) -> bool {
        assert!(
            !period.is_zero(),
            "the period of a `Ticker` must not be zero"
        );
        set(&self.receiver, true, deadline_after(period), Some(period))
    }

    /// Lets no message come any more. `true` if it was not stopped. The channel stays open.
    pub fn stop(&self) -> bool {
        set(&self.receiver, false, None, None)
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Timer { .. }")
    }
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Ticker { .. }")
    }
}
