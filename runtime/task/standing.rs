//! What a parked green thread waits for, as others may read it: a reason, an address, a count of waits.
//!
//! Its three words lie apart, in the record: there is no room for gaps. Whoever finds the same [`Standing::look`]
//! twice, within the time of [`SUBJECTS`] waits, has seen one wait, and what was there in between was there
//! during that wait. For what another wait has left in any of the words brings along that the wait before is
//! over, and then a second look does not find that one parked.
//!
//! # Edges
//!
//! - `[subject]` the end of one wait, to those who look at the next.

use crate::{
    base::primitives::{
        AtomicU8, AtomicU16, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
    wait::{reason::Reason, ticket::Waiter},
};

/// How many waits it takes until a counted subject may look the same.
pub(crate) const SUBJECTS: u32 = 1 << 16;

/// The words of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    pub(super) reason: &'a AtomicU8,
    pub(super) address: &'a AtomicUsize,
    /// How many counted subjects there were.
    pub(super) count: &'a AtomicU16,
}

impl Standing<'_> {
    /// It is about to wait for what is at `address`.
    #[inline]
    pub(super) fn set(self, address: usize) {
        // Release [subject].
        self.address.store(address, Release);
    }

    /// As [`set`](Self::set), and counts.
    #[inline]
    pub(super) fn set_counted(self, address: usize) {
        let count = self.count.load(Relaxed);
        // Release [subject].
        self.count.store(count.wrapping_add(1), Release);
        self.set(address);
    }

    /// Why it is about to wait.
    #[inline]
    pub(super) fn set_reason(self, reason: Reason) {
        // Release [subject].
        self.reason.store(reason as u8, Release);
    }

    /// If the thread with this waiter is surely parked: why, for what is at which address, and the count.
    pub(super) fn look(self, waiter: &Waiter) -> Option<(Reason, usize, u16)> {
        if !waiter.is_surely_parked() {
            return None;
        }
        // Acquire [subject], all three.
        let reason = Reason::from_number(self.reason.load(Acquire));
        Some((reason, self.address.load(Acquire), self.count.load(Acquire)))
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::{AtomicU8, AtomicU16, AtomicUsize, Relaxed, Release, Standing};
    use crate::{
        observe::subject::between_looks,
        wait::{
            reason::Reason,
            ticket::{Verdict, Waiter},
        },
    };
    use loom::{sync::Arc, thread};
    use std::ptr::NonNull;

    /// One wait for what is at an address, and what is there meanwhile.
    struct Wait {
        reason: Reason,
        address: usize,
        there: usize,
    }

    struct Record {
        waiter: Waiter,
        reason: AtomicU8,
        address: AtomicUsize,
        count: AtomicU16,
        /// What is at all those addresses. It is stored by Release, as no green thread that was woken overtakes
        /// its own wake-up, by whatever the kernel copies of its memory.
        there: AtomicUsize,
    }

    impl Record {
        fn standing(&self) -> Standing<'_> {
            Standing {
                reason: &self.reason,
                address: &self.address,
                count: &self.count,
            }
        }

        /// The green thread in one wait, as it parks, is called and goes on.
        fn wait(&self, wait: &Wait, counts: bool) {
            self.there.store(wait.there, Release);
            self.waiter.open();
            if counts {
                self.standing().set_counted(wait.address);
            } else {
                self.standing().set(wait.address);
            }
            self.standing().set_reason(wait.reason);
            assert!(!self.waiter.park(), "nobody has called");
        }

        #[expect(unsafe_code, reason = "calls a waiter by its address")]
        fn go_on(&self) {
            // SAFETY: it stays as long as the model.
            let call = unsafe { Waiter::call(NonNull::from(&self.waiter), Verdict::Chosen(0)) };
            call.expect("it waits").wake();
            self.waiter.finish();
            self.there.store(0, Release);
        }
    }

    /// What is found between two looks that agree was there in the wait that both saw.
    fn explore(waits: [Wait; 2], counts: bool) {
        let waits = std::sync::Arc::new(waits);
        loom::model(move || {
            let record = Arc::new(Record {
                waiter: Waiter::new(|_| {}),
                reason: AtomicU8::new(0),
                address: AtomicUsize::new(0),
                count: AtomicU16::new(0),
                there: AtomicUsize::new(0),
            });
            let green = thread::spawn({
                let (record, waits) = (Arc::clone(&record), std::sync::Arc::clone(&waits));
                move || {
                    record.wait(&waits[0], counts);
                    record.go_on();
                    record.wait(&waits[1], counts);
                }
            });
            let look = || record.standing().look(&record.waiter);
            let mut stand = None;
            let same = || {
                let now = look();
                now.is_some() && *stand.get_or_insert(now) == now
            };
            let there = between_looks(same, || record.there.load(Relaxed));
            if let (Some(there), Some(Some((reason, address, count)))) = (there, stand) {
                let is_it = |(it, number): &(&Wait, u16)| {
                    (it.reason, it.address) == (reason, address) && (!counts || count == *number)
                };
                let (wait, _) = waits.iter().zip(1..).find(is_it).expect("one that was");
                assert_eq!(there, wait.there);
            }
            green.join().expect("no panic");
        });
    }

    fn wait(reason: Reason, address: usize, there: usize) -> Wait {
        Wait {
            reason,
            address,
            there,
        }
    }

    #[test]
    fn two_waits_for_the_same_differ_by_their_count() {
        explore([wait(Reason::Mutex, 8, 1), wait(Reason::Mutex, 8, 2)], true);
    }

    #[test]
    fn two_waits_differ_by_what_they_wait_for() {
        explore([wait(Reason::Join, 8, 1), wait(Reason::Join, 16, 2)], false);
    }

    /// What is the address of a record in one wait is that of a lock in the other.
    #[test]
    fn a_reason_belongs_to_its_address() {
        explore(
            [wait(Reason::Join, 8, 1), wait(Reason::Mutex, 16, 2)],
            false,
        );
    }
}
