//! What a message costs: from one thread to another, and in a crowd, green and not.
//!
//! ```text
//! cargo bench --bench channel
//! cargo bench --bench channel -- '^mpmc, 128'  # one shape with one capacity
//! RECORD=1 cargo bench --bench channel         # and put table and picture into benches/
//! ```
//!
//! Times are per message, of eight bytes. `spsc` has one sender and one receiver, `mpsc` four senders,
//! `mpmc` four of both; the number after it is the capacity. `1 worker` never leaves a kernel thread: it
//! is the cost of the channel and of the switches. With `2 workers` the ends may run at the same time,
//! or not, as the scheduler sees fit. `kernel` are the same channels between kernel threads, and
//! `crossbeam` is crossbeam-channel there. This is throughput: how long a message takes to arrive on an
//! idle machine is another question, and its answer is the kernel's.

mod support;
#[path = "support/threads.rs"]
mod threads;

use std::{sync::Arc, time::Duration};
use support::{Bench, runtime, timed};
use sward::sync::Barrier;
use threads::{Spawn, green, kernel};

/// How many send and how many receive.
const SHAPES: [(&str, u64, u64); 3] = [("spsc", 1, 1), ("mpsc", 4, 1), ("mpmc", 4, 4)];

const CAPACITIES: [(&str, Option<usize>); 4] = [
    ("0", Some(0)),
    ("1", Some(1)),
    ("128", Some(128)),
    ("unbounded", None),
];

/// Fewer messages than this would measure how the threads start.
const LEAST_MESSAGES: u64 = 10_000;

/// A kind of channel.
trait Kind: 'static {
    type Sender: Clone + Send + 'static;
    type Receiver: Clone + Send + 'static;
    fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, message: u64);
    fn receive(receiver: &Self::Receiver) -> Option<u64>;
}

struct Ours;

impl Kind for Ours {
    type Sender = sward::channel::Sender<u64>;
    type Receiver = sward::channel::Receiver<u64>;

    fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver) {
        capacity.map_or_else(sward::channel::unbounded, sward::channel::bounded)
    }

    fn send(sender: &Self::Sender, message: u64) {
        sender.send(message).expect("somebody receives");
    }

    fn receive(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }
}

struct Crossbeam;

impl Kind for Crossbeam {
    type Sender = crossbeam_channel::Sender<u64>;
    type Receiver = crossbeam_channel::Receiver<u64>;

    fn make(capacity: Option<usize>) -> (Self::Sender, Self::Receiver) {
        capacity.map_or_else(crossbeam_channel::unbounded, crossbeam_channel::bounded)
    }

    fn send(sender: &Self::Sender, message: u64) {
        sender.send(message).expect("somebody receives");
    }

    fn receive(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }
}

/// One measurement: what is sent, by whom, through what.
#[derive(Debug, Clone, Copy)]
struct Plan {
    senders: u64,
    receivers: u64,
    capacity: Option<usize>,
    /// For each sender.
    messages: u64,
}

impl Plan {
    fn run<K: Kind>(self, spawn: Spawn) -> Duration {
        let (sender, receiver) = K::make(self.capacity);
        let everybody = usize::try_from(self.senders + self.receivers).expect("a few");
        let ready = Arc::new(Barrier::new(everybody + 1));
        let mut threads = Vec::with_capacity(everybody);
        for _ in 0..self.senders {
            let (sender, ready) = (sender.clone(), Arc::clone(&ready));
            threads.push(spawn(Box::new(move || {
                ready.wait();
                for message in 0..self.messages {
                    K::send(&sender, message);
                }
                0
            })));
        }
        for _ in 0..self.receivers {
            let (receiver, ready) = (receiver.clone(), Arc::clone(&ready));
            threads.push(spawn(Box::new(move || {
                ready.wait();
                let mut received = 0;
                while K::receive(&receiver).is_some() {
                    received += 1;
                }
                received
            })));
        }
        drop((sender, receiver));
        let mut received = 0;
        // From before they begin: this kernel thread may come off the barrier when all is over.
        let time = timed(|| {
            ready.wait();
            received = threads.into_iter().map(|join| join()).sum();
        });
        assert_eq!(received, self.messages * self.senders);
        time
    }
}

fn main() {
    let mut bench = Bench::new("A message", 10, Duration::from_secs(1));
    let [one, two] = [1, 2].map(runtime);
    for (shape, senders, receivers) in SHAPES {
        for (size, capacity) in CAPACITIES {
            let row = format!("{shape}, {size}");
            let mut measure = |column: &str, run: &dyn Fn(Plan) -> Duration| {
                bench.measure(&row, column, |rounds| {
                    let messages = rounds.max(LEAST_MESSAGES).div_ceil(senders);
                    let plan = Plan {
                        senders,
                        receivers,
                        capacity,
                        messages,
                    };
                    (messages * senders, run(plan))
                });
            };
            measure("1 worker", &|plan| one.run(move || plan.run::<Ours>(green)));
            measure("2 workers", &|plan| {
                two.run(move || plan.run::<Ours>(green))
            });
            measure("kernel", &|plan| plan.run::<Ours>(kernel));
            measure("crossbeam", &|plan| plan.run::<Crossbeam>(kernel));
        }
    }
    bench.finish("channel");
}
