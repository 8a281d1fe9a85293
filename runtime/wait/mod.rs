//! The one way to wait, for green threads and for kernel threads.
//!
//! To wait, a thread opens its [ticket], stands in one or more [lines](mod@line), and parks with a
//! [reason] and a deadline. The first that calls the ticket wins; every other call is void. When it runs
//! again it reads why. Channel operations stand in one line, `select!` in several; a deadline is an alarm
//! that calls; readiness, `join`, locks and shutdown likewise. So time-outs, select and calling off are
//! written once, here.
//!
//! ```text
//! let waiting = Waiting::new();
//! waiting.open();
//! let mut node = Node::new(waiting.waiter(), 0, slot);
//! line.push_back(&mut node);            // under the lock of the line
//! // let go of the lock
//! match waiting.park(Reason::Receive, deadline) { .. }
//! // unless it was Chosen: remove the node, under the lock
//! ```

#![expect(
    unsafe_code,
    reason = "a waiter is reached by pointers from other frames"
)]

pub(crate) mod backtraces;
pub(crate) mod holder;
pub(crate) mod home;
pub(crate) mod kernel_waits;
pub(crate) mod line;
pub(crate) mod reason;
pub(crate) mod source;
pub(crate) mod ticket;

use crate::{
    base::{
        lock::{Guard, Lock},
        naps::Nap,
        parker::Parker,
    },
    task::Task,
};
use holder::Short;
pub(crate) use home::point;
use home::{Context, Home, Suspend};
use line::{FIRST, Line, MOVED, Node};
use reason::Reason;
use std::{
    cell::Cell,
    fmt,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind},
    ptr::{self, NonNull},
    time::{Duration, Instant},
};
use ticket::{Hold, Verdict, Waiter};

/// What a green thread unwinds with when its runtime shuts down, and what `join` then returns in `Err`.
///
/// No panic hook runs for it, and no lock is poisoned by it.
///
/// ```
/// let runtime = sward::Runtime::builder().workers(1).build()?;
/// let sleeper = runtime.spawn(sward::thread::park);
/// drop(runtime);
/// let payload = sleeper.join().expect_err("it was called off");
/// assert!(payload.is::<sward::Shutdown>());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown;

/// The deadline came first; nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimedOut;

/// The time: by the clock of whoever runs this green thread, which is virtual in a simulation.
pub(crate) fn now() -> Instant {
    // SAFETY: the home of an entered context is valid.
    home::home().map_or_else(Instant::now, |home| unsafe { home.as_ref() }.now())
}

/// The moment after `timeout`; `None`, which is never, if the clock cannot count that far.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}

/// Whoever calls this, about to wait. It must stay where it is from [`open`](Self::open) until
/// [`park`](Self::park) has returned and its nodes are out of every line.
pub(crate) struct Waiting {
    kind: Kind,
}

enum Kind {
    Green {
        waiter: NonNull<Waiter>,
        home: NonNull<dyn Home>,
    },
    Thread(ThreadWaiter),
}

/// A kernel thread that waits. `repr(C)`: its waiter's address is its own.
#[repr(C)]
struct ThreadWaiter {
    waiter: Waiter,
    parker: Parker,
    /// As a green thread's.
    subject: Cell<usize>,
}

/// Wakes a kernel thread.
///
/// # Safety
///
/// `waiter` is the first field of a [`ThreadWaiter`] whose thread waits for this.
unsafe fn unpark_thread(waiter: NonNull<Waiter>) {
    let thread = waiter.cast::<ThreadWaiter>();
    // The thread may return, and its frame go, as soon as the token is there: `unpark` then only uses
    // the address of the word, for the kernel.
    // SAFETY: the thread cannot return before the token is there.
    unsafe { thread.as_ref() }.parker.unpark_napper();
}

impl Waiting {
    /// The running green thread; else, or while that unwinds, its kernel thread.
    #[inline]
    pub(crate) fn new() -> Self {
        let kind = match home::running() {
            Some((waiter, home)) => Kind::Green { waiter, home },
            None => Kind::Thread(ThreadWaiter {
                waiter: Waiter::new(unpark_thread),
                parker: Parker::new(),
                subject: Cell::new(0),
            }),
        };
        Self { kind }
    }

    /// Who waits, for its nodes. The address holds while this is not moved.
    #[inline]
    pub(crate) fn waiter(&self) -> NonNull<Waiter> {
        match &self.kind {
            Kind::Green { waiter, .. } => *waiter,
            Kind::Thread(thread) => NonNull::from(thread).cast(),
        }
    }

    /// Opens the ticket: from now on, those who find a node of this waiter may call it.
    #[inline]
    pub(crate) fn open(&self) {
        match &self.kind {
            // SAFETY: the running green thread's own record.
            Kind::Green { waiter, .. } => unsafe { waiter.as_ref() }.open(),
            Kind::Thread(thread) => thread.waiter.open_parked(),
        }
    }

    /// As [`open`](Self::open), for a wait that `unpark` may end. Whoever looks for its token from now on finds
    /// it, or is called.
    pub(crate) fn open_for_unpark(&self) {
        self.open();
        // SAFETY: `self` is alive, and so is its waiter.
        unsafe { self.waiter().as_ref() }.let_unpark();
    }

    /// As [`open`](Self::open), for a wait that is not called off when the runtime shuts down.
    pub(crate) fn open_shielded(&self) {
        match &self.kind {
            // SAFETY: the running green thread's own record.
            Kind::Green { waiter, .. } => unsafe { waiter.as_ref() }.open_shielded(),
            // Nobody calls off a kernel thread.
            Kind::Thread(thread) => thread.waiter.open_parked(),
        }
    }

    /// Opens the ticket in the hands of a partner: only the hold that this returns can end the wait.
    pub(crate) fn open_held(&self) -> Hold {
        let parked = matches!(self.kind, Kind::Thread(_));
        // SAFETY: `self` stays until `park` has returned, which the hold decides.
        unsafe { Waiter::open_held(self.waiter(), parked) }
    }

    /// Ends the wait before it was parked, if nobody has called. If this returns `false`, somebody has:
    /// [`park`](Self::park), which will return at once or soon.
    #[must_use]
    pub(crate) fn withdraw(&self) -> bool {
        // SAFETY: `self` is alive, and so is its waiter.
        unsafe { self.waiter().as_ref() }.withdraw()
    }

    /// Says what this is about to wait for, to those who look: an even address, to which the reason gives
    /// a meaning (`observe::subject`). Needed before each wait with such a reason; zero if it is nothing.
    #[inline]
    pub(crate) fn stands_for(&self, address: usize, deadline: Option<Instant>) {
        let subject = address | usize::from(deadline.is_some());
        match &self.kind {
            Kind::Green { waiter, .. } => {
                // SAFETY: a green thread's waiter.
                let task = unsafe { Task::of(*waiter) };
                // SAFETY: it is alive as it runs.
                unsafe { task.as_ref() }.set_counted_subject(subject);
            }
            Kind::Thread(thread) => thread.subject.set(subject),
        }
    }

    /// As [`stands_for`](Self::stands_for), where looks need not tell one wait from the next. Returns who
    /// this is, for those who look.
    #[inline]
    pub(crate) fn stands_at(&self, address: usize) -> Short {
        let Kind::Green { waiter, .. } = &self.kind else {
            return Short::caller();
        };
        // SAFETY: a green thread's waiter.
        let task = unsafe { Task::of(*waiter) };
        // SAFETY: it is alive as it runs.
        let task = unsafe { task.as_ref() };
        task.set_subject(address);
        Short::of_green(task.id())
    }

    /// Waits until the ticket is called, or `deadline` calls it.
    ///
    /// After [`Verdict::CalledOff`] the caller must take its nodes out and then [`unwind`].
    #[track_caller]
    pub(crate) fn park(&self, reason: Reason, deadline: Option<Instant>) -> Verdict {
        self.park_at(Location::caller(), reason, deadline)
    }

    /// As [`park`](Self::park), as dumps are to tell: at a place of the program.
    #[inline]
    pub(crate) fn park_at(
        &self,
        caller: &'static Location<'static>,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Verdict {
        match &self.kind {
            Kind::Green { waiter, home } => {
                // SAFETY: a green thread's waiter.
                let task = unsafe { Task::of(*waiter) };
                // SAFETY: it is alive as it runs.
                unsafe { task.as_ref() }.waits_at(caller);
                // SAFETY: a green thread's home outlives its run.
                let home = unsafe { home.as_ref() };
                let alarm = deadline.map(|it| home.set_alarm(it, *waiter));
                if backtraces::are_kept() {
                    // SAFETY: it is alive as it runs.
                    let id = unsafe { task.as_ref() }.id();
                    let suspend = || home.suspend(*waiter, Suspend::Park, reason);
                    backtraces::keep_during(id, suspend);
                } else {
                    home.suspend(*waiter, Suspend::Park, reason);
                }
                // SAFETY: the running green thread's own record.
                let verdict = unsafe { waiter.as_ref() }.finish();
                if let Some(alarm) = alarm {
                    home.cancel_alarm(alarm);
                }
                verdict
            }
            Kind::Thread(thread) => thread.park_listed(caller, reason, deadline),
        }
    }
}

impl ThreadWaiter {
    /// Lists this thread among those that wait, if others might wait for it.
    fn list(
        &self,
        caller: &'static Location<'static>,
        reason: Reason,
    ) -> Option<kernel_waits::Listed> {
        let waiter = NonNull::from(&self.waiter);
        let subject = self.subject.get();
        // SAFETY: the waiter stays until after the list has forgotten it, which is before `park_at` returns.
        unsafe { kernel_waits::list(waiter, reason, subject, caller) }
    }

    #[cold]
    fn park_listed(
        &self,
        caller: &'static Location<'static>,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Verdict {
        let _listed = self.list(caller, reason);
        // SAFETY: an entered context stays until it is left.
        let context = unsafe { home::context().as_ref() };
        let unwinds = std::thread::panicking();
        if let Some(waiter) = context.and_then(Context::running).filter(|_| unwinds) {
            // SAFETY: what runs is a green thread.
            let task = unsafe { Task::of(waiter) };
            let mut verdict = Verdict::Retry;
            // SAFETY: it is alive as it runs.
            unsafe { task.as_ref() }.keep_thread(caller, reason, || verdict = self.park(deadline));
            return verdict;
        }
        self.park(deadline)
    }

    fn park(&self, deadline: Option<Instant>) -> Verdict {
        if !self.sleep(deadline) {
            let waiter = NonNull::from(self).cast();
            // SAFETY: `self` is alive.
            match unsafe { Waiter::call(waiter, Verdict::TimedOut) } {
                // Nobody else will wake this thread, and it need not be woken.
                Some(call) => {
                    let _not_owed = ManuallyDrop::new(call);
                }
                // Called, or held, at the last moment: the token is on its way.
                None => _ = self.sleep(None),
            }
        }
        self.waiter.finish()
    }

    /// Sleeps until there is a token; `false` if `deadline` comes first.
    fn sleep(&self, deadline: Option<Instant>) -> bool {
        if deadline.is_none() {
            crate::scheduler::monitor::thread_sleeps();
        }
        match home::home() {
            // SAFETY: the home of an entered context is valid.
            Some(home) => unsafe { home.as_ref() }.park_kernel_thread(&self.parker, deadline),
            None => self.parker.nap_or_park(deadline),
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

/// Unwinds a green thread whose wait was called off, after its nodes are out of every line.
pub(crate) fn unwind() -> ! {
    // SAFETY: an entered context stays until it is left.
    if let Some(context) = unsafe { home::context().as_ref() } {
        context.set_called_off(true);
    }
    resume_unwind(Box::new(Shutdown))
}

/// The calling thread unwinds for a reason that must poison what it leaves half done: a panic, and not
/// the shutdown of its runtime.
#[inline]
pub(crate) fn poisons() -> bool {
    std::thread::panicking() && !is_called_off()
}

#[cold]
fn is_called_off() -> bool {
    // SAFETY: an entered context stays until it is left.
    unsafe { home::context().as_ref() }.is_some_and(Context::is_called_off)
}

/// Gives way to the other runnable green threads; on a kernel thread, to other kernel threads.
#[inline]
pub(crate) fn yield_now() {
    match home::running() {
        Some((waiter, home)) => {
            // SAFETY: the home of a running green thread is valid.
            unsafe { home.as_ref() }.suspend(waiter, Suspend::Yield, Reason::None);
        }
        None => std::thread::yield_now(),
    }
}

/// The end of an announced blocking call, also by a panic.
struct Ends(Option<NonNull<dyn Home>>);
impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(home) = self.0 {
            // SAFETY: the context that it is from is still entered.
            unsafe { home.as_ref() }.blocking_ends();
        }
    }
}

/// Runs `f`, which may block its kernel thread, while that thread's other work goes on elsewhere.
#[track_caller]
pub(crate) fn blocking<T>(f: impl FnOnce() -> T) -> T {
    if let Some((waiter, home)) = home::running() {
        // SAFETY: the running green thread.
        let task = unsafe { Task::of(waiter) };
        // SAFETY: it is alive as it runs.
        unsafe { task.as_ref() }.waits_at(Location::caller());
        let mut f = Some(f);
        let mut result = None;
        // SAFETY: the home of a running green thread is valid.
        unsafe { home.as_ref() }.block(&mut || {
            result = f.take().map(|it| catch_unwind(AssertUnwindSafe(it)));
        });
        return match result {
            Some(Ok(value)) => value,
            Some(Err(payload)) => resume_unwind(payload),
            None => unreachable!("a home runs the job"),
        };
    }
    // A plain kernel thread, or a call inside another, or a green thread that unwinds.
    keeping(false, f)
}

/// Runs `f`, which waits for another thread of this crate in a way of its own, on a kernel thread that it
/// keeps: a plain one, one in a blocking call, or that of a green thread which unwinds.
pub(crate) fn waiting<T>(f: impl FnOnce() -> T) -> T {
    keeping(true, f)
}

/// As [`waiting`], for a wait that only another thread can end.
pub(crate) fn napping<T>(f: impl FnOnce() -> T) -> T {
    waiting(|| {
        crate::scheduler::monitor::thread_sleeps();
        let _nap = Nap::begin();
        f()
    })
}

fn keeping<T>(waits: bool, f: impl FnOnce() -> T) -> T {
    let home = home::home();
    if let Some(home) = home {
        // SAFETY: the home of an entered context is valid.
        unsafe { home.as_ref() }.blocking_begins(waits);
    }
    let _ends = Ends(home);
    f()
}

/// Runs `start`, which starts a process. That begins with nothing that was asked of the kernel for the
/// calling thread's sake.
pub(crate) fn start_process<T>(mut start: impl FnMut() -> T) -> T {
    let Some(home) = home::home() else {
        return start();
    };
    let mut started = None;
    // SAFETY: the home of an entered context is valid.
    unsafe { home.as_ref() }.start_process(&mut || started = Some(start()));
    started.unwrap_or_else(|| unreachable!("a home runs it"))
}

/// Stands in a line of what `lock` guards, lets go of the lock and waits to be called: the whole of a
/// wait in one line.
///
/// # Errors
///
/// [`TimedOut`] if `deadline` came first. Then, and when it unwinds because the wait was called off, it
/// stands in the line no more and nothing was given to it.
#[track_caller]
pub(crate) fn wait_in_line<T>(
    lock: &Lock<T>,
    guard: Guard<'_, T>,
    line: impl Fn(&mut T) -> &mut Line,
    slot: *mut (),
    reason: Reason,
    deadline: Option<Instant>,
) -> Result<(), TimedOut> {
    let place = Place {
        end: End::Back,
        slot,
        reason,
        subject: 0,
        caller: Location::caller(),
    };
    wait_at(lock, guard, line, place, deadline)
}

/// Where to stand in a line, and what others find there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) end: End,
    pub(crate) slot: *mut (),
    /// What is waited for, for dumps.
    pub(crate) reason: Reason,
    /// What this waits for, see [`Waiting::stands_for`]; zero for reasons that give it no meaning. Of one who
    /// may be moved it is what it waits for after that.
    pub(crate) subject: usize,
    /// The place in the program, for dumps.
    pub(crate) caller: &'static Location<'static>,
}

/// An end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Before all others: for one who has waited before.
    Front,
    Back,
}

/// As [`wait_in_line`], at either end.
///
/// # Errors
///
/// As [`wait_in_line`].
pub(crate) fn wait_at<T>(
    lock: &Lock<T>,
    guard: Guard<'_, T>,
    line: impl Fn(&mut T) -> &mut Line,
    place: Place,
    deadline: Option<Instant>,
) -> Result<(), TimedOut> {
    match wait(lock, guard, line, None, place, deadline, || {}) {
        Ok(_) => Ok(()),
        Err(Late { .. }) => Err(TimedOut),
    }
}

/// The deadline of a wait in a line whose members may be moved to another came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late {
    /// It stood in the second line by then.
    pub(crate) moved: bool,
}

/// As [`wait_in_line`], at either end, of a line whose members may be [moved](Line::move_to) to `second`, and
/// `then` is run between standing there (the lock is let go) and parking. It must not panic. Says
/// whether it was called in the second line.
///
/// # Errors
///
/// [`Late`] if `deadline` came first. Then, and when it unwinds because the wait was called off, it
/// stands in neither line and nothing was given to it.
pub(crate) fn wait_movable<T>(
    lock: &Lock<T>,
    guard: Guard<'_, T>,
    line: impl Fn(&mut T) -> &mut Line,
    second: &Lock<Line>,
    place: Place,
    deadline: Option<Instant>,
    then: impl FnOnce(),
) -> Result<bool, Late> {
    wait(lock, guard, line, Some(second), place, deadline, then)
}

/// What one who may be moved [stands for](Waiting::stands_for): the index of its node, [`MOVED`] if it was,
/// and what it waits for then. `repr(C)`: `observe::subject` looks at it.
#[repr(C)]
struct Movable(*const usize, usize);

#[inline]
fn wait<T>(
    lock: &Lock<T>,
    mut guard: Guard<'_, T>,
    line: impl Fn(&mut T) -> &mut Line,
    second: Option<&Lock<Line>>,
    place: Place,
    deadline: Option<Instant>,
    then: impl FnOnce(),
) -> Result<bool, Late> {
    let waiting = Waiting::new();
    waiting.open();
    let mut node = Node::new(waiting.waiter(), FIRST, place.slot);
    let node = NonNull::from(&mut node);
    match place.end {
        // SAFETY: the node is fresh and its ticket open; it stays in this frame until it was called
        // or is removed below.
        End::Front => unsafe { line(&mut guard).push_front(node) },
        // SAFETY: as above.
        End::Back => unsafe { line(&mut guard).push_back(node) },
    }
    drop(guard);
    then();
    // SAFETY: the node is valid; others change what is there, so this is no reference.
    let movable = Movable(unsafe { &raw const (*node.as_ptr()).index }, place.subject);
    if place.subject != 0 {
        let subject = match second {
            // Exposed: the kernel copies it for those who look.
            Some(_) => ptr::from_ref(&movable).expose_provenance(),
            None => place.subject,
        };
        waiting.stands_for(subject, deadline);
    }
    let verdict = waiting.park_at(place.caller, place.reason, deadline);
    if let Verdict::Chosen(index) = verdict {
        return Ok(index == MOVED);
    }
    let mut guard = lock.lock();
    // SAFETY: the node is valid, and the first line's lock is ours.
    let moved = second.filter(|_| unsafe { Line::was_moved(node) });
    if let Some(second) = moved {
        drop(guard);
        let mut guard = second.lock();
        // SAFETY: the node stands in this line, as nobody is moved on from there.
        unsafe { guard.remove(node) };
    } else {
        // SAFETY: the node stands in this line, and nobody can move it now.
        unsafe { line(&mut guard).remove(node) };
        drop(guard);
    }
    match verdict {
        Verdict::TimedOut => Err(Late {
            moved: moved.is_some(),
        }),
        // No line of this kind holds those who stand in it.
        Verdict::CalledOff | Verdict::Retry | Verdict::Chosen(_) => unwind(),
    }
}

/// No value for those who look into a node's slot.
pub(crate) const NO_SLOT: *mut () = ptr::null_mut();

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{NO_SLOT, TimedOut, line::Line, reason::Reason, wait_in_line};
    use crate::base::lock::Lock;
    use std::{
        thread,
        time::{Duration, Instant},
    };

    #[test]
    fn a_kernel_thread_waits_until_it_is_called() {
        let line = Lock::new(Line::new());
        thread::scope(|scope| {
            let waiter = scope
                .spawn(|| wait_in_line(&line, line.lock(), |it| it, NO_SLOT, Reason::Park, None));
            loop {
                if let Some(called) = line.lock().call_first() {
                    called.call.wake();
                    break;
                }
                thread::yield_now();
            }
            assert_eq!(waiter.join().ok(), Some(Ok(())));
        });
        assert!(line.lock().is_empty());
    }

    #[test]
    fn a_deadline_takes_the_waiter_out_of_its_line() {
        let line = Lock::new(Line::new());
        let deadline = Some(Instant::now() + Duration::from_millis(2));
        let late = wait_in_line(&line, line.lock(), |it| it, NO_SLOT, Reason::Park, deadline);
        assert_eq!(late, Err(TimedOut));
        assert!(Some(Instant::now()) >= deadline);
        assert!(line.lock().is_empty());
    }

    /// Whoever is called was in time, and whoever was in time is called: nothing is lost between.
    #[test]
    fn calls_and_deadlines_are_conserved() {
        let line = Lock::new(Line::new());
        let (mut in_time, mut called) = (0, 0);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                (0..2_000)
                    .filter(|it| {
                        let deadline = Some(Instant::now() + Duration::from_micros(it % 60));
                        wait_in_line(&line, line.lock(), |it| it, NO_SLOT, Reason::Park, deadline)
                            .is_ok()
                    })
                    .count()
            });
            while !waiter.is_finished() {
                let first = line.lock().call_first();
                called += usize::from(first.is_some());
                drop(first);
                thread::yield_now();
            }
            in_time = waiter.join().expect("the waiter");
        });
        assert_eq!(in_time, called);
    }
}
