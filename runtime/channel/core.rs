//! One channel: a buffer, those who wait for it, and the moves of messages between them.
//!
//! A section under the lock decides who gets a message and who is called; nobody is woken and nothing of
//! the user's runs in it. A message moves by pointer, from the sender's frame into the receiver's if both
//! are there, else through the buffer. Between sections this holds:
//!
//! - who can be called to receive waits only while no message is available;
//! - who can be called to send waits only while there is no room;
//! - without a buffer, the two do not both wait.
//!
//! A claim that ends, by use or handed back, may break this for a moment; [`Channel::settle`] restores it.
//!
//! # A sender without a message
//!
//! A selector that waits to send has no message yet: its expression is evaluated when it is chosen. A
//! receiver that calls it gives itself into its hands, held ([`Waiting::open_held`]), and sleeps; the
//! selector evaluates the message, writes it into the receiver's packet and ends the hold. If it gives up,
//! the receiver looks again, from its old place in the line. Nobody spins.
//!
//! # A selector that is given a message
//!
//! It does not know the type of the message, so a large one waits in the buffer, reserved for it. A small one
//! lies in its claim itself ([`Small`]), which saves a section. Handed back, it goes to the head of the buffer,
//! which then may hold one more than it has room for: who has reserved a place gets it all the same.
//!
//! # Edges
//!
//! - `[handles]` what was done with each handle, to whoever drops the last one of a side.
//!
//! # What was not done
//!
//! A lock-free ring: the lock costs two short sections per message and keeps one order for everything. What two
//! threads lose by contending they lose to lines that come and go, ring or lock; `base/mutex.rs` sees to it that
//! each does many sections in a row. With room for 128, between 8 and 8 on two cores, a message takes 18 to 25
//! ns; on one core it takes 16.
//! The buffer grows as it fills, by doubling, under the lock; when it has been emptied and is larger than
//! 32 KiB, it is freed.

#![expect(
    unsafe_code,
    reason = "messages move between the frames of those who wait"
)]

use super::state::{
    Claim, Core, Packet, Partner, RECEIVABLE, Returned, SENDABLE, Shared, Slot, Small, is_berth,
    slot,
};
use crate::{
    base::{
        lock::Guard,
        primitives::{
            AtomicUsize,
            Ordering::{AcqRel, Relaxed},
            Room,
        },
    },
    wait::{
        Waiting,
        line::{Called, Calls, Node},
        reason::Reason,
        ticket::{Call, Verdict},
        unwind,
    },
};
use std::{
    cell::UnsafeCell, collections::VecDeque, fmt, mem, mem::ManuallyDrop, process::abort,
    ptr::NonNull, time::Instant,
};

/// How long an operation may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Not at all.
    Now,
    /// Until this moment, or for ever.
    Time(Option<Instant>),
}

/// A message that was not sent.
pub(super) enum Unsent<T> {
    Closed(T),
    Late(T),
}

/// Why no message was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreceived {
    Closed,
    Late,
}

/// What a look for room or a receiver came to.
enum Placed<T> {
    Sent(Option<Call>),
    Closed(T),
    NoRoom(T),
}

/// What a look for a message came to.
enum Found<T> {
    Message(T, Option<Call>),
    /// A selector, which was called and has yet to make its message.
    Promise(Called),
    Closed,
    Nothing,
}

/// A channel with a lock of its own.
pub(super) struct Channel<T> {
    shared: Shared,
    /// The messages, guarded by the lock.
    buffer: UnsafeCell<VecDeque<T>>,
    /// Which sides have handles: both, one, none.
    sides: AtomicUsize,
    room: Room,
}

// SAFETY: messages move from thread to thread, and are never shared; all else is guarded by the lock.
unsafe impl<T: Send> Send for Channel<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Channel<T> {}

impl<T> Channel<T> {
    /// How many places an empty buffer keeps: 32 KiB.
    const KEPT: usize = match size_of::<T>() {
        0 => usize::MAX,
        size => 32 * 1024 / size,
    };

    /// A channel with one sender and one receiver.
    pub(super) fn new(capacity: usize) -> NonNull<Self> {
        NonNull::from(Box::leak(Box::new(Self {
            shared: Shared::new(capacity),
            buffer: UnsafeCell::new(VecDeque::new()),
            sides: AtomicUsize::new(2),
            room: Room::new(),
        })))
    }

    #[inline]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    #[inline]
    fn push(&self, core: &mut Core, message: T) {
        // SAFETY: a `Core` is only reached under the lock, which guards the buffer, and no other reference
        // to the buffer is alive in this section.
        unsafe { &mut *self.buffer.get() }.push_back(message);
        core.len += 1;
    }

    #[inline]
    fn pop(&self, core: &mut Core) -> Option<T> {
        // SAFETY: as above.
        let message = unsafe { &mut *self.buffer.get() }.pop_front()?;
        core.len -= 1;
        Some(message)
    }

    /// Whether the buffer has grown so much that it should not be kept for nothing.
    #[inline]
    fn is_oversized(&self, _core: &mut Core) -> bool {
        // SAFETY: as in `push`.
        unsafe { &*self.buffer.get() }.capacity() > Self::KEPT
    }

    /// Ends a section, and frees the buffer, which is empty.
    #[cold]
    fn trim(&self, core: Guard<'_, Core>) {
        // SAFETY: as in `push`.
        let buffer = mem::take(unsafe { &mut *self.buffer.get() });
        self.finish(core, None);
        drop(buffer);
    }

    /// Ends a section, and wakes whom it called.
    #[inline]
    fn finish(&self, core: Guard<'_, Core>, call: Option<Call>) {
        self.shared.publish(&core);
        if core.watchers.is_empty() {
            drop(core);
        } else {
            wake_watchers(core);
        }
        drop(call);
    }

    /// Gives a waiting receiver, who was called, its message.
    #[inline]
    fn hand_over(&self, core: &mut Core, to: *mut (), message: T) {
        // SAFETY: receivers and selectors of this channel leave such slots; this one was called.
        match unsafe { slot::<T>(to) } {
            Slot::Packet(packet) => packet.put(message),
            Slot::Berth(berth) if Small::fits::<T>() => {
                berth.give(Claim::Given(Small::new(message)));
            }
            Slot::Berth(berth) => {
                self.push(core, message);
                core.reserved_receive += 1;
                berth.give(Claim::Reserved);
            }
        }
    }

    /// Gives a message to a receiver or the buffer.
    #[inline]
    fn place(&self, core: &mut Core, message: T) -> Placed<T> {
        if core.closed {
            return Placed::Closed(message);
        }
        if core.available() == 0
            && let Some(called) = core.receivers.call_first()
        {
            self.hand_over(core, called.slot, message);
            return Placed::Sent(Some(called.call));
        }
        if core.has_room() {
            self.push(core, message);
            return Placed::Sent(None);
        }
        Placed::NoRoom(message)
    }

    /// Takes a message from the buffer or a sender.
    #[inline]
    fn find(&self, core: &mut Core) -> Found<T> {
        if core.available() > 0
            && let Some(message) = self.pop(core)
        {
            let call = if core.senders.is_empty() {
                None
            } else {
                self.step(core)
            };
            return Found::Message(message, call);
        }
        if core.capacity == 0 {
            while let Some(called) = core.senders.call_first() {
                // SAFETY: senders and selectors of this channel leave such slots; this one was called.
                match unsafe { slot::<T>(called.slot) } {
                    Slot::Packet(packet) => {
                        if let Some(message) = packet.take() {
                            return Found::Message(message, Some(called.call));
                        }
                    }
                    Slot::Berth(_) => return Found::Promise(called),
                }
            }
        }
        if core.closed {
            Found::Closed
        } else {
            Found::Nothing
        }
    }

    /// Serves one who can now be served: a sender if there is room, else a receiver if there is a message.
    fn step(&self, core: &mut Core) -> Option<Call> {
        if core.has_room()
            && !core.closed
            && let Some(called) = core.senders.call_first()
        {
            // SAFETY: as in `find`.
            match unsafe { slot::<T>(called.slot) } {
                Slot::Packet(packet) => {
                    if let Some(message) = packet.take() {
                        self.push(core, message);
                    }
                }
                Slot::Berth(berth) => {
                    core.reserved_send += 1;
                    berth.give(Claim::Reserved);
                }
            }
            return Some(called.call);
        }
        if core.available() == 0 {
            return None;
        }
        let called = core.receivers.call_first()?;
        // SAFETY: as in `hand_over`.
        match unsafe { slot::<T>(called.slot) } {
            Slot::Packet(packet) => {
                if let Some(message) = self.pop(core) {
                    packet.put(message);
                }
            }
            Slot::Berth(berth) => {
                core.reserved_receive += 1;
                berth.give(Claim::Reserved);
            }
        }
        Some(called.call)
    }

    /// Serves everybody who can now be served, and ends the section.
    fn settle<'a>(&'a self, mut core: Guard<'a, Core>) {
        while let Some(call) = self.step(&mut core) {
            self.finish(core, Some(call));
            core = self.shared.lock();
        }
        self.finish(core, None);
    }

    /// Sends, waiting `until` then.
    #[inline]
    #[track_caller]
    pub(super) fn send(&self, message: T, until: Until) -> Result<(), Unsent<T>> {
        crate::wait::point();
        if until == Until::Now && self.shared.hint() & SENDABLE == 0 {
            return Err(Unsent::Late(message));
        }
        let mut core = self.shared.lock();
        match self.place(&mut core, message) {
            Placed::Sent(call) => {
                self.finish(core, call);
                Ok(())
            }
            Placed::Closed(message) => {
                drop(core);
                Err(Unsent::Closed(message))
            }
            Placed::NoRoom(message) => match until {
                Until::Now => {
                    drop(core);
                    Err(Unsent::Late(message))
                }
                Until::Time(deadline) => self.wait_to_send(core, message, deadline),
            },
        }
    }

    #[inline(never)]
    #[track_caller]
    fn wait_to_send<'a>(
        &'a self,
        mut core: Guard<'a, Core>,
        message: T,
        deadline: Option<Instant>,
    ) -> Result<(), Unsent<T>> {
        let packet = Packet::full(message);
        let waiting = Waiting::new();
        let mut node = Node::new(waiting.waiter(), 0, packet.slot());
        let node = NonNull::from(&mut node);
        waiting.open();
        // SAFETY: the node is fresh, its ticket open, and this frame stays until it is out again.
        unsafe { core.senders.push_back(node) };
        loop {
            self.finish(core, None);
            self.shared.handles.sender_waits(&waiting);
            let verdict = waiting.park(Reason::Send, deadline);
            if let Verdict::Chosen(_) = verdict
                && !packet.is_linked()
            {
                return packet.take().map_or(Ok(()), |it| Err(Unsent::Closed(it)));
            }
            core = self.shared.lock();
            if verdict == Verdict::Retry
                && let Some(message) = packet.take()
            {
                match self.place(&mut core, message) {
                    Placed::NoRoom(message) => {
                        packet.put(message);
                        waiting.open();
                        continue;
                    }
                    Placed::Closed(message) => packet.put(message),
                    Placed::Sent(call) => {
                        // SAFETY: the node stands in this line.
                        unsafe { core.senders.remove(node) };
                        self.finish(core, call);
                        return Ok(());
                    }
                }
            }
            // SAFETY: the node stands in this line.
            unsafe { core.senders.remove(node) };
            self.finish(core, None);
            return match (packet.take(), verdict) {
                (None, Verdict::CalledOff) => unwind(),
                (Some(message), Verdict::CalledOff) => {
                    drop(message);
                    unwind()
                }
                (None, _) => Ok(()),
                (Some(message), Verdict::TimedOut) => Err(Unsent::Late(message)),
                (Some(message), _) => Err(Unsent::Closed(message)),
            };
        }
    }

    /// Receives, waiting `until` then.
    #[inline]
    #[track_caller]
    pub(super) fn receive(&self, until: Until) -> Result<T, Unreceived> {
        crate::wait::point();
        if until == Until::Now && self.shared.hint() & RECEIVABLE == 0 {
            return Err(Unreceived::Late);
        }
        let mut core = self.shared.lock();
        match self.find(&mut core) {
            Found::Message(message, call) => {
                if core.len == 0 && self.is_oversized(&mut core) {
                    self.trim(core);
                    drop(call);
                } else {
                    self.finish(core, call);
                }
                Ok(message)
            }
            Found::Closed => Err(Unreceived::Closed),
            Found::Nothing if until == Until::Now => Err(Unreceived::Late),
            Found::Nothing => self.wait_to_receive(core, None, until),
            Found::Promise(called) => self.wait_to_receive(core, Some(called), until),
        }
    }

    #[inline(never)]
    #[track_caller]
    fn wait_to_receive<'a>(
        &'a self,
        mut core: Guard<'a, Core>,
        mut promise: Option<Called>,
        until: Until,
    ) -> Result<T, Unreceived> {
        let packet = Packet::empty();
        let waiting = Waiting::new();
        let mut node = Node::new(waiting.waiter(), 0, packet.slot());
        let node = NonNull::from(&mut node);
        let mut linked = false;
        loop {
            let (call, deadline) = match (promise.take(), until) {
                (Some(called), _) => (Some(promised(&waiting, called, 0, packet.slot())), None),
                (None, Until::Now) => {
                    // SAFETY: the node stands in this line.
                    unsafe { core.receivers.remove(node) };
                    self.finish(core, None);
                    return Err(Unreceived::Late);
                }
                (None, Until::Time(deadline)) => {
                    waiting.open();
                    (None, deadline)
                }
            };
            if !mem::replace(&mut linked, true) {
                // SAFETY: the node is fresh, its ticket open or held, and this frame stays until the node
                // is out again.
                unsafe { core.receivers.push_back(node) };
            }
            self.finish(core, call);
            self.shared.handles.receiver_waits(&waiting);
            let verdict = waiting.park(Reason::Receive, deadline);
            if let Verdict::Chosen(_) = verdict
                && !packet.is_linked()
            {
                return packet.take().ok_or(Unreceived::Closed);
            }
            core = self.shared.lock();
            let mut call = None;
            if verdict == Verdict::Retry {
                match self.find(&mut core) {
                    Found::Message(message, other) => {
                        packet.put(message);
                        call = other;
                    }
                    Found::Promise(called) => {
                        promise = Some(called);
                        continue;
                    }
                    Found::Nothing => continue,
                    Found::Closed => {}
                }
            }
            // SAFETY: the node stands in this line.
            unsafe { core.receivers.remove(node) };
            self.finish(core, call);
            return match verdict {
                Verdict::CalledOff => unwind(),
                Verdict::TimedOut => Err(Unreceived::Late),
                Verdict::Retry | Verdict::Chosen(_) => packet.take().ok_or(Unreceived::Closed),
            };
        }
    }

    /// Sends for a selector that has this claim.
    pub(super) fn complete_send(&self, claim: Claim, message: T) -> Result<(), T> {
        match claim {
            Claim::Closed | Claim::Tick { .. } | Claim::Given(_) => Err(message),
            Claim::Held(Partner {
                hold,
                index,
                slot: to,
            })
            | Claim::Entrusted(Partner {
                hold,
                index,
                slot: to,
            }) => {
                // SAFETY: receivers and selectors of this channel leave such slots; this one is held.
                match unsafe { slot::<T>(to) } {
                    Slot::Packet(packet) => {
                        packet.put(message);
                        packet.leave_linked();
                    }
                    Slot::Berth(berth) => {
                        berth.leave_linked();
                        if Small::fits::<T>() {
                            berth.give(Claim::Given(Small::new(message)));
                        } else {
                            let mut core = self.shared.lock();
                            self.hand_over(&mut core, to, message);
                            self.finish(core, None);
                        }
                    }
                }
                hold.commit(Verdict::Chosen(index)).wake();
                Ok(())
            }
            Claim::Reserved => {
                let mut core = self.shared.lock();
                core.reserved_send -= 1;
                match self.place(&mut core, message) {
                    Placed::Sent(None) => self.finish(core, None),
                    Placed::Sent(call) => {
                        // The place was not used after all.
                        let wanted = !core.senders.is_empty();
                        self.finish(core, call);
                        if wanted {
                            self.settle(self.shared.lock());
                        }
                    }
                    Placed::NoRoom(message) => {
                        // A message that was handed back lies in this place; this one still has a right to it.
                        self.push(&mut core, message);
                        self.finish(core, None);
                    }
                    Placed::Closed(message) => {
                        drop(core);
                        return Err(message);
                    }
                }
                Ok(())
            }
        }
    }

    /// Receives for a selector that has this claim.
    pub(super) fn complete_receive(&self, claim: Claim) -> Option<T> {
        match claim {
            // Whoever receives makes no promise, so nobody entrusts itself to it.
            Claim::Closed | Claim::Tick { .. } | Claim::Entrusted(_) => None,
            // SAFETY: by a sender of this channel, whose messages are of this type.
            Claim::Given(message) => Some(unsafe { message.take() }),
            Claim::Held(Partner {
                hold,
                index,
                slot: from,
            }) => {
                // SAFETY: senders and selectors of this channel leave such slots; this one is held.
                let Slot::Packet(packet) = (unsafe { slot::<T>(from) }) else {
                    // A receiver never holds a selector beyond its own section.
                    abort()
                };
                let message = packet.take();
                packet.leave_linked();
                hold.commit(Verdict::Chosen(index)).wake();
                message
            }
            Claim::Reserved => {
                let mut core = self.shared.lock();
                core.reserved_receive -= 1;
                let message = self.pop(&mut core);
                if core.len == 0 && self.is_oversized(&mut core) {
                    self.trim(core);
                    core = self.shared.lock();
                }
                if core.senders.is_empty() && core.receivers.is_empty() {
                    self.finish(core, None);
                } else {
                    self.settle(core);
                }
                message
            }
        }
    }

    /// Hands back what a selector has got and does not use.
    ///
    /// # Safety
    ///
    /// `shared` is that of a channel of `T`, and so is what it hands back.
    pub(super) unsafe fn give_back(shared: &Shared, returned: Returned) {
        let offset = mem::offset_of!(Self, shared);
        let shared = std::ptr::from_ref(shared);
        // SAFETY: by the caller's promise it is a field of a channel.
        let channel = unsafe { shared.byte_sub(offset).cast::<Self>() };
        // SAFETY: as above; the handle that the selector borrows keeps the channel.
        let channel = unsafe { &*channel };
        let mut core = channel.shared.lock();
        match returned {
            Returned::Place => core.reserved_send -= 1,
            Returned::Message => core.reserved_receive -= 1,
            Returned::Given(message) => {
                let place = core.reserved_receive.min(core.len);
                // SAFETY: by the caller.
                let message = unsafe { message.take() };
                // SAFETY: as in `push`.
                unsafe { &mut *channel.buffer.get() }.insert(place, message);
                core.len += 1;
            }
        }
        channel.settle(core);
    }

    /// How many messages are in the buffer.
    pub(super) fn len(&self) -> usize {
        let core = self.shared.lock();
        core.available().min(core.capacity)
    }

    /// How many messages the buffer may keep; `None` if any number.
    pub(super) fn capacity(&self) -> Option<usize> {
        let capacity = self.shared.lock().capacity;
        (capacity != usize::MAX).then_some(capacity)
    }

    /// Whether a message would find no place in the buffer.
    pub(super) fn is_full(&self) -> bool {
        !self.shared.lock().has_room()
    }

    /// Accepts no messages any more, and wakes everybody. `false` if it did not before.
    #[cold]
    pub(super) fn close(&self) -> bool {
        let mut core = self.shared.lock();
        if mem::replace(&mut core.closed, true) {
            return false;
        }
        let receivers = core.receivers.call_all();
        let senders = core.senders.call_all();
        self.finish(core, None);
        receivers.wake();
        senders.wake();
        true
    }

    #[inline]
    pub(super) fn add_sender(&self) {
        add(&self.shared.handles.senders);
    }

    #[inline]
    pub(super) fn add_receiver(&self) {
        add(&self.shared.handles.receivers);
    }

    /// Gives up one sender's share.
    ///
    /// # Safety
    ///
    /// The share is the caller's, who does not use the channel any more.
    pub(super) unsafe fn release_sender(channel: NonNull<Self>) {
        // SAFETY: the share keeps the channel.
        let it = unsafe { channel.as_ref() };
        // AcqRel [handles]: what was done with other handles comes before the end.
        if it.shared.handles.senders.fetch_sub(1, AcqRel) == 1 {
            it.close();
            // SAFETY: nobody else is left on this side.
            drop(unsafe { Self::release_side(channel) });
        }
    }

    /// Gives up one receiver's share. What nobody can receive any more is dropped.
    ///
    /// # Safety
    ///
    /// As for [`release_sender`](Self::release_sender).
    pub(super) unsafe fn release_receiver(channel: NonNull<Self>) {
        // SAFETY: the share keeps the channel.
        let it = unsafe { channel.as_ref() };
        // AcqRel [handles].
        if it.shared.handles.receivers.fetch_sub(1, AcqRel) == 1 {
            it.close();
            let mut core = it.shared.lock();
            core.len = 0;
            core.reserved_receive = 0;
            // SAFETY: as in `push`.
            let unread = mem::take(unsafe { &mut *it.buffer.get() });
            it.shared.publish(&core);
            drop(core);
            // SAFETY: nobody else is left on this side.
            let channel = unsafe { Self::release_side(channel) };
            // The messages go last: what they do when dropped concerns nothing of ours. If one panics, the
            // rest is leaked, as a second panic would end the process.
            drop(channel);
            let mut unread = ManuallyDrop::new(unread);
            while let Some(message) = unread.pop_front() {
                drop(message);
            }
            drop(ManuallyDrop::into_inner(unread));
        }
    }

    /// Gives up one side; whoever is the last gets the channel.
    ///
    /// # Safety
    ///
    /// The share is the caller's.
    unsafe fn release_side(channel: NonNull<Self>) -> Option<Box<Self>> {
        // SAFETY: the share keeps the channel.
        let it = unsafe { channel.as_ref() };
        it.room.enter();
        // AcqRel [handles].
        (it.sides.fetch_sub(1, AcqRel) == 1)
            // SAFETY: it was made by a box, and this was the last share.
            .then(|| unsafe { Box::from_raw(channel.as_ptr()) })
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// One handle more.
#[inline]
fn add(handles: &AtomicUsize) {
    // Relaxed: the handle that is cloned keeps the channel.
    if handles.fetch_add(1, Relaxed) > usize::MAX / 2 {
        // Only leaked handles can be so many; the count must not come round to zero.
        abort();
    }
}

/// Ends a section that changed what watchers wait for.
#[cold]
pub(super) fn wake_watchers(mut core: Guard<'_, Core>) {
    let calls: Calls = core.call_watchers();
    drop(core);
    calls.wake();
}

/// Gives a receiver that is about to wait into the hands of a selector, which was called and will make
/// its message. Under the lock; the call is to be woken after it.
pub(super) fn promised(waiting: &Waiting, called: Called, index: usize, to: *mut ()) -> Call {
    // SAFETY: a promise is made by a selector, which was called and sleeps until it is woken.
    debug_assert!(unsafe { is_berth(called.slot) });
    let claim = Claim::Entrusted(Partner {
        hold: waiting.open_held(),
        index,
        slot: to,
    });
    // SAFETY: as above; a berth's type does not depend on that of the messages.
    if let Slot::Berth(berth) = unsafe { slot::<()>(called.slot) } {
        berth.give(claim);
    }
    called.call
}
