//! Channels: messages between green threads, kernel threads and both, and a choice among them.
//!
//! Everything that `crossbeam-channel` 0.5 has is here under the same names, so porting a program is
//! changing its `use` lines; what Go has beyond that is here too. Whoever waits parks its green thread;
//! on a kernel thread, outside a runtime, it parks that.
//!
//! # Hello
//!
//! A channel has two sides. What goes in at one comes out at the other, once and in order.
//!
//! ```
//! use sward::channel::bounded;
//!
//! let (tx, rx) = bounded(0);
//! sward::spawn(move || tx.send("hello"));
//! assert_eq!(rx.recv(), Ok("hello"));
//! ```
//!
//! # Capacity
//!
//! A channel of capacity 0, Go's default, has no buffer: a send waits for a receiver and hands it the
//! message, so both are at the same place at the same time. With a buffer, a send waits only while the
//! buffer is full. An [`unbounded`] channel is never full.
//!
//! ```
//! use sward::channel::{TrySendError, bounded};
//!
//! let (tx, rx) = bounded(2);
//! tx.send(1)?;
//! tx.send(2)?;
//! assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
//! assert_eq!(rx.recv(), Ok(1));
//! tx.send(3)?;
//! # Ok::<(), sward::channel::SendError<i32>>(())
//! ```
//!
//! # Many to many
//!
//! Both sides can be cloned and shared. Each message goes to one receiver; those who wait are served in
//! order of arrival. Many green threads that receive from one channel are a pool of workers.
//!
//! ```
//! use sward::channel::unbounded;
//!
//! let (tx, rx) = unbounded();
//! let workers: Vec<_> = (0..4)
//!     .map(|_| {
//!         let rx = rx.clone();
//!         sward::spawn(move || rx.iter().sum::<u32>())
//!     })
//!     .collect();
//! for number in 1..=100 {
//!     tx.send(number)?;
//! }
//! drop(tx);
//! let sums = workers.into_iter().map(|it| it.join().expect("a worker"));
//! assert_eq!(sums.sum::<u32>(), 5050);
//! # Ok::<(), sward::channel::SendError<u32>>(())
//! ```
//!
//! # The end
//!
//! When the last [`Sender`] is gone, or anybody calls `close`, receivers get what is in the buffer and
//! then an error: a loop over a receiver ends by itself. When the last [`Receiver`] is gone, senders get
//! their messages back. A channel of `()` into which nobody sends is a signal: closing it wakes everybody
//! who waits for it, at once.
//!
//! ```
//! use sward::channel::{RecvError, bounded};
//!
//! let (stop, stopped) = bounded::<()>(0);
//! let waiters: Vec<_> = (0..3)
//!     .map(|_| {
//!         let stopped = stopped.clone();
//!         sward::spawn(move || stopped.recv())
//!     })
//!     .collect();
//! stop.close();
//! for waiter in waiters {
//!     assert_eq!(waiter.join().expect("a waiter"), Err(RecvError));
//! }
//! ```
//!
//! # Select
//!
//! [`select!`](crate::select) waits for several operations and does one of them: the first that can be
//! done, and one drawn at random if there are several. The others have no effect.
//!
//! ```
//! use sward::channel::{bounded, select, unbounded};
//!
//! let (work, todo) = unbounded();
//! let (_quit, quitted) = bounded::<()>(0);
//! work.send(7)?;
//! select! {
//!     recv(todo) -> number => assert_eq!(number, Ok(7)),
//!     recv(quitted) -> _ => panic!("nobody has quitted"),
//! }
//! # Ok::<(), sward::channel::SendError<i32>>(())
//! ```
//!
//! With a `default` arm it does not wait, or not for ever. An arm with an `if` can be switched off, for
//! instance when its input has closed. For operations that are only known at run time there is
//! [`Select`].
//!
//! ```
//! use std::time::Duration;
//! use sward::channel::{bounded, select};
//!
//! let (tx, rx) = bounded(1);
//! let mut sent = 0;
//! loop {
//!     select! {
//!         send(tx, sent) -> result if sent < 3 => { result?; sent += 1 }
//!         recv(rx) -> number => assert!(number.is_ok()),
//!         default(Duration::from_millis(1)) => break,
//!     }
//! }
//! assert_eq!(sent, 3);
//! # Ok::<(), sward::channel::SendError<i32>>(())
//! ```
//!
//! # Time
//!
//! Time can send too: [`after`] and [`at`] once, [`tick`] again and again. [`Timer`] and [`Ticker`] can be
//! set anew and stopped. [`never()`] is a channel for an arm that is not there.
//!
//! ```
//! use std::time::Duration;
//! use sward::channel::{after, never, select};
//!
//! select! {
//!     recv(never::<()>()) -> _ => unreachable!(),
//!     recv(after(Duration::from_millis(1))) -> at => assert!(at.is_ok()),
//! }
//! ```
//!
//! # Order
//!
//! Messages are first in, first out; those of one sender keep their order at each receiver. Who waits is
//! served in order of arrival, except that a newcomer may overtake one who waits at a channel with a
//! buffer. After a `close`, who goes on first is not promised. What is left in the buffer when the last
//! receiver goes is dropped there; if a destructor panics, the messages behind it are leaked.

mod arm;
mod choose;
mod clock;
mod core;
mod draw;
mod error;
mod handles;
#[cfg(all(test, loom))]
mod model;
pub mod pipeline;
mod receiver;
mod select;
mod select_macro;
mod sender;
mod state;
mod timer;

pub(crate) use self::arm::Aim;
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
        arm::Arm,
        select_macro::{
            Chosen, Patience, ReceiveArm, ReceiveArmIf, SendArm, SendArmIf, impossible, nothing,
            run,
        },
    };
}

/// A channel whose buffer keeps at most `capacity` messages; none if it is 0.
///
/// Without a buffer, a send waits for a receiver and hands it the message. The buffer grows as it is used,
/// so a large capacity costs nothing by itself. The channel is one block of at most 192 bytes, so a million
/// that are idle take 192 MB, and 24 MB for one handle of each side.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::core::Channel;

    #[test]
    fn a_channel_is_small() {
        assert!(
            size_of::<Channel<u64>>() <= 192,
            "{}",
            size_of::<Channel<u64>>()
        );
    }
}
