//! The network of a simulation: in memory, with latencies, partitions, resets and losses at will.
//!
//! Sockets of [`net`](crate::net), also those of [`unix`](crate::net::unix), that are made inside a simulation
//! never reach the kernel.
//! They are ends of a network of that simulation alone: they have the same methods, wait in the same way,
//! by the virtual clock, and what arrives when follows from the seed.
//!
//! ```
//! use std::{io::{Read, Write}, time::Duration};
//! use sward::{net::{TcpListener, TcpStream}, sim, time};
//!
//! sim::explore(0..20, || {
//!     sim::net::latency(Duration::from_millis(5));
//!     let listener = TcpListener::bind("10.0.0.1:80").expect("a free port");
//!     let server = sward::spawn(move || {
//!         let (mut stream, _) = listener.accept().expect("a client");
//!         let mut question = [0; 4];
//!         stream.read_exact(&mut question).expect("a question");
//!         stream.write_all(b"pong").expect("a client that listens");
//!     });
//!     let start = time::now();
//!     let mut client = TcpStream::connect("10.0.0.1:80").expect("a server");
//!     // There and back again.
//!     assert_eq!(time::now() - start, Duration::from_millis(10));
//!     client.write_all(b"ping").expect("a server that listens");
//!     let mut answer = [0; 4];
//!     client.read_exact(&mut answer).expect("an answer");
//!     assert_eq!(time::now() - start, Duration::from_millis(20));
//!     server.join().expect("no panic");
//! });
//! ```
//!
//! # Hosts
//!
//! A host is an address, and there is one for each that is used. A green thread is on the host
//! `127.0.0.1`, or on that of the one who spawned it, unless it was put [`on`] another. Any address can be
//! bound; `0.0.0.0` and `127.0.0.1` are those of the host that one is on. Connections come from the host
//! that one is on. Ports that are asked for by 0 are counted up from 10,000.
//!
//! Names are `localhost` and those that were [given](name); others are not found, as nobody is asked.
//!
//! # Lines
//!
//! At first nothing takes any time. What is sent arrives at once, but not in the same step: whoever can run
//! may come before, and what arrives at the same moment on different connections comes in any order.
//! [`latency`] and [`latency_between`] say how long it takes, [`partition`] and [`isolate`] cut lines, and
//! [`heal`] and [`heal_all`] mend them.
//!
//! *Streams* keep their order, lose nothing, and hold [64 KiB](buffer) that were sent and not read, in each
//! direction; then writers wait. On a line that is cut, all stands still where it is, without an error, and
//! goes on when the line heals. An attempt to connect waits as long as it may, and fails after 127 seconds
//! with `TimedOut`; it fails with `ConnectionRefused` where nobody listens. A listener keeps 128 connections that
//! were not accepted. [`reset`] and [`reset_stream`] end connections with `ConnectionReset`.
//!
//! *Datagrams* arrive in the order in which they were sent, unless their latencies differ. On a line that is
//! cut they are lost, and elsewhere with the chance of [`loss`]; with those of [`duplication`] and
//! [`reordering`] they come twice or overtake. Groups and broadcasts reach nobody.
//!
//! # Unix sockets
//!
//! Their names are those of the host that one is on: no file is made, `std::fs` sees none, and a socket on
//! another host is not found (`NotFound`). What they send is under way for the [latency] between that host
//! and itself, and stands still, datagrams too, while [`partition`] cuts it off from itself; [`reset`] of that
//! host with itself ends their connections. Names are looked up at once: a name that nobody has is told without any latency.
//!
//! ```
//! use std::{io::{ErrorKind, Read, Write}, time::Duration};
//! use sward::{net::unix::{UnixListener, UnixStream}, sim, time};
//!
//! sim::explore(0..20, || {
//!     sim::net::latency(Duration::from_millis(1));
//!     let listener = UnixListener::bind("/run/answers").expect("nobody has this name");
//!     let server = sward::spawn(move || {
//!         let (mut stream, _) = listener.accept().expect("a client");
//!         stream.write_all(b"pong").expect("a client that listens");
//!     });
//!     let start = time::now();
//!     let mut client = UnixStream::connect("/run/answers").expect("a server");
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer).expect("an answer and an end");
//!     assert_eq!(answer, "pong");
//!     assert!(time::now() - start <= Duration::from_millis(3));
//!     server.join().expect("no panic");
//!     let error = UnixStream::connect("/run/answers").expect_err("nobody listens any more");
//!     assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
//!     UnixListener::bind("/run/answers").expect("nobody has this name");
//! });
//! ```
//!
//! A path belongs to a socket until that is closed or dropped, and until then binds to it fail with `AddrInUse`.
//! After that the path stays, as its file would: connecting and sending to it fail with `ConnectionRefused`. But **it can be
//! bound again at once**, as if its file had been removed, since no program could remove it. So a simulation does
//! not find that a server forgets to do so. Paths are compared as [`Path`](std::path::Path)s, and a relative
//! one is not the same as an absolute one. An abstract name goes with its socket; one that the system chooses is counted up from `00000`.
//!
//! Streams are as above, with the ends of the system: no attempt to connect times out, whoever writes to a peer that reads no more gets
//! `BrokenPipe`, and a reset is told to a read alone. Datagrams are never lost, doubled or overtaken, and
//! [`loss`], [`duplication`] and [`reordering`] do not touch them. A socket keeps 11 that were
//! not received, and more of the one that it is connected to, up to some 200 kB; then senders wait.
//!
//! # Limits
//!
//! - A simulated socket has no descriptor: [`AsFd`](std::os::fd::AsFd) and the conversions into `std`'s sockets panic, and say so.
//! - Pipes and the like, and sockets that were taken over from `std`, are the kernel's in a simulation too. A call
//!   on them that would wait fails with `Unsupported`, as no seed decides when they are ready.
//! - A socket must not leave its simulation. When that is over, every call on it fails with `NotConnected`.
//! - Options of sockets are remembered and have no effect.

mod address;
mod connection;
mod datagram;
mod lane;
mod local;
mod mailbox;
mod network;
mod rules;
mod stream;

pub(super) use address::Address;
pub(crate) use datagram::Datagram;
pub(crate) use mailbox::LocalDatagram;
pub(crate) use network::Network;
pub use rules::Latency;
pub(crate) use stream::{Listener, Stream};

use crate::{net::TcpStream, wait::source::Source};
use network::{News, State};
use rules::Chance;
use std::{fmt, net::IpAddr, sync::Arc};

/// What a simulated socket is to those above.
pub(crate) trait Endpoint {
    /// What tells of its edges.
    fn source(&self) -> Arc<Source>;

    /// Nobody will use it any more. Nothing happens the second time.
    fn hang_up(&self);

    /// Who it is, as std says it.
    ///
    /// # Errors
    ///
    /// Those of writing.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// Does `f` with the network of the simulation that runs here. Nothing, when the run is over: destructors of
/// green threads that are called off may still come here.
#[track_caller]
fn change<R: Default>(f: impl FnOnce(&mut State, &mut News) -> R) -> R {
    let Some(network) = Network::current() else {
        panic!("no simulation runs here, whose network this could change");
    };
    let changed = network.with(|state, news| Ok(f(state, news)));
    changed.unwrap_or_default()
}

/// Runs `f` on that host: the calling green thread, and those that are spawned meanwhile, for good.
///
/// # Examples
///
/// ```
/// use sward::{net::{TcpListener, TcpStream}, sim};
///
/// sim::explore(0..10, || {
///     let listener = sim::net::on([10, 0, 0, 1], || TcpListener::bind("0.0.0.0:80")).expect("a free port");
///     let client = sim::net::on([10, 0, 0, 2], || {
///         sward::spawn(|| TcpStream::connect("10.0.0.1:80").expect("a server"))
///     });
///     let (_stream, from) = listener.accept().expect("a client");
///     assert_eq!(from.ip().to_string(), "10.0.0.2");
///     client.join().expect("no panic");
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation.
#[track_caller]
pub fn on<R>(host: impl Into<IpAddr>, f: impl FnOnce() -> R) -> R {
    struct Back(Option<IpAddr>);
    impl Drop for Back {
        fn drop(&mut self) {
            if let Some(network) = Network::current() {
                // It fails when the simulation is over.
                drop(network.with(|state, _| Ok(state.set_host(self.0))));
            }
        }
    }
    let _back = Back(change(|state, _| state.set_host(Some(host.into()))));
    f()
}

/// Lets `name` stand for that host, for whoever connects, binds or sends to it.
///
/// # Examples
///
/// ```
/// use sward::{net::{TcpListener, TcpStream}, sim};
///
/// sim::explore(0..10, || {
///     sim::net::name("db.internal", [10, 0, 0, 7]);
///     let _listener = TcpListener::bind("10.0.0.7:5432").expect("a free port");
///     let stream = TcpStream::connect("db.internal:5432").expect("a server");
///     assert_eq!(stream.peer_addr().expect("connected").ip().to_string(), "10.0.0.7");
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation.
#[track_caller]
pub fn name(name: &str, host: impl Into<IpAddr>) {
    change(|state, _| state.set_name(name, host.into()));
}

/// Lets everything that is sent from now on, from any host to any, be under way for so long.
///
/// What [`latency_between`] has said before is void.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sward::{net::UdpSocket, sim, time};
///
/// sim::explore(0..20, || {
///     let (shortest, longest) = (Duration::from_millis(1), Duration::from_millis(9));
///     sim::net::latency(shortest..=longest);
///     let (here, there) = (UdpSocket::bind("10.0.0.1:1"), UdpSocket::bind("10.0.0.2:1"));
///     let (here, there) = (here.expect("a free port"), there.expect("a free port"));
///     let start = time::now();
///     here.send_to(b"hello", "10.0.0.2:1").expect("an address");
///     there.recv(&mut [0; 5]).expect("nothing is lost");
///     assert!((shortest..=longest).contains(&(time::now() - start)));
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation.
#[track_caller]
pub fn latency(latency: impl Into<Latency>) {
    change(|state, _| state.rules.set_latency(latency.into()));
}

/// As [`latency`], for what is sent between these two hosts, in either direction.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sward::{net::{TcpListener, TcpStream}, sim, time};
///
/// sim::explore(0..10, || {
///     sim::net::latency_between([127, 0, 0, 1], [10, 0, 0, 1], Duration::from_millis(30));
///     let _far = TcpListener::bind("10.0.0.1:80").expect("a free port");
///     let _near = TcpListener::bind("10.0.0.2:80").expect("a free port");
///     let start = time::now();
///     TcpStream::connect("10.0.0.2:80").expect("a server");
///     assert_eq!(time::now(), start);
///     TcpStream::connect("10.0.0.1:80").expect("a server");
///     assert_eq!(time::now() - start, Duration::from_millis(60));
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation.
#[track_caller]
pub fn latency_between(
    one: impl Into<IpAddr>,
    other: impl Into<IpAddr>,
    latency: impl Into<Latency>,
) {
    let (one, other) = (one.into(), other.into());
    change(|state, _| state.rules.set_latency_between(one, other, latency.into()));
}

/// Cuts the line between two hosts, which may be the same, until it is [healed](heal).
///
/// What is under way on it does not arrive: of streams and Unix sockets it waits for the line to heal, and
/// datagrams of UDP are lost.
///
/// # Examples
///
/// ```
/// use std::{io::ErrorKind, time::Duration};
/// use sward::{net::{TcpListener, TcpStream}, sim, time};
///
/// sim::explore(0..10, || {
///     let _listener = TcpListener::bind("10.0.0.1:80").expect("a free port");
///     sim::net::partition([127, 0, 0, 1], [10, 0, 0, 1]);
///     let address = "10.0.0.1:80".parse().expect("an address");
///     let error = TcpStream::connect_timeout(&address, Duration::from_secs(1)).expect_err("it is cut");
///     assert_eq!(error.kind(), ErrorKind::TimedOut);
///     let start = time::now();
///     sward::spawn(|| {
///         time::sleep(Duration::from_secs(9));
///         sim::net::heal([127, 0, 0, 1], [10, 0, 0, 1]);
///     });
///     TcpStream::connect(address).expect("it heals");
///     assert_eq!(time::now() - start, Duration::from_secs(9));
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation.
#[track_caller]
pub fn partition(one: impl Into<IpAddr>, other: impl Into<IpAddr>) {
    let (one, other) = (one.into(), other.into());
    change(|state, _| state.rules.cut(one, other));
}

/// Cuts the lines between a host and all others, until [`heal_all`]. Its Unix sockets go on.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sward::{net::{TcpListener, TcpStream}, sim};
///
/// sim::explore(0..10, || {
///     let listener = TcpListener::bind("10.0.0.1:80").expect("a free port");
///     let address = listener.local_addr().expect("bound");
///     sim::net::isolate([10, 0, 0, 1]);
///     TcpStream::connect_timeout(&address, Duration::from_secs(1)).expect_err("it is alone");
///     sim::net::on([10, 0, 0, 1], || TcpStream::connect(address)).expect("it reaches itself");
///     sim::net::heal_all();
///     TcpStream::connect(address).expect("a server");
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation.
#[track_caller]
pub fn isolate(host: impl Into<IpAddr>) {
    change(|state, _| state.rules.isolate(host.into()));
}

/// Heals the line between two hosts: what stood still on it sets out again.
///
/// One that [`isolate`] has cut stays so.
///
/// # Examples
///
/// ```
/// use std::{io::{Read, Write}, time::Duration};
/// use sward::{net::{TcpListener, TcpStream}, sim, time};
///
/// sim::explore(0..10, || {
///     let listener = TcpListener::bind("10.0.0.1:80").expect("a free port");
///     let mut client = TcpStream::connect("10.0.0.1:80").expect("a server");
///     let (mut server, _) = listener.accept().expect("a client");
///     sim::net::partition([127, 0, 0, 1], [10, 0, 0, 1]);
///     client.write_all(b"hello").expect("there is room");
///     server.set_read_timeout(Some(Duration::from_secs(1))).expect("open");
///     let mut greeting = [0; 5];
///     server.read(&mut greeting).expect_err("it stands still");
///     sim::net::heal([127, 0, 0, 1], [10, 0, 0, 1]);
///     server.read_exact(&mut greeting).expect("it sets out again");
///     assert_eq!(&greeting, b"hello");
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation.
#[track_caller]
pub fn heal(one: impl Into<IpAddr>, other: impl Into<IpAddr>) {
    let (one, other) = (one.into(), other.into());
    change(|state, _| {
        let cut = state.cut_off();
        state.rules.heal(one, other);
        state.go_on(cut);
    });
}

/// Heals all lines, whatever has cut them.
///
/// # Examples
///
/// ```
/// use sward::{net::{TcpListener, TcpStream}, sim};
///
/// sim::explore(0..10, || {
///     let _listener = TcpListener::bind("10.0.0.1:80").expect("a free port");
///     sim::net::partition([127, 0, 0, 1], [10, 0, 0, 1]);
///     sim::net::isolate([10, 0, 0, 1]);
///     sim::net::heal_all();
///     TcpStream::connect("10.0.0.1:80").expect("a server");
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation.
#[track_caller]
pub fn heal_all() {
    change(|state, _| {
        let cut = state.cut_off();
        state.rules.heal_all();
        state.go_on(cut);
    });
}

/// Resets all connections between two hosts, which may be the same, and tells how many those were: of a
/// host with itself, those of Unix sockets too.
///
/// At once, for both ends: what is under way is lost, what has arrived can still be read, and then each end
/// gets `ConnectionReset`.
///
/// # Examples
///
/// ```
/// use std::io::{ErrorKind, Read};
/// use sward::{net::{TcpListener, TcpStream}, sim};
///
/// sim::explore(0..10, || {
///     let listener = TcpListener::bind("10.0.0.1:80").expect("a free port");
///     let mut client = TcpStream::connect("10.0.0.1:80").expect("a server");
///     let reader = sward::spawn(move || client.read(&mut [0]).expect_err("it is reset").kind());
///     let _server = listener.accept().expect("a client");
///     assert_eq!(sim::net::reset([127, 0, 0, 1], [10, 0, 0, 1]), 1);
///     assert_eq!(reader.join().expect("no panic"), ErrorKind::ConnectionReset);
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation.
#[track_caller]
pub fn reset(one: impl Into<IpAddr>, other: impl Into<IpAddr>) -> usize {
    let (one, other) = (one.into(), other.into());
    change(|state, news| {
        let between = |_, near, far| (near, far) == (one, other) || (near, far) == (other, one);
        state.reset(between, news)
    })
}

/// Resets this connection, as [`reset`]. Nothing happens if it is over already.
///
/// # Examples
///
/// ```
/// use std::io::{ErrorKind, Read};
/// use sward::{net::{TcpListener, TcpStream}, sim};
///
/// sim::explore(0..10, || {
///     let listener = TcpListener::bind("10.0.0.1:80").expect("a free port");
///     let client = TcpStream::connect("10.0.0.1:80").expect("a server");
///     let (mut server, _) = listener.accept().expect("a client");
///     sim::net::reset_stream(&client);
///     let error = server.read(&mut [0]).expect_err("it is reset");
///     assert_eq!(error.kind(), ErrorKind::ConnectionReset);
/// });
/// ```
///
/// # Panics
///
/// If the stream is of no simulation.
#[track_caller]
pub fn reset_stream(stream: &TcpStream) {
    let Some(end) = stream.simulated() else {
        panic!("the stream is of no simulation");
    };
    // It fails when the simulation is over.
    drop(
        end.network()
            .with(|state, news| Ok(state.reset(|it, _, _| it == end.number(), news))),
    );
}

/// Lets datagrams of UDP that are sent from now on be lost with that chance, from 0 to 1.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sward::{net::UdpSocket, sim};
///
/// sim::explore(0..10, || {
///     sim::net::loss(1.0);
///     let here = UdpSocket::bind("10.0.0.1:1").expect("a free port");
///     here.send_to(b"hello", "10.0.0.1:1").expect("an address");
///     here.set_read_timeout(Some(Duration::from_secs(1))).expect("open");
///     here.recv(&mut [0; 5]).expect_err("it is lost");
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation; if `share` is no share of a whole.
#[track_caller]
pub fn loss(share: f64) {
    let chance = Chance::new(share);
    change(|state, _| state.rules.loss = chance);
}

/// Lets datagrams of UDP that are sent from now on come twice with that chance, from 0 to 1.
///
/// # Examples
///
/// ```
/// use sward::{net::UdpSocket, sim};
///
/// sim::explore(0..10, || {
///     sim::net::duplication(1.0);
///     let here = UdpSocket::bind("10.0.0.1:1").expect("a free port");
///     here.send_to(b"hello", "10.0.0.1:1").expect("an address");
///     for _ in 0..2 {
///         assert_eq!(here.recv(&mut [0; 5]).expect("it comes twice"), 5);
///     }
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation; if `share` is no share of a whole.
#[track_caller]
pub fn duplication(share: f64) {
    let chance = Chance::new(share);
    change(|state, _| state.rules.duplication = chance);
}

/// Lets a datagram of UDP overtake those that the same socket has sent before it to the same address, and that are still under way, with that chance, from 0 to 1.
///
/// # Examples
///
/// ```
/// use sward::{net::UdpSocket, sim};
///
/// let orders = std::cell::RefCell::new(std::collections::BTreeSet::new());
/// sim::explore(0..50, || {
///     sim::net::reordering(0.5);
///     let (here, there) = (UdpSocket::bind("10.0.0.1:1"), UdpSocket::bind("10.0.0.2:1"));
///     let (here, there) = (here.expect("a free port"), there.expect("a free port"));
///     for number in [1, 2] {
///         here.send_to(&[number], "10.0.0.2:1").expect("an address");
///     }
///     let mut first = [0];
///     there.recv(&mut first).expect("nothing is lost");
///     orders.borrow_mut().insert(first[0]);
/// });
/// assert_eq!(orders.into_inner().len(), 2);
/// ```
///
/// # Panics
///
/// Outside of a simulation; if `share` is no share of a whole.
#[track_caller]
pub fn reordering(share: f64) {
    let chance = Chance::new(share);
    change(|state, _| state.rules.reordering = chance);
}

/// Lets each direction of a stream, of TCP or of Unix sockets, hold so many bytes that were sent and not read, and at least one.
/// Otherwise it is 64 KiB.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use sward::{net::{TcpListener, TcpStream}, sim};
///
/// sim::explore(0..10, || {
///     sim::net::buffer(10);
///     let _listener = TcpListener::bind("10.0.0.1:80").expect("a free port");
///     let mut client = TcpStream::connect("10.0.0.1:80").expect("a server");
///     assert_eq!(client.write(&[0; 100]).expect("there is some room"), 10);
/// });
/// ```
///
/// # Panics
///
/// Outside of a simulation.
#[track_caller]
pub fn buffer(bytes: usize) {
    change(|state, _| state.buffer = bytes.max(1));
}
