//! Alarms for a clock that jumps: [`Alarms`](super::alarms::Alarms)' methods, and exact times.
//!
//! A simulation sets its clock to the first deadline whenever nothing can run, so that deadline
//! must be exact, whatever was called off; the wheel's is not. A sorted map is fast enough, and a key is a
//! place in it.

use std::collections::BTreeMap;

/// An alarm that was set: its deadline, and how many were set before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Appointment(u64, u64);

/// Alarms by deadline, equal ones by when they were set.
#[derive(Debug)]
pub(crate) struct OrderedAlarms<T> {
    alarms: BTreeMap<Appointment, T>,
    /// How many were ever set.
    set: u64,
}

impl<T> OrderedAlarms<T> {
    pub(crate) fn new() -> Self {
        Self {
            alarms: BTreeMap::new(),
            set: 0,
        }
    }

    /// How many alarms are set.
    #[cfg_attr(not(test), expect(dead_code, reason = "asked by tests"))]
    pub(crate) fn len(&self) -> usize {
        self.alarms.len()
    }

    /// Keeps `value` until `deadline`.
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> Appointment {
        let key = Appointment(deadline, self.set);
        self.set += 1;
        self.alarms.insert(key, value);
        key
    }

    /// Gives back what was kept, unless it has been given back already.
    pub(crate) fn cancel(&mut self, key: Appointment) -> Option<T> {
        self.alarms.remove(&key)
    }

    /// The first deadline.
    pub(crate) fn next(&self) -> Option<u64> {
        let (Appointment(deadline, _), _) = self.alarms.first_key_value()?;
        Some(*deadline)
    }

    /// Hands all whose deadline is `now` or before to `fire`, in the order of their deadlines.
    pub(crate) fn advance(&mut self, now: u64, mut fire: impl FnMut(T)) {
        while let Some(first) = self.alarms.first_entry() {
            if first.key().0 > now {
                break;
            }
            fire(first.remove());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::OrderedAlarms;

    #[test]
    fn the_first_deadline_is_exact_whatever_was_called_off() {
        let mut alarms = OrderedAlarms::new();
        let first = alarms.insert(5, 'a');
        alarms.insert(7, 'b');
        alarms.insert(7, 'c');
        alarms.insert(u64::MAX, 'd');
        assert_eq!(alarms.cancel(first), Some('a'));
        assert_eq!((alarms.cancel(first), alarms.next()), (None, Some(7)));
        let mut fired = String::new();
        alarms.advance(6, |it| fired.push(it));
        assert_eq!(fired, "");
        alarms.advance(7, |it| fired.push(it));
        assert_eq!((fired.as_str(), alarms.len()), ("bc", 1));
        alarms.advance(u64::MAX, |it| fired.push(it));
        assert_eq!((fired.as_str(), alarms.next()), ("bcd", None));
    }
}
