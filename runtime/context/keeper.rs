//! Deadlines of contexts: one sleeper for all of a home, awake only when one is due.
//!
//! A context ends at its deadline whether or not anybody looks at it, so something must run then. A
//! sleeper for each would cost a stack; so each home has one *keeper*, a green thread that sleeps until
//! the first of all deadlines that were set there. It sleeps by its home's clock, and so in a simulation
//! virtual deadlines need nothing more. Kernel threads outside of every home share a keeper that is a
//! kernel thread itself: a time-out alone starts no runtime.
//!
//! ```text
//!   set ──► registry ──► the home's keeper: alarms, wakes at ──► unpark, if that is earlier
//!                              │
//!              due: contexts ◄─┴─► none left: gone, out of the registry
//! ```
//!
//! A keeper starts with the first deadline and goes when it wakes up and none is left. Calling a
//! deadline off does not wake it: it finds out when it would have been due. So a server whose
//! requests all have a time-out of a minute, and never reach it, wakes up once a minute for that.
//!
//! # Invariants
//!
//! - Who is in the registry has somebody to keep it, or is about to have: entries come and go under
//!   the registry's lock, and a keeper that leaves for whatever reason has no alarms any more. If it is
//!   called off because its home shuts down, the contexts that live on go to the kernel threads' keeper.
//! - `wakes_at` is no later than the first alarm when the keeper parks. Whoever sets an earlier one
//!   makes it so and leaves an unpark token, so that it is seen however they meet.
//! - Locks: the registry's before a keeper's; no context's with either, and nothing of the user's in them.

use super::node::{End, Node};
use crate::{
    base::lock::Lock,
    driver::{
        alarms::{AlarmKey, Alarms},
        clock,
    },
    thread::{self, Builder, Thread},
    wait::{self, home},
};
use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock, Weak},
    thread as kernel,
    time::{Duration, Instant},
};

/// The keepers that take alarms.
static KEEPERS: LazyLock<Lock<Vec<Arc<Keeper>>>> = LazyLock::new(|| Lock::new(Vec::new()));

/// Whose keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A home, by its address: none goes before its keeper has left the registry.
    Home(usize),
    /// Kernel threads that no home has entered.
    Kernel,
}

impl Place {
    /// Where the caller runs.
    pub(super) fn here() -> Self {
        home::home().map_or(Self::Kernel, |it| Self::Home(it.cast::<()>().addr().get()))
    }
}

/// The deadlines that were set at one place.
#[derive(Debug)]
struct Keeper {
    place: Place,
    state: Lock<State>,
}

#[derive(Debug)]
struct State {
    alarms: Alarms<Weak<Node>>,
    /// When it means to look again.
    wakes_at: u64,
    /// Who keeps it; nobody yet, when it is new.
    thread: Option<Thread>,
}

/// A deadline that is set, until this is dropped.
#[derive(Debug)]
pub(super) struct Alarm {
    keeper: Arc<Keeper>,
    key: AlarmKey,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let node = self.keeper.state.lock().alarms.cancel(self.key);
        drop(node);
    }
}

/// Ends `node` at `deadline`, or soon after.
pub(super) fn set(place: Place, deadline: Instant, node: Weak<Node>) -> Alarm {
    let deadline = clock::to_ns(deadline);
    let mut keepers = KEEPERS.lock();
    let known = keepers.iter().find(|it| it.place == place).map(Arc::clone);
    let is_new = known.is_none();
    let keeper = known.unwrap_or_else(|| {
        let keeper = Arc::new(Keeper::new(place));
        keepers.push(Arc::clone(&keeper));
        keeper
    });
    let mut state = keeper.state.lock();
    let key = state.alarms.insert(deadline, node);
    let sleeper = if deadline < state.wakes_at {
        state.wakes_at = deadline;
        state.thread.clone()
    } else {
        None
    };
    drop(state);
    drop(keepers);
    if let Some(sleeper) = sleeper {
        sleeper.unpark();
    }
    if is_new {
        // If it cannot be started, the watch that it was to be looks after its alarms.
        drop(start(Watch(Arc::clone(&keeper))));
    }
    Alarm { keeper, key }
}

fn start(watch: Watch) -> io::Result<()> {
    let name = "context deadlines".to_owned();
    match watch.0.place {
        Place::Home(_) => drop(Builder::new().name(name).spawn(move || watch.keep())?),
        Place::Kernel => drop(
            kernel::Builder::new()
                .name(name)
                .spawn(move || watch.keep())?,
        ),
    }
    Ok(())
}

impl Keeper {
    fn new(place: Place) -> Self {
        Self {
            place,
            state: Lock::new(State {
                alarms: Alarms::new(),
                wakes_at: u64::MAX,
                thread: None,
            }),
        }
    }

    /// The contexts whose deadline has come, and when to look again, if ever.
    fn turn(&self, now: u64) -> (Vec<Arc<Node>>, Option<u64>) {
        let mut due = Vec::new();
        let mut state = self.state.lock();
        state.alarms.advance(now, |it| due.extend(it.upgrade()));
        let next = state.alarms.next();
        state.wakes_at = next.unwrap_or(u64::MAX);
        drop(state);
        (due, next)
    }

    /// Leaves the registry if there is nothing to keep. If this returns `true`, it has.
    #[must_use]
    fn retire(&self) -> bool {
        let mut keepers = KEEPERS.lock();
        let is_idle = self.state.lock().alarms.len() == 0;
        if is_idle {
            keepers.retain(|it| !std::ptr::eq(&raw const **it, self));
        }
        is_idle
    }
}

/// The duty to keep a keeper's deadlines. Who drops it leaves them to others.
#[derive(Debug)]
struct Watch(Arc<Keeper>);

impl Watch {
    fn keep(&self) {
        self.0.state.lock().thread = Some(thread::current());
        loop {
            let now = clock::to_ns(wait::now());
            let (due, next) = self.0.turn(now);
            if !due.is_empty() {
                for node in due {
                    // What the user left in a context may panic when it is dropped; others are due.
                    drop(catch_unwind(AssertUnwindSafe(move || {
                        node.end(&End::deadline_exceeded());
                    })));
                }
            } else if let Some(next) = next {
                thread::park_timeout(Duration::from_nanos(next.saturating_sub(now)));
            } else if self.0.retire() {
                return;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut keepers = KEEPERS.lock();
        keepers.retain(|it| !Arc::ptr_eq(it, &self.0));
        let alarms = mem::replace(&mut self.0.state.lock().alarms, Alarms::new());
        drop(keepers);
        for node in all(alarms) {
            match self.0.place {
                Place::Home(_) => node.watch_from(Place::Kernel),
                Place::Kernel => node.end(&End::canceled(
                    "no thread could be started to keep the context's deadline".into(),
                )),
            }
        }
    }
}

fn all(mut alarms: Alarms<Weak<Node>>) -> Vec<Arc<Node>> {
    let mut nodes = Vec::new();
    alarms.advance(u64::MAX, |it| nodes.extend(it.upgrade()));
    nodes
}

/// How many deadlines are set at `place`.
#[cfg(all(test, not(loom)))]
pub(super) fn count(place: Place) -> usize {
    let keepers = KEEPERS.lock();
    keepers
        .iter()
        .filter(|it| it.place == place)
        .map(|it| it.state.lock().alarms.len())
        .sum()
}
