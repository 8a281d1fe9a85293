//! What `sync::mpsc` promises: what `std::sync::mpsc` does.

use crate::support::{Home, on_every_home, on_every_real_home};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use sward::sync::mpsc::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryRecvError,
    TrySendError, channel, sync_channel,
};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn values_come_in_order_from_each_sender() {
    on_every_real_home(|home| {
        let (sender, receiver) = channel();
        let senders: Vec<_> = (0..4)
            .map(|index| {
                let sender = sender.clone();
                let send = move || {
                    for number in 0..5_000 {
                        sender.send((index, number)).expect("it is received");
                    }
                };
                if index % 2 == 0 {
                    home.spawn(send)
                } else {
                    Home::Threads.spawn(send)
                }
            })
            .collect();
        drop(sender);
        let mut next = [0; 4];
        for (index, number) in &receiver {
            assert_eq!(number, next[index]);
            next[index] += 1;
        }
        assert_eq!(next, [5_000; 4]);
        for sender in senders {
            sender.join().expect("no panic");
        }
    });
}

#[test]
fn a_gone_side_is_an_error() {
    let (sender, receiver) = channel();
    sender.send(1).expect("there is a receiver");
    drop(sender);
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.recv(), Err(RecvError));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(
        receiver.recv_timeout(LONG),
        Err(RecvTimeoutError::Disconnected)
    );
    let (sender, receiver) = channel();
    drop(receiver);
    assert_eq!(sender.send(2), Err(SendError(2)));
    let (sender, receiver) = sync_channel(3);
    drop(receiver);
    assert_eq!(sender.send(2), Err(SendError(2)));
    assert_eq!(sender.try_send(2), Err(TrySendError::Disconnected(2)));
}

#[test]
fn a_bounded_one_is_full_and_then_has_room() {
    on_every_home(|home| {
        let (sender, receiver) = sync_channel(2);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        sender.send(1).expect("room");
        sender.try_send(2).expect("room");
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        let blocked = home.spawn(move || sender.send(3));
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.recv_timeout(LONG), Ok(2));
        assert_eq!(receiver.recv(), Ok(3));
        assert_eq!(blocked.join().expect("no panic"), Ok(()));
        let began = sward::time::now();
        let (_sender, receiver) = channel::<()>();
        let late = receiver.recv_timeout(Duration::from_millis(2));
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        assert!(sward::time::now() - began >= Duration::from_millis(2));
    });
}

#[test]
fn with_bound_zero_both_meet() {
    on_every_home(|home| {
        let (sender, receiver) = sync_channel(0);
        assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
        let arrived = Arc::new(AtomicUsize::new(0));
        let thread = home.spawn({
            let arrived = Arc::clone(&arrived);
            move || {
                for number in 0..1_000 {
                    sender.send(number).expect("it is received");
                    // It was received before `send` returned.
                    assert!(arrived.load(SeqCst) >= number);
                }
            }
        });
        for number in 0..1_000 {
            arrived.store(number, SeqCst);
            assert_eq!(receiver.recv(), Ok(number));
        }
        thread.join().expect("no panic");
    });
}

#[test]
fn a_receiver_that_goes_releases_a_blocked_sender() {
    on_every_home(|home| {
        let (sender, receiver) = sync_channel(0);
        let blocked = home.spawn(move || sender.send(7));
        home.yield_now();
        drop(receiver);
        assert_eq!(blocked.join().expect("no panic"), Err(SendError(7)));
    });
}

#[test]
fn what_is_not_received_is_dropped_once() {
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = channel();
    for _ in 0..10 {
        assert!(sender.send(Count(Arc::clone(&drops))).is_ok());
    }
    drop(receiver.recv());
    assert_eq!(drops.load(SeqCst), 1);
    drop(receiver);
    assert_eq!(drops.load(SeqCst), 10);
    assert!(sender.send(Count(Arc::clone(&drops))).is_err());
    assert_eq!(drops.load(SeqCst), 11);
}

#[test]
fn iterators_end_as_std_says() {
    let (sender, receiver) = channel();
    for number in 0..6 {
        sender.send(number).expect("there is a receiver");
    }
    assert_eq!(receiver.iter().take(2).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert_eq!(receiver.try_iter().next(), None);
    sender.send(6).expect("there is a receiver");
    drop(sender);
    assert_eq!(receiver.into_iter().collect::<Vec<_>>(), [6]);
}

#[test]
fn types_and_texts_are_those_of_std() {
    fn sent<T: Send>() {}
    fn shared<T: Sync>() {}
    sent::<Receiver<i32>>();
    sent::<Sender<i32>>();
    shared::<Sender<i32>>();
    shared::<SyncSender<i32>>();
    let (ours, theirs) = (channel::<i32>(), std::sync::mpsc::channel::<i32>());
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    let (ours, theirs) = (
        sync_channel::<i32>(1),
        std::sync::mpsc::sync_channel::<i32>(1),
    );
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}
