//! The choice among several operations: what `select!` and `Select` stand on.
//!
//! A choice claims; the operation that it returns commits, or hands the claim back when it is dropped.
//!
//! 1. *Hints.* One look at each arm without a lock. If any may be ready, one of them is drawn, and only its
//!    channel is locked. If none is, and nothing may wait, a second look proves that there was one moment
//!    at which none was ready.
//! 2. *All locks.* Every channel is locked, once, in the order of the addresses, so that opposite orders
//!    cannot deadlock. Under them the choice is exact: one of the ready arms is drawn, each as likely as
//!    another, or a node for each arm is put in line. Then the locks are let go, and the selector sleeps.
//!
//! Whoever calls it leaves a [`Claim`] in its [`Berth`]. Its other nodes, which nobody can call any more,
//! are taken out one by one before it goes on, so no arm that was not chosen leaves anything behind.
//!
//! A selector that wants to receive and meets one that waits to send, and so has no message yet, gives
//! itself into that one's hands and sleeps: see [`core`](super::core).

#![expect(unsafe_code, reason = "the nodes lie in the selector's frame")]

use super::{
    arm::{Arm, Choice, Target},
    clock::sooner,
    core::{Until, promised, wake_watchers},
    draw,
    receiver::{Receiver, wait_for_nothing},
    sender::Sender,
    state::{Berth, CLOSED, Claim, Claimed, Core, RECEIVABLE, Returned, SENDABLE, Shared},
};
use crate::{
    base::lock::Guard,
    wait::{
        NO_SLOT, Waiting,
        line::{Called, Calls, Line, Node},
        now,
        reason::Reason,
        ticket::Verdict,
        unwind,
    },
};
use std::{
    mem::{self, MaybeUninit},
    ptr::{self, NonNull},
    time::Instant,
};

/// How many arms need no allocation.
const FEW: usize = 8;

/// An operation that was chosen: a claim, to be used or handed back.
#[derive(Debug)]
#[must_use = "what was chosen is handed back when this is dropped"]
pub(super) struct Operation<'a> {
    arm: Arm<'a>,
    index: usize,
    claim: Option<Claim>,
}

impl Operation<'_> {
    /// Which arm was chosen.
    #[inline]
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Sends; `sender` must be the one that was chosen.
    #[inline]
    pub(super) fn send<T>(mut self, sender: &Sender<T>, message: T) -> Result<(), T> {
        match self.claim.take() {
            Some(claim) => sender.channel().complete_send(claim, message),
            None => Err(message),
        }
    }

    /// Receives; `receiver` must be the one that was chosen.
    #[inline]
    pub(super) fn receive<T>(mut self, receiver: &Receiver<T>) -> Option<T> {
        match (self.claim.take()?, receiver.channel()) {
            (claim, Some(channel)) => channel.complete_receive(claim),
            (Claim::Tick { at, .. }, None) => receiver.tick(at),
            _ => None,
        }
    }
}

impl Drop for Operation<'_> {
    /// Hands the claim back, if it was not used.
    #[inline]
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            hand_back(self.arm, claim);
        }
    }
}

#[cold]
fn hand_back(arm: Arm<'_>, claim: Claim) {
    let (shared, give_back, returned) = match (arm.target, claim) {
        (_, Claim::Held(partner)) => return drop(partner.hold),
        (_, Claim::Entrusted(partner)) => return partner.hold.commit(Verdict::Retry).wake(),
        (Target::Clock(clock), Claim::Tick { at, setting }) => return clock.put_back(at, setting),
        (Target::Send(shared, by), Claim::Reserved) => (shared, by, Returned::Place),
        (Target::Receive(shared, by), Claim::Reserved) => (shared, by, Returned::Message),
        (Target::Receive(shared, by), Claim::Given(it)) => (shared, by, Returned::Given(it)),
        _ => return,
    };
    // SAFETY: the arm was made with the function of its channel, which the claim is from.
    unsafe { give_back(shared, returned) };
}

/// Chooses one of `arms`, waiting `until` then; `None` if none was ready by then.
///
/// If it is `biased`, the first of those that are ready.
#[inline]
#[track_caller]
pub(super) fn choose<'a>(arms: &[Arm<'a>], biased: bool, until: Until) -> Option<Operation<'a>> {
    crate::wait::point();
    let time = time_for(arms);
    let (picked, sum) = look(arms, biased, time);
    if let Some(index) = picked {
        if let Some(claimed) = try_claim(&arms[index], time) {
            let claim = match claimed {
                Claimed::Whole(claim) => Some(claim),
                Claimed::Promise(partner) => await_promise(index, partner),
            };
            if claim.is_some() {
                return Some(Operation {
                    arm: arms[index],
                    index,
                    claim,
                });
            }
        }
    } else if until == Until::Now && (arms.len() <= 1 || look(arms, true, time) == (None, sum)) {
        return None;
    }
    let (index, claim) = choose_slowly(arms, biased, until, Purpose::Claim)?;
    Some(Operation {
        arm: arms[index],
        index,
        claim,
    })
}

/// Waits until one of `arms` is ready, without claiming it.
#[track_caller]
pub(super) fn ready(arms: &[Arm<'_>], biased: bool, until: Until) -> Option<usize> {
    crate::wait::point();
    choose_slowly(arms, biased, until, Purpose::Watch).map(|(index, _)| index)
}

/// The time, if an arm wants to know it.
#[inline]
fn time_for(arms: &[Arm<'_>]) -> Option<Instant> {
    arms.iter()
        .any(|it| matches!(it.target, Target::Clock(_)))
        .then(now)
}

/// One of the arms that may be ready by their hints, and the sum of the hints.
///
/// The hints only count upwards, so two looks with the same sum have seen the same hints.
#[inline]
fn look(arms: &[Arm<'_>], biased: bool, time: Option<Instant>) -> (Option<usize>, usize) {
    let mut sum = 0_usize;
    let mut lot = draw::Lot::default();
    for (index, arm) in arms.iter().enumerate() {
        let mut may = |shared: &Shared, bit| {
            let hint = shared.hint();
            sum = sum.wrapping_add(hint);
            hint & bit != 0
        };
        let hopeful = match arm.target {
            Target::Send(shared, _) => may(shared, SENDABLE),
            Target::Receive(shared, _) => may(shared, RECEIVABLE),
            Target::End(shared) => may(shared, CLOSED),
            Target::Clock(clock) => time.is_some_and(|it| clock.is_due(it)),
            Target::Nothing => false,
        };
        if hopeful && biased {
            return (Some(index), sum);
        }
        if hopeful {
            lot.add(index);
        }
    }
    (lot.draw(), sum)
}

/// Claims one arm by its own lock.
#[inline]
fn try_claim(arm: &Arm<'_>, time: Option<Instant>) -> Option<Claimed> {
    let Some(shared) = arm.shared() else {
        return arm.claim(None, time);
    };
    let mut core = shared.lock();
    let claim = arm.claim(Some(&mut core), time);
    shared.publish(&core);
    claim
}

/// Gives the selector, which has chosen, into the hands of a sender that has no message yet, and sleeps
/// until that one has sent. `None` if it gave up: then the choice is open again. No lock is needed: the
/// selector stands in no line, and the partner was called.
#[inline(never)]
#[track_caller]
fn await_promise(index: usize, partner: Called) -> Option<Claim> {
    let waiting = Waiting::new();
    let berth = Berth::new();
    promised(&waiting, partner, index, berth.slot()).wake();
    waiting.stands_for(0, None);
    match waiting.park(Reason::Select, None) {
        Verdict::Chosen(_) => Some(berth.take().unwrap_or(Claim::Closed)),
        // Nobody but the partner can end this wait.
        Verdict::Retry | Verdict::TimedOut | Verdict::CalledOff => None,
    }
}

/// What is done with an arm that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Claim,
    /// It is named, and left as it is.
    Watch,
}

/// An arm's share in the locks.
struct Stand<'a> {
    /// The lock of its channel, if no earlier arm has it.
    core: Option<Guard<'a, Core>>,
    /// Which arm has the lock.
    keeper: usize,
    /// Who is to be woken when all locks are gone.
    calls: Option<Calls>,
}

impl Stand<'_> {
    const fn new() -> Self {
        Self {
            core: None,
            keeper: 0,
            calls: None,
        }
    }
}

/// The second step: with a place for each arm.
#[inline(never)]
#[track_caller]
fn choose_slowly(
    arms: &[Arm<'_>],
    biased: bool,
    until: Until,
    purpose: Purpose,
) -> Option<(usize, Option<Claim>)> {
    if arms.is_empty() {
        if let Until::Time(deadline) = until {
            wait_for_nothing(deadline);
        }
        return None;
    }
    if arms.len() <= FEW {
        let mut stands = [const { Stand::new() }; FEW];
        let mut order = [0; FEW];
        let mut nodes = [const { MaybeUninit::<Node>::uninit() }; FEW];
        Selector {
            arms,
            purpose,
            stands: &mut stands[..arms.len()],
            order: &mut order[..arms.len()],
            nodes: nodes.as_mut_ptr().cast(),
        }
        .run(biased, until)
    } else {
        let mut stands: Vec<Stand<'_>> = arms.iter().map(|_| Stand::new()).collect();
        let mut order = vec![0; arms.len()];
        let mut nodes: Vec<MaybeUninit<Node>> =
            arms.iter().map(|_| MaybeUninit::uninit()).collect();
        Selector {
            arms,
            purpose,
            stands: &mut stands,
            order: &mut order,
            nodes: nodes.as_mut_ptr().cast(),
        }
        .run(biased, until)
    }
}

/// Where the nodes of such an arm stand.
fn line_of<'c>(core: &'c mut Core, purpose: Purpose, target: Target<'_>) -> &'c mut Line {
    match (purpose, target) {
        (Purpose::Watch, _) | (_, Target::End(_)) => &mut core.watchers,
        (_, Target::Send(..)) => &mut core.senders,
        _ => &mut core.receivers,
    }
}

/// A selector at work.
struct Selector<'s, 'a> {
    arms: &'s [Arm<'a>],
    purpose: Purpose,
    stands: &'s mut [Stand<'a>],
    /// The arms by the addresses of their channels.
    order: &'s mut [usize],
    /// A node for each arm. Only this pointer leads to them: others reach them through the lines.
    nodes: *mut Node,
}

impl<'a> Selector<'_, 'a> {
    #[track_caller]
    fn run(mut self, biased: bool, until: Until) -> Option<(usize, Option<Claim>)> {
        let purpose = self.purpose;
        let waiting = Waiting::new();
        let berth = Berth::new();
        let slot = match purpose {
            Purpose::Claim => berth.slot(),
            Purpose::Watch => NO_SLOT,
        };
        for index in 0..self.arms.len() {
            let node = self.node(index);
            // SAFETY: there is a node for each arm, and none is in use yet.
            unsafe { node.write(Node::new(waiting.waiter(), index, slot)) };
        }
        let twice = self.sort();
        self.lock();
        let mut linked = false;
        let mut last = until == Until::Now;
        let reason = self.reason();
        let choice = Choice(self.arms.as_ptr(), self.arms.len());
        loop {
            let mut promise = None;
            let claim = match self.attempt(biased) {
                Some((index, Some(Claimed::Promise(partner)))) => {
                    promise = Some((index, partner));
                    None
                }
                Some((index, Some(Claimed::Whole(claim)))) => Some((index, Some(claim))),
                Some((index, None)) => Some((index, None)),
                None => None,
            };
            if claim.is_some() {
                self.leave();
                self.unlock();
                return claim;
            }
            let mut call = None;
            let mut deadline = None;
            if let Some((mine, partner)) = promise {
                call = Some(promised(&waiting, partner, mine, berth.slot()));
            } else if last {
                self.leave();
                self.unlock();
                return None;
            } else {
                if let Until::Time(time) = until {
                    deadline = time;
                }
                waiting.open();
            }
            if !mem::replace(&mut linked, true) {
                if twice && !biased {
                    self.shuffle();
                }
                self.stand_in_line();
            }
            if call.is_none() {
                deadline = sooner(deadline, self.join_clocks());
            }
            self.unlock();
            drop(call);
            // Exposed: the kernel copies it for those who look.
            waiting.stands_for(ptr::from_ref(&choice).expose_provenance(), deadline);
            let verdict = waiting.park(reason, deadline);
            if let Verdict::Chosen(index) = verdict
                && purpose == Purpose::Claim
                && self.arms[index].shared().is_some()
            {
                self.come_away((!berth.is_linked()).then_some(index));
                return Some((index, Some(berth.take().unwrap_or(Claim::Closed))));
            }
            self.lock();
            match verdict {
                Verdict::Chosen(_) | Verdict::Retry => {}
                Verdict::TimedOut => {
                    last = match until {
                        Until::Now => true,
                        Until::Time(it) => it.is_some_and(|it| it <= now()),
                    };
                }
                Verdict::CalledOff => {
                    self.leave();
                    self.unlock();
                    unwind();
                }
            }
            self.leave_clocks();
            if purpose == Purpose::Watch {
                self.leave();
                linked = false;
            }
        }
    }

    fn reason(&self) -> Reason {
        let hopeless = |it: &Arm<'_>| matches!(it.target, Target::Nothing);
        if self.arms.iter().all(hopeless) {
            Reason::Never
        } else {
            Reason::Select
        }
    }

    /// Draws arms that are ready until one is claimed; one that is only watched is not claimed.
    fn attempt(&mut self, biased: bool) -> Option<(usize, Option<Claimed>)> {
        let time = time_for(self.arms);
        while let Some(index) = self.draw(biased, time) {
            if self.purpose == Purpose::Watch {
                return Some((index, None));
            }
            let arm = self.arms[index];
            // Else it was called meanwhile, through another channel: the next draw passes it over.
            if let Some(claimed) = arm.claim(self.core(index), time) {
                return Some((index, Some(claimed)));
            }
        }
        None
    }

    fn node(&self, index: usize) -> NonNull<Node> {
        // SAFETY: there is a node for each arm.
        let node = unsafe { self.nodes.add(index) };
        // SAFETY: it is an element of an array.
        unsafe { NonNull::new_unchecked(node) }
    }

    fn address(&self, index: usize) -> *const Shared {
        self.arms[index].shared().map_or(ptr::null(), ptr::from_ref)
    }

    /// Orders the arms by their channels. Whether a channel occurs twice.
    fn sort(&mut self) -> bool {
        if self.arms.len() <= FEW {
            for index in 0..self.arms.len() {
                let address = self.address(index);
                let mut place = index;
                while place > 0 && self.address(self.order[place - 1]) > address {
                    self.order[place] = self.order[place - 1];
                    place -= 1;
                }
                self.order[place] = index;
            }
        } else {
            for (place, index) in self.order.iter_mut().zip(0..) {
                *place = index;
            }
            let arms = self.arms;
            self.order
                .sort_unstable_by_key(|it| arms[*it].shared().map_or(ptr::null(), ptr::from_ref));
        }
        self.order
            .windows(2)
            .any(|it| self.address(it[0]) == self.address(it[1]))
    }

    /// Shuffles the arms of one channel among themselves: whoever comes calls the first of them.
    fn shuffle(&mut self) {
        let mut from = 0;
        for place in 1..self.order.len() {
            if self.address(self.order[place]) != self.address(self.order[from]) {
                from = place;
            }
            self.order
                .swap(place, from + draw::number(place - from + 1));
        }
    }

    /// Locks every channel, each once.
    fn lock(&mut self) {
        let mut before: Option<(&'a Shared, usize)> = None;
        for index in &*self.order {
            let Some(shared) = self.arms[*index].shared() else {
                continue;
            };
            match before {
                Some((same, keeper)) if ptr::eq(same, shared) => {
                    self.stands[*index].keeper = keeper;
                }
                _ => {
                    self.stands[*index].core = Some(shared.lock());
                    self.stands[*index].keeper = *index;
                    before = Some((shared, *index));
                }
            }
        }
    }

    /// Lets go of every lock, then wakes those who watch.
    fn unlock(&mut self) {
        let mut watched = false;
        for (arm, stand) in self.arms.iter().zip(&mut *self.stands) {
            let (Some(mut core), Some(shared)) = (stand.core.take(), arm.shared()) else {
                continue;
            };
            shared.publish(&core);
            // One who watches changes nothing, and must not wake itself.
            if self.purpose == Purpose::Claim && !core.watchers.is_empty() {
                watched = true;
                stand.calls = Some(core.call_watchers());
            }
        }
        if watched {
            for stand in &mut *self.stands {
                drop(stand.calls.take());
            }
        }
    }

    /// What the arm's channel keeps; locked.
    fn core(&mut self, index: usize) -> Option<&mut Core> {
        self.arms[index].shared()?;
        let keeper = self.stands[index].keeper;
        self.stands[keeper].core.as_deref_mut()
    }

    /// One of the arms that are ready, each as likely as another; or the first.
    fn draw(&mut self, biased: bool, time: Option<Instant>) -> Option<usize> {
        let mut lot = draw::Lot::default();
        for index in 0..self.arms.len() {
            let arm = self.arms[index];
            if !arm.is_ready(self.core(index).map(|it| &*it), time) {
                continue;
            }
            if biased {
                return Some(index);
            }
            lot.add(index);
        }
        lot.draw()
    }

    /// Where the node of an arm stands.
    fn line(&mut self, index: usize) -> Option<&mut Line> {
        let (purpose, target) = (self.purpose, self.arms[index].target);
        Some(line_of(self.core(index)?, purpose, target))
    }

    /// Puts a node for each arm in line.
    fn stand_in_line(&mut self) {
        for place in 0..self.arms.len() {
            let index = self.order[place];
            let node = self.node(index);
            if let Some(line) = self.line(index) {
                // SAFETY: the node is in no line, its ticket open or held, and it stays until `leave`.
                unsafe { line.push_back(node) };
            }
        }
    }

    /// Takes every node out, but for one that is out already: a node at a time, as nobody can call the
    /// selector any more. No lock is held.
    fn come_away(&self, out: Option<usize>) {
        self.leave_clocks();
        for (index, arm) in self.arms.iter().enumerate() {
            let Some(shared) = arm.shared().filter(|_| out != Some(index)) else {
                continue;
            };
            let mut core = shared.lock();
            // SAFETY: the node stands in this line, or in none.
            unsafe { line_of(&mut core, self.purpose, arm.target).remove(self.node(index)) };
            shared.publish(&core);
            if !core.watchers.is_empty() {
                wake_watchers(core);
            }
        }
    }

    /// Takes every node out.
    fn leave(&mut self) {
        self.leave_clocks();
        for index in 0..self.arms.len() {
            let node = self.node(index);
            if let Some(line) = self.line(index) {
                // SAFETY: the node stands in this line, or in none.
                unsafe { line.remove(node) };
            }
        }
    }

    /// Lets the clocks call when they are set anew. Returns when the first is due.
    fn join_clocks(&self) -> Option<Instant> {
        let mut first = None;
        for (index, arm) in self.arms.iter().enumerate() {
            if let Target::Clock(clock) = arm.target {
                // SAFETY: the node is in no line, its ticket open, and it stays until `leave_clocks`.
                first = sooner(first, unsafe { clock.join(self.node(index)) });
            }
        }
        first
    }

    fn leave_clocks(&self) {
        for (index, arm) in self.arms.iter().enumerate() {
            if let Target::Clock(clock) = arm.target {
                // SAFETY: the node stands in this line, or in none.
                unsafe { clock.leave(self.node(index)) };
            }
        }
    }
}
