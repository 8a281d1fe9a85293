//! What happened in a simulation, in order: kept as numbers, and written out as text when asked for.

use super::net::Address;
use crate::wait::reason::Reason;
use std::{collections::VecDeque, fmt, panic::Location};

/// What one green thread did, or what was done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// It was spawned, by this one.
    Spawned(u64, &'static Location<'static>),
    /// It was chosen to run.
    Runs,
    Waits(Reason),
    /// It could go on, but others may run first.
    Yields,
    /// It can run again, by what this one did.
    Woken(u64),
    /// Its alarm came.
    Alarm,
    /// Of so many things that it could do, it does this.
    Draws(usize, usize),
    /// It sent this, or, by nobody, this arrived.
    Packet(Box<Traffic>),
    Ends,
}

/// What happened in a simulated network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) packet: Packet,
    pub(super) from: Address,
    pub(super) to: Address,
}

/// What was sent, or became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet {
    Connects,
    Accepted,
    Refused,
    Sends(usize),
    Arrives(usize),
    Lost(usize),
    StandsStill,
    Ends,
    Resets,
}

/// When something happened, to whom, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    at: u64,
    whom: u64,
    what: What,
}

/// The events of one run: the last ones, if there are many.
#[derive(Debug, Clone)]
pub(super) struct Log {
    events: VecDeque<Event>,
    most: usize,
    /// How many were too old to be kept.
    gone: u64,
}

impl Log {
    /// A log that keeps the last `most` events.
    pub(super) fn new(most: usize) -> Self {
        Self {
            events: VecDeque::new(),
            most,
            gone: 0,
        }
    }

    #[inline]
    pub(super) fn note(&mut self, at: u64, whom: u64, what: What) {
        if self.events.len() == self.most {
            self.events.pop_front();
            self.gone += 1;
        }
        self.events.push_back(Event { at, whom, what });
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.gone > 0 {
            writeln!(f, "({} events before these)", self.gone)?;
        }
        self.events.iter().try_for_each(|it| writeln!(f, "{it}"))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.at / 1_000_000_000, self.at % 1_000_000_000);
        write!(f, "{seconds}.{nanos:09} {} ", self.whom)?;
        match &self.what {
            What::Spawned(0, _) => f.write_str("begins"),
            What::Spawned(by, place) => write!(f, "spawned by {by} at {place}"),
            What::Runs => f.write_str("runs"),
            What::Waits(reason) => write!(f, "waits: {reason}"),
            What::Yields => f.write_str("yields"),
            What::Woken(0) => f.write_str("woken"),
            What::Woken(by) => write!(f, "woken by {by}"),
            What::Alarm => f.write_str("alarm"),
            What::Draws(drawn, bound) => write!(f, "draws {drawn} of {bound}"),
            What::Packet(traffic) => traffic.fmt(f),
            What::Ends => f.write_str("ends"),
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packet, from, to } = self;
        match packet {
            Packet::Connects => f.write_str("net: connects")?,
            Packet::Accepted => f.write_str("net: accepted")?,
            Packet::Refused => f.write_str("net: refused")?,
            Packet::Sends(length) => write!(f, "net: sends {length} bytes")?,
            Packet::Arrives(length) => write!(f, "net: {length} bytes arrive")?,
            Packet::Lost(length) => write!(f, "net: {length} bytes are lost")?,
            Packet::StandsStill => f.write_str("net: stands still")?,
            Packet::Ends => f.write_str("net: end")?,
            Packet::Resets => f.write_str("net: reset")?,
        }
        write!(f, ", {from} to {to}")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Log, What};
    use crate::wait::reason::Reason;

    #[test]
    fn only_the_last_events_are_kept_and_the_others_counted() {
        let mut log = Log::new(2);
        log.note(0, 1, What::Runs);
        log.note(1_000_000_002, 1, What::Waits(Reason::Mutex));
        log.note(2_000_000_000, 2, What::Woken(1));
        assert_eq!(
            log.to_string(),
            "(1 events before these)\n1.000000002 1 waits: mutex lock\n2.000000000 2 woken by 1\n"
        );
    }
}
