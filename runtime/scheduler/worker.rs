//! One kernel thread that runs green threads: find one, run it, act on how it came back.
//!
//! ```text
//!          ┌──────────────── next slot, own queues ◄────────────┐
//!          ▼                                                    │
//!   look around (every 67th turn) ──► run ──► parked, yielded, finished, blocking
//!          │ nothing                                            │ processor lost
//!          ▼                                                    ▼
//!   search: alarms, injector, poller, others' queues     spare: wait for a processor
//!          │ nothing
//!          ▼
//!   sleep: in the poller, or on a futex, until the first alarm
//! ```

#![expect(unsafe_code, reason = "switches stacks")]

mod calls;
mod loot;
mod watched;

pub(super) use calls::block;

use super::{
    KEEP_ALIVE, Scheduler,
    beside::Why,
    front::{Front, TRACE},
    grip::Grip,
    kernel,
    processor::{Processor, count},
};
use crate::{
    base::{
        parker::Parker,
        primitives::{
            AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    coroutine::{
        fiber::{Entry, FINISHED, Fiber},
        overflow::{self, AlternateStack},
    },
    driver::{
        clock,
        poller::{Poller, Turn},
    },
    observe::trace::{Ended, Tracer},
    task::Task,
    wait::{
        home::{self, Context, Suspend},
        reason::Reason,
        source::{POLLER, Source},
        ticket::Waiter,
    },
};
use loot::{Loot, Stand};
use std::{
    cell::Cell,
    fmt, io,
    ptr::{self, NonNull},
    slice,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use watched::Seen;

/// The stack of a worker, on which blocking calls run.
pub(super) const NATIVE_STACK_BYTES: usize = 8 << 20;
/// How long a slice a worker asks the kernel for: a short one is served sooner.
const SLICE_NS: u64 = 100_000;

/// How far apart a worker wakes for alarms, if they are many.
const SPACING_NS: u64 = 100_000;
/// How much later than the first a second worker wakes for an alarm.
const SECOND_NS: u64 = 1_000_000;
/// For how long a worker sleeps that the poller refuses to wait for.
const REFUSED: Duration = Duration::from_millis(1);

/// How a green thread leaves its stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Off {
    Park = 0,
    Yield = 1,
    /// For a blocking call, which the worker makes.
    Block = 2,
}

impl From<Suspend> for Off {
    #[inline]
    fn from(how: Suspend) -> Self {
        match how {
            Suspend::Park => Self::Park,
            Suspend::Yield => Self::Yield,
        }
    }
}

/// A kernel thread. `repr(C)`: its context's address is its own.
#[repr(C)]
pub(crate) struct Worker {
    context: Context,
    grip: Grip,
    /// How many turns it has run that began with a blocking call's end.
    calls: AtomicU32,
    /// The turn in which it lost its processor, as [`turn`](Self::turn).
    lost_in: AtomicU64,
    /// In a blocking call that was announced, how deep.
    blocking: Cell<u32>,
    /// When it woke for alarms last.
    fired_at: Cell<u64>,
    /// What its last steal was worth.
    loot: Loot,
    /// What a green thread wants to be called on this thread's own stack.
    job: Cell<Option<NonNull<dyn FnMut()>>>,
    parker: Parker,
    /// Its own thread's.
    tracer: Tracer,
    /// It sleeps in the poller.
    polls: AtomicBool,
    /// How long it means to sleep.
    sleeps_until: AtomicU64,
    /// It has lost its processor while it computed, and was told the kernel to be a batch job.
    batch: AtomicBool,
    /// In that call it waits for another thread of this crate. Written by the thread alone.
    waits: AtomicBool,
    /// Why it goes on though its processor was taken, as a [`Why`].
    beside: AtomicU8,
    /// The kernel's number of the thread.
    tid: AtomicU32,
    cpu_clock: AtomicI32,
    /// What the monitor saw when it looked last; its own.
    pub(super) seen: Seen,
    /// Alive as long as this, which it keeps.
    scheduler: NonNull<Scheduler>,
}

// SAFETY: the cells are its own thread's; the rest is shared by design.
unsafe impl Sync for Worker {}
// SAFETY: as above; it moves to its thread before it runs.
unsafe impl Send for Worker {}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("tid", &self.tid)
            .field("turn", &self.turn())
            .field("grip", &self.grip)
            .finish_non_exhaustive()
    }
}

/// A worker in a list of its scheduler, which keeps it alive as long as its thread runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WorkerRef(NonNull<Worker>);

// SAFETY: a worker is shared by design.
unsafe impl Send for WorkerRef {}
// SAFETY: as above.
unsafe impl Sync for WorkerRef {}

impl std::ops::Deref for WorkerRef {
    type Target = Worker;

    fn deref(&self) -> &Worker {
        // SAFETY: it takes itself out of the lists before its thread ends.
        unsafe { self.0.as_ref() }
    }
}

impl WorkerRef {
    /// It sleeps by itself, and not in the poller.
    pub(super) fn sleeps_apart(self) -> bool {
        !self.polls.load(Relaxed)
    }
}

/// Where the caller's processor stands.
fn stand(processor: &Processor) -> Stand {
    Stand {
        now_ns: clock::now_ns(),
        turns: processor.turns(),
        finished: processor.counters.finished.load(Relaxed),
    }
}

/// What every green thread's fiber runs.
pub(crate) const ENTRY: Entry = run_task;

/// Runs one green thread from its first line to its last.
///
/// # Safety
///
/// `input` is a task that nobody else runs, on its own fiber.
unsafe fn run_task(input: *mut ()) {
    // SAFETY: by the caller.
    let task = unsafe { &*input.cast::<Task>() };
    // SAFETY: by the caller.
    unsafe { task.run() };
}

/// Whose overflow it is, for the report.
fn describe(task: *const (), to: &mut dyn fmt::Write) -> fmt::Result {
    // SAFETY: the fiber belongs to this task, which is running: it is alive.
    let task = unsafe { &*task.cast::<Task>() };
    write!(
        to,
        "'{}' (id {}, spawned at {})",
        task.name().unwrap_or("<unnamed>"),
        task.id(),
        task.spawned_at()
    )
}

/// What the process needs once before green threads run.
pub(crate) fn prepare_process() -> io::Result<()> {
    overflow::install(describe)
}

/// Switches off the running green thread; returns when it runs again.
#[inline]
pub(super) fn switch_off(task: &Task, how: Off, reason: Reason) {
    task.set_reason(reason);
    if let Some(fiber) = task.fiber() {
        // SAFETY: the code that runs on this fiber calls.
        unsafe { fiber.suspend(how as usize) };
    }
}

/// A worker's record, and its kernel thread while it has one. Records are kept for further threads, so
/// that whoever refers to a worker that has just ended finds a record, if perhaps another thread's.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) worker: Box<Worker>,
    /// Whether its thread has begun, and not ended.
    pub(super) alive: bool,
    /// The thread, until somebody joins it.
    pub(super) thread: Option<thread::JoinHandle<()>>,
}

/// Starts a worker's kernel thread; with `processor`, which is the caller's to give.
pub(super) fn start(scheduler: Arc<Scheduler>, processor: Option<&Processor>) -> io::Result<()> {
    // Under the lock, so that whoever stops the runtime finds the thread.
    let all = Arc::clone(&scheduler);
    let mut slots = all.workers.lock();
    if scheduler.flags.stopped.load(Relaxed) {
        return Err(io::Error::other("the runtime is shutting down"));
    }
    let place = slots.iter().position(|it| !it.alive).unwrap_or_else(|| {
        slots.push(Slot {
            worker: Box::new(Worker::new(&scheduler)),
            alive: false,
            thread: None,
        });
        all.make_room(slots.len());
        slots.len() - 1
    });
    let slot = &mut slots[place];
    let worker = slot.worker.as_ref().as_ref();
    worker
        .grip
        .set_own(processor.map_or(ptr::null(), Processor::as_front));
    let name = scheduler.config.name.clone();
    let thread = all.origin.start(name, NATIVE_STACK_BYTES, move || {
        worker.live(&scheduler, place);
    });
    match thread {
        Ok(thread) => {
            slot.alive = true;
            slot.thread = Some(thread);
            all.flags.threads.fetch_add(1, Relaxed);
            Ok(())
        }
        Err(error) => {
            slot.worker.grip.set_own(ptr::null());
            Err(error)
        }
    }
}

impl Worker {
    fn new(scheduler: &Arc<Scheduler>) -> Self {
        Self {
            context: Context::new(scheduler.as_home()),
            grip: Grip::new(scheduler.membarrier),
            calls: AtomicU32::new(0),
            lost_in: AtomicU64::new(0),
            blocking: Cell::new(0),
            fired_at: Cell::new(0),
            loot: Loot::default(),
            job: Cell::new(None),
            parker: Parker::new(),
            tracer: Tracer::default(),
            polls: AtomicBool::new(false),
            sleeps_until: AtomicU64::new(0),
            batch: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            beside: AtomicU8::new(Why::Not as u8),
            tid: AtomicU32::new(0),
            cpu_clock: AtomicI32::new(0),
            seen: Seen::default(),
            scheduler: NonNull::from(&**scheduler),
        }
    }

    /// Its scheduler.
    #[inline]
    fn scheduler(&self) -> &Scheduler {
        // SAFETY: the scheduler keeps the workers' records, and each thread keeps the scheduler.
        unsafe { self.scheduler.as_ref() }
    }

    pub(super) fn as_ref(&self) -> WorkerRef {
        WorkerRef(NonNull::from(self))
    }

    /// Gives a worker without a processor one, which is the caller's, and lets it go on.
    pub(super) fn receive(&self, processor: &Processor) {
        self.grip.set_own(processor.as_front());
        self.parker.unpark();
    }

    /// Wakes it from its sleep.
    pub(super) fn rouse(&self) {
        match POLLER.made() {
            Some(poller) if self.polls.load(Acquire) => poller.wake(),
            _ => self.parker.unpark(),
        }
    }

    pub(super) fn sleeps_until(&self) -> u64 {
        self.sleeps_until.load(Relaxed)
    }

    /// The green thread that runs on it: a hint.
    pub(super) fn runs(&self) -> Option<NonNull<Waiter>> {
        self.context.running()
    }

    pub(super) fn grip(&self) -> &Grip {
        &self.grip
    }

    /// The processor that it has, or had when it was taken. The caller's, if the caller has taken it.
    #[inline]
    pub(super) fn own_processor(&self) -> Option<&Processor> {
        // SAFETY: it is a processor's, if it is any, and these live as long as the scheduler.
        unsafe { Processor::of_front(self.grip.own()).as_ref() }
    }

    /// It is in an announced call, and waits there for another thread of this crate.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Relaxed)
    }

    /// Notes that this thread has a place beside the processors, by whoever takes its processor.
    pub(super) fn note_beside(&self, why: Why) {
        // Relaxed: written before the processor is taken, or under a lock that the thread passes.
        self.beside.store(why as u8, Relaxed);
    }

    /// The place beside the processors, which the caller is to give back.
    pub(super) fn forget_beside(&self) -> Why {
        let why = self.beside();
        self.note_beside(Why::Not);
        why
    }

    fn beside(&self) -> Why {
        Why::from(self.beside.load(Relaxed))
    }

    /// Runs `f` with this worker's processor, from the scheduler's code or from a green thread's.
    #[inline]
    pub(super) fn with_processor<R>(&self, f: impl FnOnce(Option<&Processor>) -> R) -> R {
        self.grip.enter_again();
        let processor = if self.grip.has() {
            self.own_processor()
        } else {
            None
        };
        let result = f(processor);
        self.grip.leave_again();
        result
    }

    /// Lets `task` run next, if that is all there is to do. If this returns `false`, nothing was done.
    #[inline]
    pub(super) fn run_next_simply(&self, task: NonNull<Task>) -> bool {
        self.grip.enter_again();
        let done = self.front().run_next_simply(task);
        self.grip.leave_again();
        done
    }

    /// The front of this thread's processor, or what stands in for it; while the thread is inside.
    #[inline]
    fn front(&self) -> &Front {
        // SAFETY: it is a processor's, and these live as long as the scheduler, or a stand-in of the grip's.
        unsafe { &*self.grip.front() }
    }

    /// The processor, if this thread, which is inside, has it still.
    #[inline]
    fn processor(&self) -> Option<&Processor> {
        if self.grip.has_simply() {
            self.own_processor()
        } else {
            self.regain()
        }
    }

    /// As [`processor`](Self::processor), after a stand-in.
    #[cold]
    #[inline(never)]
    fn regain(&self) -> Option<&Processor> {
        let has = self.grip.has();
        let parks = self.grip.rewind();
        if !has {
            self.scheduler().outside.parks.fetch_add(parks, Relaxed);
            self.lose_processor();
        }
        let processor = self.own_processor()?;
        processor.front().add_parks(parks);
        Some(processor)
    }

    /// The thread's life.
    fn live(&self, scheduler: &Scheduler, place: usize) {
        self.cpu_clock
            .store(kernel::this_thread_cpu_clock().unwrap_or(0), Relaxed);
        self.tid
            .store(kernel::this_thread_id().cast_unsigned(), Relaxed);
        if scheduler.origin.is_ordinary() {
            kernel::ask_for_short_slices(SLICE_NS);
        }
        kernel::punctual_timers();
        self.grip.give();
        // Without one an overflow would still end the process, but say less.
        let alternate = AlternateStack::arm();
        home::enter(&self.context, || self.work());
        drop(alternate);
        self.cpu_clock.store(0, Relaxed);
        let mut slots = scheduler.workers.lock();
        slots[place].alive = false;
        // Unless the runtime stops, nobody will join it.
        let thread = if scheduler.flags.stopped.load(Relaxed) {
            None
        } else {
            slots[place].thread.take()
        };
        drop(slots);
        drop(thread);
        scheduler.flags.threads.fetch_sub(1, Relaxed);
    }

    fn work(&self) {
        while self.wait_for_processor() {
            while let Some((processor, task)) = self.find() {
                match task {
                    Some(task) => self.run(processor, task),
                    None => self.sleep(processor),
                }
            }
        }
    }

    /// Waits until somebody gives this worker a processor. `false` if it is not needed any more.
    fn wait_for_processor(&self) -> bool {
        let scheduler = self.scheduler();
        if self.own_processor().is_none() {
            match scheduler.adopt(self.as_ref()) {
                Some(orphan) => self.grip.set_own(orphan.as_front()),
                // Work may wait beside a lent processor, for want of a thread.
                None if scheduler.any_work_or_next() => scheduler.wake_one(),
                None => {}
            }
        }
        let deadline = Instant::now() + KEEP_ALIVE;
        loop {
            if scheduler.flags.stopped.load(Acquire) {
                scheduler.give_up(self.as_ref());
                return false;
            }
            if self.own_processor().is_some() {
                self.grip.get();
                if self.batch.swap(false, Relaxed) {
                    kernel::ask_for_short_slices(SLICE_NS);
                }
                super::monitor::worker_wakes(false);
                return true;
            }
            if !self.parker.park(Some(deadline)) {
                if scheduler.give_up(self.as_ref()) {
                    return false;
                }
                self.parker.park(None);
            }
        }
    }

    /// What to run next, if there is anything, and on which processor. `None` if this thread has none any more.
    #[inline]
    fn find(&self) -> Option<(&Processor, Option<NonNull<Task>>)> {
        let front = self.grip.front();
        // SAFETY: as in `front`.
        let (processor, urgent) = if unsafe { &*front }.tick() {
            self.pause(front)?
        } else {
            debug_assert!(ptr::eq(front, self.grip.own()), "no stand-in");
            // SAFETY: a stand-in would have said that it is time, so it is a processor's, which live as long
            // as the scheduler.
            let processor = unsafe { &*Processor::of_front(front) };
            (processor, None)
        };
        let others = || !self.scheduler().injector.is_empty();
        let idle = || self.scheduler().idle.any_idle();
        let task = urgent
            .or_else(|| processor.next(others, idle))
            .or_else(|| self.search(processor));
        Some((processor, task))
    }

    /// It is time to look around, or the processor is not at hand any more.
    #[cold]
    fn pause(&self, front: *const Front) -> Option<(&Processor, Option<NonNull<Task>>)> {
        let processor = if ptr::eq(front, self.grip.own()) {
            self.own_processor()?
        } else {
            // Whatever the state is by now: a stand-in must be rewound before it is asked again.
            let processor = self.regain()?;
            if !processor.front().tick() {
                return Some((processor, None));
            }
            processor
        };
        if self.scheduler().flags.stopped.load(Relaxed) {
            self.lose_processor();
            return None;
        }
        Some((processor, self.look_around(processor)))
    }

    /// In the midst of work: alarms, descriptors, the injector, and whether others should help.
    fn look_around(&self, processor: &Processor) -> Option<NonNull<Task>> {
        let scheduler = self.scheduler();
        let first = processor.first_alarm();
        if first != u64::MAX {
            processor.fire(slice::from_ref(processor), clock::now_ns());
        }
        Scheduler::poll_now();
        processor.sample_next();
        if processor.was_never_empty() {
            scheduler.wake_one();
        }
        scheduler.take_injected(processor)
    }

    /// There is nothing to do: looks everywhere.
    #[cold]
    fn search(&self, processor: &Processor) -> Option<NonNull<Task>> {
        let scheduler = self.scheduler();
        if scheduler.first_alarm() != u64::MAX {
            let now = clock::now_ns();
            if processor.fire(scheduler.processors(), now) > 0 {
                self.fired_at.set(now);
                return processor.next(|| false, || false);
            }
        }
        if let Some(task) = scheduler.take_injected(processor) {
            return Some(task);
        }
        if Scheduler::poll_now()
            && let Some(task) = processor.next(|| false, || false)
        {
            return Some(task);
        }
        if !scheduler.idle.start_searching(scheduler.processors().len()) {
            return None;
        }
        if let Some(until) = self.loot.not_before(|| stand(processor)) {
            let until = until.min(scheduler.first_alarm());
            self.parker.park(Some(clock::from_ns(until)));
        }
        let stolen = self.steal(processor);
        self.stop_searching(stolen.is_some());
        stolen
    }

    /// The search is over; the last who found something lets another look for more.
    fn stop_searching(&self, found: bool) {
        let scheduler = self.scheduler();
        if scheduler.idle.stop_searching() && found && scheduler.any_work() {
            scheduler.wake_one();
        }
    }

    /// Takes from the other processors' queues, beginning anywhere.
    fn steal(&self, processor: &Processor) -> Option<NonNull<Task>> {
        let all = self.scheduler().processors();
        let start = processor.rng().below(all.len());
        let (before, after) = all.split_at(start);
        let stolen = after
            .iter()
            .chain(before)
            .filter(|it| it.index != processor.index)
            .find_map(|it| processor.steal_from(it))
            .or_else(|| self.scheduler().take_injected(processor));
        self.loot.note(stolen.map(|_| stand(processor)));
        if let Some(task) = stolen {
            count(&processor.counters.steals);
            if processor.attention() & TRACE != 0 {
                // SAFETY: a runnable task is alive.
                self.tracer.note_steal(unsafe { task.as_ref() });
            }
        }
        stolen
    }

    /// Nothing anywhere: sleeps until woken, or the first alarm, or news of a descriptor.
    #[cold]
    fn sleep(&self, processor: &Processor) {
        let scheduler = self.scheduler();
        if scheduler.flags.stopped.load(Relaxed) {
            return self.lose_processor();
        }
        let waited_for = POLLER.made().filter(|it| it.waiters() > 0);
        let mut hold = waited_for.and_then(Poller::try_hold);
        self.polls.store(hold.is_some(), Release);
        // A guess at first, so that nobody who sets an alarm relies on this worker.
        self.sleeps_until.store(u64::MAX, Relaxed);
        if let Some(hold) = &mut hold {
            hold.announce();
        }
        let stays = scheduler.idle.sleep(self.as_ref(), || {
            scheduler.any_work() || scheduler.flags.stopped.load(Relaxed)
        });
        let mut by_poller = false;
        if stays {
            let mut first = self.space_out(scheduler.first_alarm());
            if first != u64::MAX && scheduler.idle.any(|it| it.sleeps_until() <= first) {
                // One is enough to wake for it, unless that one then finds something long to do: this one
                // comes later, but it must come, as nobody else looks after this processor's alarms.
                first = first.saturating_add(SECOND_NS);
            }
            self.sleeps_until.store(first, Relaxed);
            super::monitor::worker_sleeps(hold.is_some());
            if let Some(hold) = hold.take() {
                by_poller = true;
                let until = (first != u64::MAX).then_some(first);
                // An error is the system's refusal to wait: then this must not become a spin.
                if hold.turn(Turn::Until(until), Source::on_ready).is_err() {
                    self.parker.park(Some(Instant::now() + REFUSED));
                }
                count(&processor.counters.polls);
            } else {
                let until = (first != u64::MAX).then(|| clock::from_ns(first));
                self.parker.park(until);
            }
        }
        drop(hold);
        let chosen = scheduler.idle.get_up(self.as_ref());
        processor.look_for_trace();
        // After it is no sleeper any more, however short its sleep was: the monitor counts them.
        super::monitor::worker_wakes(by_poller);
        if chosen {
            // Chosen by somebody: the search, of which this worker is part, is its first duty.
            let found = self.find_as_searcher(processor);
            self.stop_searching(found);
        }
        self.polls.store(false, Release);
    }

    /// When to wake for an alarm that is due at `first`: many alarms at short intervals are served together,
    /// as each wake-up costs more than a green thread's turn. One that comes alone is served in time.
    fn space_out(&self, first: u64) -> u64 {
        if first == u64::MAX {
            return first;
        }
        first.max(self.fired_at.get() + SPACING_NS)
    }

    /// Looks for work as one that was woken to do so; what is found waits in the processor.
    fn find_as_searcher(&self, processor: &Processor) -> bool {
        if processor.has_work() {
            return true;
        }
        let found = self
            .scheduler()
            .take_injected(processor)
            .or_else(|| self.steal(processor));
        if let Some(task) = found {
            processor.put_next(task);
        }
        found.is_some()
    }

    /// Runs a green thread until it gives way.
    #[inline]
    fn run(&self, processor: &Processor, task: NonNull<Task>) {
        // SAFETY: a runnable task is alive, and ours until it was parked or queued again.
        let record = unsafe { task.as_ref() };
        let fiber = match record.fiber() {
            Some(fiber) => fiber,
            None => Self::bind(processor, record),
        };
        let special = (record.queued() | processor.attention()) != 0;
        let how = if special && Self::begin_special(processor, record) {
            self.watched_turn(processor, task, fiber)
        } else {
            self.turn_of(record, fiber)
        };
        self.after_turn(task, fiber, how);
    }

    /// A turn begins that somebody looks at: whether it is to be watched. If its green thread was noted when
    /// it became runnable, that is over now instead, and who is to be noted next may wait for another turn.
    #[cold]
    #[inline(never)]
    fn begin_special(processor: &Processor, task: &Task) -> bool {
        if task.queued() == 0 || processor.attention() & TRACE != 0 {
            return true;
        }
        Self::note_delay(processor, task, clock::raw_ns());
        false
    }

    /// As [`turn_of`](Self::turn_of), for one that is to be noted if it gives way, or for a trace. In line:
    /// a call would have to save what the switch spoils.
    #[expect(clippy::inline_always, reason = "hot, and it has one caller")]
    #[inline(always)]
    fn watched_turn(&self, processor: &Processor, task: NonNull<Task>, fiber: Fiber) -> usize {
        if processor.attention() & TRACE != 0 {
            return self.traced_turn(processor, task, fiber);
        }
        // SAFETY: the task is ours.
        let record = unsafe { task.as_ref() };
        // Not noted, unless a trace has ended at this instant.
        record.forget_queued();
        let how = self.turn_of(record, fiber);
        if how == Off::Yield as usize {
            self.note_yield(task);
        }
        how
    }

    /// As [`turn_of`](Self::turn_of), into the trace.
    #[cold]
    #[inline(never)]
    fn traced_turn(&self, processor: &Processor, task: NonNull<Task>, fiber: Fiber) -> usize {
        // SAFETY: the task is ours.
        let record = unsafe { task.as_ref() };
        let start = clock::raw_ns();
        let delay = (record.queued() != 0).then(|| Self::note_delay(processor, record, start));
        let how = self.turn_of(record, fiber);
        let ended = match how {
            FINISHED => Ended::Finished,
            it if it == Off::Park as usize => Ended::Parked,
            it if it == Off::Yield as usize => Ended::Yielded,
            _ => Ended::Blocking,
        };
        self.tracer
            .note(record, [start, clock::raw_ns()], delay, ended);
        if how == Off::Yield as usize {
            self.note_yield(task);
        }
        how
    }

    /// One has given way: notes when it became runnable, if somebody looks.
    #[cold]
    fn note_yield(&self, task: NonNull<Task>) {
        if let Some(processor) = self.processor()
            && processor.attention() != 0
        {
            processor.becomes_runnable(task);
        }
    }

    /// How long the one that runs now was runnable; adds it if it is a sample.
    fn note_delay(processor: &Processor, task: &Task, now_ns: u64) -> u64 {
        let (delay, sample) = task.take_run_delay(now_ns);
        if sample {
            processor.counters.run_delay.add(delay);
        }
        delay
    }

    /// Gives a fresh green thread a stack.
    #[inline]
    fn bind(processor: &Processor, task: &Task) -> Fiber {
        // SAFETY: the stack was reserved when the task was made, and is released when it has ended.
        let fiber = unsafe { Fiber::bind(task.class(), &mut processor.pool()) };
        // SAFETY: bound just now.
        unsafe { fiber.set_task(ptr::from_ref(task).cast()) };
        task.set_fiber(Some(fiber));
        fiber
    }

    /// One turn on a green thread's stack: how it came back.
    #[inline]
    fn turn_of(&self, task: &Task, fiber: Fiber) -> usize {
        debug_assert!(!self.grip.is_again(), "who entered again has left");
        self.context.set_running(Some(NonNull::from(task.waiter())));
        // SAFETY: the task is ours, and its fiber with it; what its last worker did came with it through
        // a queue.
        let how = unsafe { fiber.resume(ptr::from_ref(task).cast_mut().cast()) };
        self.context.set_running(None);
        how
    }

    /// The monitor has given the processor to another.
    #[cold]
    fn lose_processor(&self) {
        self.grip.give();
        self.grip.set_own(ptr::null());
    }

    /// Acts on how a green thread came back.
    #[inline]
    fn after_turn(&self, task: NonNull<Task>, fiber: Fiber, mut how: usize) {
        // A loop, for one that makes one blocking call after another.
        loop {
            // SAFETY: the task is ours until it was parked or queued again.
            let record = unsafe { task.as_ref() };
            match how {
                FINISHED => return self.retire(task, fiber),
                it if it == Off::Park as usize => {
                    self.front().add_parks(1);
                    if record.waiter().park() {
                        // Woken before it was off its stack.
                        self.requeue(task, Processor::run_next);
                    }
                    return;
                }
                it if it == Off::Yield as usize => {
                    record.set_reason(Reason::None);
                    return self.requeue(task, Processor::run_again);
                }
                _ => {
                    if !self.run_job() {
                        return self.scheduler().inject(task);
                    }
                    self.calls
                        .store(self.calls.load(Relaxed).wrapping_add(1), Relaxed);
                    how = match self.processor() {
                        Some(it) if it.attention() & TRACE != 0 => {
                            self.traced_turn(it, task, fiber)
                        }
                        _ => self.turn_of(record, fiber),
                    };
                }
            }
        }
    }

    #[inline]
    fn requeue(&self, task: NonNull<Task>, place: impl FnOnce(&Processor, NonNull<Task>)) {
        match self.processor() {
            Some(processor) => place(processor, task),
            None => self.scheduler().inject(task),
        }
    }

    /// A green thread has ended: its stack is for the next.
    #[inline]
    fn retire(&self, task: NonNull<Task>, fiber: Fiber) {
        self.context.set_called_off(false);
        let scheduler = self.scheduler();
        // SAFETY: alive by the runtime's share.
        let record = unsafe { task.as_ref() };
        let class = record.class();
        record.set_fiber(None);
        if let Some(processor) = self.processor() {
            let mut pool = processor.pool();
            // SAFETY: its entry has returned, and nobody refers to it.
            unsafe { pool.put(fiber) };
            pool.release(class);
            drop(pool);
            scheduler.finished(Some(processor));
        } else {
            // SAFETY: as above.
            unsafe { fiber.give_back() };
            class.release(1);
            scheduler.finished(None);
        }
        // SAFETY: the runtime's share, given back once.
        unsafe { Task::release(task) };
    }
}
