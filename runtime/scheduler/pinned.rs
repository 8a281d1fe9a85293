//! Green threads that have a kernel thread of their own: for what is bound to a thread.
//!
//! Such a thread is a home with one inhabitant, which runs on the kernel thread's own stack. To wait, it
//! sleeps; whoever calls its ticket unparks it. What it spawns goes to the runtime. So it looks like any
//! other green thread to those who wake it, join it or call it off, and needs no processor.
//!
//! The records are kept for ever, and used again, by any runtime: whoever refers to a green thread that has
//! ended may still ask for its home, and nothing keeps its runtime then.

#![expect(
    unsafe_code,
    reason = "the inhabitant refers to its home by a plain pointer"
)]

use super::{Scheduler, kernel, more_ids};
use crate::{
    base::{
        parker::Parker,
        primitives::{
            AtomicPtr,
            Ordering::{Acquire, Relaxed, Release},
        },
        slab,
    },
    coroutine::{overflow::AlternateStack, stack::StackClass},
    task::Task,
    wait::{
        home::{self, Alarm, Context, Fresh, Home, Pin, Suspend},
        reason::Reason,
        ticket::{Verdict, Waiter, Wake},
    },
};
use std::{
    cell::Cell,
    io,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    thread,
    time::Instant,
};

/// A kernel thread with one green thread.
#[derive(Debug)]
pub(super) struct Pinned {
    parker: Parker,
    /// Who is to live here, once it is known.
    inhabitant: AtomicPtr<Task>,
    /// A kernel thread uses this record.
    taken: AtomicBool,
    /// Until when the inhabitant's present wait may last. Its own thread's.
    deadline: Cell<Option<Instant>>,
    /// Alive as long as there is an inhabitant; then perhaps gone.
    scheduler: AtomicPtr<Scheduler>,
}

/// All records.
static RECORDS: Mutex<Vec<&'static Pinned>> = Mutex::new(Vec::new());

// SAFETY: the cell is the kernel thread's own; the rest is shared by design.
unsafe impl Sync for Pinned {}
// SAFETY: as above.
unsafe impl Send for Pinned {}

/// Wakes the inhabitant.
///
/// # Safety
///
/// `waiter` is the first field of a task whose home is a [`Pinned`]; it was called, is parked, and this is
/// its wake-up.
unsafe fn wake(waiter: NonNull<Waiter>) {
    // SAFETY: by the caller.
    let task = unsafe { Task::of(waiter) };
    // SAFETY: a task that is to be woken is alive.
    let home = unsafe { task.as_ref() }.home();
    // SAFETY: by the caller; the record stays as long as the scheduler.
    unsafe { home.cast::<Pinned>().as_ref() }
        .parker
        .unpark_napper();
}

impl Scheduler {
    /// A kernel thread for one green thread, which waits for it, and a block for its record.
    pub(super) fn start_pinned(&self, name: Option<&str>) -> io::Result<Pin> {
        if self.is_closing_down() {
            return Err(io::Error::other("the runtime is shutting down"));
        }
        let block = slab::allocate_global()?;
        let record = self.pinned_record();
        // SAFETY: every scheduler is made by `start`, in an `Arc`, and is alive.
        unsafe { Arc::increment_strong_count(self) };
        // SAFETY: counted just now.
        let scheduler = unsafe { Arc::from_raw(self) };
        let name = name.unwrap_or(&self.config.name).to_owned();
        let home = record.as_home();
        let bytes = super::worker::NATIVE_STACK_BYTES;
        let live = move || record.live(&scheduler);
        let started = self.origin.start(name, bytes, live);
        match started {
            Ok(_runs_by_itself) => Ok(Pin {
                home,
                fresh: Fresh {
                    block,
                    id: more_ids(1).0,
                },
            }),
            Err(error) => {
                record.taken.store(false, Release);
                // SAFETY: it was allocated just now.
                unsafe { slab::free_global(block) };
                Err(error)
            }
        }
    }

    /// A record that no kernel thread uses.
    fn pinned_record(&self) -> &'static Pinned {
        let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        // Acquire: what the last user did.
        let free = records.iter().find(|it| !it.taken.swap(true, Acquire));
        let record = free.copied().unwrap_or_else(|| {
            let record: &'static Pinned = Box::leak(Box::new(Pinned {
                parker: Parker::new(),
                inhabitant: AtomicPtr::new(ptr::null_mut()),
                taken: AtomicBool::new(true),
                deadline: Cell::new(None),
                scheduler: AtomicPtr::new(ptr::null_mut()),
            }));
            records.push(record);
            record
        });
        record
            .scheduler
            .store(ptr::from_ref(self).cast_mut(), Relaxed);
        record
    }
}

impl Pinned {
    fn as_home(&self) -> NonNull<dyn Home> {
        NonNull::from(self as &dyn Home)
    }

    fn scheduler(&self) -> &Scheduler {
        // SAFETY: for the inhabitant and its spawner, whose kernel thread keeps the scheduler.
        unsafe { &*self.scheduler.load(Relaxed) }
    }

    /// The kernel thread's life.
    fn live(&self, scheduler: &Arc<Scheduler>) {
        kernel::punctual_timers();
        // std's own has little room for handlers that interrupt each other.
        let _alternate = AlternateStack::arm();
        let context = Context::new(self.as_home());
        // One token comes with the inhabitant, and one with each wake-up: none is ever left over.
        self.parker.park(None);
        // Acquire: the record of the inhabitant.
        let Some(task) = NonNull::new(self.inhabitant.load(Acquire)) else {
            return;
        };
        home::enter(&context, || {
            // SAFETY: it is alive by the runtime's share.
            let record = unsafe { task.as_ref() };
            record.set_started();
            context.set_running(Some(NonNull::from(record.waiter())));
            // SAFETY: this thread's stack is the task's own, and it runs once.
            unsafe { record.run() };
            context.set_running(None);
            record.set_fiber(None);
        });
        // SAFETY: the runtime's share, given back once; outside of the context, whose home is this.
        unsafe { Task::release(task) };
        self.inhabitant.store(ptr::null_mut(), Relaxed);
        // Release: for the next user.
        self.taken.store(false, Release);
        scheduler.finished(None);
    }
}

impl Home for Pinned {
    fn suspend(&self, waiter: NonNull<Waiter>, how: Suspend, reason: Reason) {
        if how == Suspend::Yield {
            return thread::yield_now();
        }
        // SAFETY: the inhabitant, which calls.
        let task = unsafe { Task::of(waiter) };
        // SAFETY: it is alive as it runs.
        let task = unsafe { task.as_ref() };
        task.set_reason(reason);
        let deadline = self.deadline.take();
        if task.waiter().park() {
            return; // Woken already.
        }
        if deadline.is_none() {
            super::monitor::thread_sleeps();
        }
        if self.parker.nap_or_park(deadline) {
            return;
        }
        // SAFETY: the inhabitant's own ticket.
        match unsafe { Waiter::call(waiter, Verdict::TimedOut) } {
            // Nobody else will wake this thread, and it need not be woken.
            Some(call) => {
                let _not_owed = ManuallyDrop::new(call);
            }
            // Called, or held, at the last moment: the token is on its way.
            None => _ = self.parker.park(None),
        }
    }

    fn set_alarm(&self, deadline: Instant, _waiter: NonNull<Waiter>) -> Alarm {
        self.deadline.set(Some(deadline));
        Alarm { shard: 0, key: 0 }
    }

    fn cancel_alarm(&self, _alarm: Alarm) {}

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn start(&self, task: NonNull<Waiter>) {
        self.scheduler().start(task);
    }

    fn launch(&self, task: NonNull<Waiter>) {
        self.scheduler().outside.spawned.fetch_add(1, Relaxed);
        // SAFETY: a fresh green thread's waiter.
        let task = unsafe { Task::of(task) };
        // Release: its record.
        self.inhabitant.store(task.as_ptr(), Release);
        self.parker.unpark_napper();
    }

    fn allocate(&self, class: &'static StackClass) -> io::Result<Fresh> {
        self.scheduler().allocate(class)
    }

    unsafe fn free(&self, block: NonNull<u8>) {
        // SAFETY: by the caller.
        unsafe { slab::free_global(block) };
    }

    fn home_of_spawned(&self) -> NonNull<dyn Home> {
        self.scheduler().as_home()
    }

    fn wake(&self) -> Wake {
        wake
    }

    fn is_closing(&self) -> bool {
        self.scheduler().is_closing()
    }

    fn number(&self) -> u32 {
        self.scheduler().number()
    }

    fn start_process(&self, start: &mut dyn FnMut()) {
        self.scheduler().start_process(start);
    }

    fn pin(&self, name: Option<&str>) -> io::Result<Pin> {
        self.scheduler().start_pinned(name)
    }

    fn stack_class(&self) -> &'static StackClass {
        self.scheduler().stack_class()
    }

    fn block(&self, job: &mut dyn FnMut()) {
        job();
    }

    fn blocking_begins(&self, _waits: bool) {}

    fn blocking_ends(&self) {}
}
