//! Deadlines of contexts: one sleeper for all of a home, awake only when one is due.
//!
//! A context ends at its deadline whether or not anybody looks at it, so something must run then. A
//! sleeper for each would cost a stack; so each home has one *keeper*, a green thread that sleeps until
//! the first of all deadlines that were set there. It sleeps by its home's clock, and so in a simulation
//! virtual deadlines need nothing more. Kernel threads outside of every home share a keeper that is a
//! kernel thread itself: a time-out alone starts no runtime.
//!
//! ```text
//!   set ──► registry ──► the home's keeper: alarms, wakes at ──► call it, if that is earlier
//!                              │
//!              due: contexts ◄─┴─► none left: gone, out of the registry
//! ```
//!
//! A keeper starts with the first deadline. Calling a deadline off does not wake it, unless that was the
//! last: then a home's goes, and the kernel threads' waits on without a deadline, since a kernel thread is
//! dear to start. So none stays that looks as if something were still to come, for which a deadlock
//! would not be reported.
//!
//! # Invariants
//!
//! - Who is in the registry has somebody to keep it, or is about to have: entries come and go under
//!   the registry's lock, and a keeper that leaves for whatever reason has no alarms any more. If it is
//!   called off because its home shuts down, the contexts that live on go to the kernel threads' keeper.
//! - `wakes_at` is no later than the first alarm when the keeper waits. It looks and joins the line in
//!   one section, and whoever sets an earlier alarm calls it in the same.
//! - Locks: the registry's before a keeper's; no context's with either, and nothing of the user's in them.

use super::node::{End, Node};
use crate::{
    base::lock::Lock,
    driver::{
        alarms::{AlarmKey, Alarms},
        clock,
    },
    thread::Builder,
    wait::{self, NO_SLOT, home, line::Line, reason::Reason, wait_in_line},
};
use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock, Weak},
    thread as kernel,
    time::Instant,
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
    /// Who keeps it, while that waits.
    line: Line,
}

/// A deadline that is set, until this is dropped.
#[derive(Debug)]
pub(super) struct Alarm {
    keeper: Arc<Keeper>,
    key: AlarmKey,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let mut state = self.keeper.state.lock();
        let node = state.alarms.cancel(self.key);
        let call = if state.alarms.len() == 0 {
            state.line.call_first()
        } else {
            None
        };
        drop(state);
        drop((node, call));
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
    let call = if deadline < state.wakes_at {
        state.wakes_at = deadline;
        state.line.call_first()
    } else {
        None
    };
    drop(state);
    drop(keepers);
    drop(call);
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
        // It runs what the program wants to be run at deadlines, and begins as any thread of std's: with the
        // mask and the class of whoever sets the first.
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
                line: Line::new(),
            }),
        }
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
        let keeper = &*self.0;
        loop {
            let now = clock::to_ns(wait::now());
            let mut due = Vec::new();
            let mut state = keeper.state.lock();
            state.alarms.advance(now, |it| due.extend(it.upgrade()));
            let next = state.alarms.next();
            if !due.is_empty() {
                drop(state);
                for node in due {
                    // What the user left in a context may panic when it is dropped; others are due.
                    drop(catch_unwind(AssertUnwindSafe(move || {
                        node.end(&End::deadline_exceeded());
                    })));
                }
            } else if next.is_some() || keeper.place == Place::Kernel {
                state.wakes_at = next.unwrap_or(u64::MAX);
                let deadline = next.map(clock::from_ns);
                // Called or late, it looks again.
                _ = wait_in_line(
                    &keeper.state,
                    state,
                    |it| &mut it.line,
                    NO_SLOT,
                    Reason::Sleep,
                    deadline,
                );
            } else {
                drop(state);
                if keeper.retire() {
                    return;
                }
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
