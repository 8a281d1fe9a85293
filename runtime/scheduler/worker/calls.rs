//! Blocking calls: what becomes of a worker's processor while its thread is in one.
//!
//! A call that is announced is made on the kernel thread's own stack, from start to end. If there is
//! anything to do for the processor, it is handed over at once to another thread; else it is *lent*, which
//! costs next to nothing, and whoever brings work takes it. A thread that comes back and finds its
//! processor gone lets the green thread go on elsewhere.

#![expect(
    unsafe_code,
    reason = "a job lies in the frame of the green thread that waits for it"
)]

use super::{Off, Processor, Worker, switch_off};
use crate::{
    base::primitives::{
        Ordering::{Relaxed, SeqCst},
        fence,
    },
    scheduler::{beside::Why, monitor},
    task::Task,
    wait::{home, reason::Reason, source::POLLER},
};
use std::{cell::Cell, mem::transmute, ptr::NonNull};

/// Makes a blocking call for the running green thread, on its kernel thread's own stack.
pub(in crate::scheduler) fn block(job: &mut dyn FnMut()) {
    let done = Cell::new(false);
    let mut call = || {
        job();
        done.set(true);
    };
    // Again if the worker could not make it: then this goes on with another one.
    while !done.get() {
        let call: &mut dyn FnMut() = &mut call;
        // SAFETY: the worker is done with it, or has dropped the pointer, before this green thread goes on.
        let call: NonNull<dyn FnMut()> = NonNull::from(unsafe {
            transmute::<&mut dyn FnMut(), &mut (dyn FnMut() + 'static)>(call)
        });
        // SAFETY: a scheduler's green thread runs on a worker, whose context is its first field.
        let worker = unsafe { &*home::context().cast::<Worker>() };
        worker.job.set(Some(call));
        let Some(waiter) = worker.context.running() else {
            return;
        };
        // SAFETY: the running green thread.
        let task = unsafe { Task::of(waiter) };
        // SAFETY: it is alive as it runs.
        switch_off(unsafe { task.as_ref() }, Off::Block, Reason::Blocking);
    }
}

impl Worker {
    /// Makes the blocking call that a green thread has asked for. If this returns `true`, the green thread
    /// may go on here at once: this thread still has its processor.
    #[cold]
    pub(super) fn run_job(&self) -> bool {
        if let Some(mut job) = self.job.take() {
            if self.processor().is_none() && !self.counts_as_call() {
                // There are as many calls as may be, and this thread has no processor to hold up: the
                // green thread asks again where there is one.
                return false;
            }
            self.blocking_begins(false);
            // SAFETY: the green thread waits for this, and so its job is there.
            let job = unsafe { job.as_mut() };
            job();
            self.blocking_ends();
        }
        if self.scheduler().flags.stopped.load(Relaxed) {
            // It was abandoned; somebody who only makes blocking calls would never end.
            self.lose_processor();
        }
        self.processor().is_some()
    }

    /// This thread is about to block: its processor must not wait for it. With `waits`, not even if there is
    /// no place beside the processors: what it waits for may need this one.
    ///
    /// From the scheduler's code, or from that of a green thread which must not leave this thread.
    pub(in crate::scheduler) fn blocking_begins(&self, waits: bool) {
        let depth = self.blocking.get();
        self.blocking.set(depth + 1);
        // Relaxed: `look_after_loan` follows, or the lock under which it is lent.
        self.waits.store(waits, Relaxed);
        if depth > 0 {
            if waits && self.grip.is_lent() {
                self.look_after_loan();
            }
            return;
        }
        self.with_processor(|processor| match processor {
            Some(processor) => self.let_go(processor),
            // If there is no place, what was found to compute still is: it cannot leave this thread.
            None => _ = self.counts_as_call(),
        });
    }

    /// This thread, which has no processor, is about to make a call: if it was found to compute, it changes
    /// places. `false` if there is none.
    fn counts_as_call(&self) -> bool {
        if self.beside() != Why::Computes {
            return true;
        }
        let places = &self.scheduler().beside;
        let changes = places.enter(Why::Calls);
        if changes {
            places.leave(self.forget_beside());
            self.note_beside(Why::Calls);
        }
        changes
    }

    /// Hands the processor over if there is anything to do for it, else lends it.
    fn let_go(&self, processor: &Processor) {
        let scheduler = self.scheduler();
        let must_watch = || {
            let first = scheduler.first_alarm();
            let waited_for = POLLER.made().is_some_and(|it| it.waiters() > 0);
            (first != u64::MAX || waited_for)
                && !scheduler
                    .idle
                    .any(|it| it.sleeps_until() <= first && (!waited_for || !it.sleeps_apart()))
        };
        let busy = processor.has_work() || !scheduler.injector.is_empty() || must_watch();
        if busy {
            let place = [Why::Calls, Why::Waits]
                .into_iter()
                .take(1 + usize::from(self.waits()))
                .find(|it| scheduler.beside.enter(*it));
            if let Some(why) = place {
                self.note_lost();
                self.grip.give();
                self.note_beside(why);
                if scheduler.hand_over(processor) {
                    return;
                }
                // No thread is to be had.
                self.grip.get();
                scheduler.beside.leave(self.forget_beside());
            }
            scheduler.beside.count_refused();
            if scheduler.processors().len() > 1 {
                // What is not in the queues could be had by nobody until this thread comes back.
                scheduler.inject_all(processor.take_held());
            }
        }
        self.grip.lend();
        scheduler.lent.lock().push(self.as_ref());
        self.look_after_loan();
    }

    /// This thread's processor is lent from now on, or may be taken from now on though there is no place for
    /// this thread. Work that came before: whoever brought it did not see that.
    fn look_after_loan(&self) {
        let scheduler = self.scheduler();
        fence(SeqCst);
        if !scheduler.injector.is_empty() || self.own_processor().is_some_and(Processor::has_work) {
            scheduler.wake_one();
        }
    }

    /// This thread goes on. It has its processor again if nobody has wanted it.
    pub(in crate::scheduler) fn blocking_ends(&self) {
        let depth = self.blocking.get() - 1;
        self.blocking.set(depth);
        // A wait has nothing inside.
        self.waits.store(false, Relaxed);
        if depth > 0 {
            return;
        }
        self.scheduler()
            .lent
            .lock()
            .retain(|it| *it != self.as_ref());
        // If this fails, somebody has it now; the next entry will tell.
        _ = self.grip.take_back();
        monitor::worker_wakes(false);
    }
}
