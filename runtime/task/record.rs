//! The record of one green thread: a block of the slab with its state, and its closure or its result.
//!
//! # Who refers to it
//!
//! The count begins at two: the runtime's share, given back when the thread has left its stack for the
//! last time, and that of its `JoinHandle`. Each `Thread` has one more. A block whose count is zero is
//! free; those who walk over the slab take a share only from a count that is not.
//!
//! # Who may touch what
//!
//! | field                      | written by                                   | read by                     |
//! |----------------------------|----------------------------------------------|-----------------------------|
//! | `waiter`                   | see `wait::ticket`                           | anybody with a share        |
//! | `fiber`, payload           | whoever runs it; the queue hands that over   | the same                    |
//! | `queued`                   | whoever makes it runnable, or runs it        | the same                    |
//! | payload, once `DONE`       | nobody                                       | the handle, once            |
//! | `reason`, `place`, `since`, `subject` | whoever runs it                   | anybody, as a hint          |
//! | the rest                   | whoever spawned it, before it was queued     | anybody with a share        |
//!
//! # How it ends
//!
//! [`Join`] holds who cares for the result.

#![expect(
    unsafe_code,
    reason = "a record lies in a block of the slab, and holds any closure"
)]

use super::{join::Join, shares::Shares, standing::Standing, token::Token};
use crate::{
    base::{
        lock::Lock,
        memory,
        primitives::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering::Relaxed},
        slab::{self, BLOCK_BYTES},
    },
    coroutine::{fiber::Fiber, stack::StackClass},
    driver::clock,
    observe::deadlock::{self, Deadlock},
    wait::{
        NO_SLOT, Shutdown, Waiting,
        home::{self, Fresh, Home},
        line::{Line, Node},
        reason::Reason,
        ticket::{Verdict, Waiter, Wake},
    },
};
use std::{
    cell::{Cell, UnsafeCell},
    fmt,
    marker::PhantomData,
    mem::{self, ManuallyDrop, MaybeUninit},
    panic::{AssertUnwindSafe, Location, catch_unwind},
    ptr::{self, NonNull},
    thread,
};

/// What is left of a block for the closure, and later for the result.
const PAYLOAD_BYTES: usize = BLOCK_BYTES - 128;

/// What times in the queue are counted in, as a shift of nanoseconds: the count is good for two minutes.
const QUEUED_UNIT: u32 = 8;

/// Room for a closure or a result.
#[repr(C, align(64))]
struct Payload(UnsafeCell<MaybeUninit<[u8; PAYLOAD_BYTES]>>);

/// How far a green thread has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// It has never run.
    Fresh,
    /// It has a stack.
    Started,
    /// It unwinds, and waits with its kernel thread.
    Keeps,
    /// It has returned.
    Finished,
}

/// What a green thread gets from whoever spawns it.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) name: Option<Box<str>>,
    pub(crate) class: &'static StackClass,
    pub(crate) spawned_at: &'static Location<'static>,
}

/// The record of one green thread. `repr(C)`: its waiter's address is its own.
#[repr(C, align(64))]
pub(crate) struct Task {
    waiter: Waiter,
    /// Zero in a free block, which others may look at: so it is never written but as an atomic.
    shares: Shares,
    /// When it was made runnable, if this time it is looked at; else zero. Four times the units of
    /// [`QUEUED_UNIT`], and 2, and odd if that is a sample. For whoever makes it runnable or runs it.
    queued: Cell<u32>,
    body: Body,
    payload: Payload,
}

/// What a record holds besides.
#[repr(C)]
struct Body {
    stage: AtomicU8,
    reason: AtomicU8,
    /// How many [counted](Task::set_counted_subject) subjects there were.
    subjects: AtomicU16,
    /// A token left by `unpark`; and where the kernel thread sleeps if this one waits as it unwinds.
    token: Token,
    fiber: Cell<Option<Fiber>>,
    join: Join,
    code: &'static Code,
    home: NonNull<dyn Home>,
    id: u64,
    class: &'static StackClass,
    /// A thin pointer: most have none.
    name: Option<Box<Box<str>>>,
    spawned_at: &'static Location<'static>,
    /// Where it waits.
    place: AtomicPtr<Location<'static>>,
    /// What it waits for: see [`set_subject`](Task::set_subject).
    subject: AtomicUsize,
    /// Since when it waits, in [ticks](clock::tick).
    since: AtomicU32,
    /// The number of its runtime, which may be gone when it has ended.
    runtime: u32,
}

// A model's atomics are larger; no model makes a record.
const _: () = assert!(size_of::<Task>() == BLOCK_BYTES || size_of::<AtomicU8>() > 1);

/// What is done with a closure of one type.
struct Code {
    /// Calls it, or drops it if the home is closing; leaves the result in the payload.
    run: unsafe fn(&Task),
    /// Drops the result.
    drop_result: unsafe fn(&Task),
}

/// The functions for closures of type `F`.
struct CodeOf<F, T>(PhantomData<fn(F) -> T>);

impl<F: FnOnce() -> T, T> CodeOf<F, T> {
    const CODE: Code = Code {
        run: Self::run,
        drop_result: Self::drop_result,
    };

    unsafe fn run(task: &Task) {
        let result = if const { Payload::fits::<F>() } {
            // SAFETY: the payload of a fresh task holds its closure, and this runs once.
            let closure = unsafe { task.payload.take::<F>() };
            Self::call(task, closure)
        } else {
            // In its box until it is called: each move of it would cost room on the stack.
            // SAFETY: as above.
            let closure = unsafe { task.payload.take_boxed::<F>() };
            Self::call(task, closure)
        };
        // SAFETY: the closure is out.
        unsafe { task.payload.put::<thread::Result<T>>(result) };
    }

    fn call(task: &Task, closure: impl FnOnce() -> T) -> thread::Result<T> {
        // SAFETY: a task that runs has a valid home.
        if !unsafe { task.body.home.as_ref() }.is_closing() {
            return catch_unwind(AssertUnwindSafe(closure));
        }
        // What a destructor panics with is lost, as it is when a thread's locals are dropped.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(closure))) {
            forget_payload(payload);
        }
        Err(Box::new(Shutdown))
    }

    unsafe fn drop_result(task: &Task) {
        // SAFETY: the caller has the right to the result.
        let result = unsafe { task.payload.take::<thread::Result<T>>() };
        // A result whose destructor panics: the thread is over, and nobody is left to be told.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(result))) {
            forget_payload(payload);
        }
    }
}

/// Drops what a destructor panicked with; if that panics again, it is leaked.
fn forget_payload(payload: Box<dyn std::any::Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        let _leaked = ManuallyDrop::new(again);
    }
}

impl Payload {
    const fn fits<V>() -> bool {
        size_of::<V>() <= PAYLOAD_BYTES && align_of::<V>() <= 64
    }

    /// Puts a value in; one that does not fit goes into a box.
    ///
    /// # Safety
    ///
    /// The payload is empty and the caller's own.
    #[expect(clippy::cast_ptr_alignment, reason = "what does not fit is a box")]
    unsafe fn put<V>(&self, value: V) {
        let at = self.0.get();
        if const { Self::fits::<V>() } {
            // SAFETY: it fits, by size and alignment.
            unsafe { at.cast::<V>().write(value) };
        } else {
            let boxed = Box::into_raw(Box::new(value));
            // SAFETY: a pointer fits.
            unsafe { at.cast::<*mut V>().write(boxed) };
        }
    }

    /// Takes the value out.
    ///
    /// # Safety
    ///
    /// The payload holds a `V` and is the caller's own.
    unsafe fn take<V>(&self) -> V {
        let at = self.0.get();
        if const { Self::fits::<V>() } {
            // SAFETY: by the caller.
            unsafe { at.cast::<V>().read() }
        } else {
            // SAFETY: by the caller.
            *unsafe { self.take_boxed::<V>() }
        }
    }

    /// Takes a value out that does not fit, in its box.
    ///
    /// # Safety
    ///
    /// As for [`take`](Self::take).
    #[expect(clippy::cast_ptr_alignment, reason = "what does not fit is a box")]
    unsafe fn take_boxed<V>(&self) -> Box<V> {
        debug_assert!(!Self::fits::<V>(), "it has no box");
        // SAFETY: `put` has left a box.
        let boxed = unsafe { self.0.get().cast::<*mut V>().read() };
        // SAFETY: it came from `Box::into_raw`.
        unsafe { Box::from_raw(boxed) }
    }
}

/// A time as the record keeps it for a moment; it wraps.
#[expect(
    clippy::cast_possible_truncation,
    reason = "times are compared by wrapping"
)]
fn queued_units(now_ns: u64) -> u32 {
    (now_ns >> QUEUED_UNIT) as u32
}

impl Task {
    /// Makes a task of a fresh block. The result has both first shares.
    pub(crate) fn create<F, T>(
        fresh: &Fresh,
        home: NonNull<dyn Home>,
        wake: Wake,
        options: Options,
        closure: F,
    ) -> NonNull<Self>
    where
        F: FnOnce() -> T,
    {
        let task = fresh.block.cast::<Self>();
        let body = Body {
            stage: AtomicU8::new(Stage::Fresh as u8),
            reason: AtomicU8::new(Reason::None as u8),
            subjects: AtomicU16::new(0),
            token: Token::new(),
            fiber: Cell::new(None),
            join: Join::new(),
            code: &CodeOf::<F, T>::CODE,
            home,
            id: fresh.id,
            class: options.class,
            name: options.name.map(Box::new),
            spawned_at: options.spawned_at,
            place: AtomicPtr::new(ptr::null_mut()),
            subject: AtomicUsize::new(0),
            since: AtomicU32::new(0),
            // SAFETY: whoever makes a task keeps its home for it.
            runtime: unsafe { home.as_ref() }.number(),
        };
        // SAFETY: the block is large and aligned enough, and ours alone but for `shares`.
        let to_waiter = unsafe { &raw mut (*task.as_ptr()).waiter };
        // SAFETY: as above.
        let to_body = unsafe { &raw mut (*task.as_ptr()).body };
        // SAFETY: as above.
        unsafe { to_waiter.write(Waiter::new(wake)) };
        // SAFETY: as above.
        unsafe { to_body.write(body) };
        // SAFETY: as above; any bytes are a payload.
        let payload = unsafe { &(*task.as_ptr()).payload };
        // SAFETY: it is empty, and ours.
        unsafe { payload.put(closure) };
        // SAFETY: as above.
        let to_queued = unsafe { &raw mut (*task.as_ptr()).queued };
        // SAFETY: as above.
        unsafe { to_queued.write(Cell::new(0)) };
        // SAFETY: written just now.
        let shares = unsafe { &(*task.as_ptr()).shares };
        shares.begin();
        task
    }

    /// The task whose waiter this is.
    ///
    /// # Safety
    ///
    /// The waiter is a green thread's.
    #[inline]
    pub(crate) unsafe fn of(waiter: NonNull<Waiter>) -> NonNull<Self> {
        waiter.cast()
    }

    #[inline]
    pub(crate) fn waiter(&self) -> &Waiter {
        &self.waiter
    }

    #[inline]
    pub(crate) fn home(&self) -> NonNull<dyn Home> {
        self.body.home
    }

    /// It belongs to the runtime with that number.
    pub(crate) fn is_of(&self, runtime: u32) -> bool {
        self.body.runtime == runtime
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.body.id
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.body.name.as_deref().map(|it| &**it)
    }

    pub(crate) fn spawned_at(&self) -> &'static Location<'static> {
        self.body.spawned_at
    }

    #[inline]
    pub(crate) fn class(&self) -> &'static StackClass {
        self.body.class
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.body.stage.load(Relaxed) {
            0 => Stage::Fresh,
            1 => Stage::Started,
            2 => Stage::Keeps,
            _ => Stage::Finished,
        }
    }

    /// Waits by `wait` with its kernel thread, as it unwinds; those who look see what for. For whoever runs it.
    #[cold]
    pub(crate) fn keep_thread(
        &self,
        place: &'static Location<'static>,
        reason: Reason,
        wait: impl FnOnce(),
    ) {
        let before = self.reason();
        self.waits_at(place);
        self.set_reason(reason);
        // Relaxed, like all that is only looked at.
        self.body.stage.store(Stage::Keeps as u8, Relaxed);
        wait();
        self.body.stage.store(Stage::Started as u8, Relaxed);
        self.set_reason(before);
    }

    /// It is about to wait there. For whoever runs it.
    #[inline]
    pub(crate) fn waits_at(&self, place: &'static Location<'static>) {
        self.body
            .place
            .store(ptr::from_ref(place).cast_mut(), Relaxed);
        self.body.since.store(clock::tick(), Relaxed);
    }

    /// Where it waits, or has waited last.
    pub(crate) fn place(&self) -> Option<&'static Location<'static>> {
        // SAFETY: it is null, or was made of such a reference.
        unsafe { self.body.place.load(Relaxed).as_ref() }
    }

    #[inline]
    fn standing(&self) -> Standing<'_> {
        Standing {
            reason: &self.body.reason,
            address: &self.body.subject,
            count: &self.body.subjects,
        }
    }

    /// What it is about to wait for: an address, even, which its [reason](Self::reason) gives a meaning; odd
    /// if the wait has a deadline. For whoever runs it.
    ///
    /// It must be set before each wait with one of the reasons that have a meaning, to zero if need be.
    #[inline]
    pub(crate) fn set_subject(&self, address: usize) {
        self.standing().set(address);
    }

    /// As [`set_subject`](Self::set_subject), and counts: whoever finds the same twice, within the time of
    /// [`SUBJECTS`](super::SUBJECTS) waits, has seen one wait, and what it waited for was there all the time.
    #[inline]
    pub(crate) fn set_counted_subject(&self, address: usize) {
        self.standing().set_counted(address);
    }

    /// If it is surely parked: why, what was [set](Self::set_subject), and the count.
    pub(crate) fn subject(&self) -> Option<(Reason, usize, u16)> {
        self.standing().look(&self.waiter)
    }

    /// Since when it waits, in [ticks](clock::tick).
    pub(crate) fn waits_since(&self) -> u32 {
        self.body.since.load(Relaxed)
    }

    pub(crate) fn reason(&self) -> Reason {
        Reason::from_number(self.body.reason.load(Relaxed))
    }

    #[inline]
    pub(crate) fn set_reason(&self, reason: Reason) {
        self.standing().set_reason(reason);
    }

    /// It was made runnable, and is looked at this time: as a sample, or for a trace alone.
    pub(crate) fn queued_at(&self, now_ns: u64, sample: bool) {
        debug_assert_eq!(self.queued.get(), 0, "noted once");
        self.queued
            .set(queued_units(now_ns) << 2 | 2 | u32::from(sample));
    }

    /// When it was made runnable, if this time it is looked at; else zero.
    #[inline]
    pub(crate) fn queued(&self) -> u32 {
        self.queued.get()
    }

    /// Nobody is to know when it was made runnable.
    #[inline]
    pub(crate) fn forget_queued(&self) {
        self.queued.set(0);
    }

    /// For how many nanoseconds it was runnable until now, and whether that is a sample; asked once.
    pub(crate) fn take_run_delay(&self, now_ns: u64) -> (u64, bool) {
        let queued = self.queued.take();
        let now = queued_units(now_ns) << 2;
        // A clock that was read on another processor may be a little behind.
        let units = now
            .wrapping_sub(queued & !3)
            .cast_signed()
            .max(0)
            .cast_unsigned();
        (u64::from(units) << (QUEUED_UNIT - 2), queued & 1 == 1)
    }

    /// Lets the caches fetch what a turn touches of it.
    #[inline]
    pub(crate) fn prefetch(task: NonNull<Self>) {
        let start = task.addr().get();
        memory::prefetch(start);
        memory::prefetch(start + mem::offset_of!(Self, body.place));
    }

    /// The stack it runs on, if it has started. For whoever runs it.
    #[inline]
    pub(crate) fn fiber(&self) -> Option<Fiber> {
        self.body.fiber.get()
    }

    /// Gives it a stack, or takes it away. For whoever runs it.
    #[inline]
    pub(crate) fn set_fiber(&self, fiber: Option<Fiber>) {
        self.body.fiber.set(fiber);
        let stage = if fiber.is_some() {
            Stage::Started
        } else {
            Stage::Finished
        };
        self.body.stage.store(stage as u8, Relaxed);
    }

    /// It runs, on a stack that is no fiber's.
    pub(crate) fn set_started(&self) {
        self.body.stage.store(Stage::Started as u8, Relaxed);
    }

    /// Runs it from the first line to the last and passes on its result. It does not unwind.
    ///
    /// # Safety
    ///
    /// On the task's own stack, once.
    pub(crate) unsafe fn run(&self) {
        // SAFETY: the caller runs it, once.
        unsafe { (self.body.code.run)(self) };
        if !self.body.join.finish() {
            // SAFETY: the handle is gone, or will not ask; the result is ours, on our own stack.
            unsafe { (self.body.code.drop_result)(self) };
        }
    }

    /// Its runtime is gone and leaves it behind: whoever joins it will not get a result.
    pub(crate) fn abandon(&self) {
        self.body.join.abandon();
    }

    /// Its runtime has gone without it.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.body.join.is_abandoned()
    }

    /// Waits until it has returned.
    #[track_caller]
    pub(crate) fn wait_done(&self) {
        while !self.is_over() {
            self.wait_done_once(None);
        }
    }

    /// As [`wait_done`](Self::wait_done), unless there is a deadlock.
    ///
    /// # Errors
    ///
    /// [`Deadlock`], and it has not returned.
    #[track_caller]
    pub(crate) fn wait_done_or_deadlock(&self) -> Result<(), Deadlock> {
        while !self.is_over() {
            let line = deadlock::line();
            if self.wait_done_once(Some(line)) == Verdict::Chosen(1) && !self.is_done() {
                return Err(Deadlock);
            }
        }
        Ok(())
    }

    /// Waits until it has returned, or this is called in `line`: then the verdict is `Chosen(1)`. May return
    /// for no reason.
    #[track_caller]
    fn wait_done_once(&self, line: Option<&Lock<Line>>) -> Verdict {
        let waiting = Waiting::new();
        waiting.open();
        let mut node = Node::new(waiting.waiter(), 1, NO_SLOT);
        let node = NonNull::from(&mut node);
        if let Some(line) = line {
            // SAFETY: a fresh node with an open ticket, which stays in this frame until it is removed.
            unsafe { line.lock().push_back(node) };
            deadlock::main_waits();
        }
        let verdict = self.body.join.wait_with(&waiting, || {
            waiting.stands_for(ptr::from_ref(self).expose_provenance(), None);
        });
        if let Some(line) = line {
            // SAFETY: it stands in this line, or was called there.
            unsafe { line.lock().remove(node) };
        }
        if verdict == Verdict::CalledOff {
            crate::wait::unwind();
        }
        verdict
    }

    /// It has returned, or been abandoned.
    pub(crate) fn is_over(&self) -> bool {
        self.body.join.is_over()
    }

    /// It has returned, and its result is there.
    pub(crate) fn is_done(&self) -> bool {
        self.body.join.is_done()
    }

    /// The handle is dropped before it was joined.
    ///
    /// # Safety
    ///
    /// Only by the handle, once.
    pub(crate) unsafe fn detach(&self) {
        if !self.body.join.detach() {
            self.wait_done();
            if self.is_abandoned() {
                return;
            }
            // SAFETY: it is done, and the result was the handle's.
            unsafe { (self.body.code.drop_result)(self) };
        }
    }

    /// The result.
    ///
    /// # Safety
    ///
    /// Only by the handle, once, after [`wait_done`](Self::wait_done); the task was created with a closure
    /// that returns `T`.
    pub(crate) unsafe fn take_result<T>(&self) -> thread::Result<T> {
        // SAFETY: by the caller.
        unsafe { self.payload.take() }
    }

    /// Waits until there is a token and takes it, or until `deadline`. On this task's own stack.
    #[track_caller]
    pub(crate) fn park(&self, deadline: Option<std::time::Instant>) {
        if self.body.token.take() {
            return;
        }
        if home::running().is_none() {
            // It unwinds, and cannot leave its kernel thread.
            if let Some(home) = home::simulation() {
                // SAFETY: the home of an entered context is valid.
                _ = unsafe { home.as_ref() }.park_kernel_thread(self.body.token.parker(), deadline);
                return;
            }
            let park = || _ = self.body.token.parker().park(deadline);
            return self.keep_thread(Location::caller(), Reason::Park, || match deadline {
                Some(_) => crate::wait::waiting(park),
                None => crate::wait::napping(park),
            });
        }
        if self.body.token.wait(&Waiting::new(), deadline) == Verdict::CalledOff {
            crate::wait::unwind();
        }
    }

    /// Leaves a token, and ends a [`park`](Self::park) that waits for one.
    pub(crate) fn unpark(&self) {
        // SAFETY: the caller has a share in this record.
        unsafe { self.body.token.leave(NonNull::from(&self.waiter)) };
    }

    /// A further share, if the block is not free.
    ///
    /// # Safety
    ///
    /// `task` is a block of the slab.
    pub(crate) unsafe fn try_share(task: NonNull<Self>) -> Option<TaskRef> {
        // SAFETY: a block of the slab is mapped; a free one reads as zero here.
        let shares = unsafe { &(*task.as_ptr()).shares };
        shares.try_take().then(|| TaskRef { task })
    }

    /// Gives one share back, and frees the block with the last.
    ///
    /// # Safety
    ///
    /// The caller has a share, and the record is not touched by it any more.
    #[inline]
    pub(crate) unsafe fn release(task: NonNull<Self>) {
        // SAFETY: the share keeps the record.
        let shares = unsafe { &(*task.as_ptr()).shares };
        if shares.give_back() {
            // SAFETY: nobody refers to it; its payload is empty: run, and then joined or dropped.
            let name = unsafe { &raw mut (*task.as_ptr()).body.name };
            // SAFETY: as above.
            drop(unsafe { name.replace(None) });
            let block = task.cast();
            match home::home() {
                Some(home) => {
                    // SAFETY: the home of an entered context is valid.
                    let home = unsafe { home.as_ref() };
                    // SAFETY: the block came from a home, and nobody uses it.
                    unsafe { home.free(block) };
                }
                // SAFETY: as above.
                None => unsafe { slab::free_global(block) },
            }
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.body.id)
            .field("name", &self.name())
            .field("stage", &self.stage())
            .finish_non_exhaustive()
    }
}

/// A share in a green thread's record.
pub(crate) struct TaskRef {
    task: NonNull<Task>,
}

// SAFETY: what others than its runner may do with a record is atomic, or never changes.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// Takes up a share that exists.
    ///
    /// # Safety
    ///
    /// The caller has one to give.
    pub(crate) unsafe fn from_share(task: NonNull<Task>) -> Self {
        Self { task }
    }

    /// A share in the green thread whose record is at this address, if there still is one.
    ///
    /// # Safety
    ///
    /// There was one: it is a block of the slab.
    pub(crate) unsafe fn of_address(address: usize) -> Option<Self> {
        let task = NonNull::new(ptr::with_exposed_provenance_mut::<Task>(address))?;
        // SAFETY: by the caller; the slab stays mapped.
        unsafe { Task::try_share(task) }
    }

    /// The running green thread.
    pub(crate) fn running() -> Option<Self> {
        // SAFETY: an entered context stays until it is left.
        let waiter = unsafe { home::context().as_ref() }?.running()?;
        // SAFETY: what runs is a green thread.
        let task = unsafe { Task::of(waiter) };
        // SAFETY: its record lives, with a count above zero.
        unsafe { Task::try_share(task) }
    }
}

impl std::ops::Deref for TaskRef {
    type Target = Task;

    fn deref(&self) -> &Task {
        // SAFETY: the share keeps the record.
        unsafe { self.task.as_ref() }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        self.shares.add();
        Self { task: self.task }
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        // SAFETY: this share is given back, and not used again.
        unsafe { Task::release(self.task) };
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
