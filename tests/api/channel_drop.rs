//! Every message is dropped once, whatever it is and whatever its destructor does.

use crate::support::on_every_home;
use std::{
    mem::{align_of, size_of_val},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use sward::channel::{Select, Sender, bounded, select, unbounded};

/// Counts its drops.
#[derive(Clone)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn what_is_left_is_dropped_once() {
    on_every_home(|_| {
        for capacity in [1, 5, usize::MAX] {
            for head in 0..5 {
                let drops = Arc::new(AtomicUsize::new(0));
                let (tx, rx) = bounded(capacity);
                for _ in 0..head {
                    assert!(tx.try_send(Counted(Arc::clone(&drops))).is_ok());
                    drop(rx.recv());
                }
                assert_eq!(drops.swap(0, SeqCst), head);
                for _ in 0..capacity.min(3) {
                    assert!(tx.try_send(Counted(Arc::clone(&drops))).is_ok());
                }
                // A buffer without receivers goes at once.
                drop(rx);
                assert_eq!(drops.load(SeqCst), capacity.min(3));
                assert!(tx.send(Counted(Arc::clone(&drops))).is_err());
                assert_eq!(drops.load(SeqCst), capacity.min(3) + 1);
            }
        }
    });
}

#[test]
fn a_received_message_is_not_kept() {
    let (tx, rx) = bounded(16);
    let message = Arc::new(());
    for _ in 0..40 {
        assert!(tx.send(Arc::clone(&message)).is_ok());
        drop(rx.recv());
        assert_eq!(Arc::strong_count(&message), 1);
    }
}

/// On every way out of a wait the message is dropped or given back once.
#[test]
fn every_way_out_drops_once() {
    on_every_home(|home| {
        let drops = Arc::new(AtomicUsize::new(0));
        let new = || Counted(Arc::clone(&drops));
        let (tx, rx) = bounded(0);
        assert!(tx.try_send(new()).is_err());
        assert!(tx.send_timeout(new(), Duration::from_millis(1)).is_err());
        assert_eq!(drops.load(SeqCst), 2);
        let sender = home.spawn({
            let (tx, message) = (tx.clone(), new());
            move || tx.send(message).is_err()
        });
        for _ in 0..20 {
            home.yield_now();
        }
        rx.close();
        assert!(sender.join().expect("the sender"));
        assert_eq!(drops.load(SeqCst), 3);

        let (tx, rx) = bounded(0);
        let sender = home.spawn({
            let message = new();
            move || {
                select! { send(tx, message) -> result => result.is_ok() }
            }
        });
        drop(rx.recv());
        assert!(sender.join().expect("the sender"));
        assert_eq!(drops.load(SeqCst), 4);
    });
}

#[test]
fn messages_without_size() {
    #[repr(align(64))]
    struct Nothing;
    on_every_home(|home| {
        let (tx, rx) = bounded::<Nothing>(1 << 40);
        for _ in 0..100_000 {
            assert!(tx.send(Nothing).is_ok());
        }
        assert_eq!(rx.len(), 100_000);
        assert_eq!(rx.try_iter().count(), 100_000);
        let (tx, rx) = bounded::<Nothing>(0);
        let sender = home.spawn(move || tx.send(Nothing).is_ok());
        assert_eq!(rx.iter().count(), 1);
        assert!(sender.join().expect("the sender"));
    });
}

#[expect(clippy::result_large_err, reason = "large messages are the subject")]
#[test]
fn messages_of_every_shape() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(256))]
    struct Aligned(u8);
    on_every_home(|home| {
        for capacity in [0, 2] {
            let (tx, rx) = bounded(capacity);
            let sender = home.spawn(move || {
                (0..50).try_for_each(|it| {
                    select! { send(tx, Aligned(it)) -> result => result }
                })
            });
            for it in 0..50 {
                let got = rx.recv().expect("a message");
                assert_eq!(got, Aligned(it));
                assert_eq!((&raw const got).addr() % align_of::<Aligned>(), 0);
            }
            assert_eq!(sender.join().expect("the sender"), Ok(()));

            let (tx, rx) = bounded(capacity);
            let sender = home.spawn(move || (0..20_u8).try_for_each(|it| tx.send([it; 1024])));
            for it in 0..20 {
                let got = rx.recv().expect("a message");
                assert_eq!(size_of_val(&got), 1024);
                assert!(got.iter().all(|at| *at == it));
            }
            assert_eq!(sender.join().expect("the sender"), Ok(()));
        }
    });
}

/// A message that sends into its own channel when it is dropped.
struct Echo(Option<Sender<Echo>>, Arc<AtomicUsize>);

impl Drop for Echo {
    fn drop(&mut self) {
        self.1.fetch_add(1, SeqCst);
        if let Some(tx) = self.0.take() {
            drop(tx.try_send(Echo(None, Arc::clone(&self.1))));
        }
    }
}

#[test]
fn a_destructor_may_use_the_channel() {
    on_every_home(|_| {
        for capacity in [1, 8, usize::MAX] {
            let drops = Arc::new(AtomicUsize::new(0));
            let (tx, rx) = bounded(capacity);
            assert!(
                tx.try_send(Echo(Some(tx.clone()), Arc::clone(&drops)))
                    .is_ok()
            );
            drop(rx.recv());
            drop(rx.recv());
            assert_eq!(drops.swap(0, SeqCst), 2);
            // Dropped with the buffer, by the last receiver: its own message comes back, as none is left.
            assert!(
                tx.try_send(Echo(Some(tx.clone()), Arc::clone(&drops)))
                    .is_ok()
            );
            drop(rx);
            assert_eq!(drops.load(SeqCst), 2);
            assert!(tx.try_send(Echo(None, Arc::clone(&drops))).is_err());
        }
    });
}

#[test]
fn senders_in_their_own_channel_go_with_the_receiver() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = unbounded();
    for _ in 0..10 {
        let kept = (tx.clone(), Counted(Arc::clone(&drops)));
        assert!(
            tx.send(Box::new(kept) as Box<dyn std::any::Any + Send>)
                .is_ok()
        );
    }
    drop(tx);
    drop(rx);
    assert_eq!(drops.load(SeqCst), 10);
}

/// A destructor that panics harms neither the channel nor the messages that were received before.
#[test]
fn a_destructor_may_panic() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "on purpose");
        }
    }
    on_every_home(|_| {
        let (tx, rx) = unbounded();
        for it in 0..5 {
            assert!(tx.send(Bomb(it == 2)).is_ok());
        }
        assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
        assert!(tx.send(Bomb(false)).is_err());
        let error = tx.send(Bomb(true)).err();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(error))).is_err());
    });
}

/// What a choice claimed and gives up stays in the channel.
#[test]
fn a_claim_given_up_keeps_the_message() {
    on_every_home(|home| {
        for capacity in [0, 1, 3] {
            let (tx, rx) = bounded(capacity);
            let sender = home.spawn(move || (0..3).try_for_each(|it| tx.send(it)));
            for expected in 0..3 {
                let mut select = Select::new();
                select.recv(&rx);
                let operation = select.select();
                assert!(catch_unwind(AssertUnwindSafe(|| drop(operation))).is_err());
                assert_eq!(rx.recv(), Ok(expected));
            }
            assert_eq!(sender.join().expect("the sender"), Ok(()));
        }
    });
}
