//! How a runtime ends.
//!
//! 1. `S1` It closes: fresh green threads drop their closures instead of running.
//! 2. `S2` The wait of each parked one is called off, so that no partner can choose it, and it unwinds on
//!    a worker. Who parks after that is found by the next round; there is one every few milliseconds.
//! 3. `S3` When the last has ended, the workers stop, and are joined.
//! 4. `S4` At the deadline, what is left is abandoned, and its joiners are told: stacks and the scheduler are leaked, for they may
//!    be borrowed from; a worker that comes back from a blocking call ends.
//!
//! How the last is known to have ended stands in [`census`](super::census); what was left behind may go on, and
//! spawn: see [`stopped`].

#![expect(unsafe_code, reason = "walks over the slab of records")]

use super::{Scheduler, stopped, worker::NATIVE_STACK_BYTES};
use crate::{
    base::{
        lock::Lock,
        primitives::{
            Ordering::{Relaxed, SeqCst},
            fence,
        },
        slab,
    },
    task::Task,
    wait::{
        self, NO_SLOT, TimedOut, home, line::Line, reason::Reason, source::POLLER, ticket::Waiter,
        wait_in_line,
    },
};
use std::{
    mem::ManuallyDrop,
    ptr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How often those who have parked meanwhile are called off.
const ROUND: Duration = Duration::from_millis(5);
/// How long workers that are not stuck have to end when others are.
const GRACE: Duration = Duration::from_millis(100);

/// Whoever waits for the end of the last green thread.
#[derive(Debug)]
pub(crate) struct Closer {
    line: Lock<Line>,
}

impl Closer {
    pub(super) fn new() -> Self {
        Self {
            line: Lock::new(Line::new()),
        }
    }

    /// A green thread has ended: whoever waits should look.
    pub(super) fn look(&self) {
        let calls = self.line.lock().call_all();
        calls.wake();
    }
}

impl Scheduler {
    /// Ends everything, within `timeout` and a little. From one of its own green threads it only begins:
    /// a kernel thread sees to the rest.
    pub(crate) fn shut_down(self: &Arc<Self>, timeout: Duration) {
        // Relaxed: who misses it, a fresh one that starts or the last that ends, is found by the next round.
        if self.flags.closing.swap(true, Relaxed) {
            return; // S1 has happened.
        }
        let deadline = Instant::now().checked_add(timeout);
        // On a worker, or a kernel thread of its own.
        let inside = home::home().is_some_and(|it| {
            // SAFETY: the home of an entered context is valid.
            unsafe { it.as_ref() }.number() == self.number
        });
        if inside {
            let scheduler = Arc::clone(self);
            let name = "sward-shutdown".to_owned();
            let close = move || scheduler.finish_off(deadline);
            let closing = self.origin.start(name, NATIVE_STACK_BYTES, close);
            // Without a thread the green threads end all the same, as they next wait; the workers stay.
            if closing.is_err() {
                self.call_off();
            }
        } else {
            // A green thread of another runtime may not leave in the midst of it, as when that one shuts
            // down too: this counts as a blocking call.
            wait::blocking(|| self.finish_off(deadline));
        }
    }

    fn finish_off(self: &Arc<Self>, deadline: Option<Instant>) {
        if self.wait_until_empty(deadline) {
            self.stop();
        } else {
            // S4: what still runs refers to this scheduler without counting.
            let _leaked = ManuallyDrop::new(Arc::clone(self));
            stopped::stop(&self.flags.stopped, self.membarrier);
            self.rouse_all();
            self.for_each(Task::abandon);
            let grace = Instant::now() + GRACE;
            for thread in self.take_threads() {
                while !thread.is_finished() && Instant::now() < grace {
                    thread::sleep(Duration::from_millis(1));
                }
                if thread.is_finished() {
                    drop(thread.join());
                }
            }
        }
    }

    /// Calls off whatever waits until no green thread is left. `false` if `deadline` comes first.
    fn wait_until_empty(&self, deadline: Option<Instant>) -> bool {
        let mut round = Duration::from_millis(1);
        loop {
            self.call_off(); // S2
            let next = Instant::now().checked_add(round);
            let until = match (next, deadline) {
                (Some(next), Some(deadline)) => Some(next.min(deadline)),
                (next, deadline) => next.or(deadline),
            };
            loop {
                let line = self.closer.line.lock();
                if self.live() == 0 {
                    return true; // S3
                }
                let waited = wait_in_line(
                    &self.closer.line,
                    line,
                    |it| it,
                    NO_SLOT,
                    Reason::Join,
                    until,
                );
                if waited == Err(TimedOut) {
                    break;
                }
            }
            if deadline.is_some_and(|it| Instant::now() >= it) {
                return self.live() == 0;
            }
            round = ROUND;
        }
    }

    /// Calls off the waits of all green threads that are parked now.
    fn call_off(&self) {
        self.for_each(|task| {
            // SAFETY: the share keeps the record.
            let call = unsafe { Waiter::call_off(ptr::NonNull::from(task.waiter())) };
            drop(call);
        });
    }

    /// Visits all green threads of this runtime.
    fn for_each(&self, visit: impl Fn(&Task)) {
        slab::for_each_block(|block| {
            // SAFETY: a block of the slab.
            let Some(task) = (unsafe { Task::try_share(block.cast()) }) else {
                return;
            };
            if task.is_of(self.number) {
                visit(&task);
            }
        });
    }

    /// Stops the workers and waits for their ends. No green thread is left, or none has been started.
    pub(super) fn stop(&self) {
        // Relaxed: `rouse_all` follows.
        self.flags.stopped.store(true, Relaxed);
        self.rouse_all();
        for thread in self.take_threads() {
            drop(thread.join());
        }
    }

    fn take_threads(&self) -> Vec<thread::JoinHandle<()>> {
        let mut slots = self.workers.lock();
        slots.iter_mut().filter_map(|it| it.thread.take()).collect()
    }

    /// Wakes every worker, so that it sees that it is to end.
    fn rouse_all(&self) {
        // `stopped` is set, then we look how each sleeps; they say how they sleep, then look at it.
        fence(SeqCst);
        for slot in &*self.workers.lock() {
            slot.worker.rouse();
        }
        if let Some(poller) = POLLER.made() {
            poller.wake();
        }
    }

    /// Whether it has begun to shut down.
    pub(crate) fn is_closing_down(&self) -> bool {
        self.flags.closing.load(Relaxed)
    }
}
