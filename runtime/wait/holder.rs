//! Who holds a lock, as locks note it for those who look from outside.
//!
//! A lock keeps the short number of whoever holds it: written after it was taken, cleared before it is let
//! go, both by the holder. In between others may see nobody, or the truth: never somebody who does not
//! hold it, if that one is *parked*. For what it has written before it parked is seen by whoever sees it
//! parked (`[stack]` of the ticket), and while it is parked it lets go of nothing. So a look from outside
//! learns for certain that a parked green thread holds a lock; of one that runs it learns a hint.
//!
//! A short number is half a word, which costs a mutex no room: numbers of green threads are cut to 31
//! bits. Whoever uses them sees to it that no two that live are the same.

#![expect(unsafe_code, reason = "a context is reached by a pointer")]

use super::home;
use crate::{
    base::primitives::{AtomicU32, Ordering::Relaxed, const_fn},
    task::Task,
};
use std::cell::Cell;

/// The short number of a thread: of a green one by its id, of a kernel thread by the kernel's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Short(u32);

/// Who a [`Short`] number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meant {
    /// The green thread with this number, without what does not fit.
    Green(u32),
    Kernel(u32),
}

impl Short {
    /// Nobody that is known.
    const NONE: Self = Self(0);

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is short for that reason"
    )]
    pub(crate) const fn of_green(id: u64) -> Self {
        Self((id as u32) << 1 | 1)
    }

    const fn of_kernel(thread: libc::pid_t) -> Self {
        Self(thread.cast_unsigned() << 1)
    }

    /// As it was read; `None` if it is nobody.
    pub(crate) fn from_word(word: u32) -> Option<Self> {
        Some(Self(word)).filter(|it| *it != Self::NONE)
    }

    /// This, unless it is nobody.
    pub(crate) fn known(self) -> Option<Self> {
        Self::from_word(self.0)
    }

    pub(crate) const fn word(self) -> u32 {
        self.0
    }

    /// It is a green thread's.
    pub(crate) fn is_green(self) -> bool {
        matches!(self.meant(), Meant::Green(_))
    }

    pub(crate) const fn meant(self) -> Meant {
        if self.0 & 1 == 1 {
            Meant::Green(self.0 >> 1)
        } else {
            Meant::Kernel(self.0 >> 1)
        }
    }

    /// Whoever calls. Nobody on a worker's own stack: what a blocking call takes may be let go by its
    /// green thread.
    #[inline]
    pub(crate) fn caller() -> Self {
        // SAFETY: an entered context stays until it is left, and this thread is in the midst of it.
        let Some(context) = (unsafe { home::context().as_ref() }) else {
            return Self::of_kernel(kernel_thread());
        };
        let Some(waiter) = context.running() else {
            return Self::NONE;
        };
        // SAFETY: what runs is a green thread.
        let task = unsafe { Task::of(waiter) };
        // SAFETY: its record lives as it runs.
        Self::of_green(unsafe { task.as_ref() }.id())
    }
}

/// The kernel's number of a plain kernel thread, asked for once.
#[cold]
#[inline(never)]
fn kernel_thread() -> libc::pid_t {
    thread_local! {
        static NUMBER: Cell<libc::pid_t> = const { Cell::new(0) };
    }
    NUMBER.with(|it| {
        if it.get() == 0 {
            it.set(crate::scheduler::kernel::this_thread_id());
        }
        it.get()
    })
}

/// The place in a lock for its holder's number.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Holder(AtomicU32);

impl Holder {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Self(AtomicU32::new(Short::NONE.0))
        }
    }

    /// The caller has taken the lock.
    #[inline]
    pub(crate) fn set(&self) {
        self.note(Short::caller());
    }

    #[inline]
    fn note(&self, who: Short) {
        // Relaxed: `[stack]` passes it on, see the header.
        self.0.store(who.0, Relaxed);
    }

    /// The caller is about to let go of the lock.
    #[inline]
    pub(crate) fn clear(&self) {
        self.note(Short::NONE);
    }

    /// Whoever is noted.
    #[cfg(all(test, loom))]
    pub(crate) fn noted(&self) -> Option<Short> {
        Short::from_word(self.0.load(Relaxed))
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::{Holder, Short};
    use crate::{observe::subject::between_looks, wait::ticket::Waiter};
    use loom::{sync::Arc, thread};

    /// What others find noted in a lock while they see the thread parked that had it.
    fn found(parks: impl Fn(&Holder) + Sync + Send + 'static, holds: bool) {
        let parks = std::sync::Arc::new(parks);
        loom::model(move || {
            let shared = Arc::new((Holder::new(), Waiter::new(|_| {})));
            let green = thread::spawn({
                let (shared, parks) = (Arc::clone(&shared), std::sync::Arc::clone(&parks));
                move || {
                    let (holder, waiter) = &*shared;
                    parks(holder);
                    waiter.open();
                    assert!(!waiter.park(), "nobody calls");
                }
            });
            let (holder, waiter) = &*shared;
            if let Some(noted) = between_looks(|| waiter.is_surely_parked(), || holder.noted()) {
                assert_eq!(noted, holds.then_some(Short::of_green(1)));
            }
            green.join().expect("no panic");
        });
    }

    #[test]
    fn who_parks_with_a_lock_is_seen_to_hold_it() {
        found(|holder| holder.note(Short::of_green(1)), true);
    }

    #[test]
    fn who_parks_without_the_lock_it_had_is_not_seen_to_hold_it() {
        let had = |holder: &Holder| {
            holder.note(Short::of_green(1));
            holder.clear();
        };
        found(had, false);
    }
}
