//! Channels: messages between green threads, kernel threads and both, and a choice among them.

mod choose;
mod clock;
mod core;
mod draw;
mod error;
pub mod pipeline;
mod receiver;
mod select;
mod select_macro;
mod sender;
mod state;
mod timer;

pub use self::{
    error::{
        ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError,
        SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
    },
    receiver::{IntoIter, Iter, Receiver, TryIter},
    select::{Select, SelectedOperation},
    sender::Sender,
    timer::{Ticker, Timer},
};
pub use crate::{select, select_biased};

use self::{clock::Clock, core::Channel};
use crate::wait::deadline_after;
use std::time::{Duration, Instant};

/// What the macros expand to; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use super::{
        choose::Arm,
        select_macro::{
            Chosen, Patience, ReceiveArm, ReceiveArmIf, SendArm, SendArmIf, impossible, nothing,
            run,
        },
    };
}

/// A channel whose buffer keeps at most `capacity` messages; none if it is 0.
///
/// Without a buffer, a send waits for a receiver and hands it the message. The buffer grows as it is used,
/// so a large capacity costs nothing by itself. The channel is one block of 200 bytes or less.
///
/// # Examples
///
/// ```
/// use sward::channel::bounded;
///
/// let (tx, rx) = bounded(0);
/// let sender = std::thread::spawn(move || tx.send("now"));
/// assert_eq!(rx.recv(), Ok("now"));
/// # drop(sender.join());
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Channel::new(capacity);
    (Sender::from_share(channel), Receiver::from_share(channel))
}

/// A channel whose buffer keeps any number of messages: a send never waits.
///
/// # Examples
///
/// ```
/// let (tx, rx) = sward::channel::unbounded();
/// tx.send(1)?;
/// tx.send(2)?;
/// assert_eq!((rx.recv(), rx.recv()), (Ok(1), Ok(2)));
/// # Ok::<(), sward::channel::SendError<i32>>(())
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

/// A channel that gets one message after `duration`: the moment at which it was due.
///
/// If there are several receivers, one of them gets it. Nothing runs meanwhile, and a channel that is
/// dropped before leaves nothing behind.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let due = sward::channel::after(Duration::from_millis(2)).recv()?;
/// assert!(due >= start + Duration::from_millis(2) && due <= Instant::now());
/// # Ok::<(), sward::channel::RecvError>(())
/// ```
pub fn after(duration: Duration) -> Receiver<Instant> {
    deadline_after(duration).map_or_else(never, at)
}

/// A channel that gets one message at `when`: that moment.
///
/// As [`after`].
pub fn at(when: Instant) -> Receiver<Instant> {
    Receiver::from_clock(Clock::new(Some(when), None, false))
}

/// A channel that gets a message every `duration`: the moment at which it was due.
///
/// It keeps one message: a receiver that comes late gets the oldest that it has missed, and then the next
/// in time.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let ticks = sward::channel::tick(Duration::from_millis(1));
/// assert!(ticks.recv()? >= start + Duration::from_millis(1));
/// assert!(ticks.recv()? >= start + Duration::from_millis(2));
/// # Ok::<(), sward::channel::RecvError>(())
/// ```
pub fn tick(duration: Duration) -> Receiver<Instant> {
    match deadline_after(duration) {
        Some(due) => Receiver::from_clock(Clock::new(Some(due), Some(duration), false)),
        None => never(),
    }
}

/// A channel that never gets a message: for an arm that is not there.
///
/// # Examples
///
/// ```
/// use sward::channel::{never, select};
///
/// let input = None::<sward::channel::Receiver<i32>>;
/// select! {
///     recv(input.as_ref().unwrap_or(&never())) -> message => panic!("{message:?}"),
///     default => {}
/// }
/// ```
pub const fn never<T>() -> Receiver<T> {
    Receiver::from_nothing()
}
