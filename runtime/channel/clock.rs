//! A channel whose only sender is time: `after`, `at`, `tick`, and what `Timer` and `Ticker` set.
//!
//! Nothing runs for it. Whoever looks compares the moment that is due with the clock; whoever waits does
//! so until that moment at the latest, and stands in the clock's line so that a new setting calls it. So
//! a clock that nobody waits for costs its memory alone, and one that was set anew can have no old
//! message left anywhere.
//!
//! A clock with a period keeps its phase: a reader that comes late gets one message, the oldest that it
//! has missed, and the next at the next multiple of the period.

#![expect(
    unsafe_code,
    reason = "waiters stand in a line by nodes in their frames"
)]

use super::core::{Unreceived, Until};
use crate::{
    base::lock::Lock,
    wait::{
        Waiting,
        line::{Line, Node},
        now,
        reason::Reason,
        ticket::Verdict,
        unwind,
    },
};
use std::{
    ptr::NonNull,
    time::{Duration, Instant},
};

/// A clock's setting, and those who wait for it.
#[derive(Debug)]
pub(super) struct Clock {
    state: Lock<State>,
    /// It belongs to a `Timer` or a `Ticker`, whose channel looks as if it had no buffer, as in Go.
    owned: bool,
}

#[derive(Debug)]
struct State {
    /// A message is still to come, or there and not yet received.
    armed: bool,
    /// When; `None` if later than the clock can count.
    due: Option<Instant>,
    /// The time between messages; `None` if there is one only.
    period: Option<Duration>,
    /// Counts the settings.
    setting: u64,
    line: Line,
}

impl State {
    fn due(&self) -> Option<Instant> {
        self.due.filter(|_| self.armed)
    }

    fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.due().filter(|it| *it <= now)?;
        match self.period {
            None => self.armed = false,
            Some(period) => self.due = following(due, period, now),
        }
        Some(due)
    }
}

/// The first moment after `now` that is a whole number of periods after `due`.
fn following(due: Instant, period: Duration, now: Instant) -> Option<Instant> {
    if period.is_zero() {
        return Some(now);
    }
    let late = now.saturating_duration_since(due);
    let rest = late.as_nanos() % period.as_nanos();
    // The rest is less than the period, which is a `Duration`.
    let whole = Duration::new(
        u64::try_from(rest / 1_000_000_000).unwrap_or(u64::MAX),
        u32::try_from(rest % 1_000_000_000).unwrap_or(0),
    );
    now.checked_sub(whole)?.checked_add(period)
}

impl Clock {
    pub(super) fn new(due: Option<Instant>, period: Option<Duration>, owned: bool) -> Self {
        Self {
            state: Lock::new(State {
                armed: true,
                due,
                period,
                setting: 0,
                line: Line::new(),
            }),
            owned,
        }
    }

    /// Sets it anew, or off; whether a message was to come, or there and not received.
    pub(super) fn set(&self, armed: bool, due: Option<Instant>, period: Option<Duration>) -> bool {
        let mut state = self.state.lock();
        let was_armed = state.armed;
        state.armed = armed;
        state.due = due;
        state.period = period;
        state.setting += 1;
        let calls = state.line.call_all();
        drop(state);
        calls.wake();
        was_armed
    }

    /// When the next message is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.state.lock().due()
    }

    /// Whether a message is there.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|it| it <= now)
    }

    /// How many messages seem to be in the buffer.
    pub(super) fn len(&self) -> usize {
        usize::from(!self.owned && self.is_due(now()))
    }

    /// How many messages the buffer seems to have room for.
    pub(super) fn capacity(&self) -> usize {
        usize::from(!self.owned)
    }

    /// Takes the message that is there, with the setting that it came from.
    pub(super) fn take(&self, now: Instant) -> Option<(Instant, u64)> {
        let mut state = self.state.lock();
        let at = state.take(now)?;
        Some((at, state.setting))
    }

    /// Puts a message back that was taken for somebody who did not want it after all.
    pub(super) fn put_back(&self, at: Instant, setting: u64) {
        let mut state = self.state.lock();
        if state.setting != setting {
            return;
        }
        state.armed = true;
        state.due = Some(at);
        let calls = state.line.call_all();
        drop(state);
        calls.wake();
    }

    /// Lets a selector stand in line for a new setting. Returns when the next message is due.
    ///
    /// # Safety
    ///
    /// As for [`Line::push_back`]; the node is to be taken out by [`leave`](Self::leave).
    pub(super) unsafe fn join(&self, node: NonNull<Node>) -> Option<Instant> {
        let mut state = self.state.lock();
        // SAFETY: the caller's promise.
        unsafe { state.line.push_back(node) };
        state.due()
    }

    /// Takes a selector's node out.
    ///
    /// # Safety
    ///
    /// The node has [joined](Self::join) this clock, and is valid.
    pub(super) unsafe fn leave(&self, node: NonNull<Node>) {
        // SAFETY: the caller's promise.
        unsafe { self.state.lock().line.remove(node) };
    }

    /// Receives, waiting `until` then.
    #[track_caller]
    pub(super) fn receive(&self, until: Until) -> Result<Instant, Unreceived> {
        loop {
            let time = now();
            let mut state = self.state.lock();
            if let Some(at) = state.take(time) {
                return Ok(at);
            }
            let Until::Time(deadline) = until else {
                return Err(Unreceived::Late);
            };
            if deadline.is_some_and(|it| it <= time) {
                return Err(Unreceived::Late);
            }
            let soonest = sooner(state.due(), deadline);
            let waiting = Waiting::new();
            let mut node = Node::new(waiting.waiter(), 0, crate::wait::NO_SLOT);
            let node = NonNull::from(&mut node);
            waiting.open();
            // SAFETY: the node is fresh, its ticket open; it is taken out below, in any case.
            unsafe { state.line.push_back(node) };
            drop(state);
            waiting.stands_for(0, None);
            let verdict = waiting.park(Reason::Receive, soonest);
            // SAFETY: it joined above.
            unsafe { self.leave(node) };
            if verdict == Verdict::CalledOff {
                unwind();
            }
        }
    }
}

/// The earlier of two moments, `None` being never.
pub(super) fn sooner(one: Option<Instant>, two: Option<Instant>) -> Option<Instant> {
    match (one, two) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}
