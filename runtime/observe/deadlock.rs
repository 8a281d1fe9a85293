//! Whether nothing can ever run again: then those who wait in `run` are told, by a panic.
//!
//! The monitor asks when all has been quiet for a while. There is a deadlock if at one instant
//!
//! - every kernel thread of the process but the monitor slept inside this crate until another thread wakes
//!   it: as an idle worker, as one kept for later, or as one that waits for a ticket without a deadline;
//! - nothing was runnable, no alarm was set, and nobody waited for a descriptor or a signal.
//!
//! How such an instant is found, though one can only look at one thread after the other, stands in
//! [`naps`]. Two looks must agree, [`PATIENCE`] apart, without a nap between; and at the second the kernel
//! must say of each thread that it sleeps, again without a nap before it has said so of all. All kernel threads are counted by the kernel's own list: one that
//! is not ours might know a sender, so while it is awake there is no deadlock. It may end or wait later, and
//! nobody would tell: so the monitor looks a few times more, [less and less often](Suspicion::judge).
//!
//! Circles among some while others run are another matter: see `circles`.

use crate::{
    base::{
        fatal::LastWords,
        lock::Lock,
        naps,
        primitives::{Ordering::SeqCst, fence},
    },
    scheduler::{kernel, monitor},
    signal,
    wait::{home, line::Line, source::POLLER},
};
use std::{
    fmt::Write,
    mem,
    sync::LazyLock,
    time::{Duration, Instant},
};

/// What a deadlock is called.
pub(crate) const MESSAGE: &str = "all green threads are asleep - deadlock!";
/// How far apart two looks must be at least.
const PATIENCE: Duration = Duration::from_millis(20);

/// Nothing can ever run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadlock;

/// Those who wait in `run`, to be called if there is a deadlock.
struct Mains {
    threads: Lock<Line>,
    green: Lock<Line>,
}

static MAINS: LazyLock<Mains> = LazyLock::new(|| Mains {
    threads: Lock::new(Line::new()),
    green: Lock::new(Line::new()),
});

/// The line in which the caller stands while it waits in `run`.
pub(crate) fn line() -> &'static Lock<Line> {
    if home::running().is_none() {
        &MAINS.threads
    } else {
        &MAINS.green
    }
}

/// The caller stands in [its line](line()) from now on. It may be late, and everything else asleep.
pub(crate) fn main_waits() {
    monitor::main_waits();
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Something goes on, or will.
    Alive,
    /// Only a kernel thread that is not ours could do anything, or a signal; or somebody has just lain down.
    Outside,
    /// Everybody slept when so many naps had begun.
    Asleep(usize),
}

/// One look at everything.
fn look() -> Look {
    // First, for a signal leaves no nap behind: who waits no more by the time of the rest has been awake since,
    // which the other look will see.
    if signal::is_awaited() {
        return Look::Outside;
    }
    let began = naps::naps();
    fence(SeqCst); // The count comes before all looks, and
    let mut asleep = naps::asleep();
    for scheduler in monitor::runtimes() {
        match scheduler.asleep_with_nothing_to_do() {
            Some(workers) => asleep += workers,
            None => return Look::Alive,
        }
    }
    if POLLER.made().is_some_and(|it| it.waiters() > 0) {
        return Look::Alive;
    }
    let Some(threads) = kernel::threads() else {
        return Look::Alive;
    };
    fence(SeqCst); // its second reading after them.
    // The monitor is the one that calls. Whoever lay down meanwhile may have been the last, and a thread that
    // was counted may have ended: nobody would ask for another look.
    if naps::naps() == began && asleep == threads.len() - 1 {
        Look::Asleep(began)
    } else {
        Look::Outside
    }
}

/// The kernel says of every other thread that it sleeps.
fn all_sleep() -> bool {
    let own = kernel::this_thread_id();
    let sleeps = |thread| thread == own || kernel::state(thread) == Some(b'S');
    kernel::threads().is_some_and(|it| it.into_iter().all(sleeps))
}

/// What the monitor thinks.
#[derive(Debug, Default)]
pub(crate) struct Suspicion {
    /// Since when everybody has slept, and how many naps had begun.
    asleep: Option<(Instant, usize)>,
}

/// What the monitor should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Nothing.
    Fine,
    /// To look again later, but not for ever.
    Unsure,
    /// To look again soon.
    Suspicious,
}

impl Suspicion {
    /// Something has run.
    pub(crate) fn dispel(&mut self) {
        self.asleep = None;
    }

    /// Looks whether there is a deadlock. If there is, tells everybody. For the monitor alone, when all is
    /// quiet.
    pub(crate) fn judge(&mut self) -> Judgement {
        let before = mem::take(&mut self.asleep);
        if MAINS.threads.lock().is_empty() && MAINS.green.lock().is_empty() {
            return Judgement::Fine;
        }
        match (look(), before) {
            (Look::Alive, _) => Judgement::Fine,
            (Look::Outside, _) => Judgement::Unsure,
            (Look::Asleep(naps), Some((since, same))) if same == naps => {
                // Whoever woke another on its way round, and slept again, has napped. One that was up already
                // and not yet come to say so may sleep elsewhere by now: then it is counted no more.
                if since.elapsed() >= PATIENCE && all_sleep() && look() == Look::Asleep(same) {
                    report();
                    return Judgement::Fine;
                }
                self.asleep = before;
                Judgement::Suspicious
            }
            (Look::Asleep(naps), _) => {
                self.asleep = Some((Instant::now(), naps));
                Judgement::Suspicious
            }
        }
    }
}

/// Writes the dump, and calls those who wait in `run`: kernel threads, or else green ones.
fn report() {
    let mut words = LastWords::new();
    // It cannot fail: `LastWords` takes everything.
    _ = write!(words, "sward: {MESSAGE}\n{}", super::dump());
    drop(words);
    let mut calls = MAINS.threads.lock().call_all();
    if calls.is_empty() {
        calls = MAINS.green.lock().call_all();
    }
    calls.wake();
}
