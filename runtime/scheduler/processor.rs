//! The right to run green threads: a queue, the next slot, alarms and caches; a runtime has N of them.
//!
//! A kernel thread needs a processor to start or resume a green thread. What is marked *own* here is
//! touched by the thread that has the processor, and by nobody else (see `grip`); the rest by anybody.
//!
//! # Order
//!
//! A green thread that was woken or spawned goes to the *next slot*: it runs next, on warm caches, and
//! nobody is woken for it. What it displaces goes to the end of a queue: of those that have run before,
//! or of those that never did. The first go first; one time in eight the second are looked at first. After
//! [`SLOT_RUNS`] runs out of the slot in a row, those in the queues get a turn, so that two who wake each
//! other for ever hold up nobody.
//!
//! Of those whose alarms are due at once the first in time takes the slot, the others follow in the queue, in
//! the order of their deadlines; while some of them stand there still, those who are due later go behind them.
//!
//! While [`MANY`] or more wait, the next few are taken out of the queue early, and the caches are told to fetch
//! meanwhile what their turns will touch: see [`ahead`](super::ahead).
//!
//! # What was not done
//!
//! *To fetch those who never ran early too*, as they were written on another processor if they were stolen: of
//! two million spawns, and of a tree of a million, nothing was gained that could be told from noise.
//!
//! *A slot that thieves may steal from*: two read-modify-writes per wake-up. Who is woken by a thread
//! that then computes for long is moved by the monitor.

#![expect(
    unsafe_code,
    reason = "its owner touches its own part through a shared reference"
)]

use super::{
    ahead::{AHEAD, Ahead},
    front::{Front, SAMPLE, TRACE},
};
use crate::{
    base::{
        lock::Lock,
        primitives::{
            AtomicBool, AtomicPtr, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release, SeqCst},
            fence,
        },
        rng::Rng,
        slab::BlockCache,
    },
    coroutine::{
        fiber::{Entry, Fiber, FiberPool},
        stack::StackClass,
    },
    driver::{
        alarms::{Alarms, KEEP_DUE},
        clock,
    },
    observe::{Buckets, trace},
    task::Task,
    wait::ticket::{Call, Verdict, Waiter},
};
use crossbeam_deque::{Steal, Stealer, Worker as Deque};
use std::{
    array,
    cell::{Cell, RefCell, RefMut},
    io,
    ptr::{self, NonNull},
};

/// How many runs in a row may come out of the next slot while others wait.
const SLOT_RUNS: u32 = 16;
/// Of so many that leave the queues, one that never ran goes before those that did.
const FRESH_TURN: usize = 8;
/// How many are stolen at once at most.
const LOOT: usize = 32;
/// How many must wait before some are taken out of the queue early: thieves should not miss them.
const MANY: usize = 64;

/// A green thread on its way through the queues. It stands in one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Runnable(pub(crate) NonNull<Task>);

// SAFETY: whoever takes it out of a queue is the only one to run it.
unsafe impl Send for Runnable {}

/// A waiter that stands at an alarm clock.
#[derive(Debug)]
struct Sleeper(NonNull<Waiter>);

// SAFETY: it is only used under the clock's lock, as long as the alarm is set.
unsafe impl Send for Sleeper {}

/// A processor. `repr(C)`: its front's address is its own. Aligned, as its neighbour is another thread's.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Processor {
    /// Own.
    front: Front,
    /// Own, as the slot: the first of the queues, out of them already, and on their way into the caches.
    ahead: Ahead,
    own: Own,
    pub(crate) index: usize,
    stealers: [Stealer<Runnable>; 2],
    alarms: Lock<Alarms<Sleeper>>,
    /// When the first alarm is due, for those who look without the lock; never later than it is.
    first_alarm: AtomicU64,
    /// Written by the owner; read by anybody.
    pub(crate) counters: Counters,
}

/// What only the thread that has the processor touches.
#[derive(Debug)]
struct Own {
    /// Those that have run before.
    ready: Deque<Runnable>,
    /// Those that never ran.
    fresh: Deque<Runnable>,
    slot_runs: Cell<u32>,
    /// How many were taken out of the queues; it wraps.
    popped: Cell<usize>,
    /// Up to which of them, if all were out of `ready` from now on, some may be whose alarms were due.
    sleepers_until: Cell<usize>,
    /// The queues have been empty since the last look around.
    drained: Cell<bool>,
    pool: RefCell<FiberPool>,
    blocks: RefCell<BlockCache>,
    ids: Cell<(u64, u64)>,
    rng: Rng,
    /// Alarms that are due, to be called when the caches have them. Empty but for a moment, as the next.
    rung: RefCell<Vec<Sleeper>>,
    /// Calls of due alarms, to be woken outside of the lock.
    due: RefCell<Vec<Call>>,
}

/// What has happened on a processor. Only its owner adds, so a load and a store do.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) spawned: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) steals: AtomicU64,
    pub(crate) polls: AtomicU64,
    /// How long those that were looked at were runnable.
    pub(crate) run_delay: Buckets,
}

impl Counters {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            spawned: zero(),
            finished: zero(),
            steals: zero(),
            polls: zero(),
            run_delay: Buckets::new(),
        }
    }
}

fn trace() -> u32 {
    if trace::is_on() { TRACE } else { 0 }
}

/// Adds one to a counter that nobody else writes.
#[inline]
pub(crate) fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

// SAFETY: `own` is touched by one thread at a time, which the grips see to; the rest is shared by design.
unsafe impl Sync for Processor {}
// SAFETY: as above.
unsafe impl Send for Processor {}

impl Processor {
    pub(crate) fn new(
        index: usize,
        class: &'static StackClass,
        entry: Entry,
        seed: u64,
    ) -> io::Result<Self> {
        let (ready, fresh) = (Deque::new_fifo(), Deque::new_fifo());
        Ok(Self {
            front: Front::new(),
            ahead: Ahead::new(),
            index,
            stealers: [ready.stealer(), fresh.stealer()],
            own: Own {
                ready,
                fresh,
                slot_runs: Cell::new(0),
                popped: Cell::new(0),
                sleepers_until: Cell::new(0),
                drained: Cell::new(true),
                pool: RefCell::new(FiberPool::new(class, entry)?),
                blocks: RefCell::new(BlockCache::new()),
                ids: Cell::new((0, 0)),
                rng: Rng::new(seed),
                rung: RefCell::new(Vec::new()),
                due: RefCell::new(Vec::new()),
            },
            alarms: Lock::new(Alarms::new()),
            first_alarm: AtomicU64::new(u64::MAX),
            counters: Counters::new(),
        })
    }

    /// The head of it.
    #[inline]
    pub(crate) fn front(&self) -> &Front {
        &self.front
    }

    /// Its [front](Self::front), as a pointer from which [`of_front`](Self::of_front) leads back.
    pub(crate) fn as_front(&self) -> *const Front {
        ptr::from_ref(self).cast()
    }

    /// The processor of which that is the front, by [`as_front`](Self::as_front). Null stays null.
    #[inline]
    pub(crate) fn of_front(front: *const Front) -> *const Self {
        front.cast()
    }

    /// Own: lets `task` run next, and what was to run next after others.
    #[inline]
    pub(crate) fn run_next(&self, task: NonNull<Task>) {
        if self.front.attention.load(Relaxed) != 0 {
            self.becomes_runnable(task);
        }
        self.put_next(task);
    }

    /// Own: as [`run_next`](Self::run_next), for one that was runnable before.
    #[inline]
    pub(crate) fn put_next(&self, task: NonNull<Task>) {
        let displaced = self.front.slot.load(Relaxed);
        self.front.slot.store(task.as_ptr(), Relaxed);
        if let Some(displaced) = NonNull::new(displaced) {
            self.run_later(displaced);
        }
    }

    /// Own: lets `task` run after those that are in its queue.
    #[inline]
    pub(crate) fn run_later(&self, task: NonNull<Task>) {
        // SAFETY: a runnable task is alive.
        let fresh = unsafe { task.as_ref() }.fiber().is_none();
        let queue = if fresh {
            &self.own.fresh
        } else {
            &self.own.ready
        };
        queue.push(Runnable(task));
    }

    /// Own: as [`run_later`](Self::run_later), for one that has run.
    #[inline]
    pub(crate) fn run_again(&self, task: NonNull<Task>) {
        self.own.ready.push(Runnable(task));
    }

    /// Which turns are looked at.
    #[inline]
    pub(crate) fn attention(&self) -> u32 {
        self.front.attention.load(Relaxed)
    }

    /// Own: the next that becomes runnable is looked at; and a trace may have begun or ended.
    pub(crate) fn sample_next(&self) {
        self.set_attention(SAMPLE);
    }

    /// Own: a trace may have begun or ended.
    pub(crate) fn look_for_trace(&self) {
        self.set_attention(self.front.attention.load(Relaxed) & SAMPLE);
    }

    fn set_attention(&self, sample: u32) {
        let before = trace();
        self.front.attention.store(sample | before, Relaxed);
        // T3: this is written, then T4: whether a trace is written is read again.
        fence(SeqCst);
        if trace() != before {
            self.front.attention.store(sample | trace(), Relaxed);
        }
    }

    /// A trace has begun, or ended; after T1: that was written, and T2: a fence. If the owner writes at the
    /// same time, it has seen that, or this comes last.
    pub(crate) fn trace_changes(&self) {
        // A sample that is due stays so, but for one that begins or ends at this very instant.
        let sample = self.front.attention.load(Relaxed) & SAMPLE;
        self.front.attention.store(sample | trace(), Relaxed);
    }

    /// Own: `task` becomes runnable while somebody looks: notes when.
    #[cold]
    pub(crate) fn becomes_runnable(&self, task: NonNull<Task>) {
        let attention = self.front.attention.load(Relaxed);
        self.front.attention.store(attention & !SAMPLE, Relaxed);
        // SAFETY: a runnable task is alive.
        unsafe { task.as_ref() }.queued_at(clock::raw_ns(), attention & SAMPLE != 0);
    }

    /// How many turns have begun; it wraps.
    pub(crate) fn turns(&self) -> u32 {
        self.front.turns()
    }

    /// Own: what is to run now, of what this processor has. `others` says whether anybody else waits
    /// for a turn, and `idle` whether another processor has nothing to do.
    #[inline]
    pub(crate) fn next(
        &self,
        others: impl Fn() -> bool,
        idle: impl Fn() -> bool,
    ) -> Option<NonNull<Task>> {
        let slot = self.front.slot.load(Relaxed);
        if let Some(task) = NonNull::new(slot) {
            self.front.slot.store(ptr::null_mut(), Relaxed);
            let runs = self.own.slot_runs.get() + 1;
            if runs <= SLOT_RUNS {
                self.own.slot_runs.set(runs);
                return Some(task);
            }
            if self.is_drained() && !others() {
                // Whoever comes now waits for that many turns again, no longer.
                self.own.slot_runs.set(0);
                return Some(task);
            }
            self.run_later(task);
        }
        self.own.slot_runs.set(0);
        if let Some(task) = self.ahead.pop() {
            if self.own.ready.len() >= MANY {
                self.look_ahead();
            } else if self.has_ahead() && !self.has_queue() && idle() {
                self.put_back();
            }
            return Some(task);
        }
        let next = self.pop();
        if next.is_none() {
            self.own.drained.set(true);
        } else if self.own.ready.len() >= MANY {
            self.begin_to_look_ahead();
        }
        next
    }

    /// Own: as [`look_ahead`](Self::look_ahead), when nobody is out of the queues yet.
    #[cold]
    #[inline(never)]
    fn begin_to_look_ahead(&self) {
        self.look_ahead();
    }

    /// Own: the first out of the queues.
    #[inline]
    fn pop(&self) -> Option<NonNull<Task>> {
        let popped = self.own.popped.get().wrapping_add(1);
        if popped.is_multiple_of(FRESH_TURN)
            && let Some(task) = self.pop_fresh()
        {
            return Some(task);
        }
        if let Some(task) = self.own.ready.pop() {
            self.own.popped.set(popped);
            return Some(task.0);
        }
        self.pop_fresh()
    }

    /// Own: the first of those that never ran.
    #[inline]
    fn pop_fresh(&self) -> Option<NonNull<Task>> {
        let task = self.own.fresh.pop()?;
        self.own.popped.set(self.own.popped.get().wrapping_add(1));
        // Those in the other queue are as many as before.
        let until = self.own.sleepers_until.get().wrapping_add(1);
        self.own.sleepers_until.set(until);
        Some(task.0)
    }

    /// Own: takes those for the next turns out of the queues, and lets the caches fetch them.
    #[inline]
    fn look_ahead(&self) {
        while self.ahead.len() < AHEAD
            && let Some(task) = self.pop()
        {
            Task::prefetch(task);
            if self.ahead.push(task) {
                self.fetch();
            }
        }
    }

    /// Own: those who are out of the queues go back, as they are empty by now, for thieves to find.
    #[cold]
    fn put_back(&self) {
        let sleepers = self.has_sleepers();
        while let Some(task) = self.ahead.pop() {
            self.run_later(task);
        }
        if sleepers {
            self.mark_sleepers();
        }
    }

    /// Own: the caches fetch a step further for those on the way.
    #[expect(clippy::inline_always, reason = "hot, and its caller has one that is")]
    #[inline(always)]
    fn fetch(&self) {
        // SAFETY: a runnable task is alive, and ours.
        let fiber = |it: NonNull<Task>| unsafe { it.as_ref() }.fiber();
        for fiber in self.ahead.batch(1).filter_map(fiber) {
            fiber.prefetch_head();
        }
        for fiber in self.ahead.batch(2).filter_map(fiber) {
            // SAFETY: the fiber of a task that is alive is bound, and nobody resumes it but us.
            unsafe { fiber.prefetch() };
        }
    }

    /// Own: nothing waits behind the slot, whatever that holds.
    #[inline]
    fn is_drained(&self) -> bool {
        !self.has_ahead() && self.own.ready.is_empty() && self.own.fresh.is_empty()
    }

    /// Own: whether there has been more than enough work ever since this was asked last.
    pub(crate) fn was_never_empty(&self) -> bool {
        !self.own.drained.replace(false) && !self.is_drained()
    }

    /// Own: takes those that no thief would find: what is in the slot, and who is out of the queues early.
    pub(crate) fn take_held(&self) -> [Option<NonNull<Task>>; 1 + AHEAD] {
        array::from_fn(|at| match at {
            0 => take(&self.front.slot),
            _ => self.ahead.pop(),
        })
    }

    /// Something is in the slot or a queue: a hint to those who do not own them.
    pub(crate) fn has_work(&self) -> bool {
        self.has_held() || self.has_queue()
    }

    /// Some are out of the queues early: a hint.
    pub(crate) fn has_ahead(&self) -> bool {
        self.ahead.len() > 0
    }

    /// There is one that no thief would find: a hint.
    pub(crate) fn has_held(&self) -> bool {
        !self.front.slot.load(Relaxed).is_null() || self.has_ahead()
    }

    pub(crate) fn has_queue(&self) -> bool {
        self.stealers.iter().any(|it| !it.is_empty())
    }

    /// How many are in the slot and the queues: a hint.
    pub(crate) fn queued(&self) -> usize {
        let queues: usize = self.stealers.iter().map(Stealer::len).sum();
        let slot = usize::from(!self.front.slot.load(Relaxed).is_null());
        queues + self.ahead.len() + slot
    }

    /// Own: steals from the other: half of its queue. Returns what to run first.
    pub(crate) fn steal_from(&self, victim: &Self) -> Option<NonNull<Task>> {
        for (stealer, queue) in victim
            .stealers
            .iter()
            .zip([&self.own.ready, &self.own.fresh])
        {
            loop {
                match stealer.steal_batch_with_limit_and_pop(queue, LOOT) {
                    Steal::Success(task) => return Some(task.0),
                    Steal::Empty => break,
                    Steal::Retry => {}
                }
            }
        }
        None
    }

    /// Own: where stolen and injected work goes.
    pub(crate) fn ready(&self) -> &Deque<Runnable> {
        &self.own.ready
    }

    /// Own.
    pub(crate) fn rng(&self) -> &Rng {
        &self.own.rng
    }

    /// Own.
    #[inline]
    pub(crate) fn pool(&self) -> RefMut<'_, FiberPool> {
        self.own.pool.borrow_mut()
    }

    /// Own: a block with a stack of `class` reserved.
    #[inline]
    pub(crate) fn allocate(&self, class: &'static StackClass) -> io::Result<NonNull<u8>> {
        self.own.pool.borrow_mut().reserve(class)?;
        let block = self.own.blocks.borrow_mut().allocate();
        if block.is_err() {
            self.own.pool.borrow_mut().release(class);
        }
        block
    }

    /// Own: takes a block back.
    ///
    /// # Safety
    ///
    /// It is of the slab, and nobody uses it.
    #[inline]
    pub(crate) unsafe fn free(&self, block: NonNull<u8>) {
        // SAFETY: by the caller.
        unsafe { self.own.blocks.borrow_mut().free(block) };
    }

    /// Own: a number that no other green thread has; they are handed out by the dozen.
    #[inline]
    pub(crate) fn next_id(&self, more: impl FnOnce() -> (u64, u64)) -> u64 {
        let (next, end) = self.own.ids.get();
        let (next, end) = if next == end { more() } else { (next, end) };
        self.own.ids.set((next + 1, end));
        next
    }

    /// Sets an alarm for `waiter`.
    pub(crate) fn set_alarm(&self, deadline: u64, waiter: NonNull<Waiter>) -> u64 {
        let mut alarms = self.alarms.lock();
        let key = alarms.insert(deadline, Sleeper(waiter));
        // Release: with the lock's own edge enough for those who take the lock afterwards; the others
        // only want a hint, and look again before they sleep.
        if deadline < self.first_alarm.load(Relaxed) {
            self.first_alarm.store(deadline, Release);
        }
        drop(alarms);
        key.to_bits()
    }

    /// Takes an alarm back. The waiter is not touched any more when this returns.
    pub(crate) fn cancel_alarm(&self, key: u64) {
        self.alarms
            .lock()
            .cancel(crate::driver::alarms::AlarmKey::from_bits(key));
    }

    /// When the first alarm is due, or earlier.
    pub(crate) fn first_alarm(&self) -> u64 {
        self.first_alarm.load(Acquire)
    }

    /// How many alarms are set.
    pub(crate) fn alarms(&self) -> usize {
        self.alarms.lock().len()
    }

    /// Calls those whose alarms on any of `clocks` are due; own: they run here. Returns how many there were.
    ///
    /// They run in the order of their deadlines, as far as one clock knows them: one in the next slot, the
    /// others at the end of the queue; all of them there, if some who were due earlier stand there still.
    pub(crate) fn fire(&self, clocks: &[Self], now: u64) -> usize {
        let mut due = self.own.due.borrow_mut();
        let mut rung = self.own.rung.borrow_mut();
        for clock in clocks.iter().filter(|it| it.first_alarm() <= now) {
            let mut alarms = clock.alarms.lock();
            alarms.advance(now, |sleeper| {
                // SAFETY: who sets an alarm here is a green thread.
                Task::prefetch(unsafe { Task::of(sleeper.0) });
                rung.push(sleeper);
            });
            due.extend(rung.drain(..).filter_map(|sleeper| {
                // SAFETY: the alarm was set until now, and we have the clock's lock.
                unsafe { Waiter::call(sleeper.0, Verdict::TimedOut) }
            }));
            clock
                .first_alarm
                .store(alarms.next().unwrap_or(u64::MAX), Release);
        }
        let count = due.len();
        let earlier = count > 0 && self.has_sleepers();
        // The stack of each is a step away, and where it left off another: the caches take each for all of them
        // together, as in [`look_ahead`](Self::look_ahead).
        let fibers = || {
            due.iter().filter_map(Call::parked).filter_map(|waiter| {
                // SAFETY: who sets an alarm here is a green thread.
                let task = unsafe { Task::of(waiter) };
                // SAFETY: it is alive, as it was called and has yet to be woken.
                unsafe { task.as_ref() }.fiber()
            })
        };
        fibers().for_each(Fiber::prefetch_head);
        for fiber in fibers() {
            // SAFETY: the fiber of a green thread that has run is bound, and this one is parked.
            unsafe { fiber.prefetch() };
        }
        // One by one: a wake-up may want this processor's other parts, but never this list. Each takes the
        // slot, and sends whom it finds there to the end of the queue.
        let mut calls = due.drain(..);
        let first = if earlier { None } else { calls.next() };
        calls.for_each(Call::wake);
        if let Some(first) = first {
            // However often the slot was used in a row: the others stand in the queue already.
            self.own.slot_runs.set(0);
            first.wake();
        } else if earlier && let Some(last) = take(&self.front.slot) {
            self.run_later(last);
        }
        if earlier || count > 1 {
            self.mark_sleepers();
        }
        if count > KEEP_DUE {
            *due = Vec::new();
            *rung = Vec::new();
        }
        count
    }

    /// Own: among all who stand in the queue now may be some whose alarms were due.
    fn mark_sleepers(&self) {
        let popped = self.own.popped.get();
        let until = popped.wrapping_add(self.own.ready.len());
        self.own.sleepers_until.set(until);
    }

    /// Own: some whose alarms were due earlier may still wait behind the slot.
    fn has_sleepers(&self) -> bool {
        let ahead = self.ahead.len();
        let gone = self.own.popped.get().wrapping_sub(ahead);
        let left = self.own.sleepers_until.get().wrapping_sub(gone);
        left.cast_signed() > 0 && !(ahead == 0 && self.own.ready.is_empty())
    }
}

/// Takes what is in a place that the caller owns.
fn take(place: &AtomicPtr<Task>) -> Option<NonNull<Task>> {
    let task = NonNull::new(place.load(Relaxed))?;
    place.store(ptr::null_mut(), Relaxed);
    Some(task)
}

/// Whether anybody has asked to see how the processors do. Written rarely.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// The runtime shuts down: fresh green threads drop their closures.
    pub(crate) closing: AtomicBool,
    /// All is over: kernel threads end.
    pub(crate) stopped: AtomicBool,
    /// Kernel threads that this runtime has.
    pub(crate) threads: AtomicUsize,
}
