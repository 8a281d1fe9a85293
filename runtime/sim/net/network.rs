//! The network of one simulation: hosts, ports, and what is under way, in the order of its arrival.
//!
//! Nothing here runs by itself. A call on a socket puts what it sends under way and sets down when it
//! will arrive; the simulation, whose clock is the only one, lets it arrive when that time has come, as
//! one step among those of its green threads. What arrives at the same time comes in any order.
//!
//! A socket outside of this file is a number and a share of the network, and its calls lock the whole of
//! it for a moment. In a simulation nobody ever waits for that lock; it is there for sockets that were
//! carried to another kernel thread. Whose socket has news is told after the lock was let go of.

use super::{
    address::Address,
    connection::{End, Listening},
    datagram::{Bound, Flow},
    local::{Label, Names},
    mailbox::Mailbox,
    rules::Rules,
};
use crate::{
    base::{lock::Lock, rng::Rng},
    driver::{
        ordered::{Appointment, OrderedAlarms},
        poller::Ready,
    },
    net::Name,
    sim::{
        home::with_current,
        log::{Packet, Traffic, What},
    },
    wait::source::Source,
};
use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// Where green threads are that nobody has put elsewhere.
pub(super) const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The ports that are given out.
const FREE_PORTS: std::ops::RangeInclusive<u16> = 10_000..=u16::MAX;
/// How many bytes may be under way and unread in each direction of a stream, unless it was set.
const BUFFER: usize = 64 << 10;
/// Keeps the network's draws apart from those of the order.
const OTHER_SEED: u64 = 0x6e65_7477_6f72_6b21;

/// What will happen at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The next thing for this end of a stream is there.
    Segment(u64),
    /// One datagram of this flow is there.
    Datagram(Flow),
    /// The next thing for this mailbox is there.
    Letter(u64),
    /// This end tries to connect no longer.
    GiveUp(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Stream,
    Datagram,
}

/// A port of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub(super) protocol: Protocol,
    pub(super) host: IpAddr,
    pub(super) number: u16,
}

/// What others find a socket by, and no other can have meanwhile.
#[derive(Debug)]
pub(super) enum Held {
    Port(Port),
    Name(Label),
}

/// One who has a port, for the connections or datagrams to that address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) address: IpAddr,
    pub(super) socket: u64,
}

/// The network of a simulation.
#[derive(Debug)]
pub(crate) struct Network {
    /// The simulation's.
    number: u32,
    state: Lock<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) now: u64,
    /// The run is over: no call does anything any more.
    over: bool,
    pub(super) rng: Rng,
    pub(super) rules: Rules,
    pub(super) buffer: usize,
    pub(super) agenda: OrderedAlarms<Event>,
    /// What arrives now.
    due: Vec<Event>,
    /// The last number of a socket.
    last: u64,
    pub(super) ends: BTreeMap<u64, End>,
    pub(super) listening: BTreeMap<u64, Listening>,
    pub(super) bound: BTreeMap<u64, Bound>,
    /// What is under way on each flow of datagrams, by time and number.
    pub(super) flows: BTreeMap<Flow, BTreeMap<(u64, u64), Vec<u8>>>,
    pub(super) mailboxes: BTreeMap<u64, Mailbox>,
    /// Those of Unix sockets.
    pub(super) labels: Names,
    ports: BTreeMap<Port, Vec<Owner>>,
    next_port: u16,
    /// Where green threads are that were put somewhere.
    hosts: BTreeMap<u64, IpAddr>,
    names: BTreeMap<String, IpAddr>,
}

/// What is to be told after the lock was let go of.
#[derive(Debug, Default)]
pub(super) struct News {
    ready: Vec<(Arc<Source>, Ready)>,
    traffic: VecDeque<Traffic>,
}

impl News {
    pub(super) fn readable(&mut self, source: &Arc<Source>) {
        self.tell(source, true, false);
    }

    pub(super) fn writable(&mut self, source: &Arc<Source>) {
        self.tell(source, false, true);
    }

    pub(super) fn both(&mut self, source: &Arc<Source>) {
        self.tell(source, true, true);
    }

    fn tell(&mut self, source: &Arc<Source>, readable: bool, writable: bool) {
        let ready = Ready {
            readable,
            writable,
            special: false,
        };
        self.ready.push((Arc::clone(source), ready));
    }

    pub(super) fn note(
        &mut self,
        packet: Packet,
        from: impl Into<Address>,
        to: impl Into<Address>,
    ) {
        let (from, to) = (from.into(), to.into());
        self.traffic.push_back(Traffic { packet, from, to });
    }
}

impl Network {
    pub(in crate::sim) fn new(number: u32, seed: u64, now: u64) -> Self {
        Self {
            number,
            state: Lock::new(State {
                now,
                over: false,
                rng: Rng::new(seed ^ OTHER_SEED),
                rules: Rules::new(),
                buffer: BUFFER,
                agenda: OrderedAlarms::new(),
                due: Vec::new(),
                last: 0,
                ends: BTreeMap::new(),
                listening: BTreeMap::new(),
                bound: BTreeMap::new(),
                flows: BTreeMap::new(),
                mailboxes: BTreeMap::new(),
                labels: Names::default(),
                ports: BTreeMap::new(),
                next_port: *FREE_PORTS.start(),
                hosts: BTreeMap::new(),
                names: BTreeMap::new(),
            }),
        }
    }

    /// The network of the simulation that runs here, if one does.
    pub(crate) fn current() -> Option<Arc<Self>> {
        with_current(|it| Arc::clone(it.network()))
    }

    /// The address that a text stands for, or a host's name with a port.
    ///
    /// # Errors
    ///
    /// `NotFound` for a name that nobody has given; `InvalidInput` for what is no name with a port.
    pub(crate) fn resolve(&self, name: Name<'_>) -> io::Result<SocketAddr> {
        let (host, port) = match name {
            Name::Text(text) => {
                if let Ok(address) = text.parse() {
                    return Ok(address);
                }
                let parts = text.rsplit_once(':');
                let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
                parts.ok_or_else(|| {
                    io::Error::new(
                        ErrorKind::InvalidInput,
                        "no address, and no name with a port",
                    )
                })?
            }
            Name::Host(host, port) => (host, port),
        };
        if let Ok(ip) = host.parse() {
            return Ok(SocketAddr::new(ip, port));
        }
        let found = self.with(|state, _| Ok(state.name(host)))?;
        let ip = found.ok_or_else(|| {
            let what = format!("a simulated network has no host {host:?}");
            io::Error::new(ErrorKind::NotFound, what)
        })?;
        Ok(SocketAddr::new(ip, port))
    }

    /// Does `f` in one go, and tells the news of it.
    ///
    /// # Errors
    ///
    /// `NotConnected` once the simulation is over; what `f` says.
    pub(super) fn with<R>(
        &self,
        f: impl FnOnce(&mut State, &mut News) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut news = News::default();
        let mut state = self.state.lock();
        let result = if state.over {
            Err(ErrorKind::NotConnected.into())
        } else {
            f(&mut state, &mut news)
        };
        drop(state);
        self.publish(news);
        result
    }

    fn publish(&self, news: News) {
        if !news.traffic.is_empty() {
            with_current(|it| {
                if it.number == self.number {
                    let by = it.running.get().id;
                    for traffic in news.traffic {
                        it.note(by, What::Packet(Box::new(traffic)));
                    }
                }
            });
        }
        for (source, ready) in news.ready {
            Source::on_ready(&source, ready);
        }
    }

    /// How many things arrive now.
    pub(in crate::sim) fn due(&self) -> usize {
        self.state.lock().due.len()
    }

    /// When the next thing arrives.
    pub(in crate::sim) fn next(&self) -> Option<u64> {
        self.state.lock().agenda.next()
    }

    /// The simulation's clock moved on.
    pub(in crate::sim) fn move_to(&self, now: u64) {
        let mut state = self.state.lock();
        let State { agenda, due, .. } = &mut *state;
        agenda.advance(now, |it| due.push(it));
        state.now = now;
    }

    /// Lets the thing arrive that is at this place among those that are due.
    pub(in crate::sim) fn arrive(&self, at: usize) {
        // Over or not: then there is nothing due.
        drop(self.with(|state, news| {
            match state.due.swap_remove(at) {
                Event::Segment(end) => state.segment_arrives(end, news),
                Event::Datagram(flow) => state.datagram_arrives(flow, news),
                Event::Letter(mailbox) => state.letter_arrives(mailbox, news),
                Event::GiveUp(end) => state.give_up(end, news),
            }
            Ok(())
        }));
    }

    /// A green thread is where the one is that spawned it.
    pub(in crate::sim) fn spawned(&self, by: u64, id: u64) {
        let mut state = self.state.lock();
        if let Some(host) = state.hosts.get(&by).copied() {
            state.hosts.insert(id, host);
        }
    }

    pub(in crate::sim) fn ended(&self, id: u64) {
        self.state.lock().hosts.remove(&id);
    }

    /// The run is over: nothing arrives any more, and every call fails.
    pub(in crate::sim) fn end(&self) {
        let mut state = self.state.lock();
        state.over = true;
        state.due.clear();
        state.agenda = OrderedAlarms::new();
        let gone = (
            std::mem::take(&mut state.ends),
            std::mem::take(&mut state.listening),
            std::mem::take(&mut state.bound),
            std::mem::take(&mut state.flows),
            std::mem::take(&mut state.mailboxes),
        );
        drop(state);
        drop(gone);
    }
}

/// The green thread that runs here, by its number.
pub(super) fn running() -> u64 {
    with_current(|it| it.running.get().id).unwrap_or(0)
}

impl State {
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Lets `event` happen at `time`.
    pub(super) fn happen(&mut self, time: u64, event: Event) -> Option<Appointment> {
        if time <= self.now {
            self.due.push(event);
            return None;
        }
        Some(self.agenda.insert(time, event))
    }

    /// All that stands still, by what will happen when it goes on.
    pub(super) fn cut_off(&self) -> Vec<Event> {
        self.segments_cut_off()
            .chain(self.letters_cut_off())
            .collect()
    }

    /// Lines have healed: what stood still goes on, unless its own line did not.
    pub(super) fn go_on(&mut self, events: Vec<Event>) {
        for event in events {
            let times = match event {
                Event::Segment(end) => self.segments_go_on(end),
                Event::Letter(mailbox) => self.letters_go_on(mailbox),
                // Those do not stand still.
                Event::Datagram(_) | Event::GiveUp(_) => Vec::new(),
            };
            for at in times {
                self.happen(at, event);
            }
        }
    }

    /// The host of the green thread that calls.
    pub(super) fn host(&self) -> IpAddr {
        self.hosts.get(&running()).copied().unwrap_or(HOME)
    }

    /// Puts the green thread that calls somewhere else: where it was.
    pub(super) fn set_host(&mut self, host: Option<IpAddr>) -> Option<IpAddr> {
        match host {
            Some(host) => self.hosts.insert(running(), host),
            None => self.hosts.remove(&running()),
        }
    }

    pub(super) fn set_name(&mut self, name: &str, host: IpAddr) {
        self.names.insert(name.to_owned(), host);
    }

    pub(super) fn name(&self, name: &str) -> Option<IpAddr> {
        let own = self.names.get(name).copied();
        own.or_else(|| (name == "localhost").then_some(HOME))
    }

    /// Takes a port for `socket` at `address`; a free one for 0.
    ///
    /// # Errors
    ///
    /// `AddrInUse`.
    pub(super) fn take_port(
        &mut self,
        protocol: Protocol,
        host: IpAddr,
        address: SocketAddr,
        socket: u64,
    ) -> io::Result<Port> {
        let port = |number| Port {
            protocol,
            host,
            number,
        };
        let owner = Owner {
            address: address.ip(),
            socket,
        };
        let wanted = port(address.port());
        if wanted.number != 0 {
            if !self.is_free(wanted, owner.address) {
                return Err(ErrorKind::AddrInUse.into());
            }
            self.ports.entry(wanted).or_default().push(owner);
            return Ok(wanted);
        }
        for _ in FREE_PORTS {
            let port = port(self.next_port);
            self.next_port = port.number.checked_add(1).unwrap_or(*FREE_PORTS.start());
            if self.is_free(port, owner.address) {
                self.ports.entry(port).or_default().push(owner);
                return Ok(port);
            }
        }
        Err(ErrorKind::AddrInUse.into())
    }

    fn is_free(&self, port: Port, address: IpAddr) -> bool {
        let owners = self.ports.get(&port).map_or(&[][..], Vec::as_slice);
        owners
            .iter()
            .all(|it| !covers(it.address, address) && !covers(address, it.address))
    }

    /// `socket` has this no longer.
    pub(super) fn free(&mut self, held: &Held, socket: u64) {
        let port = match held {
            Held::Port(port) => port,
            Held::Name(label) => return self.labels.free(label),
        };
        if let Some(owners) = self.ports.get_mut(port) {
            owners.retain(|it| it.socket != socket);
            if owners.is_empty() {
                self.ports.remove(port);
            }
        }
    }

    /// Who has that port for this address.
    pub(super) fn owner(&self, port: Port, address: IpAddr) -> Option<u64> {
        let owners = self.ports.get(&port)?;
        let exact = owners.iter().find(|it| it.address == address);
        let any = || owners.iter().find(|it| covers(it.address, address));
        exact.or_else(any).map(|it| it.socket)
    }
}

/// Whether who has bound to `wide` gets what comes for `address`.
fn covers(wide: IpAddr, address: IpAddr) -> bool {
    wide == address || wide.is_unspecified() && (wide.is_ipv6() || address.is_ipv4())
}

/// The host that an address means on `host`.
pub(super) fn host_of(address: IpAddr, host: IpAddr) -> IpAddr {
    if address.is_loopback() || address.is_unspecified() {
        host
    } else {
        address
    }
}

/// The address that `host` sends from, to `to`.
pub(super) fn source_of(host: IpAddr, to: IpAddr) -> IpAddr {
    match (to, host) {
        (IpAddr::V4(_), _) if to.is_loopback() => HOME,
        (IpAddr::V6(_), _) if to.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        (IpAddr::V6(_), IpAddr::V4(_)) if host == HOME => Ipv6Addr::LOCALHOST.into(),
        (IpAddr::V6(_), IpAddr::V4(own)) => own.to_ipv6_mapped().into(),
        _ => host,
    }
}

/// What is meant by sending to `to`: nowhere in particular is this host itself.
pub(super) fn meant(to: SocketAddr) -> SocketAddr {
    let ip = match to.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => HOME,
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => to.ip(),
    };
    SocketAddr::new(ip, to.port())
}
