//! Random programs against a model: what a channel answers, and that nothing is lost or doubled.
//!
//! On one thread nothing may wait: where the model says that a `send` or `recv` would, the program tries
//! instead. Between threads only what every order of events has in common is asserted: each message that
//! was sent arrives once or is left in the buffer, and each receiver gets each sender's in order. Plans
//! are drawn outside the homes, so that a simulation depends on its seed alone.

use crate::support::{Home, on_every_home, watched};
use proptest::{collection::vec, prelude::*};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use sward::channel::{
    Receiver, RecvError, SendError, Sender, TryRecvError, TrySendError, bounded, unbounded,
};

const CASES: u32 = 64;

fn few(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A channel with room for so many, or for any number.
fn channel<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    capacity.map_or_else(unbounded, bounded)
}

fn capacities() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![4 => (0_usize..=4).prop_map(Some), 1 => Just(None)]
}

/// One step of a program. The number chooses one of the handles there are.
#[derive(Debug, Clone, Copy)]
enum Step {
    Send(usize),
    TrySend(usize),
    Receive(usize),
    TryReceive(usize),
    CloneSender(usize),
    CloneReceiver(usize),
    DropSender(usize),
    DropReceiver(usize),
    CloseBySender(usize),
    CloseByReceiver(usize),
    Look,
}

fn steps() -> impl Strategy<Value = Step> {
    let handle = 0_usize..4;
    prop_oneof![
        6 => handle.clone().prop_map(Step::Send),
        6 => handle.clone().prop_map(Step::TrySend),
        6 => handle.clone().prop_map(Step::Receive),
        6 => handle.clone().prop_map(Step::TryReceive),
        2 => handle.clone().prop_map(Step::CloneSender),
        2 => handle.clone().prop_map(Step::CloneReceiver),
        2 => handle.clone().prop_map(Step::DropSender),
        2 => handle.clone().prop_map(Step::DropReceiver),
        1 => handle.clone().prop_map(Step::CloseBySender),
        1 => handle.prop_map(Step::CloseByReceiver),
        3 => Just(Step::Look),
    ]
}

/// What a channel is to be like.
#[derive(Debug)]
struct Model {
    buffer: VecDeque<u32>,
    capacity: Option<usize>,
    closed: bool,
}

impl Model {
    fn is_full(&self) -> bool {
        self.capacity.is_some_and(|it| self.buffer.len() >= it)
    }

    fn try_send(&mut self, message: u32) -> Result<(), TrySendError<u32>> {
        if self.closed {
            return Err(TrySendError::Disconnected(message));
        }
        if self.is_full() {
            return Err(TrySendError::Full(message));
        }
        self.buffer.push_back(message);
        Ok(())
    }

    fn try_receive(&mut self) -> Result<u32, TryRecvError> {
        self.buffer.pop_front().ok_or(if self.closed {
            TryRecvError::Disconnected
        } else {
            TryRecvError::Empty
        })
    }

    fn close(&mut self) -> bool {
        !std::mem::replace(&mut self.closed, true)
    }
}

/// A channel with all its handles, and its model.
struct Run {
    senders: Vec<Sender<u32>>,
    receivers: Vec<Receiver<u32>>,
    model: Model,
    next: u32,
}

/// One of the handles, if there are any.
fn one_of<T>(handles: &[T], number: usize) -> Option<&T> {
    handles.get(number.checked_rem(handles.len())?)
}

fn drop_one_of<T>(handles: &mut Vec<T>, number: usize) -> bool {
    let Some(index) = number.checked_rem(handles.len()) else {
        return false;
    };
    drop(handles.swap_remove(index));
    handles.is_empty()
}

impl Run {
    fn new(capacity: Option<usize>) -> Self {
        let (tx, rx) = channel(capacity);
        let model = Model {
            buffer: VecDeque::new(),
            capacity,
            closed: false,
        };
        Self {
            senders: vec![tx],
            receivers: vec![rx],
            model,
            next: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(number) | Step::TrySend(number) => {
                let Some(sender) = one_of(&self.senders, number) else {
                    return;
                };
                let message = self.next;
                self.next += 1;
                let expected = self.model.try_send(message);
                match (step, expected) {
                    (Step::Send(_), Ok(())) => assert_eq!(sender.send(message), Ok(())),
                    (Step::Send(_), Err(TrySendError::Disconnected(_))) => {
                        assert_eq!(sender.send(message), Err(SendError(message)));
                    }
                    _ => assert_eq!(sender.try_send(message), expected),
                }
            }
            Step::Receive(number) | Step::TryReceive(number) => {
                let Some(receiver) = one_of(&self.receivers, number) else {
                    return;
                };
                let expected = self.model.try_receive();
                match (step, expected) {
                    (Step::Receive(_), Ok(message)) => assert_eq!(receiver.recv(), Ok(message)),
                    (Step::Receive(_), Err(TryRecvError::Disconnected)) => {
                        assert_eq!(receiver.recv(), Err(RecvError));
                    }
                    _ => assert_eq!(receiver.try_recv(), expected),
                }
            }
            Step::CloneSender(number) => {
                let sender = one_of(&self.senders, number).cloned();
                self.senders.extend(sender);
            }
            Step::CloneReceiver(number) => {
                let receiver = one_of(&self.receivers, number).cloned();
                self.receivers.extend(receiver);
            }
            Step::DropSender(number) => {
                if drop_one_of(&mut self.senders, number) {
                    self.model.closed = true;
                }
            }
            Step::DropReceiver(number) => {
                if drop_one_of(&mut self.receivers, number) {
                    // Nobody can receive what is left: it is dropped at once.
                    self.model.closed = true;
                    self.model.buffer.clear();
                }
            }
            Step::CloseBySender(number) => {
                if let Some(sender) = one_of(&self.senders, number) {
                    assert_eq!(sender.close(), self.model.close());
                }
            }
            Step::CloseByReceiver(number) => {
                if let Some(receiver) = one_of(&self.receivers, number) {
                    assert_eq!(receiver.close(), self.model.close());
                }
            }
            Step::Look => self.look(),
        }
    }

    fn look(&self) {
        let Model {
            buffer, capacity, ..
        } = &self.model;
        let expected = (
            buffer.len(),
            buffer.is_empty(),
            self.model.is_full(),
            *capacity,
        );
        for it in &self.senders {
            let seen = (it.len(), it.is_empty(), it.is_full(), it.capacity());
            assert_eq!(seen, expected);
        }
        for it in &self.receivers {
            let seen = (it.len(), it.is_empty(), it.is_full(), it.capacity());
            assert_eq!(seen, expected);
        }
    }

    /// What is left arrives, and then the end.
    fn end(mut self) {
        self.look();
        self.senders.clear();
        self.model.closed = true;
        if let Some(receiver) = self.receivers.first() {
            let left: Vec<_> = receiver.iter().collect();
            assert_eq!(left, Vec::from(self.model.buffer));
        }
    }
}

/// Who sends how much, and who receives.
#[derive(Debug, Clone)]
struct Plan {
    capacity: Option<usize>,
    /// For each sender, how many messages, and how often it lets others run in between.
    senders: Vec<(u32, u32)>,
    /// For each receiver, after how many messages it goes, and whether it tries before it waits.
    receivers: Vec<(usize, bool)>,
}

fn plans() -> impl Strategy<Value = Plan> {
    (
        capacities(),
        vec((0_u32..40, 1_u32..8), 1..5),
        vec(
            (prop_oneof![Just(usize::MAX), 0_usize..30], any::<bool>()),
            1..5,
        ),
    )
        .prop_map(|(capacity, senders, receivers)| Plan {
            capacity,
            senders,
            receivers,
        })
}

/// Sends until the channel is closed. Returns how many were sent, and so not given back.
fn send(home: Home, tx: &Sender<(usize, u32)>, sender: usize, messages: u32, every: u32) -> u32 {
    for number in 0..messages {
        if let Err(SendError(back)) = tx.send((sender, number)) {
            assert_eq!(back, (sender, number), "it is the message that comes back");
            return number;
        }
        if number % every == 0 {
            home.yield_now();
        }
    }
    messages
}

fn receive(
    home: Home,
    rx: &Receiver<(usize, u32)>,
    limit: usize,
    tries: bool,
) -> Vec<(usize, u32)> {
    let mut received = Vec::new();
    while received.len() < limit {
        if tries {
            if let Ok(message) = rx.try_recv() {
                received.push(message);
                continue;
            }
            home.yield_now();
        }
        match rx.recv() {
            Ok(message) => received.push(message),
            Err(RecvError) => break,
        }
    }
    received
}

/// All that was sent was received once or is still in the buffer; each receiver has each sender's
/// messages in order.
fn conserves(home: Home, plan: &Plan) {
    let (tx, rx) = channel(plan.capacity);
    let senders: Vec<_> = (0..)
        .zip(plan.senders.iter().copied())
        .map(|(sender, (messages, every))| {
            let tx = tx.clone();
            home.spawn(move || send(home, &tx, sender, messages, every))
        })
        .collect();
    drop(tx);
    let receivers: Vec<_> = plan
        .receivers
        .iter()
        .map(|&(limit, tries)| {
            let rx = rx.clone();
            home.spawn(move || receive(home, &rx, limit, tries))
        })
        .collect();
    let mut received: Vec<_> = receivers
        .into_iter()
        .map(|it| it.join().expect("a receiver"))
        .collect();
    // Senders may wait still, if all receivers went: they get their messages back.
    rx.close();
    let sent: Vec<_> = senders
        .into_iter()
        .map(|it| it.join().expect("a sender"))
        .collect();
    received.push(rx.iter().collect());

    for (receiver, messages) in received.iter().enumerate() {
        let mut last = BTreeMap::new();
        for &(sender, number) in messages {
            let before = last.insert(sender, number);
            assert!(before < Some(number), "{receiver} got {messages:?}");
        }
    }
    let mut arrived = received.concat();
    arrived.sort_unstable();
    let expected: Vec<_> = (0..)
        .zip(sent)
        .flat_map(|(sender, count)| (0..count).map(move |number| (sender, number)))
        .collect();
    assert_eq!(arrived, expected);
}

#[test]
fn a_program_sees_what_the_model_says() {
    watched("one thread", Duration::from_mins(1), || {
        proptest!(few(CASES), |(capacity in capacities(), program in vec(steps(), 0..200))| {
            let mut run = Run::new(capacity);
            for step in program {
                run.step(step);
            }
            run.end();
        });
    });
}

#[test]
fn threads_lose_nothing_and_double_nothing() {
    proptest!(few(CASES), |(plan in plans())| {
        // So the plan is in what is printed if it hangs.
        let what = format!("{plan:?}");
        watched(&what, Duration::from_mins(1), || {
            on_every_home(move |home| conserves(home, &plan));
        });
    });
}
