//! What the runtimes have done and how they do: counters, and how long the runnable wait to run.
//!
//! The counters are written by whoever has a processor, with a plain load and store each; the rest is
//! looked up when somebody asks. So `parked` is what is left of those that live, and the states of one
//! answer add up to `live` even while it changes; each is right but for what changes during the call.

use super::histogram::Histogram;
use crate::coroutine::stack::Counts;
use std::fmt;

/// How a runtime does. Times and counts are since it was started; the rest is of the moment.
///
/// [`Display`](fmt::Display) writes the text form that Prometheus reads.
///
/// # Examples
///
/// ```
/// let runtime = sward::Runtime::builder().workers(1).build()?;
/// let sleeper = runtime.spawn(sward::thread::park);
/// runtime.run(sward::yield_now);
/// let metrics = runtime.metrics();
/// assert_eq!(metrics.spawned, 2);
/// assert!(metrics.live >= 1); // the other may be on its way out still
/// # sleeper.thread().unpark();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Processors: how many green threads run at the same time, at most.
    pub workers: u64,
    /// Kernel threads, with those that are in blocking calls and those that are kept for later ones.
    pub threads: u64,
    /// Kernel threads that have no processor because they are in a blocking call or compute for long, or
    /// have lent it.
    pub blocked_workers: u64,
    /// How often a processor went from a kernel thread that blocks, or computes for long, to another.
    pub take_overs: u64,
    /// How often it could not, though work waited for it, because as many such threads as may be were there
    /// already, or no kernel thread was to be had: each attempt counts.
    pub take_overs_refused: u64,
    /// Green threads that were ever spawned.
    pub spawned: u64,
    /// Green threads that have ended. One whose result is there already may be counted a moment later.
    pub finished: u64,
    /// Green threads that have not ended.
    pub live: u64,
    /// Of these: on a kernel thread.
    pub running: u64,
    /// Of these: in a queue, also those that never ran.
    pub runnable: u64,
    /// Of these: the rest, which wait.
    pub parked: u64,
    /// How often a green thread was parked.
    pub parks: u64,
    /// How often a worker took work out of another's queue.
    pub steals: u64,
    /// How often a worker slept in the poller.
    pub polls: u64,
    /// Timers that are set.
    pub timers: u64,
    /// Stacks that green threads have, or that wait in a processor's pool. Runtimes with stacks of the same
    /// size share them: this is of all of them.
    pub stacks_in_use: u64,
    /// Stacks that were used and are kept for others, of all runtimes with stacks of the same size.
    pub stacks_pooled: u64,
    /// How long green threads were runnable before they ran: of about one switch in 64.
    pub run_delay: Histogram,
}

impl Metrics {
    pub(crate) const EMPTY: Self = Self {
        workers: 0,
        threads: 0,
        blocked_workers: 0,
        take_overs: 0,
        take_overs_refused: 0,
        spawned: 0,
        finished: 0,
        live: 0,
        running: 0,
        runnable: 0,
        parked: 0,
        parks: 0,
        steals: 0,
        polls: 0,
        timers: 0,
        stacks_in_use: 0,
        stacks_pooled: 0,
        run_delay: Histogram::EMPTY,
    };

    /// Adds what another runtime does, but for the stacks, which may be the same.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            workers,
            threads,
            blocked_workers,
            take_overs,
            take_overs_refused,
            spawned,
            finished,
            live,
            running,
            runnable,
            parked,
            parks,
            steals,
            polls,
            timers,
            stacks_in_use: _,
            stacks_pooled: _,
            run_delay,
        } = other;
        self.workers += workers;
        self.threads += threads;
        self.blocked_workers += blocked_workers;
        self.take_overs += take_overs;
        self.take_overs_refused += take_overs_refused;
        self.spawned += spawned;
        self.finished += finished;
        self.live += live;
        self.running += running;
        self.runnable += runnable;
        self.parked += parked;
        self.parks += parks;
        self.steals += steals;
        self.polls += polls;
        self.timers += timers;
        self.run_delay.merge(run_delay);
    }

    pub(crate) fn add_stacks(&mut self, counts: Counts) {
        self.stacks_in_use += counts.out as u64;
        self.stacks_pooled += (counts.warm + counts.cold) as u64;
    }

    /// The text form that Prometheus reads.
    ///
    /// # Examples
    ///
    /// ```
    /// let text = sward::run(|| sward::metrics().to_prometheus());
    /// assert!(text.contains("\n# TYPE sward_spawned_total counter\nsward_spawned_total "));
    /// ```
    pub fn to_prometheus(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = [
            ("spawned", "Green threads ever spawned.", self.spawned),
            ("finished", "Green threads that have ended.", self.finished),
            ("parks", "Times a green thread was parked.", self.parks),
            ("steals", "Times a worker took another's work.", self.steals),
            ("polls", "Times a worker slept in the poller.", self.polls),
            (
                "take_overs",
                "Times a stuck thread's processor went to another.",
                self.take_overs,
            ),
            (
                "take_overs_refused",
                "Times it could not.",
                self.take_overs_refused,
            ),
        ];
        let gauges = [
            ("workers", "Processors.", self.workers),
            ("kernel_threads", "Kernel threads.", self.threads),
            (
                "blocked_workers",
                "Kernel threads in blocking calls or long turns.",
                self.blocked_workers,
            ),
            ("timers", "Timers that are set.", self.timers),
            ("stacks_in_use", "Stacks in use.", self.stacks_in_use),
            ("stacks_pooled", "Stacks kept for use.", self.stacks_pooled),
        ];
        for (name, help, value) in counters {
            writeln!(f, "# HELP sward_{name}_total {help}")?;
            writeln!(f, "# TYPE sward_{name}_total counter")?;
            writeln!(f, "sward_{name}_total {value}")?;
        }
        for (name, help, value) in gauges {
            writeln!(f, "# HELP sward_{name} {help}")?;
            writeln!(f, "# TYPE sward_{name} gauge")?;
            writeln!(f, "sward_{name} {value}")?;
        }
        writeln!(f, "# HELP sward_green_threads Green threads by state.")?;
        writeln!(f, "# TYPE sward_green_threads gauge")?;
        for (state, value) in [
            ("running", self.running),
            ("runnable", self.runnable),
            ("parked", self.parked),
        ] {
            writeln!(f, "sward_green_threads{{state=\"{state}\"}} {value}")?;
        }
        let name = "sward_run_delay_seconds";
        writeln!(f, "# HELP {name} From runnable to running, sampled.")?;
        writeln!(f, "# TYPE {name} histogram")?;
        let mut total = 0;
        for (bound, count) in self.run_delay.buckets() {
            total += count;
            if bound < std::time::Duration::MAX {
                let bound = bound.as_secs_f64();
                writeln!(f, "{name}_bucket{{le=\"{bound}\"}} {total}")?;
            }
        }
        writeln!(f, "{name}_bucket{{le=\"+Inf\"}} {total}")?;
        writeln!(f, "{name}_sum {}", self.run_delay.sum().as_secs_f64())?;
        writeln!(f, "{name}_count {total}")
    }
}
