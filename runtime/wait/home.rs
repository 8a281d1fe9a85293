//! The seam: what a green thread may ask of whatever runs it, and how it finds it.
//!
//! Two things run green threads, the scheduler and the simulator; each is a [`Home`]. A kernel thread
//! that runs green threads keeps a [`Context`] of its own and enters it in the one thread-local of this
//! crate. A plain kernel thread has none.
//!
//! # Thread-locals over a switch
//!
//! A compiler may keep the address of a thread-local across a call, and after a switch of stacks that
//! address may be another thread's (assumption A1). So the thread-local is read in [`context`] alone,
//! which is never inlined and never switches, and nobody keeps the result over a switch.
//!
//! # Edges
//!
//! - `[processor]` who runs, by [`Running`]: one end of what `scheduler/grip.rs` has the other of.

#![expect(
    unsafe_code,
    reason = "a context is reached through a thread-local pointer"
)]

use super::{
    reason::Reason,
    ticket::{Waiter, Wake},
};
use crate::{
    base::{
        parker::Parker,
        primitives::{
            AtomicPtr,
            Ordering::{Acquire, Relaxed, Release},
            global::AtomicUsize,
            light_barrier,
        },
    },
    coroutine::stack::StackClass,
};
use std::{
    arch::asm,
    cell::Cell,
    io,
    ptr::{self, NonNull},
    time::Instant,
};

/// How a green thread gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suspend {
    /// Its ticket is open: run it again when it was called.
    Park,
    /// Run it again after those who are runnable now.
    Yield,
}

/// An alarm that was set: by its home's own reckoning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alarm {
    /// Which of the home's clocks has it.
    pub(crate) shard: usize,
    /// Its key there.
    pub(crate) key: u64,
}

/// A number for a new runtime, which no other has had for some billions.
pub(crate) fn next_number() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, Relaxed)
}

/// What a green thread is made of.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// [`BLOCK_BYTES`](crate::base::slab::BLOCK_BYTES), uninitialised but for the reference count.
    pub(crate) block: NonNull<u8>,
    /// Unique in the process.
    pub(crate) id: u64,
}

/// A home for one green thread, and its block. It must be [launched](Home::launch).
#[derive(Debug)]
pub(crate) struct Pin {
    pub(crate) home: NonNull<dyn Home>,
    pub(crate) fresh: Fresh,
}

/// What a green thread may ask of whatever runs it.
pub(crate) trait Home {
    /// Switches off the stack of `waiter`, the green thread that calls, and returns when it runs again,
    /// perhaps on another kernel thread.
    fn suspend(&self, waiter: NonNull<Waiter>, how: Suspend, reason: Reason);

    /// Calls `waiter` with `TimedOut` at `deadline` or soon after.
    fn set_alarm(&self, deadline: Instant, waiter: NonNull<Waiter>) -> Alarm;

    /// Takes an alarm back. Afterwards it does not touch the waiter any more, whether it came or not.
    fn cancel_alarm(&self, alarm: Alarm);

    /// The time by this home's clock.
    fn now(&self) -> Instant;

    /// Makes a green thread runnable that has never run.
    fn start(&self, task: NonNull<Waiter>);

    /// Makes the green thread runnable for which this home was [pinned](Self::pin).
    fn launch(&self, task: NonNull<Waiter>) {
        self.start(task);
    }

    /// Runs `start`, which starts a process that is to begin with nothing that this home has asked of the
    /// kernel for its threads.
    fn start_process(&self, start: &mut dyn FnMut()) {
        start();
    }

    /// A home with a kernel thread for one green thread alone, on the same runtime.
    ///
    /// # Errors
    ///
    /// If there is no kernel thread to be had, or never is one here.
    fn pin(&self, _name: Option<&str>) -> io::Result<Pin> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "there are no kernel threads to be had here",
        ))
    }

    /// The home of green threads that are spawned here.
    fn home_of_spawned(&self) -> NonNull<dyn Home>;

    /// The number of the runtime that it belongs to, or is.
    fn number(&self) -> u32;

    /// A block for a green thread's record and its number, with a stack of `class` reserved.
    ///
    /// # Errors
    ///
    /// If there is no memory for either; nothing is kept then.
    fn allocate(&self, class: &'static StackClass) -> io::Result<Fresh>;

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// It came from [`allocate`](Self::allocate), of any home, and nobody uses it any more.
    unsafe fn free(&self, block: NonNull<u8>);

    /// How those whose home this is are made runnable.
    fn wake(&self) -> Wake;

    /// The home shuts down: green threads that have not run drop their closures, and others unwind.
    fn is_closing(&self) -> bool;

    /// The size of stacks where nothing else is asked for.
    fn stack_class(&self) -> &'static StackClass;

    /// Runs `job` on this kernel thread's own stack while its other work goes on elsewhere, and
    /// returns to the green thread that calls, perhaps on another kernel thread.
    fn block(&self, job: &mut dyn FnMut());

    /// This kernel thread is about to wait by itself: its other work must go on elsewhere. `waits` if it
    /// waits for another thread of this crate, perhaps one of that very work; else it is in a system call.
    fn blocking_begins(&self, waits: bool);

    /// This kernel thread goes on.
    fn blocking_ends(&self);

    /// Waits for a token in `parker`, of one who is woken as a napper is, this kernel thread and all, while its other work goes on elsewhere.
    /// If this returns `false`, `deadline` came first.
    fn park_kernel_thread(&self, parker: &Parker, deadline: Option<Instant>) -> bool {
        self.blocking_begins(true);
        let in_time = parker.nap_or_park(deadline);
        self.blocking_ends();
        in_time
    }

    /// A number below `bound`, from a home that makes all choices itself.
    fn draw(&self, bound: usize) -> Option<usize> {
        let _ = bound;
        None
    }

    /// The running green thread is about to do what others may see, or has: a home may let them run.
    fn point(&self) {}

    /// It makes all choices itself, and its clock is virtual.
    fn is_simulation(&self) -> bool {
        false
    }
}

/// The green thread that runs on a kernel thread now, unless it left its stack for a blocking call.
#[derive(Debug)]
pub(crate) struct Running(AtomicPtr<Waiter>);

impl Running {
    pub(crate) fn nobody() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Says who runs now. The thread is inside of its home's code as long as that is nobody: for the scheduler
    /// these are the steps E1 and E2 of its grip.
    #[inline]
    pub(crate) fn set(&self, waiter: Option<NonNull<Waiter>>) {
        match waiter {
            // Release [processor].
            Some(waiter) => self.0.store(waiter.as_ptr(), Release),
            // Relaxed: the barrier orders it.
            None => self.0.store(ptr::null_mut(), Relaxed),
        }
        light_barrier();
    }

    /// Who that is, for the thread itself; to others a hint.
    #[inline]
    pub(crate) fn get(&self) -> Option<NonNull<Waiter>> {
        NonNull::new(self.0.load(Relaxed))
    }

    /// Whether somebody runs: then all is seen that the thread did before.
    pub(crate) fn is_somebody(&self) -> bool {
        // Acquire [processor].
        !self.0.load(Acquire).is_null()
    }
}

/// What a kernel thread knows that runs green threads.
pub(crate) struct Context {
    /// Who runs them. Valid as long as the context is entered.
    home: NonNull<dyn Home>,
    running: Running,
    /// It unwinds because its home shuts down: it keeps this kernel thread until it is over.
    called_off: Cell<bool>,
}

impl Context {
    pub(crate) fn new(home: NonNull<dyn Home>) -> Self {
        Self {
            home,
            running: Running::nobody(),
            called_off: Cell::new(false),
        }
    }

    /// Says who runs now.
    #[inline]
    pub(crate) fn set_running(&self, waiter: Option<NonNull<Waiter>>) {
        self.running.set(waiter);
    }

    #[inline]
    pub(crate) fn running(&self) -> Option<NonNull<Waiter>> {
        self.running.get()
    }

    /// Who runs, as it stands there.
    pub(crate) fn runs(&self) -> &Running {
        &self.running
    }

    pub(crate) fn home(&self) -> NonNull<dyn Home> {
        self.home
    }

    /// Says whether the running green thread unwinds because its home shuts down.
    #[inline]
    pub(crate) fn set_called_off(&self, called_off: bool) {
        self.called_off.set(called_off);
    }

    pub(crate) fn is_called_off(&self) -> bool {
        self.called_off.get()
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

thread_local! {
    static CONTEXT: Cell<*const Context> = const { Cell::new(ptr::null()) };
}

/// The context of this kernel thread; null if it runs no green threads. Not to be kept over a switch.
#[inline(never)]
pub(crate) fn context() -> *const Context {
    let mut context = CONTEXT.with(Cell::get);
    // A1: the compiler does not see that this changes nothing, so it cannot treat two calls as one. As
    // `black_box`, which would go through memory.
    // SAFETY: it is empty.
    unsafe {
        asm!("/* {0} */", inout(reg) context, options(readonly, nostack, preserves_flags));
    }
    context
}

/// Runs `f` on this kernel thread with `context` as its context.
pub(crate) fn enter<R>(context: &Context, f: impl FnOnce() -> R) -> R {
    struct Leave(*const Context);
    impl Drop for Leave {
        fn drop(&mut self) {
            CONTEXT.with(|it| it.set(self.0));
        }
    }
    let _leave = Leave(CONTEXT.with(|it| it.replace(context)));
    f()
}

/// Who runs here, if it is a green thread and may give way now.
///
/// One that unwinds may not: std counts panics by kernel thread, so it keeps its thread to itself until
/// the unwinding ends (assumption A3).
#[inline]
pub(crate) fn running() -> Option<(NonNull<Waiter>, NonNull<dyn Home>)> {
    // SAFETY: an entered context stays until it is left, and this thread is in the midst of it.
    let context = unsafe { context().as_ref() }?;
    let waiter = context.running()?;
    (!std::thread::panicking()).then_some((waiter, context.home))
}

/// Who runs green threads on this kernel thread.
pub(crate) fn home() -> Option<NonNull<dyn Home>> {
    // SAFETY: as above.
    unsafe { context().as_ref() }.map(Context::home)
}

/// The simulation that runs green threads on this kernel thread.
pub(crate) fn simulation() -> Option<NonNull<dyn Home>> {
    // Relaxed: a simulation's own kernel thread has counted it.
    if SIMULATIONS.load(Relaxed) == 0 {
        return None;
    }
    // SAFETY: the home of an entered context is valid.
    home().filter(|it| unsafe { it.as_ref() }.is_simulation())
}

/// How many simulations run in this process.
static SIMULATIONS: AtomicUsize = AtomicUsize::new(0);

/// As long as it lives, this thread's [`point`]s ask its home.
#[derive(Debug)]
pub(crate) struct Points(());

impl Points {
    pub(crate) fn watch() -> Self {
        SIMULATIONS.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for Points {
    fn drop(&mut self) {
        SIMULATIONS.fetch_sub(1, Relaxed);
    }
}

/// A place where a simulation may let others run although the caller need not wait. The caller holds no
/// lock of this crate's own, and may unwind.
///
/// Without a simulation this is one load of a word that hardly ever changes.
#[inline]
pub(crate) fn point() {
    // Relaxed: a simulation's own kernel thread has counted it.
    if SIMULATIONS.load(Relaxed) != 0 {
        reach_point();
    }
}

#[cold]
fn reach_point() {
    if let Some((_, home)) = running() {
        // SAFETY: the home of a running green thread is valid.
        unsafe { home.as_ref() }.point();
    }
}

/// A number below `bound`, if the home of whoever runs here makes all choices itself.
#[inline]
pub(crate) fn draw(bound: usize) -> Option<usize> {
    // Relaxed: as above.
    if SIMULATIONS.load(Relaxed) == 0 {
        return None;
    }
    // SAFETY: the home of an entered context is valid.
    unsafe { home()?.as_ref() }.draw(bound)
}
