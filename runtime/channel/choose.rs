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
    clock::{Clock, sooner},
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
    slice,
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
    let mut time = None;
    let (picked, sum) = look(arms, biased, &mut time);
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
    } else if until == Until::Now && (arms.len() <= 1 || look(arms, true, &mut time) == (None, sum))
    {
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
fn time_for(arms: &[Arm<'_>]) -> Option<Instant> {
    arms.iter()
        .any(|it| matches!(it.target, Target::Clock(_)))
        .then(now)
}

/// One of the arms that may be ready by their hints, and the sum of the hints.
///
/// The hints only count upwards, so two looks with the same sum have seen the same hints. The `time` is
/// asked for once, by the first arm that wants to know it.
#[inline]
fn look(arms: &[Arm<'_>], biased: bool, time: &mut Option<Instant>) -> (Option<usize>, usize) {
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
            Target::Clock(clock) => clock.is_due(*time.get_or_insert_with(now)),
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

/// An arm among the locks, which are taken in the order of the channels' addresses.
struct Stand<'a> {
    /// Its channel. Those that have none come first.
    shared: Option<&'a Shared>,
    /// Which arm it is.
    index: usize,
    /// The lock of its channel, if none of the stands before it has it.
    core: Option<Guard<'a, Core>>,
}

impl<'a> Stand<'a> {
    fn new((index, arm): (usize, &Arm<'a>)) -> Self {
        Self {
            shared: arm.shared(),
            index,
            core: None,
        }
    }

    fn address(&self) -> *const Shared {
        self.shared.map_or(ptr::null(), ptr::from_ref)
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
        let mut stands = [const { MaybeUninit::<Stand<'_>>::uninit() }; FEW];
        for (place, it) in stands.iter_mut().zip(arms.iter().enumerate()) {
            place.write(Stand::new(it));
        }
        // SAFETY: there are so many arms, no more than `FEW`, and that many stands were written. They need no
        // drop, as every lock is let go of on the way.
        let stands = unsafe { slice::from_raw_parts_mut(stands.as_mut_ptr().cast(), arms.len()) };
        let mut nodes = [const { MaybeUninit::<Node>::uninit() }; FEW];
        Selector {
            arms,
            purpose,
            stands,
            nodes: nodes.as_mut_ptr().cast(),
        }
        .run(biased, until)
    } else {
        let mut stands: Vec<Stand<'_>> = arms.iter().enumerate().map(Stand::new).collect();
        let mut nodes: Vec<MaybeUninit<Node>> =
            arms.iter().map(|_| MaybeUninit::uninit()).collect();
        Selector {
            arms,
            purpose,
            stands: &mut stands,
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
    /// The arms by the addresses of their channels.
    stands: &'s mut [Stand<'a>],
    /// A node for each stand. Only this pointer leads to them: others reach them through the lines.
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
        self.sort();
        self.lock();
        let mut linked = false;
        let mut last = until == Until::Now;
        let choice = Choice(self.arms.as_ptr(), self.arms.len());
        loop {
            let mut call = None;
            let mut deadline = None;
            match self.attempt(biased) {
                Some((index, Some(Claimed::Promise(partner)))) => {
                    call = Some(promised(&waiting, partner, index, berth.slot()));
                }
                Some((index, claim)) => {
                    if linked {
                        self.leave();
                    }
                    self.unlock();
                    return Some((
                        index,
                        match claim {
                            Some(Claimed::Whole(claim)) => Some(claim),
                            _ => None,
                        },
                    ));
                }
                None if last => {
                    if linked {
                        self.leave();
                    }
                    self.unlock();
                    return None;
                }
                None => {
                    if let Until::Time(time) = until {
                        deadline = time;
                    }
                    waiting.open();
                }
            }
            if !mem::replace(&mut linked, true) {
                if !biased {
                    self.shuffle();
                }
                self.stand_in_line(&waiting, slot);
            }
            if call.is_none() {
                deadline = sooner(deadline, self.join_clocks());
            }
            self.unlock();
            drop(call);
            // Exposed: the kernel copies it for those who look.
            waiting.stands_for(ptr::from_ref(&choice).expose_provenance(), deadline);
            let verdict = waiting.park(self.reason(), deadline);
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
        // The last has the highest address.
        let hopeless = |it: &Arm<'_>| matches!(it.target, Target::Nothing);
        if self.stands.last().is_some_and(|it| it.shared.is_none())
            && self.arms.iter().all(hopeless)
        {
            Reason::Never
        } else {
            Reason::Select
        }
    }

    /// Draws arms that are ready until one is claimed; one that is only watched is not claimed.
    fn attempt(&mut self, biased: bool) -> Option<(usize, Option<Claimed>)> {
        let time = match self.stands.first() {
            Some(first) if first.shared.is_none() => time_for(self.arms),
            _ => None,
        };
        while let Some(place) = self.draw(biased, time) {
            let index = self.stands[place].index;
            if self.purpose == Purpose::Watch {
                return Some((index, None));
            }
            let arm = self.arms[index];
            // Else it was called meanwhile, through another channel: the next draw passes it over.
            if let Some(claimed) = arm.claim(self.core(place), time) {
                return Some((index, Some(claimed)));
            }
        }
        None
    }

    fn node(&self, place: usize) -> NonNull<Node> {
        // SAFETY: there is a node for each stand.
        let node = unsafe { self.nodes.add(place) };
        // SAFETY: it is an element of an array.
        unsafe { NonNull::new_unchecked(node) }
    }

    /// Orders the arms by their channels.
    fn sort(&mut self) {
        if self.arms.len() <= FEW {
            for index in 1..self.stands.len() {
                let (before, rest) = self.stands.split_at_mut(index);
                let mut stand = &mut rest[0];
                for earlier in before.iter_mut().rev() {
                    if earlier.address() <= stand.address() {
                        break;
                    }
                    // Word by word, as they were written a moment ago: a load of two at once would wait for
                    // both. No lock is taken yet.
                    mem::swap(&mut earlier.shared, &mut stand.shared);
                    mem::swap(&mut earlier.index, &mut stand.index);
                    stand = earlier;
                }
            }
        } else {
            self.stands.sort_unstable_by_key(Stand::address);
        }
    }

    /// Shuffles the arms of one channel among themselves: whoever comes calls the first of them.
    fn shuffle(&mut self) {
        let mut from = 0;
        for place in 1..self.stands.len() {
            if self.stands[place].address() != self.stands[from].address() {
                from = place;
            } else if self.stands[place].shared.is_some() {
                let other = from + draw::number(place - from + 1);
                let index = self.stands[other].index;
                self.stands[other].index = mem::replace(&mut self.stands[place].index, index);
            }
        }
    }

    /// Locks every channel, each once.
    fn lock(&mut self) {
        let mut before: *const Shared = ptr::null();
        for stand in &mut *self.stands {
            if let Some(shared) = stand.shared
                && !ptr::eq(before, shared)
            {
                stand.core = Some(shared.lock());
                before = shared;
            }
        }
    }

    /// Lets go of every lock, then wakes those who watch.
    fn unlock(&mut self) {
        let mut calls = Calls::none();
        for stand in &mut *self.stands {
            let (Some(mut core), Some(shared)) = (stand.core.take(), stand.shared) else {
                continue;
            };
            shared.publish(&core);
            // One who watches changes nothing, and must not wake itself.
            if !core.watchers.is_empty() && self.purpose == Purpose::Claim {
                calls.add(core.call_watchers());
            }
        }
        calls.wake();
    }

    /// What the channel of a stand keeps; locked.
    fn core(&mut self, mut place: usize) -> Option<&mut Core> {
        self.stands[place].shared?;
        while self.stands[place].core.is_none() {
            place = place.checked_sub(1)?;
        }
        self.stands[place].core.as_deref_mut()
    }

    /// The place of one of the arms that are ready, each as likely as another; or of the first arm.
    fn draw(&mut self, biased: bool, time: Option<Instant>) -> Option<usize> {
        let mut lot = draw::Lot::default();
        let mut first: Option<(usize, usize)> = None;
        let mut core: Option<&Core> = None;
        for (place, stand) in self.stands.iter().enumerate() {
            if let Some(own) = &stand.core {
                core = Some(own);
            }
            if !self.arms[stand.index].is_ready(core, time) {
                continue;
            }
            if !biased {
                lot.add(place);
            } else if first.is_none_or(|it| stand.index < it.0) {
                first = Some((stand.index, place));
            }
        }
        first.map(|it| it.1).or_else(|| lot.draw())
    }

    /// Puts a node for each arm in line.
    fn stand_in_line(&mut self, waiting: &Waiting, slot: *mut ()) {
        let (purpose, nodes) = (self.purpose, self.nodes);
        let mut core: Option<&mut Core> = None;
        for (place, stand) in self.stands.iter_mut().enumerate() {
            // SAFETY: there is a node for each stand.
            let node = unsafe { nodes.add(place) };
            // SAFETY: it is an element of an array.
            let node = unsafe { NonNull::new_unchecked(node) };
            // SAFETY: it is in no line.
            unsafe { node.write(Node::new(waiting.waiter(), stand.index, slot)) };
            if let Some(own) = &mut stand.core {
                core = Some(own);
            }
            if stand.shared.is_some()
                && let Some(core) = &mut core
            {
                let line = line_of(core, purpose, self.arms[stand.index].target);
                // SAFETY: the node is in no line, its ticket open or held, and it stays until `leave`.
                unsafe { line.push_back(node) };
            }
        }
    }

    /// Takes every node out, but for one that is out already: a node at a time, as nobody can call the
    /// selector any more. No lock is held.
    fn come_away(&self, out: Option<usize>) {
        self.leave_clocks();
        for (place, stand) in self.stands.iter().enumerate() {
            let Some(shared) = stand.shared.filter(|_| out != Some(stand.index)) else {
                continue;
            };
            let target = self.arms[stand.index].target;
            let mut core = shared.lock();
            // SAFETY: the node stands in this line, or in none.
            unsafe { line_of(&mut core, self.purpose, target).remove(self.node(place)) };
            shared.publish(&core);
            if !core.watchers.is_empty() {
                wake_watchers(core);
            }
        }
    }

    /// Takes every node out.
    #[cold]
    fn leave(&mut self) {
        self.leave_clocks();
        for place in 0..self.stands.len() {
            let node = self.node(place);
            let (purpose, target) = (self.purpose, self.arms[self.stands[place].index].target);
            if let Some(core) = self.core(place) {
                // SAFETY: the node stands in this line, or in none.
                unsafe { line_of(core, purpose, target).remove(node) };
            }
        }
    }

    /// The places of those that may be clocks: they come first.
    fn clocks(&self) -> impl Iterator<Item = (usize, &'a Clock)> {
        (self.stands.iter().enumerate())
            .take_while(|(_, it)| it.shared.is_none())
            .filter_map(|(place, it)| {
                if let Target::Clock(clock) = self.arms[it.index].target {
                    Some((place, clock))
                } else {
                    None
                }
            })
    }

    /// Lets the clocks call when they are set anew. Returns when the first is due.
    fn join_clocks(&self) -> Option<Instant> {
        let mut first = None;
        for (place, clock) in self.clocks() {
            // SAFETY: the node is in no line, its ticket open, and it stays until `leave_clocks`.
            first = sooner(first, unsafe { clock.join(self.node(place)) });
        }
        first
    }

    #[inline]
    fn leave_clocks(&self) {
        // They come first.
        if self.stands.first().is_some_and(|it| it.shared.is_none()) {
            self.leave_all_clocks();
        }
    }

    #[cold]
    fn leave_all_clocks(&self) {
        for (place, clock) in self.clocks() {
            // SAFETY: the node stands in this line, or in none.
            unsafe { clock.leave(self.node(place)) };
        }
    }
}
