//! How many handles each side of a channel has, and who of it waited last, for those who look.
//!
//! The counts say when a side is gone; see `core` for their edge. The numbers are hints for dumps: who
//! sends and receives without waiting is not noted, as it would cost every message a little.

use crate::{
    base::primitives::{
        AtomicUsize,
        global::{AtomicU32, Ordering::Relaxed},
    },
    wait::Waiting,
};
use std::ptr;

/// `repr(C)`: `observe::subject` looks at it.
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct Handles {
    pub(super) senders: AtomicUsize,
    pub(super) receivers: AtomicUsize,
    /// Who waited to send last; zero if nobody has.
    last_sender: AtomicU32,
    last_receiver: AtomicU32,
}

impl Handles {
    /// One of each side.
    pub(super) fn new() -> Self {
        Self {
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            last_sender: AtomicU32::new(0),
            last_receiver: AtomicU32::new(0),
        }
    }

    /// The caller is about to wait to send.
    #[inline]
    pub(super) fn sender_waits(&self, waiting: &Waiting) {
        let who = waiting.stands_at(ptr::from_ref(self).addr());
        self.last_sender.store(who.word(), Relaxed);
    }

    /// The caller is about to wait to receive.
    #[inline]
    pub(super) fn receiver_waits(&self, waiting: &Waiting) {
        let who = waiting.stands_at(ptr::from_ref(self).addr());
        self.last_receiver.store(who.word(), Relaxed);
    }
}
