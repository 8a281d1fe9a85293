//! What every kind of test needs: homes to run on, seeds, a watchdog.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test binary uses a part"
)]

pub(crate) mod in_child;

use std::{env, fmt, panic, process::abort, sync::mpsc, thread, time::Duration};

/// Where a test's threads run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// Plain kernel threads, no runtime at all.
    Threads,
    /// Green threads of a runtime with so many workers.
    Green(usize),
    /// Green threads of a simulation, for a few seeds.
    Simulated,
}

/// A thread of a test, green or not.
pub(crate) enum Handle<T> {
    Thread(thread::JoinHandle<T>),
    Green(sward::thread::JoinHandle<T>),
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl<T> Handle<T> {
    /// What the thread returned, or its panic.
    pub(crate) fn join(self) -> thread::Result<T> {
        match self {
            Self::Thread(thread) => thread.join(),
            Self::Green(thread) => thread.join(),
        }
    }
}

impl Home {
    const ALL: [Self; 5] = [
        Self::Threads,
        Self::Green(1),
        Self::Green(2),
        Self::Green(4),
        Self::Simulated,
    ];

    /// A thread of this home.
    pub(crate) fn spawn<T: Send + 'static>(
        self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Handle<T> {
        match self {
            Self::Threads => Handle::Thread(thread::spawn(f)),
            Self::Green(_) | Self::Simulated => Handle::Green(sward::spawn(f)),
        }
    }

    /// Lets others run.
    pub(crate) fn yield_now(self) {
        match self {
            Self::Threads => thread::yield_now(),
            Self::Green(_) | Self::Simulated => sward::yield_now(),
        }
    }
}

/// Runs a test on plain kernel threads, in runtimes of one worker and of several, and in simulations;
/// each within a minute, else it ends the process: a hang is never silent.
pub(crate) fn on_every_home(test: impl Fn(Home) + Clone + Send + 'static) {
    on(&Home::ALL, &test);
}

/// As [`on_every_home`], but in no simulation. Those are tests
///
/// - of what a simulation does not have: descriptors, files, children, signals, the observer of a runtime;
/// - with kernel threads of their own beside those of the home, or of the runtime itself;
/// - that wait in a blocking call, or for others while they unwind;
/// - that loop until the real clock has moved on.
pub(crate) fn on_every_real_home(test: impl Fn(Home) + Clone + Send + 'static) {
    on(&Home::ALL[..4], &test);
}

/// Whether this run is of plain kernel threads alone, by `SWARD_HOMES=threads`: for a tool that does not
/// understand how stacks are switched.
pub(crate) fn threads_only() -> bool {
    env::var_os("SWARD_HOMES").is_some_and(|it| it == "threads")
}

fn on(homes: &[Home], test: &(impl Fn(Home) + Clone + Send + 'static)) {
    for home in homes.iter().copied() {
        if home != Home::Threads && threads_only() {
            continue;
        }
        let test = test.clone();
        watched(
            &format!("{home:?}"),
            Duration::from_mins(1),
            move || match home {
                Home::Threads => test(home),
                Home::Green(workers) => runtime(workers).run(move || test(home)),
                Home::Simulated => sward::sim::explore(0..4, || test(home)),
            },
        );
    }
}

/// A runtime with so many workers.
pub(crate) fn runtime(workers: usize) -> sward::Runtime {
    sward::Runtime::builder()
        .workers(workers)
        .build()
        .expect("a runtime")
}

/// Runs `f` on a thread of its own; ends the process if it takes longer than `limit`.
pub(crate) fn watched<T: Send + 'static>(
    what: &str,
    limit: Duration,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, wait) = mpsc::channel();
    let name = thread::current().name().unwrap_or("test").to_owned();
    let worker = thread::Builder::new()
        .name(format!("{name} ({what})"))
        .spawn(move || {
            let result = f();
            _ = done.send(());
            result
        })
        .expect("a thread for the test");
    if wait.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
        eprintln!("{name} ({what}): no end after {limit:?}");
        abort();
    }
    worker.join().unwrap_or_else(|payload| {
        eprintln!("failed: {name} ({what})");
        panic::resume_unwind(payload)
    })
}

/// The seeds of a stress test: `SWARD_SEEDS=1..50` for more than the usual few.
pub(crate) fn seeds() -> impl Iterator<Item = u64> {
    let (from, to) = env::var("SWARD_SEEDS")
        .ok()
        .and_then(|it| {
            let (from, to) = it.split_once("..")?;
            Some((from.parse().ok()?, to.trim_start_matches('=').parse().ok()?))
        })
        .unwrap_or((1, 8));
    from..=to
}

/// How often each race is run: `SWARD_RACES=1000000` for more than the usual few.
pub(crate) fn races() -> u64 {
    env::var("SWARD_RACES")
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(6_000)
}

/// A small seeded generator for plans (xorshift64*).
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.next() >> 11) % bound as u64).expect("below a usize")
    }
}
