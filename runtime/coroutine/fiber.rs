//! A stack with a function half run on it, and the switch onto it and off it again.
//!
//! The only file that names `corosensei`. Above it there are no stack pointers, only a [`Fiber`] that
//! a worker resumes and from which the code on it gives way.
//!
//! A fiber never ends: its body calls the entry, tells its worker [`FINISHED`], and waits for the
//! next input. So a stack that is used again is entered by a plain switch, on pages and cache lines
//! that are warm.
//!
//! [`Head`] lies right above the stack. Its first 48 bytes share a cache line with the 16 in which
//! the switch keeps its link to the worker, and are all that a switch looks at.
//!
//! # Edges
//!
//! None of its own. Whoever resumes a fiber must have seen what its last worker did: queues and wakes
//! carry that.
//!
//! # Not done
//!
//! Floating-point control words are not switched: a task that changes them changes them for its
//! worker.

#![expect(unsafe_code, reason = "a suspended stack moves from thread to thread")]

use super::{
    guard::TAKEN_AT_ONCE,
    range::Guarded,
    stack::{Slot, SlotId, StackClass, Taken},
};
use crate::base::{
    memory,
    primitives::global::{AtomicPtr, Ordering::Relaxed},
};
use corosensei::{Coroutine, CoroutineResult, stack::StackPointer};
use std::{
    cell::Cell,
    convert::Infallible,
    fmt, io,
    mem::{self, offset_of},
    ops::Range,
    ptr::{self, NonNull},
};

/// What [`Fiber::resume`] returns when the entry has returned. Not for [`Fiber::suspend`].
pub(crate) const FINISHED: usize = usize::MAX;

/// What runs on a fiber, with the input of the first resume. It must not unwind: that aborts.
pub(crate) type Entry = unsafe fn(*mut ());

type Routine = Coroutine<*mut (), usize, Infallible, Span>;
type Yielder = corosensei::Yielder<*mut (), usize>;

/// How far apart the tops of neighbouring slots are in their pages.
const COLOUR_BYTES: usize = 192;
const COLOURS: usize = 8;
/// From the top to the head. It makes the head begin 16 bytes into a cache line.
const HEAD_BYTES: usize = 112;

const _: () = assert!(size_of::<Head>() <= HEAD_BYTES && (128 - HEAD_BYTES) == 16);
const _: () = assert!(offset_of!(Head, left_at) + size_of::<usize>() <= 48);

/// What lies above a fiber's stack.
#[repr(C, align(16))]
struct Head {
    routine: Routine,
    /// Where the code on the fiber gives way; set when it first runs.
    yielder: *const Yielder,
    /// About where the code has left off, for the caches.
    left_at: Cell<usize>,
    /// Whose fiber it is at present, for the report of an overflow.
    task: AtomicPtr<()>,
    entry: Entry,
    class: &'static StackClass,
    slot: SlotId,
    /// The lowest byte of the stack.
    bottom: usize,
}

/// A stack as `corosensei` wants it.
struct Span {
    head: NonNull<Head>,
}

// SAFETY: from `base` down to the slot's start lies memory of this slot alone, more than 4096 bytes,
// and its lowest page faults.
unsafe impl corosensei::stack::Stack for Span {
    fn base(&self) -> StackPointer {
        // The head begins at a multiple of 16.
        self.head.addr()
    }

    fn limit(&self) -> StackPointer {
        // SAFETY: the head lives as long as its fiber; `bottom` is written before the coroutine.
        let bottom = unsafe { (*self.head.as_ptr()).bottom };
        StackPointer::new(bottom - memory::page_bytes()).unwrap_or(StackPointer::MIN)
    }
}

/// A stack, and what runs on it. A plain address: whoever has it sees to it that nobody else does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fiber {
    head: NonNull<Head>,
}

// SAFETY: what is on a fiber's stack moves with it; `resume` is unsafe and says what else must hold.
// The fields that others than its user look at never change or are atomic.
unsafe impl Send for Fiber {}
// SAFETY: as above.
unsafe impl Sync for Fiber {}

impl Fiber {
    /// A fiber for one task, from the pool, or else from the slab. Cannot fail.
    ///
    /// # Safety
    ///
    /// The caller has the promise of a stack of `class`, and keeps it until the fiber went back by
    /// [`FiberPool::put`].
    #[inline]
    pub(crate) unsafe fn bind(class: &'static StackClass, pool: &mut FiberPool) -> Self {
        if ptr::eq(class, pool.class)
            && let Some(fiber) = pool.hot.pop()
        {
            return fiber;
        }
        pool.fetch(class)
    }

    /// Runs what is on the fiber until it gives way; returns what it gave, or [`FINISHED`].
    ///
    /// # Safety
    ///
    /// - The fiber is bound, and nobody else resumes it until this returns.
    /// - What its last worker did happened before.
    /// - `input` is what the entry expects, if it begins, or else what the caller of `suspend` does.
    #[inline]
    pub(crate) unsafe fn resume(self, input: *mut ()) -> usize {
        // SAFETY: the head is alive while the fiber is bound.
        let routine = unsafe { &raw mut (*self.head.as_ptr()).routine };
        // SAFETY: nobody else resumes it, and the code on the fiber touches other fields only.
        let routine = unsafe { &mut *routine };
        match routine.resume(input) {
            CoroutineResult::Yield(value) => value,
            CoroutineResult::Return(never) => match never {},
        }
    }

    /// Gives way to the worker, whose `resume` returns `value`. Returns the input of the next one,
    /// perhaps on another kernel thread.
    ///
    /// # Safety
    ///
    /// Called by the code that runs on this fiber. `value` is not [`FINISHED`].
    #[inline]
    pub(crate) unsafe fn suspend(self, value: usize) -> *mut () {
        let here = 0_u8;
        // SAFETY: the head is alive, as we run on the stack below it, and only we touch this field now.
        let left_at = unsafe { &(*self.head.as_ptr()).left_at };
        left_at.set(ptr::from_ref(&here).addr());
        // SAFETY: as above.
        let yielder = unsafe { (*self.head.as_ptr()).yielder };
        // SAFETY: set before the entry was called; it points to the top of this stack.
        let yielder = unsafe { &*yielder };
        yielder.suspend(value)
    }

    /// Lets the caches fetch what the next [`resume`](Self::resume) will touch.
    ///
    /// # Safety
    ///
    /// The fiber is bound, and nobody resumes it until this returns.
    #[inline]
    pub(crate) unsafe fn prefetch(self) {
        // SAFETY: the head is alive while the fiber is bound, and the code on it does not run.
        let left_at = unsafe { (*self.head.as_ptr()).left_at.get() };
        memory::prefetch(left_at);
        memory::prefetch(left_at + memory::CACHE_LINE);
    }

    /// Lets the caches fetch what [`prefetch`](Self::prefetch) will look at.
    #[inline]
    pub(crate) fn prefetch_head(self) {
        memory::prefetch(self.head.as_ptr().addr());
    }

    /// Takes a fiber back to the slab where no pool is at hand.
    ///
    /// # Safety
    ///
    /// As for [`FiberPool::put`].
    pub(crate) unsafe fn give_back(self) {
        // SAFETY: it is bound.
        unsafe { self.set_task(ptr::null()) };
        // SAFETY: it is bound.
        let class = unsafe { self.class() };
        class.put([slot_of(self)].into_iter());
    }

    /// Says whose fiber it is, to the report of an overflow.
    ///
    /// # Safety
    ///
    /// The fiber is bound.
    #[inline]
    pub(crate) unsafe fn set_task(self, task: *const ()) {
        // SAFETY: the head is alive while the fiber is bound.
        let owner = unsafe { &(*self.head.as_ptr()).task };
        // Relaxed: the handler runs on the thread that runs the fiber.
        owner.store(task.cast_mut(), Relaxed);
    }

    /// The addresses of its stack, without the guard.
    ///
    /// # Safety
    ///
    /// The fiber is bound.
    #[cfg_attr(not(test), expect(dead_code, reason = "asked by tests"))]
    pub(crate) unsafe fn bounds(self) -> Range<usize> {
        // SAFETY: the head is alive while the fiber is bound.
        let bottom = unsafe { (*self.head.as_ptr()).bottom };
        bottom..self.head.addr().get()
    }

    /// The class of its stack.
    ///
    /// # Safety
    ///
    /// The fiber is bound.
    #[inline]
    pub(crate) unsafe fn class(self) -> &'static StackClass {
        // SAFETY: the head is alive while the fiber is bound.
        unsafe { (*self.head.as_ptr()).class }
    }

    /// Makes a fiber on a slot that has nothing on it.
    fn build(class: &'static StackClass, slot: Slot, entry: Entry) -> Self {
        let down = top_to_head(slot.id.index());
        // SAFETY: less than two pages, and a slot has more.
        let head = unsafe { slot.end().sub(down) }.cast::<Head>();
        let at = head.as_ptr();
        // SAFETY: within the slot, which is ours alone; a multiple of 16.
        let bottom = unsafe { &raw mut (*at).bottom };
        // SAFETY: as above. `limit` may be asked for it from now on.
        unsafe { bottom.write(slot.start.addr().get() + memory::page_bytes()) };
        let routine = Routine::with_stack(Span { head }, move |yielder, input| {
            Fiber { head }.live(yielder, input)
        });
        // SAFETY: as above.
        unsafe {
            at.write(Head {
                routine,
                yielder: ptr::null(),
                left_at: Cell::new(head.addr().get()),
                task: AtomicPtr::new(ptr::null_mut()),
                entry,
                class,
                slot: slot.id,
                bottom: slot.start.addr().get() + memory::page_bytes(),
            });
        };
        Self { head }
    }

    /// What runs at the root of every fiber, from its first resume on.
    fn live(self, yielder: &Yielder, mut input: *mut ()) -> Infallible {
        let at = self.head.as_ptr();
        // SAFETY: the head is alive, and only we write this field.
        unsafe { (*at).yielder = yielder };
        loop {
            // SAFETY: the head is alive; the field changes only while we are suspended.
            let entry = unsafe { (*at).entry };
            // SAFETY: whoever resumed us with this input promised that it is what `entry` expects.
            unsafe { entry(input) };
            input = yielder.suspend(FINISHED);
        }
    }
}

impl fmt::Debug for Fiber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fiber").field(&self.head).finish()
    }
}

/// From the end of a slot down to its head, by the slot's number.
fn top_to_head(index: usize) -> usize {
    (index % COLOURS) * COLOUR_BYTES + HEAD_BYTES
}

/// Whose fiber has this stack. For a signal handler.
///
/// # Safety
///
/// The stack is in use.
pub(crate) unsafe fn task_on(stack: &Guarded) -> *const () {
    let head = stack.end - top_to_head(stack.index);
    let head = ptr::with_exposed_provenance::<Head>(head);
    // SAFETY: a stack that is in use has a head there.
    let task = unsafe { &(*head).task };
    task.load(Relaxed)
}

/// A processor's own idle fibers, last in, first out, so that the next task gets the hottest.
pub(crate) struct FiberPool {
    class: &'static StackClass,
    entry: Entry,
    /// Of that class, at most `hoard`, for which the pool holds promises of its own.
    hot: Vec<Fiber>,
    /// Stacks of that class with nothing on them yet; with `hot`, at most `hoard`.
    blank: Vec<Slot>,
    hoard: usize,
    /// Promises of stacks of that class that no task has, so that most spawns need no lock. At most
    /// `2 * hoard`.
    promises: usize,
}

impl FiberPool {
    /// A pool for stacks of `class`; others go to the slab and back. Its fibers run `entry`.
    ///
    /// # Errors
    ///
    /// When there is no memory for the stacks that it may keep.
    pub(crate) fn new(class: &'static StackClass, entry: Entry) -> io::Result<Self> {
        let hoard = class.hoard();
        class.reserve(hoard)?;
        Ok(Self {
            class,
            entry,
            hot: Vec::with_capacity(hoard),
            blank: Vec::with_capacity(hoard),
            hoard,
            promises: 0,
        })
    }

    /// Promises a stack of `class` to a task, for [`Fiber::bind`].
    ///
    /// # Errors
    ///
    /// As [`StackClass::reserve`].
    #[inline]
    pub(crate) fn reserve(&mut self, class: &'static StackClass) -> io::Result<()> {
        if ptr::eq(class, self.class) && self.promises > 0 {
            self.promises -= 1;
            return Ok(());
        }
        self.reserve_more(class)
    }

    /// Takes back the promise of a stack of `class`, whoever made it. The stack was never bound, or
    /// has been put back.
    #[inline]
    pub(crate) fn release(&mut self, class: &'static StackClass) {
        if !ptr::eq(class, self.class) {
            return class.release(1);
        }
        self.promises += 1;
        if self.promises > 2 * self.hoard {
            class.release(self.hoard);
            self.promises -= self.hoard;
        }
    }

    #[cold]
    fn reserve_more(&mut self, class: &'static StackClass) -> io::Result<()> {
        if ptr::eq(class, self.class) && class.reserve(self.hoard).is_ok() {
            self.promises = self.hoard - 1;
            return Ok(());
        }
        class.reserve(1)
    }

    /// Takes a fiber back.
    ///
    /// # Safety
    ///
    /// It is bound, its last resume returned [`FINISHED`], and nobody uses it any more. The promise of
    /// its stack may be released now.
    #[inline]
    pub(crate) unsafe fn put(&mut self, fiber: Fiber) {
        // SAFETY: it is bound.
        unsafe { fiber.set_task(ptr::null()) };
        // SAFETY: it is bound.
        let class = unsafe { fiber.class() };
        if !ptr::eq(class, self.class) {
            return class.put([slot_of(fiber)].into_iter());
        }
        if self.hot.len() + self.blank.len() == self.hoard {
            self.spill(self.hot.len().div_ceil(2));
        }
        self.hot.push(fiber);
    }

    /// Gives all idle fibers and promises back to the slab, so that they can be trimmed.
    pub(crate) fn flush(&mut self) {
        self.spill(self.hot.len());
        self.class.put_blank(self.blank.drain(..).map(|it| it.id));
        self.class.release(mem::take(&mut self.promises));
    }

    /// Gives the `count` fibers back that have been here for the longest.
    #[cold]
    fn spill(&mut self, count: usize) {
        self.class.put(self.hot.drain(..count).map(slot_of));
    }

    #[cold]
    fn fetch(&mut self, class: &'static StackClass) -> Fiber {
        let own = ptr::eq(class, self.class);
        if own && let Some(slot) = self.blank.pop() {
            return Fiber::build(class, slot, self.entry);
        }
        let want = if own {
            self.hoard.div_ceil(2).min(TAKEN_AT_ONCE)
        } else {
            1
        };
        let Self {
            entry, hot, blank, ..
        } = self;
        let mut first = None;
        class.take(want, |taken| match taken {
            Taken::Warm(slot) => {
                if let Some(colder) = first.replace(revive(slot, *entry)) {
                    hot.push(colder);
                }
            }
            // Its page is touched when it is needed.
            Taken::Blank(slot) => blank.push(slot),
        });
        match first.or_else(|| Some(Fiber::build(class, blank.pop()?, *entry))) {
            Some(fiber) => fiber,
            // `take` gives at least one.
            None => crate::base::fatal::fatal(format_args!("the slab gave no stack")),
        }
    }
}

impl Drop for FiberPool {
    fn drop(&mut self) {
        self.flush();
        self.class.release(self.hoard);
    }
}

impl fmt::Debug for FiberPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FiberPool")
            .field("class", &self.class)
            .field("hot", &self.hot.len())
            .finish_non_exhaustive()
    }
}

/// The slot of an idle fiber.
fn slot_of(fiber: Fiber) -> SlotId {
    // SAFETY: the head is alive: the fiber is out of the slab.
    unsafe { (*fiber.head.as_ptr()).slot }
}

/// The fiber that is suspended on a warm slot.
fn revive(slot: Slot, entry: Entry) -> Fiber {
    // SAFETY: less than two pages, and a slot has more.
    let head = unsafe { slot.end().sub(top_to_head(slot.id.index())) }.cast::<Head>();
    // SAFETY: a warm slot has a head; the slot is ours alone.
    unsafe { (*head.as_ptr()).entry = entry };
    Fiber { head }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Entry, FINISHED, Fiber, FiberPool};
    use crate::coroutine::stack::{DEFAULT_BYTES, StackClass};
    use std::ptr;

    /// What the fibers of these tests work on.
    struct Job {
        fiber: Option<Fiber>,
        steps: usize,
        sum: usize,
    }

    const COUNT: Entry = {
        unsafe fn count(job: *mut ()) {
            let job = job.cast::<Job>();
            // SAFETY: each test passes a live `Job` and does not look at it while the fiber runs.
            let fiber = unsafe { (*job).fiber }.expect("a fiber");
            // SAFETY: as above.
            for step in 0..unsafe { (*job).steps } {
                // SAFETY: we run on it.
                let input = unsafe { fiber.suspend(step) };
                // SAFETY: as above.
                unsafe { (*job).sum += input.addr() };
            }
        }
        count
    };

    #[test]
    fn a_fiber_counts_and_is_used_again() {
        let class = StackClass::of(DEFAULT_BYTES).expect("a class");
        let mut pool = FiberPool::new(class, COUNT).expect("memory");
        class.reserve(1).expect("memory");
        let mut seen = None;
        for _ in 0..3 {
            // SAFETY: one stack is promised.
            let fiber = unsafe { Fiber::bind(class, &mut pool) };
            assert!(
                *seen.get_or_insert(fiber) == fiber,
                "the hottest comes first"
            );
            let mut job = Job {
                fiber: Some(fiber),
                steps: 10,
                sum: 0,
            };
            let mut input = (&raw mut job).cast::<()>();
            for step in 0..10 {
                // SAFETY: bound; the input is what it expects.
                assert_eq!(unsafe { fiber.resume(input) }, step);
                input = ptr::without_provenance_mut(step + 1);
            }
            // SAFETY: as above.
            assert_eq!(unsafe { fiber.resume(input) }, FINISHED);
            assert_eq!(job.sum, 55);
            // SAFETY: it has finished.
            unsafe { pool.put(fiber) };
        }
        class.release(1);
    }
}
