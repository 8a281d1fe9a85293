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

#[cfg(all(test, loom))]
mod model {
    use super::{
        Receiver, Sender, bounded,
        choose::{Arm, choose},
        core::Until,
    };
    use loom::thread;

    /// Chooses between a receive and a send, and says what it received.
    fn either(rx: &Receiver<u8>, tx: &Sender<u8>, message: u8) -> Option<u8> {
        let arms = [Arm::receive(rx), Arm::send(tx)];
        let operation = choose(&arms, true, Until::Time(None)).expect("no time-out");
        if operation.index() == 0 {
            Some(operation.receive(rx).expect("open"))
        } else {
            operation.send(tx, message).expect("open");
            None
        }
    }

    /// A message goes from hand to hand, and both go on.
    #[test]
    fn hand_over() {
        loom::model(|| {
            let (tx, rx) = bounded(0);
            let sender = thread::spawn(move || tx.send(7));
            assert_eq!(rx.recv(), Ok(7));
            assert_eq!(sender.join().expect("the sender"), Ok(()));
        });
    }

    /// Two choices, each to send and to receive, meet each other, and neither itself.
    #[test]
    fn select_against_select() {
        loom::model(|| {
            let (tx, rx) = bounded(0);
            let other = thread::spawn({
                let (tx, rx) = (tx.clone(), rx.clone());
                move || either(&rx, &tx, 1)
            });
            let mine = either(&rx, &tx, 2);
            match (mine, other.join().expect("the other")) {
                (Some(1), None) | (None, Some(2)) => {}
                other => panic!("{other:?}"),
            }
        });
    }

    /// A sender gets its message back, or the receiver has it.
    #[test]
    fn close_against_send() {
        loom::model(|| {
            let (tx, rx) = bounded(0);
            // One sender stays: the last that goes closes the channel too.
            let sender = thread::spawn({
                let tx = tx.clone();
                move || tx.send(7).is_ok()
            });
            let closer = thread::spawn({
                let rx = rx.clone();
                move || rx.close()
            });
            let received = rx.recv().is_ok();
            assert_eq!(sender.join().expect("the sender"), received);
            assert!(closer.join().expect("the closer"));
            drop(tx);
        });
    }

    /// A receiver that gives up in the midst of a hand-over loses nothing: it has it, or the next one.
    #[test]
    fn giving_up_against_hand_over() {
        loom::model(|| {
            let (tx, rx) = bounded(0);
            let sender = thread::spawn(move || tx.send(7));
            // A model has no clock; a look that waits only for a promise stands for a time-out.
            let first = rx.try_recv().ok();
            let second = if first.is_none() {
                rx.recv().ok()
            } else {
                None
            };
            assert_eq!(first.or(second), Some(7));
            assert_eq!(sender.join().expect("the sender"), Ok(()));
        });
    }

    /// A claim that is handed back hides neither the partner nor who came meanwhile.
    #[test]
    fn claim_handed_back() {
        loom::model(|| {
            let (tx, rx) = bounded(0);
            let chooser = thread::spawn({
                let tx = tx.clone();
                move || drop(choose(&[Arm::send(&tx)], true, Until::Now))
            });
            let sender = thread::spawn(move || tx.send(7));
            assert_eq!(rx.recv(), Ok(7));
            drop(chooser.join());
            assert_eq!(sender.join().expect("the sender"), Ok(()));
        });
    }

    /// A choice that waits to send is chosen, gives up, and the receiver looks again.
    #[test]
    fn promise_broken() {
        loom::model(|| {
            let (tx, rx) = bounded::<u8>(0);
            let chooser = thread::spawn(move || {
                drop(choose(&[Arm::send(&tx)], true, Until::Time(None)));
            });
            assert!(rx.recv().is_err());
            drop(chooser.join());
        });
    }
}
