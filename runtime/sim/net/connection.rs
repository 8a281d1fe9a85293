//! What simulated streams are made of: connections of two ends, and those who listen.
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
//!
//! TCP and Unix streams differ in three things. The ends of the latter are on one host, and have names
//! instead of ports. They hear that the other reads no more, and can then write no more. And a reset is
//! told to a read alone: a write is told that nobody is there.

use super::{
    address::Address,
    lane::Lane,
    network::{Event, Held, News, Port, Protocol, State, host_of, meant, source_of},
};
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
    /// There is no more; or, on one host, whoever is there reads no more.
    End(Shutdown),
    Reset,
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
    pub(super) local: Address,
    pub(super) remote: Address,
    host: IpAddr,
    pub(super) source: Arc<Source>,
    pub(super) phase: Phase,
    /// What is under way to here.
    flying: Lane<Segment>,
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
    /// Both ends are on one host, as those of Unix sockets.
    fn is_local(&self) -> bool {
        matches!(self.local, Address::Name(_))
    }

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
        self.error = Some(if self.ended && !self.is_local() {
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
    pub(super) local: Address,
    held: Held,
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
        let give_up = self.happen(self.now.saturating_add(PATIENCE), Event::GiveUp(near));
        let hosts = [host, host_of(to.ip(), host)];
        self.tie([near, far], hosts, &[own.into(), to.into()]);
        let client = self.end(near)?;
        (client.port, client.give_up) = (Some(port), give_up);
        self.ask(near, news);
        Ok(near)
    }

    /// Makes the two ends of a connection, which is not there yet.
    pub(super) fn tie(&mut self, ends: [u64; 2], hosts: [IpAddr; 2], addresses: &[Address; 2]) {
        for (own, other) in [(0, 1), (1, 0)] {
            let end = End {
                other: ends[other],
                local: addresses[own].clone(),
                remote: addresses[other].clone(),
                host: hosts[own],
                source: Arc::new(Source::simulated()),
                phase: Phase::Connecting,
                flying: Lane::new(),
                flying_bytes: 0,
                arrived: VecDeque::new(),
                ended: false,
                error: None,
                read_shut: false,
                write_shut: false,
                gone: false,
                port: None,
                give_up: None,
                nodelay: false,
                ttl: TTL,
            };
            self.ends.insert(ends[own], end);
        }
    }

    /// Lets this end ask the other for the connection.
    pub(super) fn ask(&mut self, end: u64, news: &mut News) {
        if let Some(it) = self.ends.get(&end) {
            news.note(Packet::Connects, &it.local, &it.remote);
            self.send(end, Segment::Syn);
        }
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
        let at = to.flying.push(at, what);
        if !self.rules.is_cut(from, to.host) {
            self.happen(at, Event::Segment(id));
        }
    }

    /// What stands still on its way to ends of streams.
    pub(super) fn segments_cut_off(&self) -> impl Iterator<Item = Event> {
        let cut = self.ends.iter().filter(|(_, to)| {
            let from = self.ends.get(&to.other).map_or(to.host, |it| it.host);
            !to.flying.is_empty() && self.rules.is_cut(from, to.host)
        });
        cut.map(|(id, _)| Event::Segment(*id))
    }

    /// Lets what stood still on its way to this end go on, if it may: when it arrives.
    pub(super) fn segments_go_on(&mut self, id: u64) -> Vec<u64> {
        let Some(to) = self.ends.get(&id) else {
            return Vec::new();
        };
        let (other, host) = (to.other, to.host);
        let from = self.ends.get(&other).map_or(host, |it| it.host);
        let (rules, rng) = (&self.rules, &self.rng);
        match self.ends.get_mut(&id) {
            Some(to) if !rules.is_cut(from, host) => to
                .flying
                .set_out_again(self.now, || rules.latency(from, host, rng)),
            Some(_) | None => Vec::new(),
        }
    }

    /// The next thing arrives at this end, unless its line was cut meanwhile.
    pub(super) fn segment_arrives(&mut self, id: u64, news: &mut News) {
        let now = self.now;
        let Some(to) = self.ends.get_mut(&id) else {
            return;
        };
        let (other, host) = (to.other, to.host);
        let (local, remote) = (&to.local.clone(), &to.remote.clone());
        let from = self.ends.get(&other).map_or(host, |it| it.host);
        let Some(to) = self.ends.get_mut(&id) else {
            return;
        };
        if !to.flying.has_arrived(now) {
            return;
        }
        if self.rules.is_cut(from, host) {
            return news.note(Packet::StandsStill, remote, local);
        }
        let Some(what) = to.flying.pop() else {
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
            Segment::End(how) => {
                news.note(Packet::Ends, remote, local);
                to.ended |= how != Shutdown::Read;
                news.readable(&to.source);
                if how != Shutdown::Write {
                    to.write_shut = true;
                    news.writable(&to.source);
                }
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
        let owner = match &end.local {
            Address::Name(name) => self.find_name(Protocol::Stream, end.host, name).ok(),
            Address::Port(local) => {
                let port = Port {
                    protocol: Protocol::Stream,
                    host: end.host,
                    number: local.port(),
                };
                self.owner(port, local.ip())
            }
        };
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
        if next.is_some_and(|it| matches!(it, Segment::Syn)) {
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
        if end.ended && !end.is_local() {
            return Ok(0);
        }
        match end.error.take() {
            Some(error) => Err(error.into()),
            None if end.ended || end.read_shut || end.phase != Phase::Open => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn write(&mut self, id: u64, bufs: &[&[u8]], news: &mut News) -> io::Result<usize> {
        let buffer = self.buffer;
        let end = self.end(id)?;
        let is_over = end.write_shut || end.phase != Phase::Open;
        if !(is_over && end.is_local())
            && let Some(error) = end.error.take()
        {
            return Err(error.into());
        }
        if is_over {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let other = end.other;
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
        let end = self.end(id)?;
        news.note(Packet::Sends(length), &end.local, &end.remote);
        self.send(id, Segment::Data(bytes));
        Ok(length)
    }

    pub(super) fn shutdown(&mut self, id: u64, how: Shutdown, news: &mut News) -> io::Result<()> {
        let end = self.end(id)?;
        let is_local = end.is_local();
        if end.phase != Phase::Open {
            return if is_local {
                Ok(())
            } else {
                Err(not_connected())
            };
        }
        let reading = how != Shutdown::Write;
        let writing = how != Shutdown::Read && !end.write_shut;
        if reading {
            end.read_shut = true;
            news.readable(&end.source);
        }
        if writing {
            end.write_shut = true;
            news.writable(&end.source);
        }
        match (reading && is_local, writing) {
            (true, true) => self.send(id, Segment::End(Shutdown::Both)),
            (true, false) => self.send(id, Segment::End(Shutdown::Read)),
            (false, true) => self.send(id, Segment::End(Shutdown::Write)),
            (false, false) => {}
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
        let (is_local, read_shut) = (end.is_local(), end.read_shut);
        if let Some(port) = port {
            self.free(&Held::Port(port), id);
        }
        _ = give_up.and_then(|it| self.agenda.cancel(it));
        match phase {
            Phase::Connecting => self.withdraw(id),
            Phase::Open if !unread.is_empty() => self.send(id, Segment::Reset),
            Phase::Open if is_local && !(read_shut && write_shut) => {
                self.send(id, Segment::End(Shutdown::Both));
            }
            Phase::Open if !is_local && !write_shut => {
                self.send(id, Segment::End(Shutdown::Write));
            }
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

    pub(super) fn listen(&mut self, number: u64, local: Address, held: Held, source: &Arc<Source>) {
        let listening = Listening {
            local,
            held,
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
        self.free(&listening.held, id);
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
            news.note(Packet::Resets, &end.remote, &end.local);
            for end in [one, other] {
                self.kill(end, ErrorKind::ConnectionReset, news);
            }
        }
        count
    }
}
