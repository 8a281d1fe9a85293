//! The virtual clock: it stands still while anybody can run, and then jumps to the next alarm.
//!
//! What is due at the same moment comes in any order, and perhaps after others have run: so alarms that
//! are due are kept beside those to come, and the simulation chooses among them as it does among green
//! threads.

use crate::{
    driver::ordered::{Appointment, OrderedAlarms},
    wait::ticket::Waiter,
};
use std::ptr::NonNull;

/// Where an alarm is.
#[derive(Debug, Clone, Copy)]
enum Place {
    ToCome(Appointment),
    /// In the list of those that are due.
    Due(usize),
    /// It has come, or there is none.
    Gone,
}

#[derive(Debug)]
struct Slot {
    place: Place,
    waiter: NonNull<Waiter>,
}

/// The time, and all alarms.
#[derive(Debug)]
pub(super) struct Clock {
    now: u64,
    to_come: OrderedAlarms<usize>,
    due: Vec<usize>,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

impl Clock {
    /// A clock that begins at zero.
    pub(super) fn new() -> Self {
        Self {
            now: 0,
            to_come: OrderedAlarms::new(),
            due: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Nanoseconds since the beginning.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Sets an alarm, and returns its key. One at the end of time never comes.
    pub(super) fn set(&mut self, deadline: u64, waiter: NonNull<Waiter>) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                place: Place::Gone,
                waiter,
            });
            self.slots.len() - 1
        });
        let place = if deadline == u64::MAX {
            Place::Gone
        } else if deadline <= self.now {
            self.due.push(slot);
            Place::Due(self.due.len() - 1)
        } else {
            Place::ToCome(self.to_come.insert(deadline, slot))
        };
        self.slots[slot] = Slot { place, waiter };
        slot
    }

    /// Takes an alarm back, once, whether it has come or not.
    pub(super) fn cancel(&mut self, slot: usize) {
        match self.slots[slot].place {
            Place::ToCome(key) => _ = self.to_come.cancel(key),
            Place::Due(at) => self.take(at),
            Place::Gone => {}
        }
        self.slots[slot].place = Place::Gone;
        self.free.push(slot);
    }

    /// How many alarms are due.
    #[inline]
    pub(super) fn due(&self) -> usize {
        self.due.len()
    }

    /// Lets one of those that are due come: whose it is.
    pub(super) fn fire(&mut self, at: usize) -> NonNull<Waiter> {
        let slot = self.due[at];
        self.take(at);
        self.slots[slot].place = Place::Gone;
        self.slots[slot].waiter
    }

    /// When the next alarm comes that is not due yet.
    #[inline]
    pub(super) fn next(&self) -> Option<u64> {
        self.to_come.next()
    }

    /// Moves on to `time`, if that is later.
    pub(super) fn move_to(&mut self, time: u64) {
        self.now = self.now.max(time);
        let (due, slots) = (&mut self.due, &mut self.slots);
        self.to_come.advance(self.now, |slot| {
            slots[slot].place = Place::Due(due.len());
            due.push(slot);
        });
    }

    fn take(&mut self, at: usize) {
        self.due.swap_remove(at);
        if let Some(moved) = self.due.get(at) {
            self.slots[*moved].place = Place::Due(at);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Clock;
    use crate::wait::ticket::Waiter;
    use std::ptr::{self, NonNull};

    /// The clock never looks at a waiter.
    fn waiter(number: usize) -> NonNull<Waiter> {
        NonNull::new(ptr::without_provenance_mut(number * 64)).expect("not zero")
    }

    #[test]
    fn an_alarm_comes_once_at_its_time_unless_it_is_taken_back() {
        let mut clock = Clock::new();
        let keys: Vec<_> = [5, 5, 5, 9]
            .into_iter()
            .zip(1..)
            .map(|(deadline, number)| clock.set(deadline, waiter(number)))
            .collect();
        let never = clock.set(u64::MAX, waiter(5));
        assert_eq!(clock.next(), Some(5));
        clock.move_to(5);
        assert_eq!((clock.now(), clock.due()), (5, 3));
        // The last moves to the place of the one that came.
        assert_eq!(clock.fire(0), waiter(1));
        clock.cancel(keys[2]);
        assert_eq!((clock.due(), clock.fire(0)), (1, waiter(2)));
        clock.cancel(keys[0]);
        clock.cancel(keys[1]);
        let past = clock.set(3, waiter(6));
        assert_eq!((clock.due(), clock.fire(0)), (1, waiter(6)));
        clock.cancel(past);
        clock.cancel(keys[3]);
        assert_eq!(clock.next(), None);
        clock.cancel(never);
        assert_eq!((clock.now(), clock.due()), (5, 0));
    }
}
