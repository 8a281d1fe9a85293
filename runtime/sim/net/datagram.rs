//! Simulated UDP: sockets with a queue each, and flows of datagrams between them.
//!
//! A flow is what one socket sends to one address. Datagrams of a flow whose latency is the same arrive
//! in their order, unless some are let overtake; those of different flows in any order.

use super::{
    Endpoint,
    network::{Event, Held, Network, News, Port, Protocol, State, host_of, meant, source_of},
};
use crate::{
    sim::log::Packet,
    wait::{point, source::Source},
};
use std::{
    collections::VecDeque,
    fmt,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// The longest datagram.
const LONGEST: usize = 65_507;
/// How many bytes a socket keeps that were not received; more are lost, as in Linux with its defaults.
pub(super) const QUEUE: usize = 212_992;

/// What one socket sends to one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    socket: u64,
    from: SocketAddr,
    from_host: IpAddr,
    to: SocketAddr,
    to_host: IpAddr,
}

/// What has arrived at a socket and was not received, with who sent it.
#[derive(Debug)]
pub(super) struct Inbox<A> {
    queue: VecDeque<(A, Vec<u8>)>,
    /// How many bytes that is.
    bytes: usize,
}

impl<A: Clone> Inbox<A> {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, from: A, datagram: Vec<u8>) {
        self.bytes += datagram.len();
        self.queue.push_back((from, datagram));
    }

    /// Copies the first datagram, and takes it or leaves it there: how much was copied, and who sent it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none.
    pub(super) fn receive(&mut self, buf: &mut [u8], take: bool) -> io::Result<(usize, A)> {
        let Some((from, datagram)) = self.queue.front() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let (from, length) = (from.clone(), buf.len().min(datagram.len()));
        buf[..length].copy_from_slice(&datagram[..length]);
        if take {
            self.bytes -= datagram.len();
            self.queue.pop_front();
        }
        Ok((length, from))
    }
}

/// What was set, and is told again.
#[derive(Debug, Clone, Copy)]
struct Options {
    broadcast: bool,
    multicast_loop_v4: bool,
    multicast_loop_v6: bool,
    multicast_ttl_v4: u32,
    ttl: u32,
}

/// A socket that has a port.
#[derive(Debug)]
pub(super) struct Bound {
    local: SocketAddr,
    host: IpAddr,
    port: Port,
    source: Arc<Source>,
    peer: Option<SocketAddr>,
    inbox: Inbox<SocketAddr>,
    /// Told to the next call.
    error: Option<ErrorKind>,
    options: Options,
}

fn not_connected() -> io::Error {
    ErrorKind::NotConnected.into()
}

impl State {
    fn bound(&mut self, socket: u64) -> io::Result<&mut Bound> {
        self.bound.get_mut(&socket).ok_or_else(not_connected)
    }

    fn send_datagram(
        &mut self,
        socket: u64,
        buf: &[u8],
        to: Option<SocketAddr>,
        news: &mut News,
    ) -> io::Result<usize> {
        let bound = self.bound(socket)?;
        if let Some(error) = bound.error.take() {
            return Err(error.into());
        }
        let to = to.map(meant).or(bound.peer);
        let to = to.ok_or_else(|| io::Error::from_raw_os_error(libc::EDESTADDRREQ))?;
        if buf.len() > LONGEST {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        if to.is_ipv6() && bound.local.is_ipv4() {
            return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
        }
        if to.ip() == IpAddr::V4(Ipv4Addr::BROADCAST) && !bound.options.broadcast {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let own = bound.local.ip();
        let own = if own.is_unspecified() {
            source_of(bound.host, to.ip())
        } else {
            own
        };
        let flow = Flow {
            socket,
            from: SocketAddr::new(own, bound.local.port()),
            from_host: bound.host,
            to,
            to_host: host_of(to.ip(), bound.host),
        };
        let (from_host, to_host) = (flow.from_host, flow.to_host);
        news.note(Packet::Sends(buf.len()), flow.from, to);
        if self.rules.is_cut(from_host, to_host) || self.rules.loss.falls(&self.rng) {
            news.note(Packet::Lost(buf.len()), flow.from, to);
            return Ok(buf.len());
        }
        let copies = 1 + u8::from(self.rules.duplication.falls(&self.rng));
        for _ in 0..copies {
            let latency = self.rules.latency(from_host, to_host, &self.rng);
            let (at, number) = (self.now.saturating_add(latency), self.number());
            let flying = self.flows.entry(flow).or_default();
            flying.insert((at, number), buf.to_owned());
            self.happen(at, Event::Datagram(flow));
        }
        Ok(buf.len())
    }

    /// A datagram of this flow arrives: the first, unless it is overtaken.
    pub(super) fn datagram_arrives(&mut self, flow: Flow, news: &mut News) {
        let Some(flying) = self.flows.get_mut(&flow) else {
            return;
        };
        let overtaken = flying.len() > 1 && self.rules.reordering.falls(&self.rng);
        let place = if overtaken {
            1 + self.rng.below(flying.len() - 1)
        } else {
            0
        };
        let key = flying.keys().nth(place).copied();
        let datagram = key.and_then(|it| flying.remove(&it));
        if flying.is_empty() {
            self.flows.remove(&flow);
        }
        let Some(datagram) = datagram else {
            return;
        };
        let Flow {
            socket, from, to, ..
        } = flow;
        let length = datagram.len();
        if self.rules.is_cut(flow.from_host, flow.to_host) {
            return news.note(Packet::Lost(length), from, to);
        }
        let port = Port {
            protocol: Protocol::Datagram,
            host: flow.to_host,
            number: to.port(),
        };
        let owner = self.owner(port, to.ip());
        let Some(bound) = owner.and_then(|it| self.bound.get_mut(&it)) else {
            news.note(Packet::Lost(length), from, to);
            // The system tells those who are connected that nobody is there.
            if let Some(sender) = self.bound.get_mut(&socket)
                && sender.peer == Some(to)
            {
                sender.error = Some(ErrorKind::ConnectionRefused);
                news.both(&sender.source);
            }
            return;
        };
        let stranger = bound.peer.is_some_and(|it| it != from);
        if stranger || bound.inbox.bytes() + length > QUEUE {
            return news.note(Packet::Lost(length), from, to);
        }
        bound.inbox.push(from, datagram);
        news.note(Packet::Arrives(length), from, to);
        news.readable(&bound.source);
    }
}

/// What a caller has of a datagram socket.
pub(crate) struct Datagram {
    network: Arc<Network>,
    socket: u64,
    source: Arc<Source>,
}

/// An option that is remembered: how it is set and asked for.
macro_rules! options {
    ($($set:ident, $get:ident: $type:ty;)*) => {
        impl Datagram {
            $(
                pub(crate) fn $set(&self, value: $type) -> io::Result<()> {
                    self.of(|it| it.options.$get = value)
                }

                pub(crate) fn $get(&self) -> io::Result<$type> {
                    self.of(|it| it.options.$get)
                }
            )*
        }
    };
}

options! {
    set_broadcast, broadcast: bool;
    set_multicast_loop_v4, multicast_loop_v4: bool;
    set_multicast_loop_v6, multicast_loop_v6: bool;
    set_multicast_ttl_v4, multicast_ttl_v4: u32;
    set_ttl, ttl: u32;
}

fn no_groups() -> io::Result<()> {
    Err(io::Error::new(
        ErrorKind::Unsupported,
        "there are no groups in a simulated network",
    ))
}

impl Datagram {
    pub(crate) fn bind(network: Arc<Network>, address: SocketAddr) -> io::Result<Self> {
        point();
        let source = Arc::new(Source::simulated());
        let socket = network.with(|state, _| {
            let socket = state.number();
            let host = host_of(address.ip(), state.host());
            let port = state.take_port(Protocol::Datagram, host, address, socket)?;
            let bound = Bound {
                local: SocketAddr::new(address.ip(), port.number),
                host,
                port,
                source: Arc::clone(&source),
                peer: None,
                inbox: Inbox::new(),
                error: None,
                options: Options {
                    broadcast: false,
                    multicast_loop_v4: true,
                    multicast_loop_v6: true,
                    multicast_ttl_v4: 1,
                    ttl: 64,
                },
            };
            state.bound.insert(socket, bound);
            Ok(socket)
        })?;
        Ok(Self {
            network,
            socket,
            source,
        })
    }

    fn of<R>(&self, f: impl FnOnce(&mut Bound) -> R) -> io::Result<R> {
        self.network
            .with(|state, _| state.bound(self.socket).map(f))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.of(|it| it.local)
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.of(|it| it.peer)?.ok_or_else(not_connected)
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.of(|it| it.error.take().map(io::Error::from))
    }

    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<()> {
        point();
        let to = meant(to);
        self.of(|it| {
            it.peer = Some(to);
            if it.local.ip().is_unspecified() {
                it.local.set_ip(source_of(it.host, to.ip()));
            }
        })
    }

    pub(crate) fn send_to(&self, buf: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.transmit(buf, Some(to))
    }

    pub(crate) fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.transmit(buf, None)
    }

    fn transmit(&self, buf: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        point();
        self.network
            .with(|state, news| state.send_datagram(self.socket, buf, to, news))
    }

    pub(crate) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buf, true)
    }

    pub(crate) fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buf, false)
    }

    pub(crate) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf, true).map(|it| it.0)
    }

    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf, false).map(|it| it.0)
    }

    fn receive(&self, buf: &mut [u8], take: bool) -> io::Result<(usize, SocketAddr)> {
        point();
        self.network.with(|state, _| {
            let bound = state.bound(self.socket)?;
            match bound.error.take() {
                Some(error) => Err(error.into()),
                None => bound.inbox.receive(buf, take),
            }
        })
    }
}

/// In the shapes that the system's sockets have.
#[expect(
    clippy::unused_self,
    clippy::trivially_copy_pass_by_ref,
    reason = "the same call is made on either"
)]
impl Datagram {
    pub(crate) fn join_multicast_v4(&self, _: &Ipv4Addr, _: &Ipv4Addr) -> io::Result<()> {
        no_groups()
    }

    pub(crate) fn join_multicast_v6(&self, _: &Ipv6Addr, _: u32) -> io::Result<()> {
        no_groups()
    }

    pub(crate) fn leave_multicast_v4(&self, _: &Ipv4Addr, _: &Ipv4Addr) -> io::Result<()> {
        no_groups()
    }

    pub(crate) fn leave_multicast_v6(&self, _: &Ipv6Addr, _: u32) -> io::Result<()> {
        no_groups()
    }
}

impl Endpoint for Datagram {
    fn source(&self) -> Arc<Source> {
        Arc::clone(&self.source)
    }

    fn hang_up(&self) {
        // It fails when the simulation is over, and all has been hung up.
        drop(self.network.with(|state, _| {
            if let Some(bound) = state.bound.remove(&self.socket) {
                state.free(&Held::Port(bound.port), self.socket);
            }
            Ok(())
        }));
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("UdpSocket");
        if let Ok(local) = self.local_addr() {
            fields.field("addr", &local);
        }
        fields.finish_non_exhaustive()
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        self.hang_up();
    }
}
