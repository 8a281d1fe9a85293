//! Kernel threads that wait for what another thread holds, for those who look for circles of them.
//!
//! Green threads are found in the slab; these here are listed while they wait, which costs little beside
//! putting a kernel thread to sleep. One that waits with a deadline, or for what nobody holds, is not
//! listed: it is no part of a circle.

#![expect(unsafe_code, reason = "waiters lie in the frames of those who wait")]

use super::{holder::Short, reason::Reason, ticket::Waiter};
use crate::base::primitives::global::{Mutex, MutexGuard};
use std::{panic::Location, ptr::NonNull, sync::PoisonError};

/// One that waits.
#[derive(Debug)]
pub(crate) struct KernelWait {
    waiter: NonNull<Waiter>,
    /// Who waits. A green thread that unwinds waits as a kernel thread does.
    pub(crate) who: Short,
    pub(crate) reason: Reason,
    /// The address of what it waits for, which is there as long as this is listed.
    pub(crate) subject: usize,
    pub(crate) place: &'static Location<'static>,
}

// SAFETY: what others do with a waiter is atomic, and it is there while the list is locked.
unsafe impl Send for KernelWait {}

impl KernelWait {
    /// Nobody has called it yet. Under the list's lock.
    pub(crate) fn is_parked(&self) -> bool {
        // SAFETY: a waiter that is listed is there.
        unsafe { self.waiter.as_ref() }.is_surely_parked()
    }
}

static LIST: Mutex<Vec<KernelWait>> = Mutex::new(Vec::new());

/// Those that wait now, and do not go on from being listed while this lives.
pub(crate) fn all() -> MutexGuard<'static, Vec<KernelWait>> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listed as long as this lives.
#[derive(Debug)]
pub(super) struct Listed(NonNull<Waiter>);

impl Drop for Listed {
    fn drop(&mut self) {
        all().retain(|it| it.waiter != self.0);
    }
}

/// Lists the calling thread, about to wait, if others might wait for it.
///
/// # Safety
///
/// The waiter is there until what this returns is dropped, and so is what it waits for.
pub(super) unsafe fn list(
    waiter: NonNull<Waiter>,
    reason: Reason,
    subject: usize,
    place: &'static Location<'static>,
) -> Option<Listed> {
    let held = matches!(
        reason,
        Reason::Mutex | Reason::Read | Reason::Write | Reason::Condvar | Reason::Join
    );
    // Odd: it has a deadline.
    if !held || subject == 0 || subject % 2 == 1 {
        return None;
    }
    let who = Short::caller().known()?;
    all().push(KernelWait {
        waiter,
        who,
        reason,
        subject,
        place,
    });
    Some(Listed(waiter))
}
