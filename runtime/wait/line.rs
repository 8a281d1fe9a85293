//! A line of waiters, in order of arrival: a list through nodes that lie in the waiters' frames.
//!
//! Waiting allocates nothing: whoever waits keeps its [`Node`] in its own frame, links it in under the
//! lock that guards the line, and leaves the frame only after the node is out again. Each node leaves
//! the line once: popped by the caller whose call won, or removed by its owner.
//!
//! All who stand in one line can be moved to another, if they know that one: see
//! [`wait_movable`](super::wait_movable).
//!
//! A node whose waiter was called elsewhere, or is held, is passed over and left where it is: its owner
//! removes it, or a hold that is handed back finds it at its old place.

#![expect(unsafe_code, reason = "the nodes lie in other threads' frames")]

use super::ticket::{Call, Hold, Verdict, Waiter};
use std::{
    fmt,
    mem::{self, ManuallyDrop},
    ptr::NonNull,
};

/// The index of a node that stands alone, in the line in which it came.
pub(crate) const FIRST: usize = 0;
/// The index of one that was [moved](Line::move_to) to another line.
pub(crate) const MOVED: usize = 1;

/// One waiter's place in one line.
pub(crate) struct Node {
    waiter: NonNull<Waiter>,
    /// Which of the waiter's nodes this is: the index of the verdict when it is called.
    pub(super) index: usize,
    /// What the waiter offers or expects here: known to those who made the line.
    slot: *mut (),
    prev: Option<NonNull<Node>>,
    next: Option<NonNull<Node>>,
    /// In a line. Only its lock's holder may look.
    linked: bool,
}

impl Node {
    pub(crate) fn new(waiter: NonNull<Waiter>, index: usize, slot: *mut ()) -> Self {
        Self {
            waiter,
            index,
            slot,
            prev: None,
            next: None,
            linked: false,
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// A waiter that was called, and what it had at its node.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) call: Call,
    pub(crate) slot: *mut (),
}

/// A waiter that is held, with its node, which stays in the line.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) hold: Hold,
    pub(crate) index: usize,
    pub(crate) slot: *mut (),
}

/// What became of the first in a line.
#[derive(Debug)]
pub(crate) enum Taken {
    Held(Held),
    Called(Called),
}

/// Waiters in order of arrival. It must be guarded by a lock, together with what they wait for.
pub(crate) struct Line {
    head: Option<NonNull<Node>>,
    tail: Option<NonNull<Node>>,
    len: usize,
}

// SAFETY: the nodes are only touched by whoever has the line to itself (`&mut`, by its lock), and by
// `push` their owners have promised that they stay until they are out.
unsafe impl Send for Line {}

impl Line {
    pub(crate) const fn new() -> Self {
        Self {
            head: None,
            tail: None,
            len: 0,
        }
    }

    /// Nobody stands here, not even one who was called elsewhere and has not left yet.
    pub(crate) const fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// How many stand here, with those who were called elsewhere and have not left yet.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Lets `node` stand at the end.
    ///
    /// # Safety
    ///
    /// - The node is in no line, and its waiter's ticket is open.
    /// - It stays where it is, untouched, until it is out of the line: called here (the verdict names its
    ///   index) or [removed](Self::remove).
    pub(crate) unsafe fn push_back(&mut self, node: NonNull<Node>) {
        let tail = self.tail;
        // SAFETY: the node is valid by the caller's promise, and nobody else's before it is linked.
        let it = unsafe { &mut *node.as_ptr() };
        debug_assert!(!it.linked, "a node stands in one line");
        it.prev = tail;
        it.next = None;
        it.linked = true;
        match tail {
            // SAFETY: a linked node is valid, and the line's lock is ours.
            Some(tail) => unsafe { (*tail.as_ptr()).next = Some(node) },
            None => self.head = Some(node),
        }
        self.tail = Some(node);
        self.len += 1;
    }

    /// Lets `node` stand before all others: for one who stood here before.
    ///
    /// # Safety
    ///
    /// As for [`push_back`](Self::push_back).
    pub(crate) unsafe fn push_front(&mut self, node: NonNull<Node>) {
        let head = self.head;
        // SAFETY: the node is valid by the caller's promise, and nobody else's before it is linked.
        let it = unsafe { &mut *node.as_ptr() };
        debug_assert!(!it.linked, "a node stands in one line");
        it.prev = None;
        it.next = head;
        it.linked = true;
        match head {
            // SAFETY: a linked node is valid, and the line's lock is ours.
            Some(head) => unsafe { (*head.as_ptr()).prev = Some(node) },
            None => self.tail = Some(node),
        }
        self.head = Some(node);
        self.len += 1;
    }

    /// Takes `node` out, if it is still in.
    ///
    /// # Safety
    ///
    /// The node is valid, and in this line or in none.
    pub(crate) unsafe fn remove(&mut self, node: NonNull<Node>) {
        // SAFETY: valid by the caller's promise; the lock of the line is ours.
        let it = unsafe { &mut *node.as_ptr() };
        if !it.linked {
            return;
        }
        it.linked = false;
        match it.prev {
            // SAFETY: a linked node is valid, and the line's lock is ours.
            Some(prev) => unsafe { (*prev.as_ptr()).next = it.next },
            None => self.head = it.next,
        }
        match it.next {
            // SAFETY: as above.
            Some(next) => unsafe { (*next.as_ptr()).prev = it.prev },
            None => self.tail = it.prev,
        }
        self.len -= 1;
    }

    /// Lets all who stand here stand behind those of `other`, in their order. They wait on: only the verdict
    /// of who is called there will say that it was [`MOVED`].
    ///
    /// # Safety
    ///
    /// - They all wait by [`wait_movable`](super::wait_movable), and `other` is the second line that they
    ///   named. Its lock is the caller's too.
    pub(crate) unsafe fn move_to(&mut self, other: &mut Self) {
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: a linked node is valid, and the line's lock is ours.
            unsafe { (*node.as_ptr()).index = MOVED };
            // SAFETY: as above.
            next = unsafe { (*node.as_ptr()).next };
        }
        let Self { head, tail, len } = mem::replace(self, Self::new());
        let (Some(first), Some(last)) = (head, tail) else {
            return;
        };
        // SAFETY: a linked node is valid, and the lock of either line is ours.
        unsafe { (*first.as_ptr()).prev = other.tail };
        match other.tail {
            // SAFETY: as above.
            Some(tail) => unsafe { (*tail.as_ptr()).next = Some(first) },
            None => other.head = Some(first),
        }
        other.tail = Some(last);
        other.len += len;
    }

    /// Whether `node` was [moved](Self::move_to) to another line.
    ///
    /// # Safety
    ///
    /// It is valid, and the lock of the line in which it came is the caller's: nobody is moved without that.
    pub(crate) unsafe fn was_moved(node: NonNull<Node>) -> bool {
        // SAFETY: the caller's promise. Others may change its links meanwhile, and nothing else.
        unsafe { (*node.as_ptr()).index == MOVED }
    }

    /// Calls the first who can be called, and takes its node out.
    #[inline]
    pub(crate) fn call_first(&mut self) -> Option<Called> {
        self.call_first_if(|_| true)
    }

    /// As [`call_first`](Self::call_first), but nobody once `accept` has refused somebody's slot:
    /// those behind wait for it. One who is refused may have been called elsewhere; so whoever leaves
    /// such a line must see who can be called then.
    #[inline]
    pub(crate) fn call_first_if(
        &mut self,
        mut accept: impl FnMut(*mut ()) -> bool,
    ) -> Option<Called> {
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: a linked node is valid, and the line's lock is ours.
            let (waiter, index, slot, after) = unsafe {
                let Node {
                    waiter,
                    index,
                    slot,
                    next,
                    ..
                } = *node.as_ptr();
                (waiter, index, slot, next)
            };
            if !accept(slot) {
                return None;
            }
            // SAFETY: its node is in a line whose lock is ours.
            if let Some(call) = unsafe { Waiter::call(waiter, Verdict::Chosen(index)) } {
                // SAFETY: it is in this line.
                unsafe { self.remove(node) };
                return Some(Called { call, slot });
            }
            next = after;
        }
        None
    }

    /// Whether somebody here can be called now. Whoever is held looks again when it is handed back.
    pub(crate) fn probe(&self) -> bool {
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: a linked node is valid, and the line's lock is ours.
            let (waiter, after) = unsafe {
                let Node { waiter, next, .. } = *node.as_ptr();
                (waiter, next)
            };
            // SAFETY: its node is in a line whose lock is ours.
            if unsafe { Waiter::probe(waiter) } {
                return true;
            }
            next = after;
        }
        false
    }

    /// Claims the first who can be claimed. Its node stays at its place.
    pub(crate) fn hold_first(&mut self) -> Option<Held> {
        match self.hold_or_call_first(|_| false)? {
            Taken::Held(held) => Some(held),
            // Nobody is to be called.
            Taken::Called(_) => None,
        }
    }

    /// Claims the first who can be claimed, or, if `calls` says so of its slot, calls it and takes its node
    /// out.
    #[inline]
    pub(crate) fn hold_or_call_first(&mut self, calls: impl Fn(*mut ()) -> bool) -> Option<Taken> {
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: a linked node is valid, and the line's lock is ours.
            let (waiter, index, slot, after) = unsafe {
                let Node {
                    waiter,
                    index,
                    slot,
                    next,
                    ..
                } = *node.as_ptr();
                (waiter, index, slot, next)
            };
            if calls(slot) {
                // SAFETY: its node is in a line whose lock is ours.
                if let Some(call) = unsafe { Waiter::call(waiter, Verdict::Chosen(index)) } {
                    // SAFETY: it is in this line.
                    unsafe { self.remove(node) };
                    return Some(Taken::Called(Called { call, slot }));
                }
            } else {
                // SAFETY: its node is in a line whose lock is ours.
                if let Some(hold) = unsafe { Waiter::hold(waiter) } {
                    return Some(Taken::Held(Held { hold, index, slot }));
                }
            }
            next = after;
        }
        None
    }

    /// Calls everybody who stands here now, and takes their nodes out. They must be woken after the lock
    /// is let go.
    pub(crate) fn call_all(&mut self) -> Calls {
        self.call_all_if(|_| true)
    }

    /// As [`call_all`](Self::call_all), but only those whose slot `accept` accepts.
    pub(crate) fn call_all_if(&mut self, accept: impl Fn(*mut ()) -> bool) -> Calls {
        let mut calls = Calls::none();
        let mut last: Option<NonNull<Node>> = None;
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: a linked node is valid, and the line's lock is ours.
            let (waiter, index, slot, after) = unsafe {
                let Node {
                    waiter,
                    index,
                    slot,
                    next,
                    ..
                } = *node.as_ptr();
                (waiter, index, slot, next)
            };
            next = after;
            if !accept(slot) {
                continue;
            }
            // SAFETY: its node is in a line whose lock is ours.
            let Some(call) = (unsafe { Waiter::call(waiter, Verdict::Chosen(index)) }) else {
                continue;
            };
            // SAFETY: it is in this line.
            unsafe { self.remove(node) };
            // The node now links those who are to be woken; its `prev` says whether it was parked.
            let _owed = ManuallyDrop::new(call);
            // SAFETY: its owner sleeps until it is woken, and the node is in no line.
            unsafe { (*node.as_ptr()).next = None };
            match last {
                // SAFETY: as above, for the one before it.
                Some(last) => unsafe { (*last.as_ptr()).next = Some(node) },
                None => calls.first = Some(node),
            }
            last = Some(node);
        }
        calls
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Waiters who were called together, in order. They go on when this is [woken](Self::wake) or dropped.
#[must_use = "they sleep until this is dropped"]
#[derive(Debug)]
pub(crate) struct Calls {
    first: Option<NonNull<Node>>,
}

impl Calls {
    /// Lets them go on; not under a lock that they may want.
    #[expect(clippy::unused_self, reason = "the drop wakes; this says so")]
    pub(crate) fn wake(self) {}

    /// Nobody, yet.
    pub(crate) const fn none() -> Self {
        Self { first: None }
    }

    /// With those of `others`, who go on before these.
    #[cold]
    pub(crate) fn add(&mut self, others: Self) {
        let Some(first) = ManuallyDrop::new(others).first else {
            return;
        };
        let mut last = first;
        // SAFETY: their owners were called and sleep until they are woken.
        while let Some(next) = unsafe { (*last.as_ptr()).next } {
            last = next;
        }
        // SAFETY: as above.
        unsafe { (*last.as_ptr()).next = self.first };
        self.first = Some(first);
    }

    /// Nobody was called.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        while let Some(node) = self.first {
            // SAFETY: its owner was called and sleeps until it is woken, which is below.
            let (waiter, next) = unsafe {
                let Node { waiter, next, .. } = *node.as_ptr();
                (waiter, next)
            };
            self.first = next;
            // SAFETY: `call_all` won the call and kept its wake-up for this.
            unsafe { Call::owed(waiter) }.wake();
        }
    }
}
