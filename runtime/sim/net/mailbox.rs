//! Simulated Unix datagrams: a mailbox for each socket, in which nothing is lost and nothing overtakes.
//!
//! Unlike those of UDP, a sender hears at once that nobody is there, and waits while there is no room. What is
//! under way takes room too. So a receiver keeps those in mind who found none, and tells them when there is.
//!
//! As in Linux, a receiver keeps few datagrams but of the one that it is connected to, and of itself: of
//! those as many as have room in so many bytes, each with what the system needs to keep it.

use super::{
    Endpoint,
    address::Name,
    datagram::{Inbox, QUEUE},
    lane::Lane,
    network::{Event, Held, Network, News, Protocol, State},
};
use crate::{
    sim::log::Packet,
    wait::{point, source::Source},
};
use std::{
    collections::BTreeSet,
    fmt,
    io::{self, ErrorKind},
    net::{IpAddr, Shutdown},
    os::unix::net::SocketAddr,
    sync::Arc,
};

/// The longest datagram.
const LONGEST: usize = QUEUE - 32;
/// How many datagrams of others a socket keeps.
const MOST: usize = 11;
/// What keeping a datagram takes, beside its bytes.
const COVER: usize = 766;

/// A socket for datagrams.
#[derive(Debug)]
pub(super) struct Mailbox {
    host: IpAddr,
    local: Name,
    /// None without a name.
    held: Option<Held>,
    source: Arc<Source>,
    peer: Option<(u64, Name)>,
    /// What is under way to here.
    flying: Lane<(Name, Vec<u8>)>,
    flying_bytes: usize,
    inbox: Inbox<Name>,
    read_shut: bool,
    write_shut: bool,
    /// Told to the next call.
    error: Option<ErrorKind>,
    /// Who found no room here since there was some.
    crowd: BTreeSet<u64>,
}

impl Mailbox {
    /// Whether there is room for one more of that sender, who is `close` if the two are one or connected.
    fn has_room(&self, close: bool) -> bool {
        let count = self.inbox.len() + self.flying.len();
        let bytes = self.inbox.bytes() + self.flying_bytes;
        (close || count < MOST) && bytes + count * COVER < QUEUE
    }
}

fn not_connected() -> io::Error {
    ErrorKind::NotConnected.into()
}

impl State {
    fn mailbox(&mut self, socket: u64) -> io::Result<&mut Mailbox> {
        self.mailboxes.get_mut(&socket).ok_or_else(not_connected)
    }

    /// A mailbox on this host, with that name, any, or none at all.
    fn open_mailbox(&mut self, name: Option<Name>, source: &Arc<Source>) -> io::Result<u64> {
        let (socket, host) = (self.number(), self.host());
        let (local, held) = match name {
            None => (Name::Unnamed, None),
            Some(name) => {
                let (name, held) = self.take_name(Protocol::Datagram, host, &name, socket)?;
                (name, Some(held))
            }
        };
        let mailbox = Mailbox {
            host,
            local,
            held,
            source: Arc::clone(source),
            peer: None,
            flying: Lane::new(),
            flying_bytes: 0,
            inbox: Inbox::new(),
            read_shut: false,
            write_shut: false,
            error: None,
            crowd: BTreeSet::new(),
        };
        self.mailboxes.insert(socket, mailbox);
        Ok(socket)
    }

    fn close_mailbox(&mut self, socket: u64, news: &mut News) {
        let Some(mailbox) = self.mailboxes.remove(&socket) else {
            return;
        };
        if let Some(held) = &mailbox.held {
            self.free(held, socket);
        }
        self.tell_crowd(&mailbox.crowd, news);
    }

    /// There is room, or never will be.
    fn tell_crowd(&self, crowd: &BTreeSet<u64>, news: &mut News) {
        for mailbox in crowd.iter().filter_map(|it| self.mailboxes.get(it)) {
            news.writable(&mailbox.source);
        }
    }

    /// The socket with that name, which is connected to nobody but perhaps to this one.
    fn addressee(&self, socket: u64, host: IpAddr, name: &Name) -> io::Result<u64> {
        let found = self.find_name(Protocol::Datagram, host, name)?;
        self.may_send(socket, found)?;
        Ok(found)
    }

    fn may_send(&self, socket: u64, to: u64) -> io::Result<()> {
        let peer = self.mailboxes.get(&to).and_then(|it| it.peer.as_ref());
        if peer.is_some_and(|it| it.0 != socket) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }

    fn connect_mailbox(&mut self, socket: u64, name: Name, news: &mut News) -> io::Result<()> {
        let host = self.mailbox(socket)?.host;
        let peer = self.addressee(socket, host, &name)?;
        let mailbox = self.mailbox(socket)?;
        let before = mailbox.peer.replace((peer, name));
        let before = before.map(|it| it.0).filter(|it| *it != peer);
        let lost = mailbox.inbox.len() + mailbox.flying.len();
        if let Some(before) = before
            && lost > 0
        {
            // As in the system, what came from others before is lost, and the last one is told.
            mailbox.inbox = Inbox::new();
            mailbox.flying.clear();
            mailbox.flying_bytes = 0;
            let crowd = std::mem::take(&mut mailbox.crowd);
            self.tell_crowd(&crowd, news);
            if let Some(it) = self.mailboxes.get_mut(&before)
                && it.peer.as_ref().is_some_and(|it| it.0 == socket)
            {
                it.error = Some(ErrorKind::ConnectionReset);
                news.both(&it.source);
            }
        }
        Ok(())
    }

    fn send_letter(
        &mut self,
        socket: u64,
        buf: &[u8],
        to: Option<&Name>,
        news: &mut News,
    ) -> io::Result<usize> {
        let sender = self.mailbox(socket)?;
        let peer = sender.peer.as_ref().map(|it| it.0);
        if to.is_none() && peer.is_none() {
            return Err(not_connected());
        }
        if buf.len() > LONGEST {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        if let Some(error) = sender.error.take() {
            return Err(error.into());
        }
        if sender.write_shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let (from, host) = (sender.local.clone(), sender.host);
        let receiver = match (to, peer) {
            (Some(to), _) => self.addressee(socket, host, to)?,
            (None, Some(peer)) if self.mailboxes.contains_key(&peer) => {
                self.may_send(socket, peer)?;
                peer
            }
            (None, _) => {
                self.mailbox(socket)?.peer = None;
                return Err(ErrorKind::ConnectionRefused.into());
            }
        };
        let mailbox = self.mailbox(receiver)?;
        if mailbox.read_shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let is_peer = mailbox.peer.as_ref().is_some_and(|it| it.0 == socket);
        if !mailbox.has_room(is_peer || receiver == socket) {
            mailbox.crowd.insert(socket);
            return Err(ErrorKind::WouldBlock.into());
        }
        news.note(Packet::Sends(buf.len()), &from, &mailbox.local);
        let latency = self.rules.latency(host, host, &self.rng);
        let at = self.now.saturating_add(latency);
        let mailbox = self.mailbox(receiver)?;
        mailbox.flying_bytes += buf.len();
        let at = mailbox.flying.push(at, (from, buf.to_owned()));
        if !self.rules.is_cut(host, host) {
            self.happen(at, Event::Letter(receiver));
        }
        Ok(buf.len())
    }

    /// What stands still on its way to mailboxes.
    pub(super) fn letters_cut_off(&self) -> impl Iterator<Item = Event> {
        let cut = self
            .mailboxes
            .iter()
            .filter(|(_, it)| !it.flying.is_empty() && self.rules.is_cut(it.host, it.host));
        cut.map(|(id, _)| Event::Letter(*id))
    }

    /// Lets what stood still on its way to this mailbox go on, if it may: when it arrives.
    pub(super) fn letters_go_on(&mut self, id: u64) -> Vec<u64> {
        let (rules, rng) = (&self.rules, &self.rng);
        match self.mailboxes.get_mut(&id) {
            Some(it) if !rules.is_cut(it.host, it.host) => it
                .flying
                .set_out_again(self.now, || rules.latency(it.host, it.host, rng)),
            Some(_) | None => Vec::new(),
        }
    }

    /// The next datagram arrives at this mailbox, unless its line was cut meanwhile.
    pub(super) fn letter_arrives(&mut self, id: u64, news: &mut News) {
        let now = self.now;
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return;
        };
        if !mailbox.flying.has_arrived(now) {
            return;
        }
        if self.rules.is_cut(mailbox.host, mailbox.host) {
            let from = mailbox.flying.front().map(|it| &it.0);
            return news.note(
                Packet::StandsStill,
                from.unwrap_or(&Name::Unnamed),
                &mailbox.local,
            );
        }
        if let Some((from, datagram)) = mailbox.flying.pop() {
            mailbox.flying_bytes -= datagram.len();
            news.note(Packet::Arrives(datagram.len()), &from, &mailbox.local);
            mailbox.inbox.push(from, datagram);
            news.readable(&mailbox.source);
        }
    }

    fn receive_letter(
        &mut self,
        socket: u64,
        buf: &mut [u8],
        news: &mut News,
    ) -> io::Result<(usize, Name)> {
        let mailbox = self.mailbox(socket)?;
        if let Some(error) = mailbox.error.take() {
            return Err(error.into());
        }
        let received = mailbox.inbox.receive(buf, true);
        if received.is_err() && mailbox.read_shut {
            return Ok((0, Name::Unnamed));
        }
        if received.is_ok() {
            let crowd = std::mem::take(&mut mailbox.crowd);
            self.tell_crowd(&crowd, news);
        }
        received
    }
}

/// What a caller has of a mailbox.
pub(crate) struct LocalDatagram {
    network: Arc<Network>,
    socket: u64,
    source: Arc<Source>,
}

impl LocalDatagram {
    pub(crate) fn bind(network: Arc<Network>, address: &SocketAddr) -> io::Result<Self> {
        point();
        Self::open(network, Some(Name::of(address)))
    }

    pub(crate) fn unbound(network: Arc<Network>) -> io::Result<Self> {
        Self::open(network, None)
    }

    pub(crate) fn pair(network: Arc<Network>) -> io::Result<(Self, Self)> {
        let one = Self::open(Arc::clone(&network), None)?;
        let other = Self::open(network, None)?;
        one.of(|it| it.peer = Some((other.socket, Name::Unnamed)))?;
        other.of(|it| it.peer = Some((one.socket, Name::Unnamed)))?;
        Ok((one, other))
    }

    fn open(network: Arc<Network>, name: Option<Name>) -> io::Result<Self> {
        let source = Arc::new(Source::simulated());
        let socket = network.with(|state, _| state.open_mailbox(name, &source))?;
        Ok(Self {
            network,
            socket,
            source,
        })
    }

    fn of<R>(&self, f: impl FnOnce(&mut Mailbox) -> R) -> io::Result<R> {
        self.network
            .with(|state, _| state.mailbox(self.socket).map(f))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.of(|it| it.local.to_address())?
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        let name = self.of(|it| it.peer.as_ref().map(|it| it.1.clone()))?;
        name.ok_or_else(not_connected)?.to_address()
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.of(|it| it.error.take().map(io::Error::from))
    }

    pub(crate) fn connect_addr(&self, to: &SocketAddr) -> io::Result<()> {
        point();
        let to = Name::of(to);
        self.network
            .with(|state, news| state.connect_mailbox(self.socket, to, news))
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        point();
        self.network.with(|state, news| {
            let mailbox = state.mailbox(self.socket)?;
            mailbox.read_shut |= how != Shutdown::Write;
            mailbox.write_shut |= how != Shutdown::Read;
            news.both(&mailbox.source);
            let crowd = std::mem::take(&mut mailbox.crowd);
            state.tell_crowd(&crowd, news);
            Ok(())
        })
    }

    pub(crate) fn send_to_addr(&self, buf: &[u8], to: &SocketAddr) -> io::Result<usize> {
        self.transmit(buf, Some(&Name::of(to)))
    }

    pub(crate) fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.transmit(buf, None)
    }

    fn transmit(&self, buf: &[u8], to: Option<&Name>) -> io::Result<usize> {
        point();
        self.network
            .with(|state, news| state.send_letter(self.socket, buf, to, news))
    }

    pub(crate) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        point();
        let (length, from) = self
            .network
            .with(|state, news| state.receive_letter(self.socket, buf, news))?;
        Ok((length, from.to_address()?))
    }

    pub(crate) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv_from(buf).map(|it| it.0)
    }
}

impl Endpoint for LocalDatagram {
    fn source(&self) -> Arc<Source> {
        Arc::clone(&self.source)
    }

    fn hang_up(&self) {
        // It fails when the simulation is over, and all has been hung up.
        drop(self.network.with(|state, news| {
            state.close_mailbox(self.socket, news);
            Ok(())
        }));
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("UnixDatagram");
        if let Ok(local) = self.local_addr() {
            fields.field("local", &local);
        }
        if let Ok(peer) = self.peer_addr() {
            fields.field("peer", &peer);
        }
        fields.finish_non_exhaustive()
    }
}

impl Drop for LocalDatagram {
    fn drop(&mut self) {
        self.hang_up();
    }
}
