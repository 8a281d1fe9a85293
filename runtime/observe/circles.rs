//! Circles: threads each of which waits for what the next one holds, while others go on.
//!
//! A thread points at one other at most: at whoever holds the lock that it waits for, or at the green thread
//! that it joins. Only waits without a deadline count, and only holders that are certain: of a lock that is
//! held for reading none is. So whoever walks along comes to an end, or to a circle.
//!
//! # No false alarm
//!
//! What was found while all went on is suspected only. It is a circle if, in this order, (1) each of it is
//! parked in the wait that was seen, (2) each holds what it is said to, (3) each is still parked in that same
//! wait. Then all were parked at the instant between; a parked thread holds what it had noted before it
//! parked (`wait::holder`), so each waited for the next, and nobody else can end such a wait, but the
//! shutdown of a runtime. Last, that the short number of each is no other living green thread's.
//!
//! Not seen: a guard that was leaked by a green thread that has ended names one that has the same short
//! number 2^31 spawns later.

#![expect(unsafe_code, reason = "walks over the slab of records")]

use super::{
    dump::Party,
    subject::{self, Found, Subject},
};
use crate::{
    base::{fatal::LastWords, slab},
    task::{Stage, Task, TaskRef},
    wait::{
        holder::Short,
        kernel_waits::{self, KernelWait},
        reason::Reason,
    },
};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    panic::Location,
};

/// One of a circle of threads, each of which waits for what the next holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stuck {
    /// Who it is.
    pub thread: Party,
    /// What it waits for: `mutex lock`, `rwlock read`, `rwlock write`, `join`. The next one holds it, or is
    /// it; the first one is next to the last.
    pub reason: &'static str,
    /// Where in the program it waits.
    pub waits_at: Option<&'static Location<'static>>,
}

/// Threads each of which waits for what the next one holds, for ever: see
/// [`Dump::deadlocks`](super::Dump::deadlocks).
///
/// [`Display`](fmt::Display) writes a line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    threads: Vec<Stuck>,
    /// Tells this one from others, also of the same threads later.
    key: Vec<(Short, Subject)>,
}

impl Circle {
    /// The threads; each waits for the next, and the last for the first. One alone waits for itself.
    pub fn threads(&self) -> &[Stuck] {
        &self.threads
    }
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.threads.len();
        let s = if count == 1 { "" } else { "s" };
        writeln!(f, "deadlock of {count} thread{s}:")?;
        for (index, it) in self.threads.iter().enumerate() {
            let next = &self.threads[(index + 1) % count].thread;
            write!(f, "    {} waits", it.thread)?;
            if let Some(place) = it.waits_at {
                write!(f, " at {place}")?;
            }
            let held_by = if it.reason == Reason::Join.text() {
                "of"
            } else {
                "held by"
            };
            writeln!(f, " ({} {held_by} {next})", it.reason)?;
        }
        Ok(())
    }
}

/// Somebody who waits for somebody.
#[derive(Debug)]
struct Suspect {
    who: Short,
    /// `None` for a kernel thread.
    task: Option<TaskRef>,
    subject: Subject,
    next: Short,
}

/// Who may be part of a circle, gathered while all goes on.
#[derive(Debug, Default)]
pub(super) struct Suspects(Vec<Suspect>);

impl Suspects {
    /// Notes `task` if it waits for somebody for as long as it takes.
    pub(super) fn note(&mut self, task: &TaskRef, subject: Subject, found: Found) {
        if !subject.has_deadline()
            && let Some(next) = holder(found)
        {
            self.0.push(Suspect {
                who: Short::of_green(task.id()),
                task: Some(task.clone()),
                subject,
                next,
            });
        }
    }

    /// Whoever waits in this process.
    fn everybody() -> Self {
        let mut suspects = Self::default();
        slab::for_each_block(|block| {
            // SAFETY: a block of the slab.
            let Some(task) = (unsafe { Task::try_share(block.cast()) }) else {
                return;
            };
            let holds = |it| {
                matches!(
                    it,
                    Reason::Mutex | Reason::Read | Reason::Write | Reason::Condvar | Reason::Join
                )
            };
            if !holds(task.reason()) {
                return;
            }
            // SAFETY: the slab is being iterated.
            if let Some((subject, found)) = unsafe { subject::found(&task) } {
                suspects.note(&task, subject, found);
            }
        });
        suspects
    }

    /// The circles among them, with kernel threads.
    pub(super) fn circles(mut self) -> Vec<Circle> {
        let kernel = kernel_waits::all();
        for it in &*kernel {
            let subject = Subject::of_listed(it.reason, it.subject);
            // SAFETY: it is listed, and so is there until the list is let go.
            if let Some(next) = unsafe { subject.look() }.and_then(holder) {
                self.0.push(Suspect {
                    who: it.who,
                    task: None,
                    subject,
                    next,
                });
            }
        }
        let all: HashMap<Short, &Suspect> = self.0.iter().map(|it| (it.who, it)).collect();
        let mut done = HashSet::new();
        let mut circles = Vec::new();
        for start in &self.0 {
            let mut path = Vec::new();
            let mut here = Some(start);
            while let Some(it) = here
                && done.insert(it.who)
            {
                path.push(it);
                here = all.get(&it.next).copied();
            }
            // It ended at one that was seen before: on this walk?
            let begin = here.and_then(|end| path.iter().position(|it| it.who == end.who));
            if let Some(begin) = begin
                && is_circle(&path[begin..], &kernel)
            {
                circles.push(describe(&path[begin..], &kernel));
            }
        }
        drop(kernel);
        circles.retain(is_unambiguous);
        circles
    }
}

/// Whom somebody waits for who has found this.
fn holder(found: Found) -> Option<Short> {
    match found {
        Found::Lock { holder, readers: 0 } => holder,
        Found::Lock { .. } | Found::Channel { .. } => None,
        Found::GreenThread(who) => Some(who),
    }
}

/// Steps 1 to 3 of the header.
fn is_circle(path: &[&Suspect], kernel: &[KernelWait]) -> bool {
    let all_wait = || {
        path.iter().all(|it| match &it.task {
            Some(task) => Subject::of(task) == Some(it.subject),
            None => kernel
                .iter()
                .any(|listed| listed.who == it.who && listed.is_parked()),
        })
    };
    let all_hold = || {
        let holds = |it: &&Suspect| {
            // In the same wait it is for the end of the same.
            it.subject.reason == Reason::Join
                // SAFETY: two looks found it; or it is listed.
                || unsafe { it.subject.look() }.and_then(holder) == Some(it.next)
        };
        path.iter().all(holds).then_some(())
    };
    subject::between(all_wait, all_hold).is_some()
}

fn describe(path: &[&Suspect], kernel: &[KernelWait]) -> Circle {
    let threads = path.iter().map(|it| {
        let listed = kernel.iter().find(|listed| listed.who == it.who);
        Stuck {
            thread: match &it.task {
                Some(task) => Party::green(task),
                None => Party::of(it.who, |_| None),
            },
            reason: it.subject.found_reason(),
            waits_at: match &it.task {
                Some(task) => task.place(),
                None => listed.map(|it| it.place),
            },
        }
    });
    Circle {
        threads: threads.collect(),
        key: path.iter().map(|it| (it.who, it.subject)).collect(),
    }
}

/// No two green threads have the short number of one of these.
fn is_unambiguous(circle: &Circle) -> bool {
    let mut count = 0;
    slab::for_each_block(|block| {
        // SAFETY: a block of the slab.
        if let Some(task) = unsafe { Task::try_share(block.cast()) }
            && task.stage() != Stage::Finished
        {
            let short = Short::of_green(task.id());
            count += usize::from(circle.key.iter().any(|it| it.0 == short));
        }
    });
    let green = circle.key.iter().filter(|it| it.0.is_green());
    count == green.count()
}

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<Vec<(Short, Subject)>>);

impl Told {
    /// Writes a report of each circle that was not told yet to the standard error.
    pub(super) fn tell_news(&mut self) {
        let circles = Suspects::everybody().circles();
        for it in &circles {
            if !self.0.contains(&it.key) {
                // It cannot fail: `LastWords` takes everything.
                _ = fmt::Write::write_fmt(&mut LastWords::new(), format_args!("sward: {it}"));
            }
        }
        self.0 = circles.into_iter().map(|it| it.key).collect();
    }
}
