//! One run: one kernel thread runs green threads one by one, in an order that a seed decides.
//!
//! ```text
//!          ┌───────── those that can run, alarms that are due ◄──────┐
//!          ▼                                                         │
//!   choose by seed ──► run it until it waits, yields, ends ──► woken, spawned
//!          │ nothing                                                 ▲
//!          ▼                                                         │
//!   jump to the next alarm ──────────────────────────────────────────┘
//!          │ none
//!          ▼
//!   main has not returned: a deadlock
//! ```
//!
//! The scheduler's twin: it binds, runs and retires green threads in the same way, by the same protocols,
//! only that nothing happens at the same time.
//!
//! # How a run ends
//!
//! When main has returned, or nothing can ever run, or the run has gone on for too long, it *closes*:
//! green threads that have not run drop their closures, waits are called off and unwind, as in a runtime's
//! shutdown. One that yields for ever unwinds there, after a while. What still does not end, because it
//! catches its unwinding again and again, is abandoned: its stack, and the simulation, are leaked.
//!
//! # Who may touch it
//!
//! Its own kernel thread, with one exception: [`wake`] may be called by any, and then leaves the green
//! thread in the [`Inbox`]. That is a mistake in the test, as no seed decides when it happens.
//!
//! # Edges
//!
//! - `[inbox]` what another kernel thread wrote before its wake, to the simulation: the inbox's lock.

#![expect(unsafe_code, reason = "switches stacks")]

use super::{
    choice::{Choice, Ready, ReadyList, Strategy},
    clock::Clock,
    home::wake,
    log::{Log, What},
    net::Network,
};
use crate::{
    base::{
        lock::Lock,
        primitives::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
        slab::BlockCache,
    },
    coroutine::{
        fiber::{FINISHED, Fiber, FiberPool},
        stack::StackClass,
    },
    driver::clock::span_ns,
    scheduler::worker,
    task::{Options, Task, TaskRef, record::Stage},
    wait::{
        home::{Context, Home},
        reason::Reason,
        ticket::{Call, Verdict, Waiter},
    },
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    fmt::Write,
    io,
    panic::Location,
    ptr::{self, NonNull},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How a green thread comes off its stack.
pub(super) const PARK: usize = 0;
pub(super) const YIELD: usize = 1;
/// For a blocking call, which is made on the kernel thread's own stack.
pub(super) const BLOCK: usize = 2;
/// For ever.
pub(super) const ABANDON: usize = 3;

/// How many steps a run may take to close, and how many more for each green thread that is left.
const CLOSING_STEPS: u64 = 10_000;
const CLOSING_STEPS_EACH: u64 = 100;
/// How long one that another kernel thread has called may take to be woken.
const FOREIGN_WAKE: Duration = Duration::from_secs(1);

/// One that has not ended, with the runtime's share in its record.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) task: NonNull<Task>,
    pub(super) priority: u64,
}

/// Who runs now. The number is zero if nobody does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) id: u64,
    pub(super) priority: u64,
}

pub(super) const NOBODY: Running = Running { id: 0, priority: 0 };

/// Green threads that were woken from outside.
#[derive(Debug)]
pub(super) struct Inbox {
    /// There may be some.
    any: AtomicBool,
    tasks: Lock<Vec<NonNull<Task>>>,
}

impl Inbox {
    /// Leaves one there, from any thread. Nothing is touched after the lock.
    pub(super) fn leave(&self, task: NonNull<Task>) {
        let mut tasks = self.tasks.lock();
        tasks.push(task);
        // Release [inbox], with the lock.
        self.any.store(true, Release);
        drop(tasks);
    }

    /// Takes all out.
    fn take(&self) -> Vec<NonNull<Task>> {
        // Acquire [inbox], with the lock.
        if !self.any.load(Acquire) {
            return Vec::new();
        }
        let mut tasks = self.tasks.lock();
        // Relaxed: under the lock.
        self.any.store(false, Relaxed);
        std::mem::take(&mut *tasks)
    }
}

/// Why nobody runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    MainEnded,
    /// All have ended.
    Empty,
    /// Nothing can ever run.
    Stuck,
    TooLong,
    /// This one was woken from outside.
    Disturbed(u64),
}

/// How a run is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) strategy: Strategy,
    pub(super) class: &'static StackClass,
    /// After so many steps it has gone on for too long.
    pub(super) most_steps: u64,
    /// How many events are kept.
    pub(super) most_events: usize,
}

#[derive(Debug)]
pub(super) struct Simulation {
    /// Unlike any runtime's.
    pub(super) number: u32,
    pub(super) plan: Plan,
    pub(super) choice: RefCell<Choice>,
    pub(super) clock: RefCell<Clock>,
    /// Made when it is asked for first.
    network: OnceCell<Arc<Network>>,
    pub(super) log: RefCell<Log>,
    pub(super) ready: RefCell<ReadyList>,
    /// All that have not ended, by their numbers.
    pub(super) members: RefCell<BTreeMap<u64, Member>>,
    pub(super) running: Cell<Running>,
    /// How many were spawned; the last one's number.
    pub(super) spawned: Cell<u64>,
    pub(super) main_ended: Cell<bool>,
    pub(super) closing: Cell<bool>,
    /// It has closed for long: who yields unwinds.
    pub(super) impatient: Cell<bool>,
    /// The last step.
    pub(super) limit: Cell<u64>,
    /// What a green thread wants to be called on the kernel thread's own stack.
    pub(super) job: Cell<Option<NonNull<dyn FnMut()>>>,
    pub(super) pool: RefCell<FiberPool>,
    pub(super) blocks: RefCell<BlockCache>,
    /// When the clock began.
    pub(super) epoch: Instant,
    pub(super) inbox: Inbox,
}

/// The number of main, which is the first.
pub(super) const MAIN: u64 = 1;

impl Simulation {
    /// # Errors
    ///
    /// If there is no memory for stacks.
    pub(super) fn new(plan: Plan) -> io::Result<Self> {
        Ok(Self {
            number: crate::wait::home::next_number(),
            choice: RefCell::new(Choice::new(plan.seed, plan.strategy)),
            clock: RefCell::new(Clock::new()),
            network: OnceCell::new(),
            log: RefCell::new(Log::new(plan.most_events)),
            ready: RefCell::new(ReadyList::new(plan.strategy)),
            members: RefCell::new(BTreeMap::new()),
            running: Cell::new(NOBODY),
            spawned: Cell::new(0),
            main_ended: Cell::new(false),
            closing: Cell::new(false),
            impatient: Cell::new(false),
            limit: Cell::new(plan.most_steps),
            job: Cell::new(None),
            pool: RefCell::new(FiberPool::new(plan.class, worker::ENTRY)?),
            blocks: RefCell::new(BlockCache::new()),
            epoch: Instant::now(),
            inbox: Inbox {
                any: AtomicBool::new(false),
                tasks: Lock::new(Vec::new()),
            },
            plan,
        })
    }

    pub(super) fn as_home(&self) -> NonNull<dyn Home> {
        NonNull::from(self as &dyn Home)
    }

    /// Makes the first green thread. The result is its handle's share.
    ///
    /// # Errors
    ///
    /// If there is no memory for it.
    ///
    /// # Safety
    ///
    /// What `f` borrows lives until the simulation has [closed](Self::close).
    pub(super) unsafe fn start_main(
        &self,
        f: impl FnOnce(),
        spawned_at: &'static Location<'static>,
    ) -> io::Result<TaskRef> {
        let fresh = self.allocate(self.plan.class)?;
        let options = Options {
            name: None,
            class: self.plan.class,
            spawned_at,
        };
        let task = Task::create(&fresh, self.as_home(), wake, options, f);
        self.start(task.cast());
        // SAFETY: a new task has a share for its handle.
        Ok(unsafe { TaskRef::from_share(task) })
    }

    pub(super) fn steps(&self) -> u64 {
        self.choice.borrow().steps()
    }

    /// How long it has lasted by its own clock.
    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.clock.borrow().now())
    }

    pub(super) fn live(&self) -> usize {
        self.members.borrow().len()
    }

    pub(super) fn take_log(&self) -> Log {
        self.log.replace(Log::new(0))
    }

    #[inline]
    pub(super) fn note(&self, whom: u64, what: What) {
        if !self.closing.get() {
            let at = self.clock.borrow().now();
            self.log.borrow_mut().note(at, whom, what);
        }
    }

    /// Runs until there is nothing more to do.
    pub(super) fn drive(&self, context: &Context) -> Pause {
        loop {
            if let Some(id) = self.look_outside() {
                return Pause::Disturbed(id);
            }
            if self.main_ended.get() && !self.closing.get() {
                return Pause::MainEnded;
            }
            if self.steps() >= self.limit.get() {
                return Pause::TooLong;
            }
            let mut ready = self.ready.borrow_mut();
            let mut clock = self.clock.borrow_mut();
            let network = self.network.get();
            let arriving = network.map_or(0, |it| it.due());
            let due = clock.due() + arriving;
            if ready.len() == 0 && due == 0 {
                let next = clock.next().into_iter();
                if let Some(next) = next.chain(network.and_then(|it| it.next())).min() {
                    clock.move_to(next);
                    if let Some(network) = network {
                        network.move_to(next);
                    }
                    continue;
                }
                return if self.members.borrow().is_empty() {
                    Pause::Empty
                } else {
                    Pause::Stuck
                };
            }
            let mut choice = self.choice.borrow_mut();
            let count = ready.len();
            let index = choice.next(count, due);
            if let Some(mut chosen) = ready.take(index) {
                if choice.step(&mut chosen.priority) {
                    ready.push(chosen);
                    continue;
                }
                drop((ready, clock, choice));
                self.run(context, &chosen);
            } else if let Some(network) = network
                && let Some(at) = (index - count).checked_sub(clock.due())
            {
                drop((ready, clock, choice));
                network.arrive(at);
            } else {
                let waiter = clock.fire(index - count);
                drop((ready, clock, choice));
                // SAFETY: an alarm is set only as long as its waiter waits.
                let task = unsafe { Task::of(waiter) };
                // SAFETY: as above.
                self.note(unsafe { task.as_ref() }.id(), What::Alarm);
                // SAFETY: as above.
                drop(unsafe { Waiter::call(waiter, Verdict::TimedOut) });
            }
        }
    }

    /// Runs a green thread until it gives way.
    fn run(&self, context: &Context, chosen: &Ready) {
        let Ready { task, id, priority } = *chosen;
        self.note(id, What::Runs);
        self.running.set(Running { id, priority });
        // SAFETY: a runnable task is alive, and ours until it was parked or queued again.
        let record = unsafe { task.as_ref() };
        let fiber = record.fiber().unwrap_or_else(|| self.bind(record));
        let how = loop {
            context.set_running(Some(NonNull::from(record.waiter())));
            // SAFETY: the task is ours, and its fiber with it; all happens on this thread.
            let how = unsafe { fiber.resume(task.as_ptr().cast()) };
            context.set_running(None);
            if how != BLOCK {
                break how;
            }
            if let Some(mut job) = self.job.take() {
                // SAFETY: the green thread waits for this, and so its job is there.
                let job = unsafe { job.as_mut() };
                job();
            }
        };
        let Running { priority, .. } = self.running.replace(NOBODY);
        if self.choice.borrow().has_priorities()
            && let Some(member) = self.members.borrow_mut().get_mut(&id)
        {
            member.priority = priority;
        }
        match how {
            FINISHED => self.retire(context, task, fiber),
            PARK => {
                self.note(id, What::Waits(record.reason()));
                if record.waiter().park() {
                    // Woken before it was off its stack.
                    self.make_ready(task);
                }
            }
            YIELD => {
                self.note(id, What::Yields);
                record.set_reason(Reason::None);
                self.make_ready(task);
            }
            _ => {}
        }
    }

    /// Gives a fresh green thread a stack.
    fn bind(&self, task: &Task) -> Fiber {
        // SAFETY: the stack was reserved when the task was made, and is released when it has ended.
        let fiber = unsafe { Fiber::bind(task.class(), &mut self.pool.borrow_mut()) };
        // SAFETY: bound just now.
        unsafe { fiber.set_task(ptr::from_ref(task).cast()) };
        task.set_fiber(Some(fiber));
        fiber
    }

    /// A green thread has ended: its stack is for the next.
    fn retire(&self, context: &Context, task: NonNull<Task>, fiber: Fiber) {
        context.set_called_off(false);
        // SAFETY: alive by the runtime's share.
        let record = unsafe { task.as_ref() };
        let (id, class) = (record.id(), record.class());
        self.note(id, What::Ends);
        record.set_fiber(None);
        let mut pool = self.pool.borrow_mut();
        // SAFETY: its entry has returned, and nobody refers to it.
        unsafe { pool.put(fiber) };
        pool.release(class);
        drop(pool);
        self.members.borrow_mut().remove(&id);
        if let Some(network) = self.network.get() {
            network.ended(id);
        }
        if id == MAIN {
            self.main_ended.set(true);
        }
        // SAFETY: the runtime's share, given back once.
        unsafe { Task::release(task) };
    }

    pub(super) fn make_ready(&self, task: NonNull<Task>) {
        // SAFETY: what is made runnable is alive.
        let id = unsafe { task.as_ref() }.id();
        let priority = if self.choice.borrow().has_priorities() {
            let members = self.members.borrow();
            members.get(&id).map_or(0, |it| it.priority)
        } else {
            0
        };
        self.ready.borrow_mut().push(Ready { priority, id, task });
    }

    /// Makes those runnable that were woken from outside: the number of the first.
    fn look_outside(&self) -> Option<u64> {
        let woken = self.inbox.take();
        for task in &woken {
            self.make_ready(*task);
        }
        // SAFETY: a task that was woken is alive.
        woken.first().map(|it| unsafe { it.as_ref() }.id())
    }

    /// Ends all green threads that are left. If this returns `false`, some do not end: the simulation must
    /// not be dropped.
    #[must_use]
    pub(super) fn close(&self, context: &Context) -> bool {
        self.closing.set(true);
        if let Some(network) = self.network.get() {
            network.end();
        }
        let allow = || {
            let each = CLOSING_STEPS_EACH * self.live() as u64;
            self.limit.set(self.steps() + CLOSING_STEPS + each);
        };
        allow();
        self.call_off();
        let mut quiet = None;
        loop {
            match self.drive(context) {
                Pause::Empty => return true,
                Pause::TooLong if self.impatient.replace(true) => return false,
                Pause::TooLong => allow(),
                Pause::MainEnded | Pause::Disturbed(_) => {}
                Pause::Stuck => {
                    if self.call_off() == 0 {
                        // Another kernel thread may be about to wake one.
                        let since = *quiet.get_or_insert_with(Instant::now);
                        if since.elapsed() > FOREIGN_WAKE {
                            return false;
                        }
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        }
    }

    /// Calls off the waits of all that are parked: of how many.
    fn call_off(&self) -> usize {
        let tasks: Vec<_> = self.members.borrow().values().map(|it| it.task).collect();
        let calls = tasks.iter().filter_map(|it| {
            // SAFETY: a member is alive by the runtime's share; none runs before this returns.
            let waiter = NonNull::from(unsafe { it.as_ref() }.waiter());
            // SAFETY: as above.
            unsafe { Waiter::call_off(waiter) }.map(Call::wake)
        });
        calls.count()
    }

    /// Each green thread, in a line.
    pub(super) fn dump(&self) -> String {
        let can_run = self.ready.borrow().ids();
        let mut text = String::new();
        for (id, member) in &*self.members.borrow() {
            // SAFETY: a member is alive by the runtime's share.
            let task = unsafe { member.task.as_ref() };
            let name = task.name().map(|it| format!(" '{it}'"));
            let name = name.unwrap_or_default();
            let state = match (task.stage(), task.reason()) {
                (Stage::Fresh, _) => "has not run".to_owned(),
                _ if can_run.contains(id) => "can run".to_owned(),
                (_, reason) => format!("waits: {reason}"),
            };
            let place = task.spawned_at();
            // Writing to a string cannot fail.
            _ = writeln!(text, "  {id}{name} {state}, spawned at {place}");
        }
        text
    }

    /// Who a green thread is, for a message.
    pub(super) fn describe(&self, id: u64) -> String {
        match self.members.borrow().get(&id) {
            Some(member) => {
                // SAFETY: a member is alive by the runtime's share.
                let task = unsafe { member.task.as_ref() };
                let name = task.name().map(|it| format!(" '{it}'"));
                let name = name.unwrap_or_default();
                format!("green thread {id}{name}, spawned at {},", task.spawned_at())
            }
            None => format!("green thread {id}"),
        }
    }

    /// Its network.
    pub(super) fn network(&self) -> &Arc<Network> {
        let make = || {
            let now = self.clock.borrow().now();
            let network = Network::new(self.number, self.plan.seed, now);
            if self.closing.get() {
                network.end();
            }
            Arc::new(network)
        };
        self.network.get_or_init(make)
    }

    /// Whoever is spawned is on the host of the one who spawns.
    pub(super) fn place(&self, by: u64, id: u64) {
        if let Some(network) = self.network.get() {
            network.spawned(by, id);
        }
    }

    /// How many alarms and arrivals are due.
    pub(super) fn due(&self) -> usize {
        self.clock.borrow().due() + self.network.get().map_or(0, |it| it.due())
    }

    /// Moves the clock on to `time`, if that is later.
    pub(super) fn move_to(&self, time: u64) {
        let mut clock = self.clock.borrow_mut();
        clock.move_to(time);
        if let Some(network) = self.network.get() {
            network.move_to(clock.now());
        }
    }

    /// The number of a time by this clock.
    pub(super) fn to_ns(&self, time: Instant) -> u64 {
        span_ns(time.saturating_duration_since(self.epoch))
    }
}
