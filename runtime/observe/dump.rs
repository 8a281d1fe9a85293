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
//! *Backtraces of stacks that are parked*: they need an unwinder that starts from saved registers, on a copy
//! of a stack that another thread may take up at any moment. Instead a green thread takes its own before it
//! parks, where asked for: `wait::backtraces`.

#![expect(unsafe_code, reason = "walks over the slab of records")]

use super::{
    circles::{Circle, Suspects},
    json,
    subject::{self, Found, Subject},
};
use crate::{
    base::slab,
    channel::Aim,
    driver::clock,
    scheduler::{Scheduler, monitor},
    task::{Stage, Task},
    wait::home::Home,
    wait::{
        backtraces,
        holder::{Meant, Short},
        reason::Reason,
        ticket::Waiter,
    },
};
use std::{
    collections::HashMap, fmt, fs, panic::Location, ptr::NonNull, sync::Arc, time::Duration,
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

/// Somebody whom a green thread waits for, or who was there before it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Party {
    /// A green thread.
    Green {
        /// Its number.
        id: u64,
        /// Its name, if it was given one, and has not ended.
        name: Option<String>,
    },
    /// A kernel thread that is none of the runtimes' workers.
    Kernel {
        /// The kernel's number of it.
        id: u32,
        /// Its name, if it has not ended.
        name: Option<String>,
    },
}

impl Party {
    pub(super) fn green(task: &Task) -> Self {
        Self::Green {
            id: task.id(),
            name: task.name().map(str::to_owned),
        }
    }

    /// The one with this number; `known` finds green threads that live.
    pub(super) fn of(who: Short, known: impl FnOnce(Short) -> Option<Self>) -> Self {
        match who.meant() {
            Meant::Green(id) => known(who).unwrap_or(Self::Green {
                id: id.into(),
                name: None,
            }),
            Meant::Kernel(id) => {
                let name = fs::read_to_string(format!("/proc/self/task/{id}/comm")).ok();
                let name = name.map(|it| it.trim_end().to_owned());
                Self::Kernel { id, name }
            }
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id, name) = match self {
            Self::Green { id, name } => ("green", *id, name),
            Self::Kernel { id, name } => ("kernel", u64::from(*id), name),
        };
        write!(f, "{kind} thread {id}")?;
        name.iter().try_for_each(|it| write!(f, " {it:?}"))
    }
}

/// What a parked green thread waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A lock: see [`Mutex`](crate::sync::Mutex), [`RwLock`](crate::sync::RwLock).
    Lock {
        /// Who holds it, or writes. Right if that one is parked as well, else a hint. `None` if it is on its way
        /// from one to the next, and of who has it only for reading.
        holder: Option<Party>,
        /// How many hold it for reading.
        readers: usize,
    },
    /// A channel.
    Channel {
        /// Tells channels apart that are there at the same time.
        channel: usize,
        /// How many [`Sender`](crate::channel::Sender)s there are of it.
        senders: usize,
        /// How many [`Receiver`](crate::channel::Receiver)s there are of it.
        receivers: usize,
        /// Who has waited to send last: a hint. Who sent without waiting is not noted.
        last_sender: Option<Party>,
        /// Who has waited to receive last, which may be this one: a hint.
        last_receiver: Option<Party>,
    },
    /// The end of a green thread.
    End(Party),
    /// One of the arms of a `select!`.
    Choice {
        /// How many arms there are.
        arms: usize,
        /// What the first of them are, eight at most.
        first: Vec<Arm>,
    },
}

/// What one arm of a `select!` waits for. Channels have the numbers of [`WaitsFor::Channel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arm {
    /// To send into this channel.
    Send(usize),
    /// To receive from this channel.
    Receive(usize),
    /// That this channel is closed.
    Closed(usize),
    /// A time, as that of [`after`](crate::channel::after()).
    Time,
    /// Nothing: it is never ready.
    Never,
}

impl Arm {
    const fn of(aim: Aim) -> Self {
        match aim {
            Aim::Send(it) => Self::Send(it),
            Aim::Receive(it) => Self::Receive(it),
            Aim::End(it) => Self::Closed(it),
            Aim::Time => Self::Time,
            Aim::Nothing => Self::Never,
        }
    }

    /// A word for it, and the channel's number.
    pub(super) const fn parts(self) -> (&'static str, Option<usize>) {
        match self {
            Self::Send(it) => ("send", Some(it)),
            Self::Receive(it) => ("receive", Some(it)),
            Self::Closed(it) => ("closed", Some(it)),
            Self::Time => ("time", None),
            Self::Never => ("never", None),
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, channel) = self.parts();
        f.write_str(word)?;
        channel.map_or(Ok(()), |it| write!(f, " {it:#x}"))
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |f: &mut fmt::Formatter<'_>, count: usize, what: &str, last: &Option<Party>| {
            let s = if count == 1 { "" } else { "s" };
            write!(f, "{count} {what}{s}")?;
            let verb = if what == "sender" { "send" } else { "receive" };
            last.iter()
                .try_for_each(|it| write!(f, " (last to wait to {verb}: {it})"))
        };
        match self {
            Self::Lock {
                holder: Some(holder),
                ..
            } => write!(f, "a lock held by {holder}"),
            Self::Lock { readers: 0, .. } => write!(f, "a lock that is changing hands"),
            Self::Lock { readers: 1, .. } => write!(f, "a lock held by 1 reader"),
            Self::Lock { readers, .. } => write!(f, "a lock held by {readers} readers"),
            Self::Channel {
                channel,
                senders,
                receivers,
                last_sender,
                last_receiver,
            } => {
                write!(f, "a channel of ")?;
                side(f, *senders, "sender", last_sender)?;
                write!(f, " and ")?;
                side(f, *receivers, "receiver", last_receiver)?;
                write!(f, ": {channel:#x}")
            }
            Self::Choice { arms, first } => {
                let s = if *arms == 1 { "" } else { "s" };
                write!(f, "one of {arms} arm{s}")?;
                for (index, arm) in first.iter().enumerate() {
                    f.write_str(if index == 0 { ": " } else { ", " })?;
                    fmt::Display::fmt(arm, f)?;
                }
                f.write_str(if first.len() < *arms { ", .." } else { "" })
            }
            Self::End(thread) => write!(f, "the end of {thread}"),
        }
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
    /// What it waits for, where that is known: of locks, channels and `join`.
    pub waits_for: Option<WaitsFor>,
    /// Where in the program it waits.
    pub waits_at: Option<&'static Location<'static>>,
    /// Where in the program it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// The calls that led to where it waits, the innermost first, a line or two for each; if a runtime was
    /// built to [keep them](crate::RuntimeBuilder::keep_backtraces).
    pub backtrace: Option<String>,
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
        if let Some(what) = &self.waits_for {
            write!(f, "\n    waits for {what}")?;
        }
        if let Some(place) = self.waits_at {
            write!(f, "\n    waits at {place}")?;
        }
        write!(f, "\n    spawned at {}", self.spawned_at)?;
        let mut lines = self.backtrace.iter().flat_map(|it| it.lines());
        lines.try_for_each(|line| write!(f, "\n      {line}"))
    }
}

/// All green threads, of a runtime or of the process. See [`dump`](crate::dump).
///
/// [`Display`](fmt::Display) writes a few lines for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    threads: Vec<GreenThread>,
    deadlocks: Vec<Circle>,
}

impl Dump {
    /// The green threads, by their numbers.
    pub fn green_threads(&self) -> &[GreenThread] {
        &self.threads
    }

    /// The circles of threads that wait for each other's locks, or ends, for ever: of the whole process,
    /// kernel threads among them, though others go on. What is in here is certain; a circle of which one waits
    /// with a deadline, for a channel, or for those who read is not.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use sward::{sync::Mutex, thread};
    ///
    /// let runtime = sward::Runtime::builder().workers(1).build()?;
    /// let mutex = Arc::new(Mutex::new(()));
    /// runtime.spawn(move || {
    ///     let _first = mutex.lock();
    ///     _ = mutex.lock(); // for ever
    /// });
    /// let dump = loop {
    ///     let dump = runtime.dump();
    ///     if !dump.deadlocks().is_empty() {
    ///         break dump;
    ///     }
    ///     std::thread::yield_now();
    /// };
    /// assert_eq!(dump.deadlocks()[0].threads()[0].reason, "mutex lock");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn deadlocks(&self) -> &[Circle] {
        &self.deadlocks
    }

    /// The same as JSON: an object with two arrays. `green_threads` holds objects with `id`, `name`, `state`,
    /// `reason`, `waited_ms`, `waits_for`, `waits_at`, `spawned_at` and `backtrace`, which are `null` where there is
    /// nothing to say. `waits_for` is an object with `holder` and `readers`, or `channel`, `senders`, `receivers`,
    /// `last_sender` and `last_receiver`, or `arms` and `first`, an array of objects with `kind` and `channel`, or
    /// `end_of`. A `channel` is a number in hexadecimal, as a string. `deadlocks` holds arrays of objects with `thread`, `reason` and
    /// `waits_at`. Threads in these are objects with `kind`, which is `green` or `kernel`, `id` and `name`.
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
        _ = json::write(self, &mut out);
        out
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.threads.len();
        let s = if count == 1 { "" } else { "s" };
        writeln!(f, "{count} green thread{s}")?;
        self.threads.iter().try_for_each(|it| writeln!(f, "{it}"))?;
        self.deadlocks.iter().try_for_each(|it| write!(f, "{it}"))
    }
}

/// Looks at every green thread of a runtime; of all there are, if it is `None`.
pub(super) fn take(runtime: Option<&Scheduler>) -> Dump {
    let all = monitor::runtimes();
    clock::set_tick();
    let mut seen = Vec::new();
    let mut parties = HashMap::new();
    let mut suspects = Suspects::default();
    slab::for_each_block(|block| {
        // SAFETY: a block of the slab.
        let Some(task) = (unsafe { Task::try_share(block.cast()) }) else {
            return;
        };
        if task.stage() == Stage::Finished {
            return;
        }
        // SAFETY: the slab is being iterated.
        let found = unsafe { subject::found(&task) };
        if let Some((subject, found)) = found {
            suspects.note(&task, subject, found);
        }
        if runtime.is_some_and(|it| !task.is_of(Home::number(it))) {
            return;
        }
        let choice = subject::choice(&task);
        let Some(mut thread) = look(&task, &all) else {
            return;
        };
        // It may have gone on: then what it is seen to do now is another thing.
        let waits = |it: Subject| thread.state == State::Parked && Subject::of(&task) == Some(it);
        let found = found.filter(|it| waits(it.0));
        if let Some((_, choice)) = choice.filter(|it| waits(it.0)) {
            thread.waits_for = Some(WaitsFor::Choice {
                arms: choice.count,
                first: choice.arms.into_iter().map(Arm::of).collect(),
            });
        }
        if let Some((subject, found)) = found {
            thread.reason = Some(subject.found_reason());
            parties.extend(parties_of(found).map(|it| (it, None)));
        }
        seen.push((thread, found));
    });
    if !parties.is_empty() {
        name_all(&mut parties);
    }
    let named = |who| parties.get(&who).cloned().flatten();
    let threads = seen.into_iter().map(|(mut thread, found)| {
        if let Some((subject, found)) = found {
            thread.waits_for = tell(subject, found, named);
        }
        if thread.state == State::Parked {
            thread.backtrace = backtraces::of(thread.id);
        }
        thread
    });
    let mut threads: Vec<_> = threads.collect();
    threads.sort_unstable_by_key(|it| it.id);
    let deadlocks = suspects.circles();
    Dump { threads, deadlocks }
}

/// Those that are to be named.
fn parties_of(found: Found) -> impl Iterator<Item = Short> {
    let (one, two) = match found {
        Found::Lock { holder, .. } => (holder, None),
        Found::Channel {
            last_sender,
            last_receiver,
            ..
        } => (last_sender, last_receiver),
        Found::GreenThread(who) => (Some(who), None),
    };
    one.into_iter().chain(two)
}

/// Finds those of the green threads that live, of whatever runtime.
fn name_all(parties: &mut HashMap<Short, Option<Party>>) {
    slab::for_each_block(|block| {
        // SAFETY: a block of the slab.
        if let Some(task) = unsafe { Task::try_share(block.cast()) }
            && let Some(place) = parties.get_mut(&Short::of_green(task.id()))
        {
            *place = Some(Party::green(&task));
        }
    });
    for (who, party) in parties {
        if party.is_none() {
            *party = Some(Party::of(*who, |_| None));
        }
    }
}

/// What was found, in words for others.
fn tell(
    subject: Subject,
    found: Found,
    named: impl Fn(Short) -> Option<Party>,
) -> Option<WaitsFor> {
    Some(match found {
        Found::Lock { holder, readers } => WaitsFor::Lock {
            holder: holder.and_then(&named),
            readers,
        },
        Found::Channel {
            senders,
            receivers,
            last_sender,
            last_receiver,
        } => WaitsFor::Channel {
            channel: subject.address(),
            senders,
            receivers,
            last_sender: last_sender.and_then(&named),
            last_receiver: last_receiver.and_then(&named),
        },
        Found::GreenThread(who) => WaitsFor::End(named(who)?),
    })
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
        Stage::Keeps => Some(State::Parked),
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
        waits_for: None,
        waited: waits.then(|| clock::since_tick(seen.since)),
        waits_at: seen.place.filter(|_| waits),
        spawned_at: task.spawned_at(),
        backtrace: None,
    })
}
