//! Messages arrive once, in order; capacities, lengths, ends.

use crate::support::{Rng, on_every_home, seeds};
use std::{
    panic::catch_unwind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use sward::channel::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError, bounded,
    unbounded,
};

/// Waits until `done`, without sleeping; for what has no event to wait for.
fn eventually(home: crate::support::Home, done: impl Fn() -> bool) {
    while !done() {
        home.yield_now();
    }
}

#[test]
fn a_buffer_takes_its_capacity_and_no_more() {
    on_every_home(|_| {
        for capacity in 0..=200 {
            let (tx, rx) = bounded(capacity);
            for number in 0..capacity {
                assert_eq!(tx.try_send(number), Ok(()));
                assert_eq!(tx.len(), number + 1);
            }
            assert_eq!(tx.try_send(capacity), Err(TrySendError::Full(capacity)));
            assert!(tx.is_full() && rx.is_full());
            assert_eq!(rx.is_empty(), capacity == 0);
            assert_eq!(rx.capacity(), Some(capacity));
            for number in 0..capacity {
                assert_eq!(rx.try_recv(), Ok(number));
            }
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        }
        let (tx, _rx) = unbounded::<()>();
        assert_eq!(tx.capacity(), None);
        assert!(!tx.is_full());
    });
}

#[test]
fn without_a_buffer_a_send_finds_the_receiver_that_waits() {
    on_every_home(|home| {
        let (tx, rx) = bounded(0);
        let receiver = home.spawn(move || rx.recv());
        eventually(home, || tx.try_send(7).is_ok());
        assert_eq!(receiver.join().expect("the receiver"), Ok(7));
        assert_eq!(tx.try_send(8), Err(TrySendError::Disconnected(8)));
    });
}

/// Receivers that wait are served in order of arrival, and senders too.
#[test]
fn those_who_wait_are_served_in_order() {
    on_every_home(|home| {
        for capacity in [0, 1] {
            let (tx, rx) = bounded(capacity);
            let order = Arc::new(Mutex::new(Vec::new()));
            let arrived = Arc::new(AtomicUsize::new(0));
            let senders: Vec<_> = (0..20)
                .map(|number| {
                    let tx = tx.clone();
                    let seen = Arc::clone(&arrived);
                    let sender = home.spawn(move || {
                        seen.fetch_add(1, SeqCst);
                        tx.send(number)
                    });
                    eventually(home, || arrived.load(SeqCst) == number + 1);
                    // It is on its way into the line: give it ample time, but no more.
                    for _ in 0..200 {
                        home.yield_now();
                    }
                    sender
                })
                .collect();
            for _ in 0..20 {
                order
                    .lock()
                    .expect("no panic")
                    .push(rx.recv().expect("a message"));
            }
            for sender in senders {
                assert_eq!(sender.join().expect("a sender"), Ok(()));
            }
            let order = order.lock().expect("no panic").clone();
            if matches!(home, crate::support::Home::Green(1)) {
                assert_eq!(order, (0..20).collect::<Vec<_>>());
            } else {
                let mut sorted = order;
                sorted.sort_unstable();
                assert_eq!(sorted, (0..20).collect::<Vec<_>>());
            }
        }
    });
}

/// While senders wait, a receive makes the next of them move up: the buffer stays full.
#[test]
fn a_receive_lets_a_waiting_sender_move_up() {
    on_every_home(|home| {
        let (tx, rx) = bounded(2);
        tx.send(0).expect("open");
        tx.send(1).expect("open");
        let senders: Vec<_> = (2..5)
            .map(|number| {
                let tx = tx.clone();
                home.spawn(move || tx.send(number))
            })
            .collect();
        let mut got = Vec::new();
        while got.len() < 5 {
            got.push(rx.recv().expect("a message"));
        }
        for sender in senders {
            assert_eq!(sender.join().expect("a sender"), Ok(()));
        }
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3, 4]);
        assert_eq!(rx.len(), 0);
    });
}

#[test]
fn a_closed_channel_gives_what_it_has_and_then_the_end() {
    on_every_home(|_| {
        for kept in 0..=8 {
            let (tx, rx) = bounded(8);
            for number in 0..kept {
                tx.send(number).expect("open");
            }
            assert!(rx.close());
            assert!(!tx.close());
            assert_eq!(tx.send(9), Err(SendError(9)));
            assert_eq!(tx.try_send(9), Err(TrySendError::Disconnected(9)));
            for number in 0..kept {
                assert_eq!(rx.recv(), Ok(number));
            }
            for _ in 0..10_000 {
                assert_eq!(rx.recv(), Err(RecvError));
            }
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        }
    });
}

#[test]
fn closing_wakes_everybody_who_waits() {
    on_every_home(|home| {
        let (tx, rx) = bounded::<usize>(0);
        let receivers: Vec<_> = (0..100)
            .map(|_| {
                let rx = rx.clone();
                home.spawn(move || rx.recv())
            })
            .collect();
        let (tx2, rx2) = bounded(0);
        let senders: Vec<_> = (0..100)
            .map(|number| {
                let tx2 = tx2.clone();
                home.spawn(move || tx2.send(number))
            })
            .collect();
        home.yield_now();
        assert!(tx.close());
        assert!(rx2.close());
        for receiver in receivers {
            assert_eq!(receiver.join().expect("a receiver"), Err(RecvError));
        }
        for (number, sender) in senders.into_iter().enumerate() {
            assert_eq!(sender.join().expect("a sender"), Err(SendError(number)));
        }
    });
}

#[test]
fn of_many_who_close_one_has_done_it() {
    on_every_home(|home| {
        let (tx, _rx) = bounded::<()>(1);
        let closers: Vec<_> = (0..50)
            .map(|_| {
                let tx = tx.clone();
                home.spawn(move || tx.close())
            })
            .collect();
        let closed = closers
            .into_iter()
            .filter(|_| true)
            .map(|it| it.join().expect("a closer"))
            .filter(|it| *it)
            .count();
        assert_eq!(closed, 1);
    });
}

#[test]
fn the_last_handle_of_a_side_ends_the_other() {
    on_every_home(|home| {
        let (tx, rx) = bounded::<i32>(0);
        let receiver = home.spawn(move || rx.recv());
        drop((tx.clone(), tx));
        assert_eq!(receiver.join().expect("the receiver"), Err(RecvError));

        let (tx, rx) = bounded(0);
        let sender = home.spawn(move || tx.send(1));
        drop((rx.clone(), rx));
        assert_eq!(sender.join().expect("the sender"), Err(SendError(1)));
    });
}

#[test]
fn time_outs_take_nothing() {
    on_every_home(|_| {
        let (tx, rx) = bounded(1);
        let soon = Duration::from_millis(2);
        let start = sward::time::now();
        assert_eq!(rx.recv_timeout(soon), Err(RecvTimeoutError::Timeout));
        assert!(sward::time::now() - start >= soon);
        tx.send(1).expect("open");
        assert_eq!(tx.send_timeout(2, soon), Err(SendTimeoutError::Timeout(2)));
        assert_eq!(
            tx.send_deadline(2, sward::time::now()),
            Err(SendTimeoutError::Timeout(2))
        );
        assert_eq!(rx.recv_timeout(Duration::MAX), Ok(1));
        assert_eq!(rx.len(), 0);
        drop(tx);
        assert_eq!(rx.recv_timeout(soon), Err(RecvTimeoutError::Disconnected));
    });
}

/// With time-outs on both sides, whatever was sent is received, and nothing else.
#[test]
fn time_outs_lose_and_double_nothing() {
    on_every_home(|home| {
        for seed in seeds().take(2) {
            let mut plan = Rng::new(seed);
            let capacity = plan.below(2);
            let (tx, rx) = bounded(capacity);
            let step = Duration::from_micros(plan.below(200) as u64);
            let sender = home.spawn(move || {
                (0..500_u32)
                    .filter(|it| tx.send_timeout(*it, step).is_ok())
                    .collect::<Vec<_>>()
            });
            let mut received = Vec::new();
            loop {
                match rx.recv_timeout(step / 2) {
                    Ok(number) => received.push(number),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            assert_eq!(sender.join().expect("the sender"), received, "seed {seed}");
        }
    });
}

/// Every message arrives once, and those of one sender in order, whatever the numbers and capacities.
#[test]
fn many_to_many_loses_nothing() {
    on_every_home(|home| {
        for (senders, receivers) in [(1, 1), (2, 3), (7, 2), (16, 16)] {
            for capacity in [0, 1, 10, usize::MAX] {
                let (tx, rx) = bounded(capacity);
                for sender in 0..senders {
                    let tx = tx.clone();
                    home.spawn(move || (0..300).try_for_each(|number| tx.send((sender, number))));
                }
                drop(tx);
                let receivers: Vec<_> = (0..receivers)
                    .map(|_| {
                        let rx = rx.clone();
                        home.spawn(move || rx.iter().collect::<Vec<_>>())
                    })
                    .collect();
                let mut all = Vec::new();
                for receiver in receivers {
                    let got = receiver.join().expect("a receiver");
                    for sender in 0..senders {
                        let mine: Vec<_> = got.iter().filter(|it| it.0 == sender).collect();
                        assert!(mine.is_sorted(), "capacity {capacity}");
                    }
                    all.extend(got);
                }
                all.sort_unstable();
                assert_eq!(all.len(), senders * 300);
                all.dedup();
                assert_eq!(all.len(), senders * 300);
            }
        }
    });
}

/// Once a close was seen, by whatever way, a receive never says that the channel is merely empty.
#[test]
fn a_close_that_was_seen_is_seen_by_the_quick_look() {
    on_every_home(|home| {
        for _ in 0..300 {
            let (tx, rx) = bounded(1);
            let closed = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&closed);
            let closer = home.spawn(move || {
                tx.send(1).expect("open");
                tx.close();
                seen.store(1, SeqCst);
            });
            eventually(home, || closed.load(SeqCst) == 1);
            assert_eq!(rx.try_recv(), Ok(1));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
            closer.join().expect("the closer");
        }
    });
}

#[test]
fn channels_go_through_channels() {
    on_every_home(|home| {
        for capacity in [0, 1] {
            let (tx, mut rx) = bounded::<sward::channel::Receiver<usize>>(capacity);
            let (first, numbers) = bounded(capacity);
            home.spawn(move || {
                tx.send(numbers).expect("open");
                (0..100).try_for_each(|it| first.send(it))
            });
            let numbers = rx.recv().expect("a channel");
            assert_eq!(numbers.iter().sum::<usize>(), 4950);
            rx = sward::channel::never();
            assert!(rx.try_recv().is_err());
        }
    });
}

#[test]
fn handles_are_compared_and_printed() {
    let (tx, rx) = bounded::<u8>(1);
    let (other, _) = bounded::<u8>(1);
    assert!(tx.same_channel(&tx.clone()) && !tx.same_channel(&other));
    assert!(rx.same_channel(&rx.clone()));
    assert_eq!(format!("{tx:?} {rx:?}"), "Sender { .. } Receiver { .. }");
    assert_eq!(format!("{:?}", rx.iter()), "Iter { .. }");
    assert_eq!(
        SendError(1).to_string(),
        "sending on a disconnected channel"
    );
    assert_eq!(
        RecvError.to_string(),
        "receiving on an empty and disconnected channel"
    );
}

#[test]
fn handles_may_be_shared_and_survive_panics() {
    fn shared<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>(_: &T) {}
    let (tx, rx) = bounded::<std::cell::Cell<u8>>(1);
    shared(&tx);
    shared(&rx);
    let result = catch_unwind(|| {
        tx.send(1.into()).expect("open");
        panic!("on purpose");
    });
    assert!(result.is_err());
    assert_eq!(rx.recv().map(std::cell::Cell::into_inner), Ok(1));
}
