//! Models of channels: every interleaving of a few kernel threads that send, receive, choose and close.
//!
//! What a thread did before it sent is read after the message was received, in cells of which loom knows who
//! may touch them when; so an ordering that is too weak shows as a race. Choices are biased, as a draw would
//! make each run of a model another one. That a channel is freed after its last use shows by its room: loom
//! does not watch memory that is freed.

use super::{arm::Arm, bounded, choose::choose, core::Until, receiver::Receiver, sender::Sender};
use loom::{cell::UnsafeCell, model::Builder, sync::Arc, thread};
use std::time::{Duration, Instant};

const FOREVER: Until = Until::Time(None);

fn explore(bound: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(bound);
    builder.check(model);
}

/// What is written before and read after, without any order of its own.
#[derive(Default)]
struct Trace(UnsafeCell<()>);

impl Trace {
    fn leave(&self) {
        self.0.with_mut(|_| ());
    }

    fn see(&self) {
        self.0.with(|_| ());
    }
}

/// Whoever comes first, the message comes with what was done before it; without a buffer, what was done
/// before the receive is seen after the send as well.
#[test]
fn a_message_is_handed_over() {
    for capacity in [0, 1] {
        explore(3, move || {
            let traces = Arc::new((Trace::default(), Trace::default()));
            let (tx, rx) = bounded::<u32>(capacity);
            let sender = thread::spawn({
                let traces = Arc::clone(&traces);
                move || {
                    traces.0.leave();
                    assert_eq!(tx.send(7), Ok(()));
                    if capacity == 0 {
                        traces.1.see();
                    }
                }
            });
            traces.1.leave();
            assert_eq!(rx.recv(), Ok(7));
            traces.0.see();
            sender.join().expect("no panic");
            assert!(rx.recv().is_err());
        });
    }
}

/// With room for one, two messages to two receivers: each to one, in order.
#[test]
fn each_message_is_received_once() {
    explore(2, || {
        let (tx, rx) = bounded::<u32>(1);
        let others = [(); 2].map(|()| {
            let rx = rx.clone();
            thread::spawn(move || rx.recv().expect("there are two"))
        });
        drop(rx);
        tx.send(1).expect("somebody receives");
        tx.send(2).expect("somebody receives");
        let received = others.map(|it| it.join().expect("no panic"));
        assert_eq!(received[0] + received[1], 3);
    });
}

/// Does what was chosen of a send into `to` and a receive from `from`; whether it was the send.
fn send_or_receive(arms: [Arm<'_>; 2], to: &Sender<u32>, from: &Receiver<u32>) -> bool {
    let operation = choose(&arms, true, FOREVER).expect("for ever");
    // Which arm is which, their order says: the lower address is not the first in both threads.
    if operation.index() == 0 {
        assert_eq!(operation.send(to, 3), Ok(()));
        true
    } else {
        assert_eq!(operation.receive(from), Some(3));
        false
    }
}

/// Two selectors that could serve each other either way do so one way, though each has the other's channels
/// in another order.
#[test]
fn two_selectors_find_each_other() {
    explore(2, || {
        let ((tx1, rx1), (tx2, rx2)) = (bounded::<u32>(0), bounded::<u32>(0));
        let other = thread::spawn(move || {
            let sent = send_or_receive([Arm::send(&tx2), Arm::receive(&rx1)], &tx2, &rx1);
            (sent, tx2, rx1)
        });
        let sent = send_or_receive([Arm::send(&tx1), Arm::receive(&rx2)], &tx1, &rx2);
        let (other_sent, ..) = other.join().expect("no panic");
        assert!(sent != other_sent);
    });
}

/// A send against a close: it is received, or comes back.
#[test]
fn a_close_gives_back_what_was_not_received() {
    for capacity in [0, 1] {
        explore(3, move || {
            let (tx, rx) = bounded::<u32>(capacity);
            // The last sender to go would close it too.
            let _open = tx.clone();
            let closer = thread::spawn({
                let rx = rx.clone();
                move || assert!(rx.close())
            });
            let sender = thread::spawn(move || tx.send(4).is_ok());
            let received = rx.recv();
            let sent = sender.join().expect("no panic");
            closer.join().expect("no panic");
            // What a buffer took in before the close may be left for later.
            assert_eq!(received.is_ok() || rx.try_recv().is_ok(), sent);
        });
    }
}

/// A receiver that is late against a sender: either both have done it, or neither.
#[test]
fn a_late_receiver_takes_nothing_with_it() {
    explore(3, || {
        let (tx, rx) = bounded::<u32>(0);
        let sender = thread::spawn(move || tx.try_send(5).is_ok());
        let received = rx.recv_deadline(Instant::now());
        assert_eq!(received.is_ok(), sender.join().expect("no panic"));
    });
}

/// And a sender that is late against a receiver.
#[test]
fn a_late_sender_keeps_its_message() {
    explore(3, || {
        let (tx, rx) = bounded::<u32>(0);
        let receiver = thread::spawn(move || rx.try_recv().is_ok());
        let sent = tx.send_timeout(5, Duration::ZERO);
        assert_eq!(sent.is_ok(), receiver.join().expect("no panic"));
    });
}

/// A selector claims a sender and hands it back: whoever wanted it meanwhile gets it.
#[test]
fn a_sender_that_is_handed_back_is_not_lost() {
    explore(2, || {
        let (tx, rx) = bounded::<u32>(0);
        let sender = thread::spawn(move || tx.send(6).is_ok());
        let selector = thread::spawn({
            let rx = rx.clone();
            move || drop(choose(&[Arm::receive(&rx)], true, Until::Now))
        });
        assert_eq!(rx.recv(), Ok(6));
        assert!(sender.join().expect("no panic"));
        selector.join().expect("no panic");
    });
}

/// A message that was given to a selector, or reserved for it, and is handed back.
#[test]
fn a_message_that_is_handed_back_is_not_lost() {
    fn model<T: Clone + Send + Sync + PartialEq + std::fmt::Debug + 'static>(message: T) {
        explore(2, move || {
            let ((tx, rx), (_open, idle)) = (bounded::<T>(0), bounded::<u32>(0));
            let selector = thread::spawn({
                let rx = rx.clone();
                move || {
                    let arms = [Arm::receive(&rx), Arm::receive(&idle)];
                    drop(choose(&arms, true, FOREVER));
                }
            });
            let sender = thread::spawn({
                let (tx, message) = (tx.clone(), message.clone());
                move || tx.send(message).is_ok()
            });
            selector.join().expect("no panic");
            assert_eq!(rx.recv(), Ok(message.clone()));
            assert!(sender.join().expect("no panic"));
            drop(tx);
        });
    }
    model(8_u32);
    model([8_u64; 4]);
}

/// A selector that has no message yet is called by a receiver, and gives up: the receiver waits for another.
#[test]
fn a_promise_that_is_broken_is_forgotten() {
    explore(2, || {
        let ((tx, rx), (_open, idle)) = (bounded::<u32>(0), bounded::<u32>(0));
        let selector = thread::spawn({
            let tx = tx.clone();
            move || {
                let arms = [Arm::send(&tx), Arm::receive(&idle)];
                drop(choose(&arms, true, FOREVER));
                assert_eq!(tx.send(9), Ok(()));
            }
        });
        let operation = choose(&[Arm::receive(&rx)], true, FOREVER).expect("for ever");
        assert_eq!(operation.receive(&rx), Some(9));
        selector.join().expect("no panic");
        drop(tx);
    });
}

/// Something is ready at every moment: a choice that may not wait finds it, without a lock or with all.
#[test]
fn a_choice_sees_one_moment() {
    explore(3, || {
        let ((tx1, rx1), (tx2, rx2)) = (bounded::<u32>(1), bounded::<u32>(1));
        tx1.send(1).expect("there is room");
        // The thread that was spawned chooses: loom tries few switches away from one that goes on after it
        // has spawned another.
        let chooser = thread::spawn({
            let (rx1, rx2) = (rx1.clone(), rx2.clone());
            move || {
                let arms = [Arm::receive(&rx2), Arm::receive(&rx1)];
                assert!(choose(&arms, true, Until::Now).is_some());
            }
        });
        tx2.send(2).expect("there is room");
        // Unless the choice has claimed it.
        _ = rx1.try_recv();
        chooser.join().expect("no panic");
        drop((tx1, tx2, rx2));
    });
}

/// Whoever learns that all on the other side have gone sees what each of them has done.
#[test]
fn the_last_handle_shows_what_was_done_with_each() {
    explore(3, || {
        let traces = Arc::new([Trace::default(), Trace::default()]);
        let (tx, rx) = bounded::<u32>(0);
        let senders = [0, 1].map(|it| {
            let (traces, tx) = (Arc::clone(&traces), tx.clone());
            thread::spawn(move || {
                traces[it].leave();
                drop(tx);
            })
        });
        drop(tx);
        assert!(rx.recv().is_err());
        traces.iter().for_each(Trace::see);
        for sender in senders {
            sender.join().expect("no panic");
        }
    });
    explore(3, || {
        let traces = Arc::new([Trace::default(), Trace::default()]);
        let (tx, rx) = bounded::<u32>(0);
        let receivers = [0, 1].map(|it| {
            let (traces, rx) = (Arc::clone(&traces), rx.clone());
            thread::spawn(move || {
                traces[it].leave();
                drop(rx);
            })
        });
        drop(rx);
        assert!(tx.send(1).is_err());
        traces.iter().for_each(Trace::see);
        for receiver in receivers {
            receiver.join().expect("no panic");
        }
    });
}

/// Who waits for the end of a channel sees it when the last receiver goes.
#[test]
fn the_end_of_a_channel_is_seen() {
    explore(3, || {
        let ((tx, rx), (_open, idle)) = (bounded::<u32>(1), bounded::<u32>(0));
        let reader = thread::spawn(move || {
            _ = rx.try_recv();
            drop(rx);
        });
        let arms = [Arm::receive(&idle), Arm::end(&tx)];
        let operation = choose(&arms, true, FOREVER).expect("for ever");
        assert_eq!(operation.index(), 1);
        drop(operation);
        reader.join().expect("no panic");
    });
}

/// Two selectors, each to send into one channel and to receive from it, meet each other, and neither itself.
#[test]
fn a_selector_does_not_meet_itself() {
    fn either(rx: &Receiver<u32>, tx: &Sender<u32>, message: u32) -> Option<u32> {
        let arms = [Arm::receive(rx), Arm::send(tx)];
        let operation = choose(&arms, true, FOREVER).expect("for ever");
        if operation.index() == 0 {
            Some(operation.receive(rx).expect("open"))
        } else {
            operation.send(tx, message).expect("open");
            None
        }
    }
    explore(2, || {
        let (tx, rx) = bounded(0);
        let other = thread::spawn({
            let (tx, rx) = (tx.clone(), rx.clone());
            move || either(&rx, &tx, 1)
        });
        let mine = either(&rx, &tx, 2);
        match (mine, other.join().expect("no panic")) {
            (Some(1), None) | (None, Some(2)) => {}
            other => panic!("{other:?}"),
        }
    });
}

/// A receiver that a selector claims and hands back is found by who came meanwhile.
#[test]
fn a_receiver_that_is_handed_back_is_not_lost() {
    explore(2, || {
        let (tx, rx) = bounded(0);
        let selector = thread::spawn({
            let tx = tx.clone();
            move || drop(choose(&[Arm::send(&tx)], true, Until::Now))
        });
        let sender = thread::spawn(move || tx.send(7));
        assert_eq!(rx.recv(), Ok(7));
        selector.join().expect("no panic");
        assert_eq!(sender.join().expect("no panic"), Ok(()));
    });
}

/// A promise is broken by the last who could send: the receiver sees the end.
#[test]
fn a_promise_that_is_broken_may_be_the_end() {
    explore(2, || {
        let (tx, rx) = bounded::<u32>(0);
        let selector = thread::spawn(move || drop(choose(&[Arm::send(&tx)], true, FOREVER)));
        assert!(rx.recv().is_err());
        selector.join().expect("no panic");
    });
}

/// The second of the two sides frees the channel, after the first is done with it.
#[test]
fn the_last_side_frees_the_channel() {
    explore(3, || {
        let (tx, rx) = bounded::<u32>(1);
        let sender = thread::spawn(move || drop(tx));
        drop(rx);
        sender.join().expect("no panic");
    });
}
