//! The choice among operations: what is evaluated, who is drawn, what is handed back.

use crate::support::{Rng, on_every_home, seeds};
use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use sward::channel::{
    Receiver, RecvError, Select, SendError, TryRecvError, TrySendError, after, bounded, never,
    select, select_biased, tick, unbounded,
};

mod renamed {
    pub(super) use sward as grass;
}

#[test]
fn handles_are_evaluated_once_and_in_order() {
    on_every_home(|_| {
        let (tx, rx) = unbounded::<i32>();
        let log = RefCell::new(Vec::new());
        let note = |what| log.borrow_mut().push(what);
        let no: Receiver<i32> = never();
        select! {
            recv({ note(1); &no }) -> _ => note(10),
            send({ note(2); &tx }, { note(20); 5 }) -> result => { note(21); assert_eq!(result, Ok(())); }
            default({ note(3); Duration::from_secs(9) }) => note(30),
            recv({ note(99); &rx }) -> _ if { note(4); false } => note(40),
            recv({ note(5); &no }) -> _ => note(50)
        }
        assert_eq!(log.into_inner(), [1, 2, 3, 4, 5, 20, 21]);
        assert_eq!(rx.try_recv(), Ok(5));
    });
}

#[test]
fn a_panic_in_a_handle_leaves_nothing_behind() {
    on_every_home(|_| {
        let (tx, rx) = bounded::<i32>(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            select! {
                recv(rx) -> _ => {}
                recv(if rx.is_empty() { panic!("on purpose") } else { &rx }) -> _ => {}
            }
        }));
        assert!(result.is_err());
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
    });
}

#[test]
fn bodies_may_leave_in_any_way() {
    fn first(rx: &Receiver<i32>) -> Result<i32, RecvError> {
        loop {
            select! {
                recv(rx) -> it => {
                    let it = it?;
                    if it == 1 { continue }
                    if it == 2 { break Ok(it) }
                    return Ok(it)
                }
                default => return Err(RecvError),
            }
        }
    }
    let (tx, rx) = unbounded();
    for it in [1, 1, 2, 3] {
        tx.send(it).expect("open");
    }
    assert_eq!(first(&rx), Ok(2));
    assert_eq!(first(&rx), Ok(3));
    assert_eq!(first(&rx), Err(RecvError));
    drop(tx);
    assert_eq!(first(&rx), Err(RecvError));
}

#[test]
fn every_form_is_understood_under_another_name() {
    use renamed::grass;
    let (tx, rx) = unbounded::<i32>();
    let value = grass::select! {
        recv(rx,) -> _ => 0.5,
        send(tx, 1,) -> Ok(()) | Err(_) => { 1.5 }
        default(Duration::ZERO,) => 2.5,
    };
    assert!(value > 1.0);
    let text: String = grass::channel::select_biased! {
        recv(rx) -> Ok(1 | _) | Err(_) => "one".into(),
        default() => "none".to_owned()
    };
    assert_eq!(text, "one");
    grass::select!(default => {});
    let mut open = Some(rx);
    drop(tx);
    // A body may drop or replace what an arm borrows.
    select! {
        recv(open.as_ref().unwrap_or(&never())) -> it => { assert_eq!(it, Err(RecvError)); open = None; }
    }
    assert!(open.is_none());
}

#[expect(
    clippy::diverging_sub_expression,
    unreachable_code,
    reason = "the message would panic"
)]
#[test]
fn an_arm_that_is_off_is_not_there() {
    on_every_home(|_| {
        let (tx, rx) = bounded::<i32>(1);
        let (_keep, idle) = bounded::<i32>(0);
        select! {
            send(tx, panic!("evaluated")) -> _ if tx.is_full() => {}
            recv(idle) -> _ if true => {}
            default => {}
        }
        // Its handle is gone before the body runs.
        select! {
            send(tx, 1) -> result if true => {
                result.expect("room");
                drop(tx);
                assert_eq!(rx.recv(), Ok(1));
                assert_eq!(rx.recv(), Err(RecvError));
            }
            recv(idle) -> _ if false => {}
        }
    });
}

#[test]
fn forty_arms() {
    let (tx, rx) = unbounded::<i32>();
    let no = never::<i32>();
    tx.send(1).expect("open");
    let chosen = select! {
        recv(no) -> _ => 1, recv(no) -> _ => 2, recv(no) -> _ => 3, recv(no) -> _ => 4,
        recv(no) -> _ => 5, recv(no) -> _ => 6, recv(no) -> _ => 7, recv(no) -> _ => 8,
        recv(no) -> _ => 9, recv(no) -> _ => 10, recv(no) -> _ => 11, recv(no) -> _ => 12,
        recv(no) -> _ => 13, recv(no) -> _ => 14, recv(no) -> _ => 15, recv(no) -> _ => 16,
        recv(no) -> _ => 17, recv(no) -> _ => 18, recv(no) -> _ => 19, recv(no) -> _ => 20,
        recv(no) -> _ => 21, recv(no) -> _ => 22, recv(no) -> _ => 23, recv(no) -> _ => 24,
        recv(no) -> _ => 25, recv(no) -> _ => 26, recv(no) -> _ => 27, recv(no) -> _ => 28,
        recv(no) -> _ => 29, recv(no) -> _ => 30, recv(no) -> _ => 31, recv(no) -> _ => 32,
        recv(no) -> _ => 33, recv(no) -> _ => 34, recv(no) -> _ => 35, recv(no) -> _ => 36,
        recv(no) -> _ => 37, recv(no) -> _ => 38, recv(no) -> _ => 39, recv(rx) -> _ => 40,
    };
    assert_eq!(chosen, 40);
}

/// Each ready arm as likely as another, duplicates and closed ones included: chi-square, 1 in 10,000.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
#[test]
fn the_draw_is_uniform_per_arm() {
    on_every_home(|_| {
        const DRAWS: usize = 20_000;
        for arms in [2_usize, 3, 8, 64] {
            let (tx, rx) = unbounded::<()>();
            let (_, closed) = unbounded::<()>();
            drop(tx);
            let mut seen = vec![0_usize; arms];
            let mut select = Select::new();
            for arm in 0..arms {
                select.recv(if arm % 2 == 0 { &rx } else { &closed });
            }
            for _ in 0..DRAWS {
                let operation = select.select();
                let index = operation.index();
                assert_eq!(
                    operation.recv(if index % 2 == 0 { &rx } else { &closed }),
                    Err(RecvError)
                );
                seen[index] += 1;
            }
            let expected = DRAWS as f64 / arms as f64;
            let chi: f64 = seen
                .iter()
                .map(|it| (*it as f64 - expected).powi(2) / expected)
                .sum();
            let free = (arms - 1) as f64;
            assert!(
                chi < free + 4.5 * (2.0 * free).sqrt() + 8.0,
                "{arms} arms: {chi} {seen:?}"
            );
        }
    });
}

/// A channel without a buffer does not meet itself; one with a buffer may do both.
#[test]
fn a_choice_does_not_meet_itself() {
    on_every_home(|home| {
        let (tx, rx) = bounded::<i32>(0);
        for _ in 0..100 {
            select! {
                send(tx, 1) -> _ => panic!("met itself"),
                recv(rx) -> _ => panic!("met itself"),
                default => {}
            }
        }
        select! {
            send(tx, 1) -> _ => panic!("met itself"),
            recv(rx) -> _ => panic!("met itself"),
            default(Duration::from_millis(2)) => {}
        }
        // Two who do it meet each other.
        let twins: Vec<_> = (0..2)
            .map(|me| {
                let (tx, rx) = (tx.clone(), rx.clone());
                home.spawn(move || {
                    select! {
                        send(tx, me) -> result => { result.expect("open"); None }
                        recv(rx) -> it => Some((me, it.expect("open")))
                    }
                })
            })
            .collect();
        let outcomes: Vec<_> = twins
            .into_iter()
            .map(|it| it.join().expect("a twin"))
            .collect();
        let met: Vec<_> = outcomes.into_iter().flatten().collect();
        assert!(met == [(0, 1)] || met == [(1, 0)], "{met:?}");
    });
}

/// Both sides are choices without a buffer: many meet, in opposite orders, and nothing is lost.
#[test]
fn choices_meet_choices() {
    on_every_home(|home| {
        const ROUNDS: usize = 300;
        let (tx1, rx1) = bounded::<usize>(0);
        let (tx2, rx2) = bounded::<usize>(0);
        let senders: Vec<_> = (0..4)
            .map(|me| {
                let (tx1, tx2) = (tx1.clone(), tx2.clone());
                home.spawn(move || {
                    for round in 0..ROUNDS {
                        let it = me * ROUNDS + round;
                        if me % 2 == 0 {
                            select! { send(tx1, it) -> r => r.expect("open"), send(tx2, it) -> r => r.expect("open") }
                        } else {
                            select! { send(tx2, it) -> r => r.expect("open"), send(tx1, it) -> r => r.expect("open") }
                        }
                    }
                })
            })
            .collect();
        drop((tx1, tx2));
        let receivers: Vec<_> = (0..4)
            .map(|me| {
                let (rx1, rx2) = (rx1.clone(), rx2.clone());
                home.spawn(move || {
                    let mut got = Vec::new();
                    for _ in 0..ROUNDS {
                        let it = if me % 2 == 0 {
                            select! { recv(rx1) -> it => it, recv(rx2) -> it => it }
                        } else {
                            select! { recv(rx2) -> it => it, recv(rx1) -> it => it }
                        };
                        got.push(it.expect("a message"));
                    }
                    got
                })
            })
            .collect();
        let mut all: Vec<_> = receivers
            .into_iter()
            .flat_map(|it| it.join().expect("a receiver"))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..4 * ROUNDS).collect::<Vec<_>>());
        for sender in senders {
            sender.join().expect("a sender");
        }
    });
}

/// A message expression may wait, while its receiver is kept for it.
#[test]
fn a_message_may_take_its_time() {
    on_every_home(|home| {
        for capacity in [0, 1] {
            let (tx, rx) = bounded::<i32>(capacity);
            let (ask, asked) = bounded::<()>(0);
            let (answer, answered) = bounded::<i32>(0);
            let oracle = home.spawn(move || {
                asked.recv().expect("a question");
                answer.send(42)
            });
            let receiver = home.spawn(move || rx.recv());
            for _ in 0..20 {
                home.yield_now();
            }
            select! {
                send(tx, { ask.send(()).expect("asked"); answered.recv().expect("answered") }) -> r => {
                    assert_eq!(r, Ok(()));
                }
            }
            assert_eq!(receiver.join().expect("the receiver"), Ok(42));
            assert_eq!(oracle.join().expect("the oracle"), Ok(()));
        }
    });
}

/// A claim is handed back if the message panics: the receiver waits on, and gets the next one.
#[expect(unreachable_code, reason = "the message panics")]
#[test]
fn a_claim_is_handed_back() {
    on_every_home(|home| {
        for capacity in [0, 1] {
            // The choice finds a receiver that waits, or waits for one itself.
            for patient in [false, true] {
                let (tx, rx) = bounded::<i32>(capacity);
                let receiver = home.spawn(move || {
                    if patient {
                        for _ in 0..20 {
                            home.yield_now();
                        }
                    }
                    rx.recv()
                });
                let attempts = Cell::new(0);
                let result = catch_unwind(AssertUnwindSafe(|| {
                    select! {
                        send(tx, { attempts.set(1); panic!("on purpose") }) -> _ => {}
                    }
                }));
                assert!(result.is_err());
                assert_eq!(attempts.get(), 1);
                let left = (|| {
                    select! { send(tx, { None?; 1 }) -> _ => Some(()) }
                })();
                assert_eq!(left, None);
                assert_eq!(tx.send(2), Ok(()));
                assert_eq!(receiver.join().expect("the receiver"), Ok(2));
            }
        }
    });
}

/// While a receiver is claimed, another sender comes; when the claim is handed back, the two meet.
#[test]
fn whoever_came_while_a_claim_was_held_is_not_forgotten() {
    on_every_home(|home| {
        for _ in 0..50 {
            let (tx, rx) = bounded::<i32>(0);
            let receiver = home.spawn(move || rx.recv());
            let mut select = Select::new();
            select.send(&tx);
            let operation = select.select();
            let other = home.spawn({
                let tx = tx.clone();
                move || tx.send(7)
            });
            for _ in 0..20 {
                home.yield_now();
            }
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(operation)));
            assert!(dropped.is_err());
            assert_eq!(receiver.join().expect("the receiver"), Ok(7));
            assert_eq!(other.join().expect("the other"), Ok(()));
        }
    });
}

/// A receiver that has met a choice without a message yet ignores its time-out, and gets the message.
#[test]
fn a_receiver_that_is_met_is_not_too_late() {
    on_every_home(|home| {
        let (tx, rx) = bounded::<i32>(0);
        let (go, gone) = bounded::<()>(0);
        let receiver = home.spawn(move || {
            let got = rx.recv_timeout(Duration::from_millis(20));
            let later = rx.recv();
            (got, later)
        });
        let mut select = Select::new();
        select.send(&tx);
        let operation = select.select();
        let clock = home.spawn(move || {
            _ = gone.recv_timeout(Duration::from_millis(60));
        });
        clock.join().expect("the clock");
        drop(go);
        assert_eq!(operation.send(&tx, 1), Ok(()));
        drop(tx);
        assert_eq!(
            receiver.join().expect("the receiver"),
            (Ok(1), Err(RecvError))
        );
    });
}

/// Closing ends a choice that waits, and its other arms leave nothing.
#[test]
fn a_choice_leaves_no_ghost() {
    on_every_home(|home| {
        let (tx1, rx1) = bounded::<i32>(0);
        let (tx2, rx2) = bounded::<i32>(0);
        let chooser = home.spawn({
            let rx2 = rx2.clone();
            move || {
                select! {
                    send(tx1, 1) -> result => result.is_err(),
                    recv(rx2) -> _ => false,
                }
            }
        });
        for _ in 0..20 {
            home.yield_now();
        }
        rx1.close();
        assert!(chooser.join().expect("the chooser"));
        assert_eq!(tx2.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(rx2.try_recv(), Err(TryRecvError::Empty));
    });
}

/// Of many senders that fire at one choice, one is chosen and the others wait on.
#[test]
fn one_wins_and_the_others_wait() {
    on_every_home(|home| {
        for _ in 0..20 {
            let channels: Vec<_> = (0..16).map(|_| bounded::<usize>(0)).collect();
            let senders: Vec<_> = channels
                .iter()
                .enumerate()
                .map(|(index, (tx, _))| {
                    let tx = tx.clone();
                    home.spawn(move || tx.send(index))
                })
                .collect();
            let mut select = Select::new();
            for (_, rx) in &channels {
                select.recv(rx);
            }
            let mut got = Vec::new();
            for _ in 0..16 {
                let operation = select.select();
                let index = operation.index();
                assert_eq!(operation.recv(&channels[index].1), Ok(index));
                got.push(index);
            }
            got.sort_unstable();
            assert_eq!(got, (0..16).collect::<Vec<_>>());
            for sender in senders {
                assert_eq!(sender.join().expect("a sender"), Ok(()));
            }
        }
    });
}

/// Choices over the same channels in every order, some with time-outs: no deadlock, nothing lost.
#[test]
fn random_choices_conserve_messages() {
    on_every_home(|home| {
        for seed in seeds().take(3) {
            let channels: Arc<Vec<_>> = Arc::new((0..6).map(|it| bounded::<u64>(it % 3)).collect());
            let sent = Arc::new(AtomicUsize::new(0));
            let received = Arc::new(AtomicUsize::new(0));
            let workers: Vec<_> = (0..8_u64)
                .map(|me| {
                    let channels = Arc::clone(&channels);
                    let (sent, received) = (Arc::clone(&sent), Arc::clone(&received));
                    home.spawn(move || {
                        let mut plan = Rng::new(seed * 100 + me);
                        for _ in 0..200 {
                            let mut select = Select::new();
                            let mut arms = Vec::new();
                            for _ in 0..=plan.below(5) {
                                let (tx, rx) = &channels[plan.below(6)];
                                if plan.below(2) == 0 {
                                    select.send(tx);
                                    arms.push((Some(tx), rx));
                                } else {
                                    select.recv(rx);
                                    arms.push((None, rx));
                                }
                            }
                            let time = Duration::from_micros(plan.below(300) as u64);
                            let Ok(operation) = select.select_timeout(time) else {
                                continue;
                            };
                            if plan.below(8) == 0 {
                                // It gives up what it has chosen.
                                let dropped = catch_unwind(AssertUnwindSafe(|| drop(operation)));
                                assert!(dropped.is_err());
                                continue;
                            }
                            let (tx, rx) = arms[operation.index()];
                            if let Some(tx) = tx {
                                assert_eq!(operation.send(tx, me), Ok(()));
                                sent.fetch_add(1, SeqCst);
                            } else {
                                assert!(operation.recv(rx).is_ok());
                                received.fetch_add(1, SeqCst);
                            }
                        }
                    })
                })
                .collect();
            for worker in workers {
                worker.join().expect("a worker");
            }
            let left: usize = channels.iter().map(|(_, rx)| rx.try_iter().count()).sum();
            assert_eq!(
                sent.load(SeqCst),
                received.load(SeqCst) + left,
                "seed {seed}"
            );
        }
    });
}

#[test]
fn ten_thousand_operations() {
    on_every_home(|home| {
        let channels: Vec<_> = (0..10_000).map(|_| bounded::<usize>(0)).collect();
        let tx = channels[7_777].0.clone();
        let sender = home.spawn(move || tx.send(1));
        let mut select = Select::new();
        for (_, rx) in &channels {
            select.recv(rx);
        }
        let operation = select.select();
        assert_eq!(operation.index(), 7_777);
        assert_eq!(operation.recv(&channels[7_777].1), Ok(1));
        assert_eq!(sender.join().expect("the sender"), Ok(()));
        assert!(select.select_timeout(Duration::from_millis(1)).is_err());
        assert!(select.try_ready().is_err());
    });
}

#[test]
fn readiness_claims_nothing() {
    on_every_home(|home| {
        let (tx, rx) = bounded::<i32>(0);
        let (tx2, rx2) = bounded::<i32>(1);
        let mut select = Select::new();
        let first = select.recv(&rx);
        let second = select.recv(&rx2);
        assert!(select.try_ready().is_err());
        assert!(select.ready_timeout(Duration::from_millis(1)).is_err());
        let sender = home.spawn(move || tx.send(1));
        assert_eq!(select.ready(), first);
        assert_eq!(rx.recv(), Ok(1));
        assert_eq!(sender.join().expect("the sender"), Ok(()));
        select.remove(first);
        let sender = home.spawn(move || tx2.send(2));
        assert_eq!(select.ready(), second);
        assert_eq!(rx2.try_recv(), Ok(2));
        assert_eq!(sender.join().expect("the sender"), Ok(()));
    });
}

#[test]
fn misuse_panics_and_says_how() {
    let said = |f: &mut dyn FnMut()| {
        let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
        payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|it| (*it).to_owned()))
            .expect("words")
    };
    let (tx, rx) = bounded::<i32>(1);
    let (other, _other) = bounded::<i32>(1);
    assert!(said(&mut || drop(Select::new().select())).contains("no operations"));
    assert!(said(&mut || _ = Select::new().ready()).contains("no operations"));
    assert!(said(&mut || Select::new().remove(0)).contains("out of bounds"));
    let mut select = Select::new();
    select.send(&tx);
    assert!(said(&mut || _ = select.select().send(&other, 1)).contains("wasn't selected"));
    assert!(said(&mut || _ = select.select().recv(&rx)).contains("wasn't selected"));
    assert!(said(&mut || drop(select.select())).contains("without completing"));
    // Nothing was lost by all this.
    assert_eq!(tx.try_send(1), Ok(()));
    assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
}

#[test]
fn an_operation_on_a_closed_channel_is_ready() {
    on_every_home(|_| {
        let (tx, rx) = bounded::<i32>(0);
        rx.close();
        select! {
            send(tx, 1) -> result => assert_eq!(result, Err(SendError(1))),
            default => panic!("not ready"),
        }
        select! {
            recv(rx) -> result => assert_eq!(result, Err(RecvError)),
            default => panic!("not ready"),
        }
    });
}

#[test]
fn the_first_of_those_that_are_ready() {
    let ((tx1, rx1), (tx2, rx2)) = (unbounded(), unbounded());
    for it in 0..50 {
        tx1.send(it).expect("open");
        tx2.send(it).expect("open");
    }
    for _ in 0..50 {
        select_biased! { recv(rx1) -> _ => {} recv(rx2) -> _ => panic!("not the first") }
    }
}

#[test]
fn time_is_an_arm_like_another() {
    on_every_home(|_| {
        let start = sward::time::now();
        select! {
            recv(never::<()>()) -> _ => panic!("never"),
            recv(after(Duration::from_millis(3))) -> at => {
                assert!(at.expect("a moment") >= start + Duration::from_millis(3));
            }
            default(Duration::from_secs(20)) => panic!("late"),
        }
        assert!(sward::time::now() - start >= Duration::from_millis(3));
        let ticks = tick(Duration::from_millis(1));
        for _ in 0..3 {
            select! { recv(ticks) -> at => assert!(at.is_ok()) }
        }
    });
}

/// A message that was given to a selector and is handed back takes nobody's place: whoever has chosen to
/// send does send, and the order is kept.
#[test]
fn what_is_handed_back_takes_no_place() {
    on_every_home(|home| {
        let (tx, rx) = bounded::<u64>(1);
        let (door, behind) = bounded::<()>(0);
        let (chosen, is_chosen) = bounded::<()>(0);
        let (go, may_go) = bounded::<()>(0);
        let taker = home.spawn({
            let rx = rx.clone();
            move || {
                let mut select = Select::new();
                select.recv(&rx);
                select.recv(&behind);
                let operation = select.select();
                chosen.send(()).expect("somebody waits");
                may_go.recv().expect("a sign");
                catch_unwind(AssertUnwindSafe(|| drop(operation))).is_err()
            }
        });
        let mut knock = Select::new();
        knock.send(&door);
        while knock.try_ready().is_err() {
            home.yield_now();
        }
        // It waits in both lines, so this is given to it.
        assert_eq!(tx.send(1), Ok(()));
        is_chosen.recv().expect("it has chosen");
        assert!(rx.is_empty());
        let mut select = Select::new();
        select.send(&tx);
        let operation = select.try_select().expect("there is room");
        go.send(()).expect("it waits");
        assert_eq!(taker.join().ok(), Some(true));
        assert_eq!(operation.send(&tx, 2), Ok(()));
        assert!(rx.is_full());
        assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
    });
}
