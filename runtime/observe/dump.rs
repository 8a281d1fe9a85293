//! A list of all green threads: what each does, where it waits, and since when.
//!
//! The slab of records is the register: it is walked without stopping anybody. A share in a record keeps it
//! while it is read; what changes meanwhile is read again until it stays the same for two looks. So every
//! green thread that lives throughout is in the list, once, and each entry is of one moment, if perhaps not
//! of the same as the next.
//!
//! Times are those of a clock that the monitor and waking workers set: a few milliseconds coarse.
//!
//! # What was not done
//!
//! *Backtraces of parked stacks*: they need an unwinder that starts from saved registers on a stack that
//! another thread may take up at any moment.

#![expect(unsafe_code, reason = "walks over the slab of records")]

use crate::{
    base::slab,
    driver::clock,
    scheduler::{Scheduler, monitor},
    task::{Stage, Task},
    wait::home::Home,
    wait::{reason::Reason, ticket::Waiter},
};
use std::{
    fmt::{self, Write},
    panic::Location,
    ptr::NonNull,
    sync::Arc,
    time::Duration,
};

/// What a green thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// It has been spawned, and has never run.
    Fresh,
    /// It could run, and waits for its turn.
    Runnable,
    /// It runs.
    Running,
    /// It waits.
    Parked,
    /// It is in a call that may block its kernel thread.
    Blocking,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "fresh",
            Self::Runnable => "runnable",
            Self::Running => "running",
            Self::Parked => "parked",
            Self::Blocking => "blocking",
        })
    }
}

/// One green thread, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GreenThread {
    /// Its number: no two green threads of a process ever have the same.
    pub id: u64,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// What it does.
    pub state: State,
    /// What it waits for, if it is parked: `channel receive`, `mutex lock`, `sleep` and so on.
    pub reason: Option<&'static str>,
    /// For how long it has waited, to a few milliseconds; `None` if it does not.
    pub waited: Option<Duration>,
    /// Where in the program it waits.
    pub waits_at: Option<&'static Location<'static>>,
    /// Where in the program it was spawned.
    pub spawned_at: &'static Location<'static>,
}

impl fmt::Display for GreenThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "green thread {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        write!(f, ": {}", self.state)?;
        if let Some(reason) = self.reason {
            write!(f, " ({reason})")?;
        }
        if let Some(waited) = self.waited {
            write!(f, " for {:.3} s", waited.as_secs_f64())?;
        }
        if let Some(place) = self.waits_at {
            write!(f, "\n    waits at {place}")?;
        }
        write!(f, "\n    spawned at {}", self.spawned_at)
    }
}

/// All green threads, of a runtime or of the process. See [`dump`](crate::dump).
///
/// [`Display`](fmt::Display) writes a few lines for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    threads: Vec<GreenThread>,
}

impl Dump {
    /// The green threads, by their numbers.
    pub fn green_threads(&self) -> &[GreenThread] {
        &self.threads
    }

    /// The same as JSON: an object whose `green_threads` is an array of objects with `id`, `name`, `state`,
    /// `reason`, `waited_ms`, `waits_at` and `spawned_at`, which are `null` where there is nothing to say.
    ///
    /// # Examples
    ///
    /// ```
    /// let json = sward::run(|| sward::dump().to_json());
    /// assert!(json.starts_with(r#"{"green_threads":[{"id":"#));
    /// ```
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(64 + self.threads.len() * 256);
        // Writing to a string cannot fail.
        _ = self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) -> fmt::Result {
        out.push_str("{\"green_threads\":[");
        for (index, thread) in self.threads.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write!(out, "{{\"id\":{},\"name\":", thread.id)?;
            match &thread.name {
                Some(name) => write_string(out, name)?,
                None => out.push_str("null"),
            }
            write!(out, ",\"state\":\"{}\",\"reason\":", thread.state)?;
            match thread.reason {
                Some(reason) => write_string(out, reason)?,
                None => out.push_str("null"),
            }
            out.push_str(",\"waited_ms\":");
            match thread.waited {
                Some(waited) => write!(out, "{}", waited.as_millis())?,
                None => out.push_str("null"),
            }
            out.push_str(",\"waits_at\":");
            write_place(out, thread.waits_at)?;
            out.push_str(",\"spawned_at\":");
            write_place(out, Some(thread.spawned_at))?;
            out.push('}');
        }
        out.push_str("]}");
        Ok(())
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.threads.len();
        let s = if count == 1 { "" } else { "s" };
        writeln!(f, "{count} green thread{s}")?;
        self.threads.iter().try_for_each(|it| writeln!(f, "{it}"))
    }
}

/// Writes a string as JSON has it.
pub(super) fn write_string(out: &mut String, text: &str) -> fmt::Result {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            it if it < ' ' => write!(out, "\\u{:04x}", u32::from(it))?,
            it => out.push(it),
        }
    }
    out.push('"');
    Ok(())
}

fn write_place(out: &mut String, place: Option<&Location<'_>>) -> fmt::Result {
    let Some(place) = place else {
        out.push_str("null");
        return Ok(());
    };
    out.push_str("{\"file\":");
    write_string(out, place.file())?;
    let (line, column) = (place.line(), place.column());
    write!(out, ",\"line\":{line},\"column\":{column}}}")
}

/// Looks at every green thread of a runtime; of all there are, if it is `None`.
pub(super) fn take(runtime: Option<&Scheduler>) -> Dump {
    let all = monitor::runtimes();
    clock::set_tick();
    let mut threads = Vec::new();
    slab::for_each_block(|block| {
        // SAFETY: a block of the slab.
        let Some(task) = (unsafe { Task::try_share(block.cast()) }) else {
            return;
        };
        let is_of = |runtime: &Scheduler| task.is_of(Home::number(runtime));
        if task.stage() != Stage::Finished && runtime.is_none_or(is_of) {
            threads.extend(look(&task, &all));
        }
    });
    threads.sort_unstable_by_key(|it| it.id);
    Dump { threads }
}

/// What may change while it is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    state: Option<State>,
    reason: Reason,
    since: u32,
    place: Option<&'static Location<'static>>,
}

fn see(task: &Task, all: &[Arc<Scheduler>]) -> Seen {
    let (waiter, reason) = (task.waiter(), task.reason());
    let state = match task.stage() {
        Stage::Finished => None,
        Stage::Fresh => Some(State::Fresh),
        Stage::Started if waiter.is_parked() => Some(State::Parked),
        Stage::Started if runs(task, all) => Some(State::Running),
        Stage::Started if reason == Reason::Blocking && waiter.is_idle() => Some(State::Blocking),
        Stage::Started => Some(State::Runnable),
    };
    Seen {
        state,
        reason,
        since: task.waits_since(),
        place: task.place(),
    }
}

/// It is on a kernel thread.
fn runs(task: &Task, all: &[Arc<Scheduler>]) -> bool {
    let home = task.home().as_ptr().cast::<()>();
    let waiter: NonNull<Waiter> = NonNull::from(task.waiter());
    match all
        .iter()
        .find(|it| Arc::as_ptr(it).cast::<()>() == home.cast_const())
    {
        Some(scheduler) => scheduler.runs(waiter),
        // One that has its thread to itself.
        None => true,
    }
}

fn look(task: &Task, all: &[Arc<Scheduler>]) -> Option<GreenThread> {
    let mut seen = see(task, all);
    for _ in 0..4 {
        let again = see(task, all);
        if again == seen {
            break;
        }
        seen = again;
    }
    let state = seen.state?;
    let waits = matches!(state, State::Parked | State::Blocking);
    Some(GreenThread {
        id: task.id(),
        name: task.name().map(str::to_owned),
        state,
        reason: waits.then(|| seen.reason.text()),
        waited: waits.then(|| clock::since_tick(seen.since)),
        waits_at: seen.place.filter(|_| waits),
        spawned_at: task.spawned_at(),
    })
}
