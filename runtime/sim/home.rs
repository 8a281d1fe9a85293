//! What a simulated green thread may ask: the simulation as a [`Home`].
//!
//! Waits, yields and [points](Home::point) leave the stack, so that the simulation chooses anew. All but
//! [`wake`] is called on the simulation's own kernel thread.

#![expect(unsafe_code, reason = "switches stacks")]

use super::{
    log::What,
    simulation::{ABANDON, BLOCK, Member, PARK, Simulation, YIELD},
};
use crate::{
    base::{fatal::fatal, parker::Parker},
    coroutine::stack::StackClass,
    task::Task,
    wait::{
        home::{self, Alarm, Fresh, Home, Pin, Suspend},
        reason::Reason,
        ticket::{Waiter, Wake},
        unwind,
    },
};
use std::{
    io,
    mem::transmute,
    ptr::{self, NonNull},
    thread,
    time::Instant,
};

/// Does `f` with the simulation that runs here, if one does.
pub(super) fn with_current<R>(f: impl FnOnce(&Simulation) -> R) -> Option<R> {
    let home = home::simulation()?;
    // SAFETY: nothing else says that it is a simulation, and the home of an entered context is valid.
    Some(f(unsafe { home.cast::<Simulation>().as_ref() }))
}

/// Switches off the running green thread; returns when it runs again.
fn switch_off(waiter: NonNull<Waiter>, how: usize, reason: Reason) {
    // SAFETY: the running green thread's.
    let task = unsafe { Task::of(waiter) };
    // SAFETY: it is alive as it runs.
    let task = unsafe { task.as_ref() };
    task.set_reason(reason);
    if let Some(fiber) = task.fiber() {
        // SAFETY: the code that runs on this fiber calls.
        unsafe { fiber.suspend(how) };
    }
}

/// Makes a green thread runnable.
///
/// # Safety
///
/// `waiter` is the first field of a task whose home is a simulation; it was called, is parked, and this
/// is its wake-up.
pub(super) unsafe fn wake(waiter: NonNull<Waiter>) {
    // SAFETY: by the caller.
    let task = unsafe { Task::of(waiter) };
    // SAFETY: a task that is to be woken is alive.
    let owner = unsafe { task.as_ref() }.home();
    let here = home::home().is_some_and(|it| ptr::addr_eq(it.as_ptr(), owner.as_ptr()));
    let simulation = owner.cast::<Simulation>().as_ptr();
    if here {
        // SAFETY: by the caller; a home outlives its green threads. It is this thread's.
        let simulation = unsafe { &*simulation };
        let by = simulation.running.get().id;
        if by != 0 {
            // SAFETY: as above.
            let id = unsafe { task.as_ref() }.id();
            simulation.note(id, What::Woken(by));
        }
        return simulation.make_ready(task);
    }
    // SAFETY: as above; of another thread's simulation only the inbox is touched.
    unsafe { &(*simulation).inbox }.leave(task);
}

impl Home for Simulation {
    fn suspend(&self, waiter: NonNull<Waiter>, how: Suspend, reason: Reason) {
        match how {
            Suspend::Park if self.closing.get() => {
                let mut nobody = 0;
                self.choice.borrow_mut().step(&mut nobody);
                if self.steps() >= self.limit.get() && self.impatient.get() {
                    return switch_off(waiter, ABANDON, reason);
                }
                // SAFETY: the running green thread's own.
                match unsafe { Waiter::call_off(waiter) } {
                    Some(call) => call.wake(),
                    None => switch_off(waiter, PARK, reason),
                }
            }
            Suspend::Park => switch_off(waiter, PARK, reason),
            Suspend::Yield if self.impatient.get() => unwind(),
            Suspend::Yield => {
                let mut running = self.running.get();
                self.choice.borrow_mut().fall_behind(&mut running.priority);
                self.running.set(running);
                switch_off(waiter, YIELD, Reason::None);
            }
        }
    }

    fn set_alarm(&self, deadline: Instant, waiter: NonNull<Waiter>) -> Alarm {
        let deadline = self.to_ns(deadline);
        let slot = self.clock.borrow_mut().set(deadline, waiter);
        Alarm {
            shard: slot,
            key: 0,
        }
    }

    fn cancel_alarm(&self, alarm: Alarm) {
        self.clock.borrow_mut().cancel(alarm.shard);
    }

    fn now(&self) -> Instant {
        self.epoch + self.elapsed()
    }

    fn start(&self, task: NonNull<Waiter>) {
        // SAFETY: a fresh green thread's waiter.
        let task = unsafe { Task::of(task) };
        // SAFETY: it is alive, as it has not run.
        let record = unsafe { task.as_ref() };
        let by = self.running.get().id;
        self.note(record.id(), What::Spawned(by, record.spawned_at()));
        let priority = self.choice.borrow().priority();
        self.place(by, record.id());
        let member = Member { task, priority };
        self.members.borrow_mut().insert(record.id(), member);
        self.make_ready(task);
    }

    /// All share the one kernel thread, which none ever leaves.
    fn pin(&self, _name: Option<&str>) -> io::Result<Pin> {
        Ok(Pin {
            home: self.as_home(),
            fresh: self.allocate(self.plan.class)?,
        })
    }

    fn home_of_spawned(&self) -> NonNull<dyn Home> {
        self.as_home()
    }

    fn number(&self) -> u32 {
        self.number
    }

    fn allocate(&self, class: &'static StackClass) -> io::Result<Fresh> {
        let mut pool = self.pool.borrow_mut();
        pool.reserve(class)?;
        let block = self.blocks.borrow_mut().allocate();
        let block = block.inspect_err(|_| pool.release(class))?;
        let id = self.spawned.get() + 1;
        self.spawned.set(id);
        Ok(Fresh { block, id })
    }

    unsafe fn free(&self, block: NonNull<u8>) {
        // SAFETY: by the caller.
        unsafe { self.blocks.borrow_mut().free(block) };
    }

    fn wake(&self) -> Wake {
        wake
    }

    fn is_closing(&self) -> bool {
        self.closing.get()
    }

    fn stack_class(&self) -> &'static StackClass {
        self.plan.class
    }

    fn block(&self, job: &mut dyn FnMut()) {
        // SAFETY: the job is done before this green thread goes on.
        let job: NonNull<dyn FnMut()> = NonNull::from(unsafe {
            transmute::<&mut dyn FnMut(), &mut (dyn FnMut() + 'static)>(job)
        });
        if let Some((waiter, _)) = home::running() {
            self.job.set(Some(job));
            switch_off(waiter, BLOCK, Reason::Blocking);
        }
    }

    fn blocking_begins(&self, _waits: bool) {}

    fn blocking_ends(&self) {}

    /// Nobody else can run meanwhile, so only time can end the wait: it passes at once.
    fn park_kernel_thread(&self, parker: &Parker, deadline: Option<Instant>) -> bool {
        // Without waiting: the clock began in the past.
        if parker.park(Some(self.epoch)) {
            return true;
        }
        let Some(deadline) = deadline else {
            let why = if thread::panicking() {
                "while it unwinds"
            } else {
                "inside `blocking`"
            };
            fatal(format_args!(
                "seed {}: {} waits {why}: in a simulation nobody else can run meanwhile",
                self.plan.seed,
                self.describe(self.running.get().id),
            ))
        };
        let deadline = self.to_ns(deadline);
        self.move_to(deadline);
        false
    }

    fn draw(&self, bound: usize) -> Option<usize> {
        let drawn = self.choice.borrow().below(bound);
        self.note(self.running.get().id, What::Draws(drawn, bound));
        Some(drawn)
    }

    fn point(&self) {
        let mut running = self.running.get();
        let mut choice = self.choice.borrow_mut();
        choice.step(&mut running.priority);
        self.running.set(running);
        let ready = self.ready.borrow();
        let due = self.due();
        let gives_way = choice.gives_way(running.priority, due, &ready);
        let too_long = choice.steps() >= self.limit.get();
        drop((choice, ready));
        if too_long && self.impatient.get() {
            unwind();
        }
        if (gives_way || too_long)
            && let Some((waiter, _)) = home::running()
        {
            switch_off(waiter, YIELD, Reason::None);
        }
    }

    fn is_simulation(&self) -> bool {
        true
    }
}
