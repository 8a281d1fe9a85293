//! M green threads on N kernel threads: what all workers of one runtime share, and the home it is.
//!
//! A [`worker::Worker`] is a kernel thread; it needs a [`Processor`] to start or resume green
//! threads, and there are N of these. A worker that is stuck in a green thread's code, or has announced
//! that it will be, loses its processor to a spare one ([`grip`], [`monitor`]).
//!
//! Where a green thread becomes runnable decides where it goes: to the next slot of the processor on
//! which that happens, or, from a thread that has none, to the injector, which everybody looks at.
//!
//! # Who keeps this alive
//!
//! Its workers, each by its `Arc`; and so, as long as there are workers, every green thread of it may
//! refer to it by a plain pointer. A thread from outside that wakes one takes an `Arc` of its own first:
//! the green thread might run, end, and with it the runtime, before the outsider is done.

#![expect(
    unsafe_code,
    reason = "a green thread refers to its home by a plain pointer"
)]

mod ahead;
mod beside;
mod census;
mod doze;
mod figures;
mod front;
mod grip;
mod idle;
pub(crate) mod kernel;
pub(crate) mod monitor;
pub(crate) mod origin;
mod pinned;
mod processor;
pub(crate) mod shutdown;
mod stopped;
pub(crate) mod worker;

use crate::{
    base::{
        lock::Lock,
        naps,
        primitives::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
            fence,
            global::AtomicU64 as GlobalU64,
        },
        slab,
    },
    coroutine::stack::StackClass,
    driver::clock,
    observe::Buckets,
    task::Task,
    wait::{
        home::{self, Alarm, Fresh, Home, Pin, Suspend},
        reason::Reason,
        source::{POLLER, Source},
        ticket::{Waiter, Wake},
    },
};
use beside::{Beside, Why};
use census::Counts;
use crossbeam_deque::{Injector, Steal};
use idle::Idle;
use origin::Origin;
use processor::{Flags, Processor, Runnable, count};
use std::{
    io,
    ptr::{self, NonNull},
    sync::Arc,
    time::{Duration, Instant},
};
use worker::{Worker, WorkerRef};

/// How many kernel threads may be beside the processors' own because they are in blocking calls.
pub(crate) const MAX_BLOCKING: usize = 512;

/// How a runtime is to be.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) workers: usize,
    pub(crate) stack_bytes: usize,
    pub(crate) name: String,
    pub(crate) max_blocking: usize,
    /// After how long in one turn a green thread is named as a stall, in nanoseconds.
    pub(crate) warn_stalls: Option<u64>,
}

/// What all workers of one runtime share.
#[derive(Debug)]
pub(crate) struct Scheduler {
    number: u32,
    config: Config,
    class: &'static StackClass,
    processors: Box<[Processor]>,
    injector: Injector<Runnable>,
    idle: Idle<WorkerRef>,
    /// Workers whose announced call may take long, and whose processor anybody may take.
    lent: Lock<Vec<WorkerRef>>,
    spare: Lock<Spare>,
    /// Threads that go on without a processor.
    beside: Beside,
    /// Every worker.
    workers: Lock<Vec<worker::Slot>>,
    flags: Flags,
    /// What happened where no processor was at hand.
    outside: Outside,
    membarrier: bool,
    /// What its kernel threads begin with.
    origin: Origin,
    /// When the monitor saw last that a worker had begun another turn.
    advanced_at: AtomicU64,
    /// When a stall was named last.
    warned_at: AtomicU64,
    /// Whoever waits for the last green thread to end, as the runtime shuts down.
    closer: shutdown::Closer,
}

/// Workers that wait for a processor, or processors that wait for a worker: never both, so one lock.
#[derive(Debug, Default)]
struct Spare {
    workers: Vec<WorkerRef>,
    /// No thread could be had for these.
    processors: Vec<usize>,
}

/// Counters that many write.
#[derive(Debug)]
struct Outside {
    spawned: AtomicU64,
    finished: AtomicU64,
    /// By threads that had lost their processor.
    parks: AtomicU64,
    /// How many green threads were made runnable: one in 64 is looked at.
    injected: AtomicU64,
    run_delay: Buckets,
}

/// Where the numbers of green threads come from.
static NEXT_ID: GlobalU64 = GlobalU64::new(1);
/// How many numbers a processor takes at once.
const IDS: u64 = 64;

// SAFETY: `StackClass` and the rest are shared by design; processors see to themselves by the grips.
unsafe impl Sync for Scheduler {}
// SAFETY: as above.
unsafe impl Send for Scheduler {}

impl Scheduler {
    /// A runtime's scheduler, with its workers.
    ///
    /// # Errors
    ///
    /// The system's, if it refuses memory or kernel threads; everything is given back then.
    pub(crate) fn start(config: Config) -> io::Result<Arc<Self>> {
        worker::prepare_process()?;
        let class = StackClass::of(config.stack_bytes)?;
        let seed = clock::now_ns();
        let processors = (0..config.workers)
            .map(|it| Processor::new(it, class, worker::ENTRY, seed + it as u64))
            .collect::<io::Result<_>>()?;
        let scheduler = Arc::new(Self {
            number: home::next_number(),
            class,
            processors,
            injector: Injector::new(),
            idle: Idle::new(),
            lent: Lock::new(Vec::new()),
            spare: Lock::new(Spare::default()),
            beside: Beside::new(config.max_blocking),
            workers: Lock::new(Vec::new()),
            flags: Flags::default(),
            outside: Outside {
                spawned: AtomicU64::new(0),
                finished: AtomicU64::new(0),
                parks: AtomicU64::new(0),
                injected: AtomicU64::new(0),
                run_delay: Buckets::new(),
            },
            advanced_at: AtomicU64::new(0),
            warned_at: AtomicU64::new(0),
            origin: Self::origin_here(),
            membarrier: crate::base::primitives::register_heavy_barrier(),
            closer: shutdown::Closer::new(),
            config,
        });
        for processor in &*scheduler.processors {
            if let Err(error) = scheduler.start_worker(Some(processor)) {
                scheduler.stop();
                return Err(error);
            }
        }
        if let Err(error) = monitor::watch(&scheduler) {
            scheduler.stop();
            return Err(error);
        }
        Ok(scheduler)
    }

    /// Of a runtime that is built here: on a thread of another, what that one's began with.
    fn origin_here() -> Origin {
        let Some(home) = home::home() else {
            return Origin::here();
        };
        // SAFETY: the home of an entered context is valid.
        let number = unsafe { home.as_ref() }.number();
        let mut runtimes = monitor::runtimes().into_iter();
        match runtimes.find(|it| it.number == number) {
            Some(it) if ptr::addr_eq(home.as_ptr(), &raw const *it) => it.origin,
            // A pinned thread is the program's own, but for what was asked for its sake.
            Some(it) => Origin::here().with_timer_slack_of(it.origin),
            None => Origin::here(),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn processors(&self) -> &[Processor] {
        &self.processors
    }

    /// This scheduler as the home of its green threads.
    pub(crate) fn as_home(&self) -> NonNull<dyn Home> {
        NonNull::from(self as &dyn Home)
    }

    /// The worker that calls, if it is one of this scheduler's.
    #[inline]
    fn worker(&self) -> Option<&Worker> {
        let context = NonNull::new(home::context().cast_mut())?;
        // SAFETY: an entered context stays until it is left.
        let home = unsafe { context.as_ref() }.home();
        // SAFETY: a worker's context is its first field, and only workers have a scheduler as home.
        ptr::addr_eq(home.as_ptr(), self).then(|| unsafe { context.cast::<Worker>().as_ref() })
    }

    /// Runs `f` with this thread's processor, or with `None` where it has none.
    #[inline]
    fn with_processor<R>(&self, f: impl FnOnce(Option<&Processor>) -> R) -> R {
        match self.worker() {
            Some(worker) => worker.with_processor(f),
            None => f(None),
        }
    }

    /// Makes a green thread runnable that was woken, whatever that takes.
    #[inline(never)]
    fn make_runnable(&self, task: NonNull<Task>) {
        match self.worker() {
            Some(worker) => worker.with_processor(|it| match it {
                Some(processor) => processor.run_next(task),
                None => self.inject(task),
            }),
            None => self.inject_from_outside(task),
        }
    }

    /// As [`inject`](Self::inject), by a thread that does not keep this scheduler alive.
    #[cold]
    fn inject_from_outside(&self, task: NonNull<Task>) {
        // SAFETY: every scheduler is made by `start`, in an `Arc`; it is alive, as `task` is not yet run.
        unsafe { Arc::increment_strong_count(self) };
        // SAFETY: counted just now.
        let alive = unsafe { Arc::from_raw(self) };
        alive.inject(task);
    }

    /// Makes a green thread runnable for whoever looks first, and sees to it that somebody does.
    fn inject(&self, task: NonNull<Task>) {
        if self
            .outside
            .injected
            .fetch_add(1, Relaxed)
            .is_multiple_of(64)
        {
            // SAFETY: a runnable task is alive.
            let record = unsafe { task.as_ref() };
            // One that was taken from a processor may have been noted there, and was runnable since.
            if record.queued() == 0 {
                record.queued_at(clock::raw_ns(), true);
            }
        }
        self.injector.push(Runnable(task)); // S1
        self.wake_one();
    }

    /// As [`inject`](Self::inject), for those of whom a processor was [rid](Processor::take_held).
    fn inject_all(&self, held: impl IntoIterator<Item = Option<NonNull<Task>>>) {
        for task in held.into_iter().flatten() {
            self.inject(task);
        }
    }

    /// Work was put where all look: wakes a worker if none searches.
    fn wake_one(&self) {
        if let Some(sleeper) = self.idle.wake_one(WorkerRef::sleeps_apart) {
            return sleeper.rouse();
        }
        if !self.idle.any_idle() {
            self.take_lent();
        }
    }

    /// Gives a processor that lies idle, because its worker is in an announced call, to another.
    fn take_lent(&self) {
        loop {
            // Under the lock: a worker that comes back passes it before it forgets what it has lost, and
            // perhaps gets another.
            let mut lent = self.lent.lock();
            let Some(last) = lent.len().checked_sub(1) else {
                return;
            };
            let (place, why) = if self.beside.enter(Why::Calls) {
                (last, Why::Calls)
            } else if let Some(place) = lent.iter().rposition(|it| it.waits()) {
                (place, Why::Waits)
            } else {
                // The calls hold up their workers. Whoever comes back first looks again.
                return self.beside.count_refused();
            };
            let worker = lent.remove(place);
            let taken = worker.take_lent().then(|| {
                worker.note_beside(why);
                worker.own_processor()
            });
            drop(lent);
            match taken.flatten() {
                Some(processor) => return self.hand_over_or_queue(processor),
                None => self.beside.leave(why),
            }
        }
    }

    /// Gives a processor that was taken from a worker to another one. If there is none to be had, the
    /// processor waits for the first worker that comes back.
    fn hand_over_or_queue(&self, processor: &Processor) {
        if self.hand_over(processor) {
            return;
        }
        self.beside.count_refused();
        let held = processor.take_held();
        let mut spare = self.spare.lock();
        let worker = spare.workers.pop();
        if worker.is_none() {
            spare.processors.push(processor.index);
        }
        drop(spare);
        if let Some(worker) = worker {
            worker.receive(processor);
        }
        self.inject_all(held);
    }

    /// Gives a processor, which is the caller's, to a spare worker, or to a new one. If this returns
    /// `false`, there is none to be had, and the processor is still the caller's. The thread that had it is
    /// [beside](Beside) by now.
    #[must_use]
    fn hand_over(&self, processor: &Processor) -> bool {
        let spare = self.spare.lock().workers.pop();
        let found = if let Some(worker) = spare {
            worker.receive(processor);
            true
        } else {
            self.start_worker(Some(processor)).is_ok()
        };
        if found {
            self.beside.count_taken();
        }
        found
    }

    /// A processor that nobody could be found for; else the worker is from now on one who waits for one.
    fn adopt(&self, worker: WorkerRef) -> Option<&Processor> {
        let mut spare = self.spare.lock();
        // Under the lock: whoever gets the place finds this worker too, and starts no thread.
        self.beside.leave(worker.forget_beside());
        if let Some(index) = spare.processors.pop() {
            self.processors.get(index)
        } else {
            spare.workers.push(worker);
            naps::worker_lies_down();
            None
        }
    }

    /// Takes a worker out of those who wait for a processor. If this returns `false`, somebody else has,
    /// and its processor is on the way.
    fn give_up(&self, worker: WorkerRef) -> bool {
        let mut spare = self.spare.lock();
        let place = spare.workers.iter().position(|it| *it == worker);
        place.map(|it| spare.workers.remove(it)).is_some()
    }

    /// Makes room in all lists for so many workers: then no hand-over allocates.
    fn make_room(&self, workers: usize) {
        fn make<T>(list: &mut Vec<T>, places: usize) {
            list.reserve(places.saturating_sub(list.len()));
        }
        make(&mut self.lent.lock(), workers);
        let mut spare = self.spare.lock();
        make(&mut spare.workers, workers);
        make(&mut spare.processors, self.processors.len());
        drop(spare);
        self.idle.make_room(workers);
    }

    /// Starts a kernel thread that works for this scheduler.
    fn start_worker(&self, processor: Option<&Processor>) -> io::Result<()> {
        // SAFETY: every scheduler is made by `start`, in an `Arc`, and is alive.
        unsafe { Arc::increment_strong_count(self) };
        // SAFETY: counted just now.
        let scheduler = unsafe { Arc::from_raw(self) };
        worker::start(scheduler, processor)
    }

    /// Some work lies where a searching worker would find it.
    fn any_work(&self) -> bool {
        !self.injector.is_empty() || self.processors.iter().any(Processor::has_queue)
    }

    /// As [`any_work`](Self::any_work), or in a next slot, where only its processor's worker finds it.
    fn any_work_or_next(&self) -> bool {
        !self.injector.is_empty() || self.processors.iter().any(Processor::has_work)
    }

    /// When the first alarm of all is due; `u64::MAX` if none is set.
    fn first_alarm(&self) -> u64 {
        let alarms = self.processors.iter().map(Processor::first_alarm);
        alarms.min().unwrap_or(u64::MAX)
    }

    /// Takes work from the injector: what to run first; more goes to the processor's queue.
    fn take_injected(&self, processor: &Processor) -> Option<NonNull<Task>> {
        loop {
            let batch = self
                .injector
                .len()
                .div_ceil(self.processors.len())
                .clamp(1, 32);
            match self
                .injector
                .steal_batch_with_limit_and_pop(processor.ready(), batch)
            {
                Steal::Success(task) => return Some(task.0),
                Steal::Empty => return None,
                Steal::Retry => {}
            }
        }
    }

    /// How many green threads there are, at some moment during the call.
    pub(crate) fn live(&self) -> u64 {
        let (spawned, finished) = census::spawned_and_finished(self.counts());
        spawned.saturating_sub(finished)
    }

    /// Where spawns and ends are counted.
    fn counts(&self) -> impl Iterator<Item = Counts<'_>> + Clone {
        let outside = Counts {
            spawned: &self.outside.spawned,
            finished: &self.outside.finished,
        };
        let own = self.processors.iter().map(|it| Counts {
            spawned: &it.counters.spawned,
            finished: &it.counters.finished,
        });
        own.chain([outside])
    }

    /// A green thread has left its stack for the last time.
    fn finished(&self, processor: Option<&Processor>) {
        match processor {
            Some(processor) => census::count_own_end(&processor.counters.finished),
            None => census::count_end(&self.outside.finished),
        }
        if self.flags.closing.load(Relaxed) {
            self.closer.look();
        }
    }
}

/// Makes a green thread runnable.
///
/// # Safety
///
/// `waiter` is the first field of a task whose home is a scheduler; it was called, is parked, and this is
/// its wake-up.
unsafe fn wake(waiter: NonNull<Waiter>) {
    // SAFETY: by the caller.
    let task = unsafe { Task::of(waiter) };
    // SAFETY: a task that is to be woken is alive.
    let home = unsafe { task.as_ref() }.home();
    // SAFETY: by the caller; a home outlives its green threads.
    let scheduler = unsafe { home.cast::<Scheduler>().as_ref() };
    // What most wake-ups need stays small enough to use few registers: no more is to be saved on the stack.
    if !scheduler
        .worker()
        .is_some_and(|it| it.run_next_simply(task))
    {
        scheduler.make_runnable(task);
    }
}

/// Numbers for green threads, from the first to before the last.
fn more_ids(count: u64) -> (u64, u64) {
    let first = NEXT_ID.fetch_add(count, Relaxed);
    (first, first + count)
}

impl Home for Scheduler {
    #[inline]
    fn suspend(&self, waiter: NonNull<Waiter>, how: Suspend, reason: Reason) {
        // SAFETY: the running green thread.
        let task = unsafe { Task::of(waiter) };
        // SAFETY: it is alive as it runs.
        worker::switch_off(unsafe { task.as_ref() }, worker::Off::from(how), reason);
    }

    fn set_alarm(&self, deadline: Instant, waiter: NonNull<Waiter>) -> Alarm {
        let deadline = clock::to_ns(deadline);
        self.with_processor(|processor| {
            let clock = processor.unwrap_or(&self.processors[0]);
            let key = clock.set_alarm(deadline, waiter);
            if processor.is_none() {
                // This thread will not look at it before it sleeps, as a worker does.
                self.watch_from(deadline);
            }
            Alarm {
                shard: clock.index,
                key,
            }
        })
    }

    fn cancel_alarm(&self, alarm: Alarm) {
        self.processors[alarm.shard].cancel_alarm(alarm.key);
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn start(&self, task: NonNull<Waiter>) {
        // SAFETY: a fresh green thread's waiter.
        let task = unsafe { Task::of(task) };
        let started = match self.worker() {
            Some(worker) => worker.with_processor(|it| match it {
                Some(processor) if stopped::goes_on(&self.flags.stopped) => {
                    count(&processor.counters.spawned);
                    processor.run_next(task);
                    true
                }
                Some(_) => false,
                None => self.start_by_injector(task, Self::inject),
            }),
            None => self.start_by_injector(task, Self::inject_from_outside),
        };
        if !started {
            Self::refuse(task);
        }
    }

    fn allocate(&self, class: &'static StackClass) -> io::Result<Fresh> {
        self.with_processor(|processor| {
            if let Some(processor) = processor {
                Ok(Fresh {
                    block: processor.allocate(class)?,
                    id: processor.next_id(|| more_ids(IDS)),
                })
            } else {
                class.reserve(1)?;
                let block = slab::allocate_global().inspect_err(|_| class.release(1))?;
                Ok(Fresh {
                    block,
                    id: more_ids(1).0,
                })
            }
        })
    }

    unsafe fn free(&self, block: NonNull<u8>) {
        self.with_processor(|processor| match processor {
            // SAFETY: by the caller.
            Some(processor) => unsafe { processor.free(block) },
            // SAFETY: by the caller.
            None => unsafe { slab::free_global(block) },
        });
    }

    fn start_process(&self, start: &mut dyn FnMut()) {
        self.origin.start_process(start);
    }

    fn pin(&self, name: Option<&str>) -> io::Result<Pin> {
        self.start_pinned(name)
    }

    fn home_of_spawned(&self) -> NonNull<dyn Home> {
        self.as_home()
    }

    fn number(&self) -> u32 {
        self.number
    }

    fn wake(&self) -> Wake {
        wake
    }

    fn is_closing(&self) -> bool {
        self.flags.closing.load(Relaxed)
    }

    fn stack_class(&self) -> &'static StackClass {
        self.class
    }

    fn block(&self, job: &mut dyn FnMut()) {
        worker::block(job);
    }

    fn blocking_begins(&self, waits: bool) {
        if let Some(worker) = self.worker() {
            worker.blocking_begins(waits);
        }
    }

    fn blocking_ends(&self) {
        if let Some(worker) = self.worker() {
            worker.blocking_ends();
        }
    }
}

impl Scheduler {
    /// Starts a green thread where no processor is at hand; `false` if the runtime has gone.
    #[cold]
    fn start_by_injector(&self, task: NonNull<Task>, inject: fn(&Self, NonNull<Task>)) -> bool {
        let goes_on = stopped::goes_on_outside(&self.flags.stopped);
        if goes_on {
            self.outside.spawned.fetch_add(1, Relaxed);
            inject(self, task);
        }
        goes_on
    }

    /// Ends a fresh green thread whose runtime has gone, without the closure being called: one that was left
    /// behind goes on, and has spawned it.
    #[cold]
    fn refuse(task: NonNull<Task>) {
        // SAFETY: nobody else has it but its handle's maker.
        let record = unsafe { task.as_ref() };
        let class = record.class();
        // SAFETY: once; and as its home is closing, all that is called is the closure's destructor, for which
        // the spawner's stack does.
        unsafe { record.run() };
        record.set_fiber(None);
        class.release(1);
        // SAFETY: the runtime's share, given back once.
        unsafe { Task::release(task) };
    }

    /// An alarm was set by a thread that will not look at it: sees to it that somebody sleeps no longer
    /// than until `deadline`, or is awake and will look.
    fn watch_from(&self, deadline: u64) {
        // The alarm is set, then we look for sleepers; they lie down, then look for alarms.
        fence(SeqCst);
        if self.idle.asleep() == 0 {
            // A lent processor's worker is not awake; another must take it up.
            self.take_lent();
            return;
        }
        if !self.idle.any(|it| it.sleeps_until() <= deadline)
            && let Some(sleeper) = self.idle.choose(WorkerRef::sleeps_apart)
        {
            sleeper.rouse();
        }
    }

    /// Looks what is ready, without waiting, if anybody waits for a descriptor and nobody else looks.
    fn poll_now() -> bool {
        let Some(poller) = POLLER.made() else {
            return false;
        };
        if poller.waiters() == 0 {
            return false;
        }
        let turned = poller.try_turn(crate::driver::poller::Turn::Now, Source::on_ready);
        monitor::polled();
        matches!(turned, Some(Ok(turned)) if turned.events > 0)
    }
}

/// How long a worker without a processor waits for one before its kernel thread ends.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(8);
