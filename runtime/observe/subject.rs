//! What a parked green thread waits for: who holds the lock, who is at the channel's other side.
//!
//! A green thread leaves the address of what it waits for in its record ([`Task::set_subject`]), and is
//! gone from there when it goes on; so what lies at that address is copied by the kernel
//! ([`peek`]), and believed only if the green thread is found in the same wait afterwards. For a lock,
//! whoever parks after it has noted itself as the holder is the holder: see `wait::holder`.

#![expect(unsafe_code, reason = "reaches records by their addresses")]

use crate::{
    base::{
        peek,
        primitives::{Ordering::Acquire, fence},
    },
    channel::Aim,
    task::{SUBJECTS, Task, TaskRef},
    wait::{holder::Short, line::MOVED, reason::Reason},
};
use std::time::{Duration, Instant};

/// No wait is shorter than this.
const SHORTEST_WAIT: Duration = Duration::from_nanos(10);

/// The address of what a green thread waits for, in one wait of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    pub(super) reason: Reason,
    /// Odd if the wait has a deadline.
    address: usize,
    /// Tells waits apart.
    count: u16,
}

/// What is at that address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Lock {
        holder: Option<Short>,
        readers: usize,
    },
    Channel {
        senders: usize,
        receivers: usize,
        last_sender: Option<Short>,
        last_receiver: Option<Short>,
    },
    /// Its end.
    GreenThread(Short),
}

impl Subject {
    /// What `task` waits for, if it is parked for something to which its reason gives a meaning.
    pub(super) fn of(task: &Task) -> Option<Self> {
        let (reason, address, count) = task.subject()?;
        let means = matches!(
            reason,
            Reason::Mutex
                | Reason::Read
                | Reason::Write
                | Reason::Send
                | Reason::Receive
                | Reason::Select
                | Reason::Condvar
                | Reason::Join
        );
        (means && address != 0).then_some(Self {
            reason,
            address,
            count,
        })
    }

    /// A kernel thread's, that cannot change as long as this is used.
    pub(super) fn of_listed(reason: Reason, subject: usize) -> Self {
        Self {
            reason,
            address: subject,
            count: 0,
        }
    }

    /// It ends at some time, whatever others do.
    pub(super) fn has_deadline(self) -> bool {
        self.address % 2 == 1
    }

    /// The reason of one for whom something was [found](Found): who was moved from a condition variable waits for
    /// its mutex.
    pub(super) fn found_reason(self) -> &'static str {
        let moved = self.reason == Reason::Condvar;
        if moved { Reason::Mutex } else { self.reason }.text()
    }

    pub(super) fn address(self) -> usize {
        self.address & !1
    }

    /// Copies what is there now, whether it is what it was or not.
    ///
    /// # Safety
    ///
    /// This was found by two looks at a green thread, or is of a kernel thread that cannot go on. If it is a
    /// wait for the end of a green thread, the slab of records is being iterated ever since, or that green
    /// thread is alive.
    pub(super) unsafe fn look(self) -> Option<Found> {
        let mut at = self.address();
        if self.reason == Reason::Select {
            return None; // See `choice`.
        }
        if self.reason == Reason::Condvar {
            let [index, holder] = peek::words(at)?.map(|it| usize::try_from(it).unwrap_or(0));
            if peek::words(index)? != [MOVED as u64] {
                return None;
            }
            at = holder;
        }
        if matches!(self.reason, Reason::Mutex | Reason::Condvar) {
            return Some(Found::Lock {
                holder: Short::from_word(peek::half(at)?),
                readers: 0,
            });
        }
        if matches!(self.reason, Reason::Read | Reason::Write) {
            let [word, writer] = peek::words(at)?;
            return Some(Found::Lock {
                holder: Short::from_word(halves(writer)[0]),
                readers: usize::try_from(word).unwrap_or(0) / crate::sync::READER,
            });
        }
        if matches!(self.reason, Reason::Send | Reason::Receive) {
            let [senders, receivers, last] = peek::words(at)?;
            let [last_sender, last_receiver] = halves(last).map(Short::from_word);
            return Some(Found::Channel {
                senders: usize::try_from(senders).unwrap_or(0),
                receivers: usize::try_from(receivers).unwrap_or(0),
                last_sender,
                last_receiver,
            });
        }
        // SAFETY: it is the address of a record, by the caller.
        let task = unsafe { TaskRef::of_address(at) }?;
        Some(Found::GreenThread(Short::of_green(task.id())))
    }
}

/// How many arms of a choice are shown at most.
const ARMS: usize = 8;

/// What a green thread waits for that chooses.
#[derive(Debug)]
pub(super) struct Choice {
    /// How many arms it has.
    pub(super) count: usize,
    /// The first of them.
    pub(super) arms: Vec<Aim>,
}

impl Choice {
    /// Copies what is there now, as [`Subject::look`] does.
    fn look(subject: Subject) -> Option<Self> {
        let word = |it| usize::try_from(it).unwrap_or(0);
        let [arms, count] = peek::words(subject.address())?.map(word);
        let mut raw = [[[0; 8]; Aim::WORDS]; ARMS];
        let raw = &mut raw[..count.min(ARMS)];
        peek::bytes(arms, raw.as_flattened_mut().as_flattened_mut()).then(|| Self {
            count,
            arms: raw
                .iter()
                .map(|it| Aim::of_words(it.map(usize::from_ne_bytes)))
                .collect(),
        })
    }
}

/// The arms among which `task` chooses.
pub(super) fn choice(task: &Task) -> Option<(Subject, Choice)> {
    let subject = Subject::of(task).filter(|it| it.reason == Reason::Select)?;
    let same = || Subject::of(task) == Some(subject);
    Some((subject, between(same, || Choice::look(subject))?))
}

/// The two halves of a word, in the order of their addresses.
fn halves(word: u64) -> [u32; 2] {
    let bytes = word.to_ne_bytes();
    let half = |at: usize| {
        let mut half = [0; 4];
        half.copy_from_slice(&bytes[at..at + 4]);
        u32::from_ne_bytes(half)
    };
    [half(0), half(4)]
}

/// Runs `look` between two looks at whether all is as it was, which `same` says: then what it saw was so
/// at one instant. `None` if it does not stay the same, or took so long that one could not tell.
pub(super) fn between<T>(
    mut same: impl FnMut() -> bool,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    for _ in 0..8 {
        let start = Instant::now();
        let seen = between_looks(&mut same, &mut look)?;
        // In this time no green thread has come round to the same count.
        if start.elapsed() < SHORTEST_WAIT * SUBJECTS {
            return seen;
        }
    }
    None
}

/// As [`between`], once, by no clock.
pub(crate) fn between_looks<T>(
    mut same: impl FnMut() -> bool,
    look: impl FnOnce() -> T,
) -> Option<T> {
    if !same() {
        return None;
    }
    let seen = look();
    fence(Acquire); // What was copied, then the second look.
    same().then_some(seen)
}

/// What `task` waits for, and what is there.
///
/// # Safety
///
/// The slab of records is being iterated.
pub(super) unsafe fn found(task: &Task) -> Option<(Subject, Found)> {
    let subject = Subject::of(task).filter(|it| it.reason != Reason::Select)?;
    let look = || {
        // SAFETY: `between` has looked a second time by now; the slab is being iterated.
        unsafe { subject.look() }
    };
    let found = between(|| Subject::of(task) == Some(subject), look)?;
    Some((subject, found))
}
