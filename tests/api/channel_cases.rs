//! Small tables of what a channel or a choice does in every case, after Go's own tests.

use crate::support::{Home, on_every_home};
use std::time::Duration;
use sward::channel::{Receiver, Select, Sender, bounded, never, select, unbounded};

/// What an arm of a choice finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Never is there anything.
    Never,
    /// Open, and empty.
    Blocked,
    Closed,
    Ready,
}

const STATES: [State; 4] = [State::Never, State::Blocked, State::Closed, State::Ready];

/// A receiver in that state; the senders that keep it there are kept.
fn receiver(state: State, kept: &mut Vec<Sender<u8>>) -> Receiver<u8> {
    let (tx, rx) = unbounded();
    match state {
        State::Never => return never(),
        State::Blocked => kept.push(tx),
        State::Closed => drop(tx),
        State::Ready => {
            tx.send(1).expect("open");
            kept.push(tx);
        }
    }
    rx
}

/// All states of four arms, with a default and without: what is chosen is ready, and nothing else is taken.
#[test]
fn every_mixture_of_four_arms() {
    on_every_home(|_| {
        for number in 0..256 {
            let states = [0, 2, 4, 6].map(|it| STATES[number >> it & 3]);
            let ready = |it: usize| matches!(states[it], State::Closed | State::Ready);
            let any = (0..4).any(ready);
            for has_default in [false, true] {
                let mut kept = Vec::new();
                let rx = states.map(|it| receiver(it, &mut kept));
                let chosen = if has_default {
                    select! {
                        recv(rx[0]) -> it => Some((0, it.is_ok())),
                        recv(rx[1]) -> it => Some((1, it.is_ok())),
                        recv(rx[2]) -> it => Some((2, it.is_ok())),
                        recv(rx[3]) -> it => Some((3, it.is_ok())),
                        default => None,
                    }
                } else {
                    let mut select = Select::new();
                    for it in &rx {
                        select.recv(it);
                    }
                    // What would wait for ever, waits for a moment.
                    let patience = Duration::from_micros(if any { 60_000_000 } else { 10 });
                    select.select_timeout(patience).ok().map(|it| {
                        let index = it.index();
                        (index, it.recv(&rx[index]).is_ok())
                    })
                };
                assert_eq!(chosen.is_some(), any, "{states:?}");
                if let Some((index, is_message)) = chosen {
                    assert!(ready(index), "{states:?}: {index}");
                    assert_eq!(is_message, states[index] == State::Ready);
                }
                for (index, rx) in rx.iter().enumerate() {
                    let taken = chosen.is_some_and(|it| it.0 == index);
                    let left = states[index] == State::Ready && !taken;
                    assert_eq!(rx.len(), usize::from(left), "{states:?}: {index}");
                }
            }
        }
    });
}

/// A choice that waits in one line three times: one arm is chosen, any of them, and the others are gone.
#[test]
fn a_choice_may_wait_in_one_line_several_times() {
    on_every_home(|home: Home| {
        let mut seen = [0; 3];
        for round in 0..60 {
            let (tx, rx) = bounded::<u32>(0);
            let chooser = home.spawn({
                let rx = rx.clone();
                move || {
                    let mut select = Select::new();
                    for _ in 0..3 {
                        select.recv(&rx);
                    }
                    let operation = select.select();
                    (operation.index(), operation.recv(&rx))
                }
            });
            let mut knock = Select::new();
            knock.send(&tx);
            while knock.try_ready().is_err() {
                home.yield_now();
            }
            assert_eq!(tx.send(round), Ok(()));
            // Nobody waits any more, not even in the other places of the line.
            assert!(tx.try_send(round).is_err());
            let (index, message) = chooser.join().expect("no panic");
            assert_eq!(message, Ok(round));
            seen[index] += 1;
        }
        assert!(seen.iter().all(|it| *it > 0), "{seen:?}");
    });
}

/// Messages of senders that wait are in no buffer.
#[test]
fn without_a_buffer_the_length_is_zero() {
    on_every_home(|home| {
        let (tx, rx) = bounded::<u32>(0);
        let senders: Vec<_> = (0..10)
            .map(|it| {
                let tx = tx.clone();
                home.spawn(move || tx.send(it))
            })
            .collect();
        let mut look = Select::new();
        look.recv(&rx);
        look.ready();
        for left in (0..10).rev() {
            assert_eq!((rx.len(), tx.len(), rx.capacity()), (0, 0, Some(0)));
            assert!(rx.is_empty() && rx.is_full());
            rx.recv().expect("somebody sends");
            if left > 0 {
                look.ready();
            }
        }
        for sender in senders {
            assert_eq!(sender.join().ok(), Some(Ok(())));
        }
        let nothing = never::<u32>();
        assert_eq!((nothing.len(), nothing.is_empty()), (0, true));
    });
}

/// Two iterators of one receiver share what comes, and both end with the channel.
#[test]
fn iterators_share_and_end() {
    on_every_home(|home| {
        for capacity in [0, 3] {
            let (tx, rx) = bounded::<u64>(capacity);
            let readers = [(); 2].map(|()| {
                let rx = rx.clone();
                home.spawn(move || {
                    let mut all = rx.iter();
                    let sum: u64 = all.by_ref().sum();
                    (sum, all.next())
                })
            });
            for it in 1..=100 {
                tx.send(it).expect("somebody receives");
            }
            tx.close();
            let [first, second] = readers.map(|it| it.join().expect("no panic"));
            assert_eq!(first.0 + second.0, 5050);
            assert_eq!((first.1, second.1), (None, None));
        }
    });
}
