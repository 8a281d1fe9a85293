//! The thread that watches all runtimes: whoever is stuck loses its processor, and nothing lies idle.
//!
//! A worker looks after itself as long as it comes back from its green threads. When it does not, for
//! it computes or is in a system call that nobody announced, its queue, its next slot, its alarms and
//! perhaps the poller wait with it. The monitor looks every 50 microseconds while there is something
//! that should be going on and is not, backs off to one millisecond while all is well, and to four when it was
//! for long, and sleeps when every worker does: an idle process makes no wake-ups.
//!
//! What it does when something waits beside a worker that is in the same turn for too long:
//!
//! | there is                  | then                                                         |
//! |---------------------------|--------------------------------------------------------------|
//! | a sleeping worker         | it is woken; what is in the next slot, or out of the queues early, is moved where it looks |
//! | none, and it is in a call | its processor is taken after [`CALL_NS`]                      |
//! | none, and it computes     | its processor is taken after [`COMPUTING_NS`], or [`ALONE_NS`] while others come on, and the kernel is asked to let others go first |
//! | none, and it spawns       | nothing, while others come on: they take from its queue       |
//!
//! Which of the two it is, the thread's processor clock tells; and, as one that waits for a processor of a
//! busy machine looks like one in a call, the kernel is asked before it is [counted](super::beside) as
//! either. When no runtime is there to turn the
//! poller, the monitor turns it.
//!
//! How it goes to sleep, and who wakes it, stands in [`doze`](super::doze).

use super::{
    Scheduler,
    beside::Why,
    doze::Doze,
    kernel::{self, Class},
    origin::start_helper,
    processor::Processor,
    worker::{Worker, WorkerRef},
};
use crate::{
    base::{fatal::LastWords, memory::Trimmed, primitives::Ordering::Relaxed, slab},
    coroutine::stack::{self, Trim},
    driver::{clock, poller::Turn},
    observe::{
        deadlock::{Judgement, Suspicion},
        signal,
    },
    wait::source::{self, POLLER, Source},
};
use std::{
    fmt::Write,
    io, mem,
    sync::{
        Arc, LazyLock, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize},
    },
    thread,
    time::Duration,
};

/// After how long in one turn without processor time a worker loses its processor.
const CALL_NS: u64 = 80_000;
/// After how long in one turn of computing a worker loses its processor.
const COMPUTING_NS: u64 = 1_000_000;
/// After how long of computing, if the others come on meanwhile and may take from its queue.
const ALONE_NS: u64 = 10_000_000;
/// How far apart warnings of stalls are, at least.
const WARNING_NS: u64 = 1_000_000_000;
/// How often it looks while something waits.
const SHORTEST: u64 = 50_000;
/// How often it looks while green threads run.
const BUSY: u64 = 1_000_000;
/// After how many such looks that found nothing out of order it takes its time: each takes a processor of the
/// machine from a worker, which costs a fortieth of its time at one a millisecond.
const CALM_LOOKS: u32 = 20;
/// How often it looks then.
const CALM: u64 = 4 * BUSY;
/// How often it looks while nothing runs, before it sleeps.
const LONGEST: u64 = 10_000_000;
/// How many looks at nothing it takes before it sleeps.
const IDLE_LOOKS: u32 = 20;
/// And how many trims that find nothing: the first only marks what rests.
const VAIN_TRIMS: u32 = 2;
/// How many looks at nothing it takes before it looks for a deadlock.
const QUIET_LOOKS: u32 = 6;
/// How often it looks again, ever later, if only threads from outside could do anything.
const PAUSES: u32 = 10;
/// When it looks again for the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How far apart it gives memory back that rests, while green threads run, and while none does.
const TRIM_BUSY: u64 = 1_000_000_000;
const TRIM_IDLE: u64 = 200_000_000;
/// How much sooner it goes on if there is more than it gives back at once.
const TRIM_ON: u64 = 10;
/// For how long nobody may look at descriptors while somebody waits for one.
const UNPOLLED_NS: u64 = 200_000;

/// What the monitor's thread looks at, between looks: kept, so that a look allocates nothing.
#[derive(Default)]
struct Lists {
    all: Vec<Arc<Scheduler>>,
    workers: Vec<WorkerRef>,
}

/// The one monitor of the process.
struct Monitor {
    lists: Mutex<Lists>,
    runtimes: Mutex<Vec<Weak<Scheduler>>>,
    thread: Mutex<Option<thread::Thread>>,
    /// It sleeps, and a kernel thread that waits might make it a deadlock.
    unsure: AtomicBool,
    /// How many workers sleep in the poller.
    polling: AtomicUsize,
    /// When somebody looked at descriptors last.
    polled: AtomicU64,
}

static MONITOR: LazyLock<Monitor> = LazyLock::new(|| Monitor {
    lists: Mutex::new(Lists::default()),
    runtimes: Mutex::new(Vec::new()),
    thread: Mutex::new(None),
    unsure: AtomicBool::new(false),
    polling: AtomicUsize::new(0),
    polled: AtomicU64::new(0),
});

/// Apart: models touch the other.
static DOZE: LazyLock<Doze> = LazyLock::new(Doze::new);

/// Watches a runtime from now on, until it is gone.
///
/// # Errors
///
/// The system's, if the monitor needs a thread and there is none.
pub(super) fn watch(scheduler: &Arc<Scheduler>) -> io::Result<()> {
    start()?;
    lock(&MONITOR.runtimes).push(Arc::downgrade(scheduler));
    kick();
    Ok(())
}

/// The runtimes that there are now.
pub(crate) fn runtimes() -> Vec<Arc<Scheduler>> {
    let runtimes = lock(&MONITOR.runtimes);
    runtimes.iter().filter_map(Weak::upgrade).collect()
}

/// Starts the monitor's thread if it does not run.
fn start() -> io::Result<()> {
    source::when_awaited(descriptor_awaited);
    let mut thread = lock(&MONITOR.thread);
    if thread.is_none() {
        let handle = start_helper("sward-monitor", || MONITOR.run())?;
        signal::serve_by(handle.thread());
        *thread = Some(handle.thread().clone());
    }
    Ok(())
}

/// Lets plain kernel threads wait for descriptors though there is no runtime.
pub(crate) fn prepare_for_threads() -> io::Result<()> {
    start()
}

/// Wakes the monitor, wherever it sleeps.
fn kick() {
    if DOZE.must_end()
        && let Some(thread) = &*lock(&MONITOR.thread)
    {
        thread.unpark();
    }
}

/// Somebody is about to wait for a descriptor.
fn descriptor_awaited() {
    // The look around of the worker that runs this green thread, or its sleep, will see to it. Whoever keeps
    // its kernel thread as it waits needs the monitor: plain threads, blocking calls, those who unwind.
    if crate::wait::home::running().is_none() && MONITOR.polling.load(Relaxed) == 0 {
        kick();
    }
}

/// A kernel thread is about to wait for another thread, for ever perhaps.
pub(crate) fn thread_sleeps() {
    // Relaxed: the monitor looks a second time by itself.
    if MONITOR.unsure.load(Relaxed) {
        kick();
    }
}

/// Somebody has looked at descriptors.
pub(super) fn polled() {
    MONITOR.polled.store(clock::coarse_ns(), Relaxed);
}

/// A worker goes to sleep, in the poller or not.
pub(super) fn worker_sleeps(in_poller: bool) {
    if in_poller {
        MONITOR.polling.fetch_add(1, Relaxed);
    }
}

/// A worker has something to do again.
pub(super) fn worker_wakes(from_poller: bool) {
    if from_poller {
        polled();
        MONITOR.polling.fetch_sub(1, Relaxed);
    }
    clock::set_tick();
    kick(); // It is no sleeper by now: K1.
}

/// One who is told of deadlocks waits from now on: the monitor may have looked before, and found none.
pub(crate) fn main_waits() {
    kick();
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a look at the runtimes came to.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent findings of one look"
)]
#[derive(Debug, Default, Clone, Copy)]
struct Look {
    /// Green threads run.
    busy: bool,
    /// Something should be going on and is not.
    urgent: bool,
    /// When the next alarm is due beside a worker that is busy.
    alarm: Option<u64>,
    /// There is a runtime.
    runtimes: bool,
    /// A sleeping worker could turn the poller, and nobody does.
    unpolled: bool,
    /// All is well, but not so that the next look could come late.
    close: bool,
}

impl Look {
    /// The alarms of a processor whose worker does not look after them may be due before the next look.
    fn note_alarm(&mut self, processor: &Processor) {
        let alarm = processor.first_alarm();
        if alarm != u64::MAX {
            self.alarm = Some(self.alarm.map_or(alarm, |it| it.min(alarm)));
        }
    }
}

impl Monitor {
    fn run(&self) {
        if Class::of_this_thread().is_ordinary() {
            kernel::ask_for_short_slices(100_000);
        }
        kernel::punctual_timers();
        let mut period = SHORTEST;
        let mut idle_looks = 0;
        let mut calm_looks = 0;
        let mut trimmed_at = 0;
        let mut trimmed = Trimmed::default();
        let mut vain_trims = 0;
        let mut suspicion = Suspicion::default();
        loop {
            signal::serve();
            let mut now = clock::now_ns();
            let look = self.look(now);
            clock::set_tick();
            let interval = if look.busy { TRIM_BUSY } else { TRIM_IDLE };
            let interval = interval / if trimmed.more { TRIM_ON } else { 1 };
            if now >= trimmed_at + interval {
                trimmed_at = now;
                // What nobody has touched since the last time goes back to the system.
                let which = if trimmed.more { Trim::On } else { Trim::Rested };
                trimmed = slab::trim() + stack::trim(which);
                now = clock::now_ns();
                vain_trims = if trimmed.bytes > 0 || look.busy {
                    0
                } else {
                    vain_trims + 1
                };
            }
            if look.urgent {
                period = SHORTEST;
                idle_looks = 0;
                calm_looks = 0;
            } else if look.busy {
                let calm = calm_looks >= CALM_LOOKS && !look.close;
                period = (period * 2).min(if calm { CALM } else { BUSY });
                idle_looks = 0;
                calm_looks = (calm_looks + 1).min(CALM_LOOKS);
            } else {
                period = (period * 2).min(LONGEST);
                idle_looks += 1;
            }
            if idle_looks < QUIET_LOOKS {
                suspicion.dispel();
            } else if suspicion.judge() == Judgement::Suspicious {
                idle_looks = QUIET_LOOKS;
            }
            if !look.runtimes && Self::poll_for_threads() {
                idle_looks = 0;
                continue;
            }
            if idle_looks > IDLE_LOOKS && vain_trims >= VAIN_TRIMS {
                idle_looks = 0;
                calm_looks = 0;
                vain_trims = 0;
                period = SHORTEST;
                self.sleep(&mut suspicion);
                continue;
            }
            let until_alarm = look
                .alarm
                .map_or(u64::MAX, |it| it.saturating_sub(now) + SHORTEST);
            thread::park_timeout(Duration::from_nanos(period.min(until_alarm)));
        }
    }

    /// Sleeps until somebody is awake; a few times, looks whether those from outside have gone to sleep.
    fn sleep(&self, suspicion: &mut Suspicion) {
        let stays = DOZE.begin(|| {
            let look = self.look(clock::now_ns());
            look.busy || look.urgent || (!look.runtimes && unattended(0))
        });
        if !stays {
            return;
        }
        let mut pauses = 0;
        while DOZE.goes_on() {
            signal::serve();
            let judgement = suspicion.judge();
            self.unsure.store(judgement == Judgement::Unsure, Relaxed);
            match judgement {
                Judgement::Suspicious => thread::park_timeout(2 * Duration::from_nanos(LONGEST)),
                Judgement::Unsure if pauses < PAUSES => {
                    thread::park_timeout(FIRST_PAUSE * 2_u32.pow(pauses));
                    pauses += 1;
                }
                Judgement::Unsure | Judgement::Fine => thread::park(),
            }
        }
        self.unsure.store(false, Relaxed);
    }

    /// Turns the poller when there is no runtime to do so. `false` if nobody waits for it.
    fn poll_for_threads() -> bool {
        let Some(poller) = POLLER.made().filter(|it| it.waiters() > 0) else {
            return false;
        };
        // Not for ever: a runtime may be made that should do this.
        let until = clock::now_ns() + 10 * LONGEST;
        let turned = poller.try_turn(Turn::Until(Some(until)), Source::on_ready);
        if !matches!(turned, Some(Ok(_))) {
            thread::park_timeout(Duration::from_nanos(LONGEST));
        }
        true
    }

    fn look(&self, now: u64) -> Look {
        let mut runtimes = lock(&self.runtimes);
        runtimes.retain(|it| it.strong_count() > 0);
        let Lists {
            mut all,
            mut workers,
        } = mem::take(&mut *lock(&self.lists));
        all.extend(runtimes.iter().filter_map(Weak::upgrade));
        drop(runtimes);
        let mut look = Look {
            runtimes: !all.is_empty(),
            unpolled: unattended(UNPOLLED_NS),
            ..Look::default()
        };
        for scheduler in &all {
            scheduler.watch_over(now, &mut workers, &mut look);
        }
        if look.unpolled {
            look.urgent = true;
            // Whoever sleeps looks at descriptors before it sleeps again.
            for scheduler in &all {
                if scheduler.rouse_one() {
                    break;
                }
            }
        }
        all.clear();
        *lock(&self.lists) = Lists { all, workers };
        look
    }
}

/// Somebody waits for a descriptor, and nobody has looked for `limit` nanoseconds or is asleep there.
fn unattended(limit: u64) -> bool {
    POLLER.made().is_some_and(|it| it.waiters() > 0)
        && MONITOR.polling.load(Relaxed) == 0
        && clock::coarse_ns().saturating_sub(MONITOR.polled.load(Relaxed)) >= limit
}

impl Scheduler {
    /// Wakes a sleeper, unless one is on its way already. If this returns `true`, there is one.
    fn rouse_one(&self) -> bool {
        if self.idle.searching() > 0 {
            return true;
        }
        match self.idle.choose(WorkerRef::sleeps_apart) {
            Some(sleeper) => {
                sleeper.rouse();
                true
            }
            None => false,
        }
    }

    /// One look at every worker.
    fn watch_over(&self, now: u64, workers: &mut Vec<WorkerRef>, look: &mut Look) {
        workers.clear();
        let slots = self.workers.lock();
        let alive = slots.iter().filter(|it| it.alive);
        workers.extend(alive.map(|it| it.worker.as_ref().as_ref()));
        drop(slots);
        let advanced = workers
            .iter()
            .filter(|it| it.grip().is_held() && it.turn() != it.seen.turn.load(Relaxed))
            .count();
        if advanced > 0 {
            self.advanced_at.store(now, Relaxed);
        }
        let asleep = self.idle.asleep();
        let mut awake = self.processors().len().saturating_sub(asleep);
        for worker in workers.iter() {
            if worker.grip().is_lent() {
                awake = awake.saturating_sub(1);
                if self.wanted(worker, now, look.unpolled) {
                    self.take_lent();
                }
                // It was lent for want of a thread, or was given an alarm since: nobody else will look.
                if let Some(processor) = worker.own_processor() {
                    look.busy |= processor.has_work() || processor.first_alarm() != u64::MAX;
                    look.note_alarm(processor);
                }
                continue;
            }
            let Some(processor) = worker.own_processor() else {
                continue;
            };
            if !worker.grip().is_held() || worker.is_inside() {
                if let Some(limit) = self.config().warn_stalls
                    && !worker.grip().is_held()
                    && worker.turn() == worker.seen.turn.load(Relaxed)
                {
                    self.warn_of_stall(worker, now, limit);
                    look.busy |= worker.running().is_some();
                }
                continue;
            }
            self.watch_worker(worker, processor, now, advanced > 0, look);
        }
        look.busy |= awake > 0;
    }

    /// Something waits for this worker's processor.
    fn wanted(&self, worker: &Worker, now: u64, unpolled: bool) -> bool {
        let works = worker
            .own_processor()
            .is_some_and(|it| it.has_work() || it.first_alarm() <= now);
        works || !self.injector.is_empty() || (unpolled && self.idle.asleep() == 0)
    }

    /// A worker is in a green thread's code: for how long, and does anything wait for it?
    fn watch_worker(
        &self,
        worker: &Worker,
        processor: &Processor,
        now: u64,
        others_advance: bool,
        look: &mut Look,
    ) {
        let seen = &worker.seen;
        let turn = worker.turn();
        if seen.turn.swap(turn, Relaxed) != turn {
            seen.since.store(now, Relaxed);
            seen.at.store(0, Relaxed);
            if self.config().warn_stalls.is_some() {
                seen.cpu_at_start
                    .store(worker.cpu_ns().unwrap_or(0), Relaxed);
                look.close = true;
            }
            look.note_alarm(processor);
            // It comes on, but slowly perhaps, and others could help.
            let helpless = self.idle.asleep() > 0 && processor.has_work();
            look.close |= helpless;
            if seen.helpless.swap(helpless, Relaxed) && helpless && processor.has_queue() {
                self.rouse_one();
            }
            return;
        }
        if let Some(limit) = self.config().warn_stalls {
            self.warn_of_stall(worker, now, limit);
        }
        if !self.wanted(worker, now, look.unpolled) {
            look.note_alarm(processor);
            return;
        }
        look.urgent = true;
        if self.idle.any_idle() {
            if processor.has_held() {
                self.free_held(worker);
            }
            self.rouse_one();
            return;
        }
        let stuck = now.saturating_sub(seen.since.load(Relaxed));
        let cpu = worker.cpu_ns().unwrap_or(0);
        let (before, at) = (seen.cpu.swap(cpu, Relaxed), seen.at.swap(now, Relaxed));
        if at == 0 {
            // Two looks are needed to tell.
            return;
        }
        if processor.has_ahead() && self.processors().len() > 1 {
            // Others come to the injector, whatever becomes of this one's processor.
            self.free_held(worker);
        }
        let spawned = processor.counters.spawned.load(Relaxed);
        if seen.spawned.swap(spawned, Relaxed) != spawned {
            seen.cpu_at_spawn.store(cpu, Relaxed);
        }
        let computing = cpu.saturating_sub(before) * 2 > now.saturating_sub(at);
        let lately = |now: u64, at: u64| now.saturating_sub(at) < COMPUTING_NS;
        if lately(cpu, seen.cpu_at_spawn.load(Relaxed))
            && lately(now, self.advanced_at.load(Relaxed))
            && (computing || kernel::is_runnable(worker.tid()))
        {
            // It makes the very work that waits, and others do it: without a processor it would do so slowly.
            return;
        }
        let patience = match (computing, others_advance) {
            (false, _) => CALL_NS,
            (true, false) => COMPUTING_NS,
            (true, true) => ALONE_NS,
        };
        if stuck < patience {
            return;
        }
        self.take_over(worker, turn, computing);
    }

    /// Lets others have those that they would not find in the queues of a worker that is stuck.
    fn free_held(&self, worker: &Worker) {
        let held = worker.with_locked(|| {
            // It may have lost its processor since.
            worker.own_processor().map(Processor::take_held)
        });
        self.inject_all(held.flatten().into_iter().flatten());
    }

    /// Names the green thread that this worker runs, if it has run for longer than `limit`.
    fn warn_of_stall(&self, worker: &Worker, now: u64, limit: u64) {
        let seen = &worker.seen;
        let stuck = now.saturating_sub(seen.since.load(Relaxed));
        let last = self.warned_at.load(Relaxed);
        let turn = worker.turn();
        if stuck < limit
            || now.saturating_sub(last) < WARNING_NS && last != 0
            || seen.warned.load(Relaxed) == turn
        {
            return;
        }
        let Some(task) = worker.running() else {
            return;
        };
        self.warned_at.store(now, Relaxed);
        seen.warned.store(turn, Relaxed);
        let cpu = worker.cpu_ns().unwrap_or(0);
        let spent = cpu.saturating_sub(seen.cpu_at_start.load(Relaxed));
        // One that waits for a processor of a busy machine has spent little, and computes.
        let what = if spent * 2 > stuck || kernel::is_runnable(worker.tid()) {
            "computed"
        } else {
            "blocked its kernel thread"
        };
        let mut words = LastWords::new();
        // To standard error, which may be closed: then nobody wants to know.
        _ = writeln!(
            words,
            "sward: green thread '{}' (id {}, spawned at {}) has {what} for {} ms in one turn",
            task.name().unwrap_or("<unnamed>"),
            task.id(),
            task.spawned_at(),
            stuck / 1_000_000,
        );
        words.flush();
    }

    /// Gives the processor of a worker that is stuck in that turn to another.
    fn take_over(&self, worker: &Worker, turn: u64, computing: bool) {
        // One that waits for a processor of the machine does not use its time, and yet it computes.
        let why = if computing || kernel::is_runnable(worker.tid()) {
            Why::Computes
        } else {
            Why::Calls
        };
        if !self.beside.enter(why) {
            return self.beside.count_refused();
        }
        let stuck = || {
            let processor = worker.own_processor();
            let processor = processor.filter(|_| worker.turn() == turn)?;
            worker.note_beside(why);
            Some(processor)
        };
        match worker.take(stuck) {
            Some(processor) => {
                if why == Why::Computes {
                    worker.set_batch();
                }
                self.hand_over_or_queue(processor);
            }
            None => self.beside.leave(why),
        }
    }
}
