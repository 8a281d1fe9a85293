//! What simulated TCP is made of: connections of two ends, and those who listen.
//!
//! Each end keeps what is under way to it, in order, and what has arrived and was not read. A connection
//! has both ends from its first moment on: what asks for it (`Syn`) travels to the second, which then
//! waits in a listener's line or, if nobody listens, vanishes with a refusal. So refusals, data, ends and
//! resets all travel in the same way, and what cuts or delays one delays those behind it.
//!
//! Nobody fetches lost bytes again here: on a line that is cut everything stands still where it is, and
//! goes on when the line heals, after another latency.
//!
//! An end that was dropped stays until its peer has gone too: what arrives there is answered by a reset.

use super::network::{Event, News, Port, Protocol, State, host_of, meant, source_of};
use crate::{driver::ordered::Appointment, sim::log::Packet, wait::source::Source};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::{IpAddr, Shutdown, SocketAddr},
    sync::Arc,
};

/// How many connections a listener keeps that were not accepted yet; more wait to be made.
const LINE: usize = 128;
/// How long an attempt to connect lasts: what Linux does with its defaults.
const PATIENCE: u64 = 127_000_000_000;
/// What the system has before it is told otherwise.
const TTL: u32 = 64;

/// What travels.
#[derive(Debug)]
enum Segment {
    /// A connection is asked for.
    Syn,
    /// It is there.
    Accepted,
    /// Nobody listens.
    Refused,
    Data(Vec<u8>),
    /// There is no more.
    End,
    Reset,
}

#[derive(Debug)]
struct Flying {
    /// When it arrives.
    at: u64,
    what: Segment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Open,
    /// There never was a connection, for this reason, or there is none any more.
    Dead(ErrorKind),
}

/// One end of a connection.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be so whatever the others are"
)]
pub(super) struct End {
    other: u64,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    host: IpAddr,
    pub(super) source: Arc<Source>,
    pub(super) phase: Phase,
    /// What is under way to here, the next one first.
    flying: VecDeque<Flying>,
    /// How many bytes of data that is.
    flying_bytes: usize,
    arrived: VecDeque<u8>,
    /// There is no more to arrive.
    ended: bool,
    /// Told to the next call.
    pub(super) error: Option<ErrorKind>,
    read_shut: bool,
    write_shut: bool,
    /// Nobody has it any more.
    gone: bool,
    port: Option<Port>,
    give_up: Option<Appointment>,
    pub(super) nodelay: bool,
    pub(super) ttl: u32,
}

impl End {
    fn used(&self) -> usize {
        self.arrived.len() + self.flying_bytes
    }

    /// It is over, for both directions; what has arrived can be read.
    fn die(&mut self, why: ErrorKind) {
        if let Phase::Dead(_) = self.phase {
            return;
        }
        self.phase = Phase::Dead(why);
        // As in Linux, after the end there is nothing to be reset but one's own writing.
        self.error = Some(if self.ended {
            ErrorKind::BrokenPipe
        } else {
            why
        });
        self.flying.clear();
        self.flying_bytes = 0;
    }
}

/// One who listens.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) local: SocketAddr,
    port: Port,
    pub(super) source: Arc<Source>,
    /// Ends that can be accepted.
    line: VecDeque<u64>,
    /// Ends that are not connected yet, because the line is full.
    outside: VecDeque<u64>,
    pub(super) ttl: u32,
}

fn not_connected() -> io::Error {
    ErrorKind::NotConnected.into()
}

impl State {
    pub(super) fn end(&mut self, end: u64) -> io::Result<&mut End> {
        self.ends.get_mut(&end).ok_or_else(not_connected)
    }

    pub(super) fn listener(&mut self, listener: u64) -> io::Result<&mut Listening> {
        self.listening.get_mut(&listener).ok_or_else(not_connected)
    }

    /// Two ends, of which the first asks the second for a connection.
    pub(super) fn connect(&mut self, to: SocketAddr, news: &mut News) -> io::Result<u64> {
        let host = self.host();
        let to = meant(to);
        let (near, far) = (self.number(), self.number());
        let own = SocketAddr::new(source_of(host, to.ip()), 0);
        let port = self.take_port(Protocol::Stream, host, own, near);
        let port = port.map_err(|_| ErrorKind::AddrNotAvailable)?;
        let own = SocketAddr::new(own.ip(), port.number);
        let end = |other, local, remote, host, port| End {
            other,
            local,
            remote,
            host,
            source: Arc::new(Source::simulated()),
            phase: Phase::Connecting,
            flying: VecDeque::new(),
            flying_bytes: 0,
            arrived: VecDeque::new(),
            ended: false,
            error: None,
            read_shut: false,
            write_shut: false,
            gone: false,
            port,
            give_up: None,
            nodelay: false,
            ttl: TTL,
        };
        let mut client = end(far, own, to, host, Some(port));
        client.give_up = self.happen(self.now.saturating_add(PATIENCE), Event::GiveUp(near));
        self.ends.insert(near, client);
        let server = end(near, to, own, host_of(to.ip(), host), None);
        self.ends.insert(far, server);
        news.note(Packet::Connects, own, to);
        self.send(near, Segment::Syn);
        Ok(near)
    }

    /// Puts something under way from `from` to the other end.
    fn send(&mut self, from: u64, what: Segment) {
        let Some(from) = self.ends.get(&from) else {
            return;
        };
        let (id, from) = (from.other, from.host);
        let Some(to) = self.ends.get_mut(&id) else {
            return;
        };
        if let Segment::Data(bytes) = &what {
            to.flying_bytes += bytes.len();
        }
        let at = self
            .now
            .saturating_add(self.rules.latency(from, to.host, &self.rng));
        // Nothing overtakes.
        let at = to.flying.back().map_or(at, |it| it.at.max(at));
        to.flying.push_back(Flying { at, what });
        if !self.rules.is_cut(from, to.host) {
            self.happen(at, Event::Segment(id));
        }
    }

    /// The ends to which something stands still.
    pub(super) fn cut_off(&self) -> Vec<u64> {
        let cut = self.ends.iter().filter(|(_, to)| {
            let from = self.ends.get(&to.other).map_or(to.host, |it| it.host);
            !to.flying.is_empty() && self.rules.is_cut(from, to.host)
        });
        cut.map(|(id, _)| *id).collect()
    }

    /// Lines have healed: what stood still on its way to these ends goes on.
    pub(super) fn go_on(&mut self, ends: &[u64]) {
        for id in ends {
            let Some(to) = self.ends.get(id) else {
                continue;
            };
            let (other, host) = (to.other, to.host);
            let from = self.ends.get(&other).map_or(host, |it| it.host);
            let Some(to) = self
                .ends
                .get_mut(id)
                .filter(|_| !self.rules.is_cut(from, host))
            else {
                continue;
            };
            let mut last = 0;
            let mut times = Vec::with_capacity(to.flying.len());
            for it in &mut to.flying {
                if it.at <= self.now {
                    // It sets out again.
                    let latency = self.rules.latency(from, host, &self.rng);
                    it.at = self.now.saturating_add(latency);
                }
                it.at = it.at.max(last);
                last = it.at;
                times.push(it.at);
            }
            for at in times {
                self.happen(at, Event::Segment(*id));
            }
        }
    }

    /// The next thing arrives at this end, unless its line was cut meanwhile.
    pub(super) fn segment_arrives(&mut self, id: u64, news: &mut News) {
        let now = self.now;
        let Some(to) = self.ends.get_mut(&id) else {
            return;
        };
        let (other, local, remote, host) = (to.other, to.local, to.remote, to.host);
        let from = self.ends.get(&other).map_or(host, |it| it.host);
        let Some(to) = self.ends.get_mut(&id) else {
            return;
        };
        if to.flying.front().is_none_or(|it| it.at > now) {
            return;
        }
        if self.rules.is_cut(from, host) {
            return news.note(Packet::StandsStill, remote, local);
        }
        let Some(Flying { what, .. }) = to.flying.pop_front() else {
            return;
        };
        match what {
            Segment::Syn => self.asked(id, news),
            Segment::Accepted => {
                to.phase = Phase::Open;
                let give_up = to.give_up.take();
                news.note(Packet::Accepted, remote, local);
                news.both(&to.source);
                _ = give_up.and_then(|it| self.agenda.cancel(it));
            }
            Segment::Refused => {
                news.note(Packet::Refused, remote, local);
                self.kill(id, ErrorKind::ConnectionRefused, news);
            }
            Segment::Data(bytes) => {
                to.flying_bytes -= bytes.len();
                news.note(Packet::Arrives(bytes.len()), remote, local);
                if to.gone {
                    self.send(id, Segment::Reset);
                } else {
                    to.arrived.extend(bytes);
                    news.readable(&to.source);
                }
            }
            Segment::End => {
                to.ended = true;
                news.note(Packet::Ends, remote, local);
                news.readable(&to.source);
            }
            Segment::Reset => {
                news.note(Packet::Resets, remote, local);
                self.kill(id, ErrorKind::ConnectionReset, news);
            }
        }
    }

    /// An end is over, and whoever waits for it is told.
    fn kill(&mut self, id: u64, why: ErrorKind, news: &mut News) {
        let Some(end) = self.ends.get_mut(&id) else {
            return;
        };
        end.die(why);
        news.both(&end.source);
        let (give_up, other) = (end.give_up.take(), end.other);
        _ = give_up.and_then(|it| self.agenda.cancel(it));
        // Whoever wrote to here in vain is told when that arrives; until then there is room.
        if let Some(other) = self.ends.get(&other) {
            news.writable(&other.source);
        }
        self.sweep(id);
    }

    /// A connection to this end is asked for.
    fn asked(&mut self, id: u64, news: &mut News) {
        let Some(end) = self.ends.get(&id) else {
            return;
        };
        let port = Port {
            protocol: Protocol::Stream,
            host: end.host,
            number: end.local.port(),
        };
        let owner = self.owner(port, end.local.ip());
        let listener = owner.and_then(|it| self.listening.get_mut(&it));
        match listener {
            None => {
                self.send(id, Segment::Refused);
                self.ends.remove(&id);
            }
            Some(listener) if listener.line.len() < LINE => {
                listener.line.push_back(id);
                news.readable(&listener.source);
                self.admit(id);
            }
            Some(listener) => listener.outside.push_back(id),
        }
    }

    /// A listener has taken this end into its line.
    fn admit(&mut self, id: u64) {
        if let Some(end) = self.ends.get_mut(&id) {
            end.phase = Phase::Open;
            self.send(id, Segment::Accepted);
        }
    }

    pub(super) fn give_up(&mut self, id: u64, news: &mut News) {
        if let Some(end) = self.ends.get(&id)
            && end.phase == Phase::Connecting
        {
            self.withdraw(id);
            self.kill(id, ErrorKind::TimedOut, news);
        }
    }

    /// Takes back that a connection was asked for.
    fn withdraw(&mut self, id: u64) {
        let Some(other) = self.ends.get(&id).map(|it| it.other) else {
            return;
        };
        let next = self.ends.get(&other).and_then(|it| it.flying.front());
        if next.is_some_and(|it| matches!(it.what, Segment::Syn)) {
            // Nobody has heard of it.
            self.ends.remove(&other);
        } else {
            self.send(id, Segment::Reset);
        }
    }

    pub(super) fn accept(&mut self, listener: u64, news: &mut News) -> io::Result<u64> {
        loop {
            let listening = self.listener(listener)?;
            let Some(end) = listening.line.pop_front() else {
                return Err(ErrorKind::WouldBlock.into());
            };
            let ttl = listening.ttl;
            while let Some(next) = self.listener(listener)?.outside.pop_front() {
                let waits = self.ends.get(&next).map(|it| it.phase);
                if waits == Some(Phase::Connecting) {
                    self.listener(listener)?.line.push_back(next);
                    self.admit(next);
                    break;
                }
                // It has given up.
                self.leave(next, news);
            }
            if let Some(it) = self.ends.get_mut(&end) {
                it.ttl = ttl;
                return Ok(end);
            }
        }
    }

    pub(super) fn read(
        &mut self,
        id: u64,
        news: &mut News,
        take: bool,
        mut copy: impl FnMut(&[u8], &[u8]) -> usize,
    ) -> io::Result<usize> {
        let buffer = self.buffer;
        let end = self.end(id)?;
        if !end.arrived.is_empty() {
            let (one, two) = end.arrived.as_slices();
            let length = copy(one, two);
            if take {
                let was_full = end.used() >= buffer;
                end.arrived.drain(..length);
                let other = end.other;
                if was_full && let Some(other) = self.ends.get(&other) {
                    news.writable(&other.source);
                }
            }
            return Ok(length);
        }
        if end.ended {
            return Ok(0);
        }
        match end.error.take() {
            Some(error) => Err(error.into()),
            None if end.read_shut || end.phase != Phase::Open => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn write(&mut self, id: u64, bufs: &[&[u8]], news: &mut News) -> io::Result<usize> {
        let buffer = self.buffer;
        let end = self.end(id)?;
        if let Some(error) = end.error.take() {
            return Err(error.into());
        }
        if end.write_shut || end.phase != Phase::Open {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let (local, remote, other) = (end.local, end.remote, end.other);
        let wanted: usize = bufs.iter().map(|it| it.len()).sum();
        if wanted == 0 {
            return Ok(0);
        }
        let used = self.ends.get(&other).map_or(0, End::used);
        let length = wanted.min(buffer.saturating_sub(used));
        if length == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut bytes = Vec::with_capacity(length);
        for buf in bufs {
            bytes.extend_from_slice(&buf[..buf.len().min(length - bytes.len())]);
        }
        news.note(Packet::Sends(length), local, remote);
        self.send(id, Segment::Data(bytes));
        Ok(length)
    }

    pub(super) fn shutdown(&mut self, id: u64, how: Shutdown, news: &mut News) -> io::Result<()> {
        let end = self.end(id)?;
        if end.phase != Phase::Open {
            return Err(not_connected());
        }
        if how != Shutdown::Write {
            end.read_shut = true;
            news.readable(&end.source);
        }
        if how != Shutdown::Read && !end.write_shut {
            end.write_shut = true;
            news.writable(&end.source);
            self.send(id, Segment::End);
        }
        Ok(())
    }

    /// Nobody has this end any more.
    pub(super) fn leave(&mut self, id: u64, news: &mut News) {
        let Some(end) = self.ends.get_mut(&id) else {
            return;
        };
        if end.gone {
            return;
        }
        end.gone = true;
        let unread = std::mem::take(&mut end.arrived);
        let (port, give_up) = (end.port.take(), end.give_up.take());
        let (phase, write_shut, other) = (end.phase, end.write_shut, end.other);
        if let Some(port) = port {
            self.free_port(port, id);
        }
        _ = give_up.and_then(|it| self.agenda.cancel(it));
        match phase {
            Phase::Connecting => self.withdraw(id),
            Phase::Open if !unread.is_empty() => self.send(id, Segment::Reset),
            Phase::Open if !write_shut => self.send(id, Segment::End),
            Phase::Open | Phase::Dead(_) => {}
        }
        if !unread.is_empty()
            && let Some(other) = self.ends.get(&other)
        {
            // There is room, until the reset arrives.
            news.writable(&other.source);
        }
        self.sweep(id);
    }

    /// Forgets an end that nobody has and that need not answer any more.
    fn sweep(&mut self, id: u64) {
        let Some(end) = self.ends.get(&id).filter(|it| it.gone) else {
            return;
        };
        let other = self.ends.get(&end.other);
        let deserted = other.is_none_or(|it| it.gone);
        if deserted {
            let other = end.other;
            self.ends.remove(&other);
        }
        if deserted || self.ends.get(&id).is_some_and(|it| it.phase != Phase::Open) {
            self.ends.remove(&id);
        }
    }

    pub(super) fn listen(&mut self, number: u64, ip: IpAddr, port: Port, source: &Arc<Source>) {
        let listening = Listening {
            local: SocketAddr::new(ip, port.number),
            port,
            source: Arc::clone(source),
            line: VecDeque::new(),
            outside: VecDeque::new(),
            ttl: TTL,
        };
        self.listening.insert(number, listening);
    }

    pub(super) fn stop_listening(&mut self, id: u64, news: &mut News) {
        let Some(listening) = self.listening.remove(&id) else {
            return;
        };
        self.free_port(listening.port, id);
        for end in listening.line {
            self.send(end, Segment::Reset);
            self.leave_silently(end, news);
        }
        for end in listening.outside {
            self.send(end, Segment::Refused);
            self.leave_silently(end, news);
        }
    }

    /// As [`leave`](Self::leave), for an end whose peer was told already.
    fn leave_silently(&mut self, id: u64, news: &mut News) {
        if let Some(end) = self.ends.get_mut(&id) {
            end.die(ErrorKind::ConnectionAborted);
        }
        self.leave(id, news);
    }

    /// Resets the connections for which `which` says so of one end: how many.
    pub(super) fn reset(
        &mut self,
        which: impl Fn(u64, IpAddr, IpAddr) -> bool,
        news: &mut News,
    ) -> usize {
        let ends: Vec<_> = self
            .ends
            .iter()
            .filter(|(id, end)| {
                let other = self.ends.get(&end.other).map_or(end.host, |it| it.host);
                end.phase == Phase::Open && which(**id, end.host, other)
            })
            .map(|(id, end)| (*id, end.other))
            .collect();
        let mut count = 0;
        for (one, other) in ends {
            let Some(end) = self.ends.get(&one).filter(|it| it.phase == Phase::Open) else {
                continue;
            };
            count += 1;
            news.note(Packet::Resets, end.remote, end.local);
            for end in [one, other] {
                self.kill(end, ErrorKind::ConnectionReset, news);
            }
        }
        count
    }
}
