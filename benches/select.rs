//! What a choice costs: among more and more arms, of which one is ready, and when none is.
//!
//! ```text
//! cargo bench --bench select
//! cargo bench --bench select -- '^recv, 8'  # one shape
//! RECORD=1 cargo bench --bench select       # and put table and picture into benches/
//! ```
//!
//! Times are per message, of eight bytes, in the `recv`, `send` and `dynamic` groups. One thread sends,
//! another selects among so many arms of `select!`; `dynamic` has 64 cases added to a `Select` that is
//! used again and again. All arms but the last are channels where nothing ever happens. The channels have
//! room for 128 messages, so the choice waits now and then, and comes away from all arms. In `same`, the
//! thread that selects has sent the message itself: nobody waits, and what is left is the choice. In
//! `default`, nothing is ready and nothing waits.
//!
//! `1 worker` never leaves a kernel thread; with `2 workers` the ends may run at the same time, or not.
//! `kernel` are the same channels between kernel threads, and `crossbeam` is crossbeam-channel there.

mod support;
#[path = "support/threads.rs"]
mod threads;

use std::time::Duration;
use support::{Bench, runtime, timed};
use threads::{Spawn, green, kernel};

/// Fewer messages than this would measure how the threads start.
const LEAST_MESSAGES: u64 = 10_000;

const CAPACITY: usize = 128;
const DYNAMIC_CASES: usize = 64;

/// One measurement: so many messages, with threads of that kind.
type Run = fn(u64, Spawn) -> Duration;

/// What is measured, with our channels and with crossbeam's.
struct Shape {
    name: &'static str,
    ours: Run,
    crossbeam: Run,
}

/// The time from `f`'s start until it and the thread are done.
fn time(spawn: Spawn, other: impl FnOnce() + Send + 'static, f: impl FnOnce()) -> Duration {
    timed(|| {
        let join = spawn(Box::new(|| {
            other();
            0
        }));
        f();
        join();
    })
}

/// The shapes for one library; both have the same names.
macro_rules! shapes {
    ($library:ident) => {
        mod $library {
            use super::{CAPACITY, DYNAMIC_CASES, Spawn, time, timed};
            use crate::library::$library::{Receiver, Select, Sender, bounded, select};
            use std::{array, time::Duration};

            /// Channels where nothing happens, as long as they are kept.
            fn quiet<const N: usize>() -> [(Sender<u64>, Receiver<u64>); N] {
                array::from_fn(|_| bounded(CAPACITY))
            }

            /// Channels without room, for sending.
            fn full<const N: usize>() -> [(Sender<u64>, Receiver<u64>); N] {
                array::from_fn(|_| bounded(0))
            }

            shapes!(@arms receive_1, same_1, send_1, default_1:);
            shapes!(@arms receive_2, same_2, send_2, default_2: a);
            shapes!(@arms receive_4, same_4, send_4, default_4: a b c);
            shapes!(@arms receive_8, same_8, send_8, default_8: a b c d e f g);

            pub(super) fn dynamic(messages: u64, spawn: Spawn) -> Duration {
                let quiet = quiet::<{ DYNAMIC_CASES - 1 }>();
                let (tx, rx) = bounded(CAPACITY);
                let sender = move || {
                    for message in 0..messages {
                        tx.send(message).expect("somebody receives");
                    }
                };
                time(spawn, sender, || {
                    let mut select = Select::new();
                    for (_, rx) in &quiet {
                        select.recv(rx);
                    }
                    let last = select.recv(&rx);
                    for expected in 0..messages {
                        let chosen = select.select();
                        assert_eq!(chosen.index(), last);
                        assert_eq!(chosen.recv(&rx), Ok(expected));
                    }
                })
            }
        }
    };
    (@arms $receive:ident, $same:ident, $send:ident, $default:ident: $($quiet:ident)*) => {
        pub(super) fn $receive(messages: u64, spawn: Spawn) -> Duration {
            let [$((_, $quiet)),*] = &quiet();
            let (tx, rx) = bounded(CAPACITY);
            let sender = move || {
                for message in 0..messages {
                    tx.send(message).expect("somebody receives");
                }
            };
            time(spawn, sender, || {
                for expected in 0..messages {
                    select! {
                        $(recv($quiet) -> it => unreachable!("{it:?}"),)*
                        recv(rx) -> it => assert_eq!(it, Ok(expected)),
                    }
                }
            })
        }

        pub(super) fn $same(messages: u64, _: Spawn) -> Duration {
            let [$((_, $quiet)),*] = &quiet();
            let (tx, rx) = bounded(CAPACITY);
            timed(|| {
                for message in 0..messages {
                    tx.send(message).expect("we receive");
                    select! {
                        $(recv($quiet) -> it => unreachable!("{it:?}"),)*
                        recv(rx) -> it => assert_eq!(it, Ok(message)),
                    }
                }
            })
        }

        pub(super) fn $send(messages: u64, spawn: Spawn) -> Duration {
            let [$(($quiet, _)),*] = &full();
            let (tx, rx) = bounded(CAPACITY);
            let receiver = move || {
                for expected in 0..messages {
                    assert_eq!(rx.recv(), Ok(expected));
                }
            };
            time(spawn, receiver, || {
                for message in 0..messages {
                    select! {
                        $(send($quiet, message) -> it => unreachable!("{it:?}"),)*
                        send(tx, message) -> it => it.expect("somebody receives"),
                    }
                }
            })
        }

        pub(super) fn $default(rounds: u64, _: Spawn) -> Duration {
            let [$((_, $quiet)),*] = &quiet();
            let (_tx, rx) = bounded::<u64>(CAPACITY);
            let mut found_nothing = 0;
            let time = timed(|| {
                for _ in 0..rounds {
                    select! {
                        $(recv($quiet) -> it => unreachable!("{it:?}"),)*
                        recv(rx) -> it => unreachable!("{it:?}"),
                        default => found_nothing += 1,
                    }
                }
            });
            assert_eq!(found_nothing, rounds);
            time
        }
    };
}

/// What the shapes are measured with.
mod library {
    pub(super) mod ours {
        pub(crate) use sward::channel::{Receiver, Select, Sender, bounded, select};
    }
    pub(super) mod crossbeam {
        pub(crate) use crossbeam_channel::{Receiver, Select, Sender, bounded, select};
    }
}

shapes!(ours);
shapes!(crossbeam);

macro_rules! shape {
    ($name:literal, $run:ident) => {
        Shape {
            name: $name,
            ours: ours::$run,
            crossbeam: crossbeam::$run,
        }
    };
}

const SHAPES: [Shape; 17] = [
    shape!("recv, 1", receive_1),
    shape!("recv, 2", receive_2),
    shape!("recv, 4", receive_4),
    shape!("recv, 8", receive_8),
    shape!("same, 1", same_1),
    shape!("same, 2", same_2),
    shape!("same, 4", same_4),
    shape!("same, 8", same_8),
    shape!("send, 1", send_1),
    shape!("send, 2", send_2),
    shape!("send, 4", send_4),
    shape!("send, 8", send_8),
    shape!("default, 1", default_1),
    shape!("default, 2", default_2),
    shape!("default, 4", default_4),
    shape!("default, 8", default_8),
    shape!("dynamic, 64", dynamic),
];

fn main() {
    let mut bench = Bench::new("A choice", 10, Duration::from_secs(1));
    let [one, two] = [1, 2].map(runtime);
    for Shape {
        name,
        ours,
        crossbeam,
    } in SHAPES
    {
        let mut measure = |column: &str, run: &dyn Fn(u64) -> Duration| {
            bench.measure(name, column, |rounds| {
                let messages = rounds.max(LEAST_MESSAGES);
                (messages, run(messages))
            });
        };
        measure("1 worker", &|it| one.run(move || ours(it, green)));
        measure("2 workers", &|it| two.run(move || ours(it, green)));
        measure("kernel", &|it| ours(it, kernel));
        measure("crossbeam", &|it| crossbeam(it, kernel));
    }
    bench.finish("select");
}
