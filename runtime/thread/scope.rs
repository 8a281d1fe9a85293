//! Green threads that borrow from their parent, which waits for them.

#![expect(
    unsafe_code,
    reason = "children borrow from a frame that waits for them"
)]

use super::{
    Thread,
    spawn::{self, Wish},
};
use crate::{
    base::lock::Lock,
    task::TaskRef,
    wait::{
        self, Shutdown, Waiting,
        line::{Line, Node},
        reason::Reason,
        ticket::Verdict,
    },
};
use std::{
    fmt, io,
    marker::PhantomData,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    thread,
};

/// A scope whose green threads may borrow what lives outside of it. See [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    family: Arc<Family>,
    borrowed: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// The children of a scope, which hold on to it.
struct Family {
    /// Children that have not ended, and one for the parent until it waits.
    running: AtomicUsize,
    /// A child panicked that nobody joined.
    panicked: AtomicBool,
    /// A child was called off that nobody joined, or dropped before it ran.
    called_off: AtomicBool,
    parent: Lock<Line>,
}

impl Family {
    /// Somebody has ended; the last calls the parent.
    fn leave(&self) {
        // Release: what the child did, to the parent; Acquire, to pass on what others did.
        if self.running.fetch_sub(1, AcqRel) == 1 {
            let call = self.parent.lock().call_first();
            drop(call);
        }
    }
}

/// Runs `f` with a scope in which green threads can be started that borrow from here.
///
/// Whatever was started in the scope and not joined is joined before this returns. The caller waits, a
/// green thread parked, a kernel thread asleep; the children run on the runtime on which it was called.
///
/// # Examples
///
/// ```
/// let mut words = vec!["sward", "turf", "lawn"];
/// let mut longest = 0;
/// sward::scope(|scope| {
///     scope.spawn(|| longest = words.iter().map(|it| it.len()).max().unwrap_or(0));
/// });
/// words.push("green");
/// assert_eq!(longest, 5);
/// ```
///
/// # Panics
///
/// If a child panicked that was not joined, or `f` did: after all children have ended. If a child that was
/// not joined could not do its work because the runtime shuts down, the caller unwinds as it does.
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let family = Arc::new(Family {
        running: AtomicUsize::new(1),
        panicked: AtomicBool::new(false),
        called_off: AtomicBool::new(false),
        parent: Lock::new(Line::new()),
    });
    let scope = Scope {
        family: Arc::clone(&family),
        borrowed: PhantomData,
        env: PhantomData,
    };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    family.wait();
    match result {
        // Perhaps on another kernel thread by now, which must know that this is no panic.
        Err(payload) if payload.is::<Shutdown>() => wait::unwind(),
        Err(payload) => resume_unwind(payload),
        Ok(_) if family.panicked.load(Relaxed) => panic!("a scoped thread panicked"),
        // The runtime shuts down. Whoever called this relies on what the child did not do.
        Ok(_) if family.called_off.load(Relaxed) => wait::unwind(),
        Ok(value) => value,
    }
}

impl Family {
    /// Waits for all children. It is not called off: they are, and end.
    #[track_caller]
    fn wait(&self) {
        let mut line = self.parent.lock();
        let waiting = Waiting::new();
        waiting.open_shielded();
        let mut node = Node::new(waiting.waiter(), 0, ptr::null_mut());
        let node = NonNull::from(&mut node);
        // SAFETY: a fresh node, which stays in this frame until it is called or removed below.
        unsafe { line.push_back(node) };
        drop(line);
        // The parent's own. Acquire: what the children did.
        if self.running.fetch_sub(1, AcqRel) == 1 {
            let mut line = self.parent.lock();
            // SAFETY: it stands in this line.
            unsafe { line.remove(node) };
            drop(line);
            if waiting.withdraw() {
                return;
            }
        }
        let verdict = waiting.park(Reason::Scope, None);
        debug_assert_eq!(verdict, Verdict::Chosen(0));
        // Acquire: what the children did.
        self.running.load(Acquire);
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a green thread that may borrow whatever outlives the scope.
    ///
    /// See [`spawn`](super::spawn()) for when it runs. If the handle is not joined, the end of the scope
    /// joins it.
    ///
    /// # Panics
    ///
    /// If there is no memory for it; [`Builder::spawn_scoped`](super::Builder::spawn_scoped) returns an
    /// error instead.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match self.spawn_with(Wish::new(), f) {
            Ok(handle) => handle,
            Err(error) => panic!("failed to spawn a green thread: {error}"),
        }
    }

    pub(super) fn spawn_with<F, T>(
        &'scope self,
        wish: Wish,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let packet = Arc::new(Packet {
            result: Lock::new(None),
            family: Arc::clone(&self.family),
        });
        // Relaxed: the scope's own thread has one.
        self.family.running.fetch_add(1, Relaxed);
        let child = Child {
            f,
            place: Place(Arc::clone(&packet)),
            member: Member(Arc::clone(&self.family)),
        };
        let child = move || child.live();
        let task = spawn::here(|home| {
            // SAFETY: what the child borrows outlives the scope, which does not end before the child has
            // left the family, when its closure and its result are gone or in the handle's hands.
            unsafe { spawn::start(home, wish, child) }
        })??;
        let handle = ScopedJoinHandle {
            thread: Thread::green(task),
            packet,
            borrowed: PhantomData,
        };
        wait::point();
        Ok(handle)
    }
}

/// A place in the family, given up on drop.
struct Member(Arc<Family>);

impl Drop for Member {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A child, run or not. The order of the fields is the order in which they go: it leaves the family when
/// all that may borrow from the parent is gone, or in the handle's hands.
struct Child<F, T> {
    f: F,
    place: Place<T>,
    member: Member,
}

/// Where a child is to leave its result.
struct Place<T>(Arc<Packet<T>>);

impl<T> Drop for Place<T> {
    /// A runtime that shuts down drops the closures of those that never ran.
    fn drop(&mut self) {
        self.0
            .result
            .lock()
            .get_or_insert_with(|| Err(Box::new(Shutdown)));
    }
}

impl<F: FnOnce() -> T, T> Child<F, T> {
    fn live(self) {
        let Self { f, place, member } = self;
        let result = catch_unwind(AssertUnwindSafe(f));
        *place.0.result.lock() = Some(result);
        drop(place);
        drop(member);
    }
}

/// Where a child leaves its result.
struct Packet<T> {
    result: Lock<Option<thread::Result<T>>>,
    family: Arc<Family>,
}

impl<T> Drop for Packet<T> {
    /// Nobody will join the child any more, or somebody has.
    fn drop(&mut self) {
        let result = self.result.lock().take();
        if let Some(Err(payload)) = &result {
            let flag = if payload.is::<Shutdown>() {
                &self.family.called_off
            } else {
                &self.family.panicked
            };
            flag.store(true, Relaxed);
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(result))) {
            self.family.panicked.store(true, Relaxed);
            let _leaked = ManuallyDrop::new(payload);
        }
    }
}

/// The right to join a scoped green thread. See [`Scope::spawn`].
pub struct ScopedJoinHandle<'scope, T> {
    thread: Thread,
    packet: Arc<Packet<T>>,
    borrowed: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits until it has ended, and returns what it returned. See
    /// [`JoinHandle::join`](super::JoinHandle::join).
    ///
    /// # Errors
    ///
    /// The payload of its panic.
    #[track_caller]
    pub fn join(self) -> thread::Result<T> {
        self.task().wait_done();
        let result = self.packet.result.lock().take();
        // It may have been left behind by its runtime.
        result.unwrap_or_else(|| Err(Box::new(Shutdown)))
    }

    /// The green thread itself.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.task().is_done()
    }

    fn task(&self) -> &TaskRef {
        match self.thread.task() {
            Some(task) => task,
            None => unreachable!("a handle's thread is green"),
        }
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("running", &self.family.running.load(Relaxed))
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").finish_non_exhaustive()
    }
}
