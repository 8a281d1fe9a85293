//! What an outsider may see of a scheduler: figures, and who runs.

use super::{Scheduler, census, processor::Counters};
use crate::{
    base::primitives::{
        AtomicU64,
        Ordering::{Relaxed, SeqCst},
        fence,
    },
    coroutine::stack::StackClass,
    observe::Metrics,
    wait::ticket::Waiter,
};
use std::ptr::NonNull;

impl Scheduler {
    /// How it does now. Takes each of its locks for a moment, and no worker's time.
    pub(crate) fn metrics(&self) -> Metrics {
        let sum = |field: fn(&Counters) -> &AtomicU64| -> u64 {
            self.processors
                .iter()
                .map(|it| field(&it.counters).load(Relaxed))
                .sum()
        };
        let (spawned, finished) = census::spawned_and_finished(self.counts());
        let live = spawned.saturating_sub(finished);
        let running = self.running() as u64;
        let queued: usize = self.processors.iter().map(super::Processor::queued).sum();
        let queued = (queued + self.injector.len()) as u64;
        let running = running.min(live);
        let runnable = queued.min(live - running);
        let parks: u64 = self.processors.iter().map(|it| it.front().parks()).sum();
        let (take_overs, take_overs_refused) = self.beside.counts();
        let mut metrics = Metrics {
            workers: self.processors.len() as u64,
            threads: self.flags.threads.load(Relaxed) as u64,
            blocked_workers: self.blocked_workers() as u64,
            take_overs,
            take_overs_refused,
            spawned,
            finished,
            live,
            running,
            runnable,
            parked: live - running - runnable,
            parks: parks + self.outside.parks.load(Relaxed),
            steals: sum(|it| &it.steals),
            polls: sum(|it| &it.polls),
            timers: self.processors.iter().map(|it| it.alarms() as u64).sum(),
            ..Metrics::EMPTY
        };
        metrics.add_stacks(self.class.counts());
        for processor in &self.processors {
            metrics.run_delay.add(&processor.counters.run_delay);
        }
        metrics.run_delay.add(&self.outside.run_delay);
        metrics
    }

    pub(crate) fn class(&self) -> &'static StackClass {
        self.class
    }

    /// How many green threads run now.
    fn running(&self) -> usize {
        let workers = self.workers.lock();
        let alive = workers.iter().filter(|it| it.alive);
        alive.filter(|it| it.worker.runs().is_some()).count()
    }

    /// Whether this one runs now, on one of the workers.
    pub(crate) fn runs(&self, waiter: NonNull<Waiter>) -> bool {
        let workers = self.workers.lock();
        workers.iter().any(|it| it.worker.runs() == Some(waiter))
    }

    /// A trace has begun, or ended: workers that are busy see it soon by themselves.
    pub(crate) fn look_for_trace(&self) {
        fence(SeqCst); // T2
        self.processors
            .iter()
            .for_each(super::Processor::trace_changes);
    }

    /// How many workers sleep, if nothing is to be done here, now or later; else `None`. Naps are counted
    /// under the locks that this takes.
    pub(crate) fn asleep_with_nothing_to_do(&self) -> Option<usize> {
        let asleep = self.idle.count_asleep() + self.spare.lock().workers.len();
        let busy = self.is_closing_down()
            || self.any_work_or_next()
            || self.processors.iter().any(|it| it.alarms() > 0);
        (!busy).then_some(asleep)
    }

    fn blocked_workers(&self) -> usize {
        let workers = self.workers.lock();
        let without = workers
            .iter()
            .filter(|it| it.alive && !it.worker.grip().is_held())
            .count();
        drop(workers);
        without.saturating_sub(self.spare.lock().workers.len())
    }
}
