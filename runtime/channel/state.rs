//! What a channel keeps under its lock, and what lies in the frames of those who wait for it.
//!
//! Nothing here knows the type of the messages, so that `select!` can look at channels of every type
//! under their locks. The buffer itself is [`Channel`](super::core::Channel)'s.
//!
//! A [`Core`] counts. Of `len` messages in the buffer, `reserved_receive` belong to selectors that have
//! chosen to receive and have not done so yet; `reserved_send` free places belong to selectors that have
//! chosen to send. A channel without a buffer has no places, but a message that was handed to a selector
//! lies in the buffer until the selector takes it out, reserved for it.
//!
//! | waits                | leaves in its frame          | whoever calls it                                   |
//! |----------------------|------------------------------|----------------------------------------------------|
//! | receiver             | an empty [`Packet`]          | writes the message into it                         |
//! | sender               | a full [`Packet`]            | takes the message out                              |
//! | selector             | a [`Berth`]                  | puts a [`Claim`] into it; nothing there: closed    |
//! | `ready` and its like | nothing                      | calls everybody, who look for themselves           |
//! | for the end          | a [`Berth`]                  | closes the channel                                 |
//!
//! # The hint
//!
//! [`Shared::hint`] says without the lock what *cannot* be done now: a cleared bit is the truth, a set bit
//! may be out of date. It is written under the lock, and counts its own changes, so that a `select!` that
//! finds every bit cleared twice, and no change between, has seen one moment at which nothing was ready.
//!
//! # Edges
//!
//! - `[hint]` what was done to other channels before this one changed, to those who trust a cleared bit.

#![expect(unsafe_code, reason = "packets lie in the frames of those who wait")]

use super::handles::Handles;
use crate::{
    base::{
        lock::{Guard, Lock},
        primitives::{
            AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    wait::{
        line::{Called, Calls, Line, Taken},
        ticket::Hold,
    },
};
use std::{
    cell::{Cell, UnsafeCell},
    mem::MaybeUninit,
    time::Instant,
};

/// A send can be tried with hope.
pub(super) const SENDABLE: usize = 1;
/// A receive can be tried with hope.
pub(super) const RECEIVABLE: usize = 2;
/// The channel is closed.
pub(super) const CLOSED: usize = 4;
/// The bits of the hint that are not its count of changes.
const BITS: usize = 7;
/// One change.
const CHANGE: usize = 8;

/// A channel, without the type of its messages.
#[derive(Debug)]
pub(super) struct Shared {
    hint: AtomicUsize,
    core: Lock<Core>,
    pub(super) handles: Handles,
}

/// What a channel keeps under its lock.
#[derive(Debug)]
pub(super) struct Core {
    /// How many messages the buffer may keep; `usize::MAX` if any number.
    pub(super) capacity: usize,
    /// How many it keeps.
    pub(super) len: usize,
    /// Places that belong to selectors which have chosen to send.
    pub(super) reserved_send: usize,
    /// Messages that belong to selectors which have chosen to receive.
    pub(super) reserved_receive: usize,
    /// No message is accepted any more.
    pub(super) closed: bool,
    pub(super) receivers: Line,
    pub(super) senders: Line,
    /// Those who wait for anything at all to become ready, without claiming it, and with a slot those who
    /// wait for the channel to be closed.
    pub(super) watchers: Line,
}

impl Core {
    /// How many messages may be received by anybody.
    #[inline]
    pub(super) fn available(&self) -> usize {
        self.len.saturating_sub(self.reserved_receive)
    }

    /// Whether anybody may put a message into the buffer.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.len + self.reserved_send < self.capacity
    }

    #[inline]
    fn bits(&self) -> usize {
        // All of it is looked at: branches would cost more.
        let sendable = self.has_room() | self.closed | !self.receivers.is_empty();
        let receivable =
            (self.len > self.reserved_receive) | self.closed | !self.senders.is_empty();
        usize::from(sendable) | usize::from(receivable) << 1 | usize::from(self.closed) << 2
    }

    /// Calls those who watch, after a change.
    pub(super) fn call_watchers(&mut self) -> Calls {
        let closed = self.closed;
        self.watchers.call_all_if(|slot| slot.is_null() || closed)
    }

    /// Whether a send need not wait now; whoever is held by another looks again afterwards.
    pub(super) fn may_send(&self) -> bool {
        self.closed || self.has_room() || (self.capacity == 0 && self.receivers.probe())
    }

    /// Whether a receive need not wait now; whoever is held by another looks again afterwards.
    pub(super) fn may_receive(&self) -> bool {
        self.closed || self.available() > 0 || (self.capacity == 0 && self.senders.probe())
    }

    /// Takes a place or a waiting receiver, for somebody who will send.
    pub(super) fn claim_send(&mut self) -> Option<Claim> {
        if self.closed {
            return Some(Claim::Closed);
        }
        if self.has_room() {
            self.reserved_send += 1;
            return Some(Claim::Reserved);
        }
        if self.capacity > 0 {
            return None;
        }
        let held = self.receivers.hold_first()?;
        Some(Claim::Held(Partner {
            hold: held.hold,
            index: held.index,
            slot: held.slot,
        }))
    }

    /// Takes a message or a waiting sender, for somebody who will receive. A partner that is a selector has
    /// no message yet, and is called to make one.
    pub(super) fn claim_receive(&mut self) -> Option<Claimed> {
        if self.available() > 0 {
            self.reserved_receive += 1;
            return Some(Claimed::Whole(Claim::Reserved));
        }
        if self.capacity == 0 {
            // SAFETY: senders and selectors leave their slots in this line; whoever stands in it stays as
            // long as its lock is held.
            let taken = (self.senders).hold_or_call_first(|it| unsafe { is_berth(it) });
            match taken {
                Some(Taken::Held(held)) => {
                    return Some(Claimed::Whole(Claim::Held(Partner {
                        hold: held.hold,
                        index: held.index,
                        slot: held.slot,
                    })));
                }
                Some(Taken::Called(called)) => return Some(Claimed::Promise(called)),
                None => {}
            }
        }
        self.closed.then_some(Claimed::Whole(Claim::Closed))
    }
}

impl Shared {
    pub(super) fn new(capacity: usize) -> Self {
        let core = Core {
            capacity,
            len: 0,
            reserved_send: 0,
            reserved_receive: 0,
            closed: false,
            receivers: Line::new(),
            senders: Line::new(),
            watchers: Line::new(),
        };
        Self {
            hint: AtomicUsize::new(core.bits()),
            core: Lock::new(core),
            handles: Handles::new(),
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> Guard<'_, Core> {
        self.core.lock()
    }

    /// What may be possible, and the count of changes.
    #[inline]
    pub(super) fn hint(&self) -> usize {
        // Acquire [hint].
        self.hint.load(Acquire)
    }

    /// Brings the hint up to date; before the lock is let go.
    #[inline]
    pub(super) fn publish(&self, core: &Core) {
        // Relaxed: it is only written under the lock, which is held.
        let hint = self.hint.load(Relaxed);
        let bits = core.bits();
        if hint & BITS != bits {
            let hint = (hint & !BITS).wrapping_add(CHANGE) | bits;
            // Release [hint].
            self.hint.store(hint, Release);
        }
    }
}

/// What a selector has got hold of when it has chosen. Of whole words, as it is moved a few times: a tag of
/// one byte is followed by bytes that are copied in pieces, which the next load then waits for.
#[derive(Debug)]
#[repr(usize)]
pub(super) enum Claim {
    /// Nothing: the channel is closed, and the operation fails.
    Closed,
    /// A place in the buffer, or a message in it.
    Reserved,
    /// A partner, who sleeps until the message has moved.
    Held(Partner),
    /// As above, and it gave itself into our hands, and stands in no other line: it is handed back by waking
    /// it.
    Entrusted(Partner),
    /// A small message itself.
    Given(Small),
    /// A message of a clock, and the clock's setting that it came from.
    Tick { at: Instant, setting: u64 },
}

/// What a look under the lock came to.
#[derive(Debug)]
pub(super) enum Claimed {
    /// The operation can be done.
    Whole(Claim),
    /// The partner is a selector, which was called and has yet to make its message.
    Promise(Called),
}

/// What a selector hands back.
#[derive(Debug)]
pub(super) enum Returned {
    /// A place that was reserved.
    Place,
    /// A message that was reserved.
    Message,
    /// A message that it was given.
    Given(Small),
}

/// A message of up to three words, without its type. It does not drop the message.
#[derive(Debug)]
pub(super) struct Small([MaybeUninit<usize>; 3]);

impl Small {
    /// Whether messages of this type are small.
    pub(super) const fn fits<T>() -> bool {
        size_of::<T>() <= size_of::<Self>() && align_of::<T>() <= align_of::<Self>()
    }

    #[inline]
    pub(super) fn new<T>(message: T) -> Self {
        assert!(Self::fits::<T>());
        let mut words = [const { MaybeUninit::uninit() }; 3];
        // SAFETY: it fits, and `MaybeUninit` keeps all bytes as they are.
        unsafe { words.as_mut_ptr().cast::<T>().write(message) };
        Self(words)
    }

    /// The message.
    ///
    /// # Safety
    ///
    /// It was made of a `T`.
    #[inline]
    pub(super) unsafe fn take<T>(self) -> T {
        // SAFETY: by the caller.
        unsafe { self.0.as_ptr().cast::<T>().read() }
    }
}

/// A partner who is held.
#[derive(Debug)]
pub(super) struct Partner {
    pub(super) hold: Hold,
    pub(super) index: usize,
    pub(super) slot: *mut (),
}

// SAFETY: the slot lies in the frame of the partner, who stays as long as it is held.
unsafe impl Send for Partner {}

/// Which kind of slot a node has; the first field of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Packet,
    Berth,
}

/// What lies behind a node's slot.
pub(super) enum Slot<'a, T> {
    Packet(&'a Packet<T>),
    Berth(&'a Berth),
}

/// Looks at what a waiter has left.
///
/// # Safety
///
/// The slot is one of a sender, receiver or selector of a channel of `T`, whose waiter was called and not
/// yet woken, or is held, by the caller, for `'a`.
#[inline]
pub(super) unsafe fn slot<'a, T>(slot: *mut ()) -> Slot<'a, T> {
    // SAFETY: both begin with their kind.
    if unsafe { *slot.cast::<Kind>() } == Kind::Packet {
        // SAFETY: the kind says so.
        Slot::Packet(unsafe { &*slot.cast() })
    } else {
        // SAFETY: the kind says so.
        Slot::Berth(unsafe { &*slot.cast() })
    }
}

/// Whether a waiter is a selector.
///
/// # Safety
///
/// As for [`slot`]; or its node stands in a line whose lock is held.
pub(super) unsafe fn is_berth(slot: *mut ()) -> bool {
    // SAFETY: both begin with their kind.
    unsafe { *slot.cast::<Kind>() == Kind::Berth }
}

/// A message, or the place for one, in the frame of whoever waits. It does not drop the message.
#[repr(C)]
pub(super) struct Packet<T> {
    kind: Kind,
    full: Cell<bool>,
    /// The waiter was held, not called, and must take its node out by itself.
    linked: Cell<bool>,
    message: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Packet<T> {
    #[inline]
    pub(super) fn empty() -> Self {
        Self {
            kind: Kind::Packet,
            full: Cell::new(false),
            linked: Cell::new(false),
            message: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    #[inline]
    pub(super) fn full(message: T) -> Self {
        Self {
            kind: Kind::Packet,
            full: Cell::new(true),
            linked: Cell::new(false),
            message: UnsafeCell::new(MaybeUninit::new(message)),
        }
    }

    /// Puts a message into an empty packet.
    #[inline]
    pub(super) fn put(&self, message: T) {
        debug_assert!(!self.full.get(), "a packet holds one message");
        // SAFETY: only one side has the packet at a time, and no reference to its inside is kept.
        unsafe { (*self.message.get()).write(message) };
        self.full.set(true);
    }

    /// Takes the message out, if there is one.
    #[inline]
    pub(super) fn take(&self) -> Option<T> {
        self.full.replace(false).then(|| {
            // SAFETY: whoever may call this has the cell to itself.
            let message = unsafe { &*self.message.get() };
            // SAFETY: it was full, and it is not any more.
            unsafe { message.assume_init_read() }
        })
    }

    /// The waiter's node stays in its line.
    pub(super) fn leave_linked(&self) {
        self.linked.set(true);
    }

    /// Whether the node is still in its line.
    pub(super) fn is_linked(&self) -> bool {
        self.linked.get()
    }

    /// For the node.
    #[inline]
    pub(super) fn slot(&self) -> *mut () {
        std::ptr::from_ref(self).cast_mut().cast()
    }
}

/// Where a selector waits to be given a claim.
#[repr(C)]
pub(super) struct Berth {
    kind: Kind,
    /// The selector was held, not called, and must take its node out by itself.
    linked: Cell<bool>,
    claim: Cell<Option<Claim>>,
}

impl Berth {
    pub(super) fn new() -> Self {
        Self {
            kind: Kind::Berth,
            linked: Cell::new(false),
            claim: Cell::new(None),
        }
    }

    /// The selector's node stays in its line.
    pub(super) fn leave_linked(&self) {
        self.linked.set(true);
    }

    /// Whether the node that was chosen is still in its line.
    pub(super) fn is_linked(&self) -> bool {
        self.linked.get()
    }

    /// Gives the selector that was called or is held what it has got.
    pub(super) fn give(&self, claim: Claim) {
        self.claim.set(Some(claim));
    }

    /// What it has got.
    pub(super) fn take(&self) -> Option<Claim> {
        self.claim.take()
    }

    /// For the node.
    pub(super) fn slot(&self) -> *mut () {
        std::ptr::from_ref(self).cast_mut().cast()
    }
}
