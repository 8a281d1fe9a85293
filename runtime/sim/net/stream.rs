//! Simulated streams and listeners as `net` sees them, by number.

use super::{
    Endpoint,
    address::{Address, Family, Name},
    connection::{End, Listening, Phase},
    network::{Held, Network, Protocol, State, host_of},
};
use crate::wait::{point, source::Source};
use std::{
    fmt,
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write},
    marker::PhantomData,
    net::{Shutdown, SocketAddr},
    os::unix::net as unix,
    sync::Arc,
};

/// What a caller has of one end of a connection: of TCP, unless it has other addresses.
pub(crate) struct Stream<A: Family = SocketAddr> {
    network: Arc<Network>,
    end: u64,
    source: Arc<Source>,
    family: PhantomData<fn() -> A>,
}

impl Stream {
    /// Asks for a connection; it is there when [`connected`](Self::connected) says so.
    pub(crate) fn connect(network: Arc<Network>, to: SocketAddr) -> io::Result<Self> {
        point();
        let end = network.with(|state, news| state.connect(to, news))?;
        Self::of_end(network, end)
    }

    pub(crate) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.of(|it| it.nodelay = nodelay)
    }

    pub(crate) fn nodelay(&self) -> io::Result<bool> {
        self.of(|it| it.nodelay)
    }

    pub(crate) fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.of(|it| it.ttl = ttl)
    }

    pub(crate) fn ttl(&self) -> io::Result<u32> {
        self.of(|it| it.ttl)
    }

    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.copy(&mut [IoSliceMut::new(buf)], false)
    }
}

impl Stream<unix::SocketAddr> {
    /// As [`connect`](Stream::connect), to a name on this host.
    ///
    /// # Errors
    ///
    /// The system's, if nobody listens there.
    pub(crate) fn connect_name(network: Arc<Network>, to: &unix::SocketAddr) -> io::Result<Self> {
        point();
        let end = network.with(|state, news| state.connect_name(Name::of(to), news))?;
        Self::of_end(network, end)
    }

    pub(crate) fn pair(network: Arc<Network>) -> io::Result<(Self, Self)> {
        let [one, other] = network.with(|state, _| state.pair())?;
        Ok((
            Self::of_end(Arc::clone(&network), one)?,
            Self::of_end(network, other)?,
        ))
    }
}

impl<A: Family> Stream<A> {
    /// Takes hold of an end that nobody has yet.
    fn of_end(network: Arc<Network>, end: u64) -> io::Result<Self> {
        let source = network.with(|state, _| Ok(Arc::clone(&state.end(end)?.source)))?;
        Ok(Self {
            network,
            end,
            source,
            family: PhantomData,
        })
    }

    /// Fails with `WouldBlock` while it is not connected yet, and with the reason if it never will be.
    pub(crate) fn connected(&self) -> io::Result<()> {
        self.network.with(|state, _| {
            let end = state.end(self.end)?;
            match end.phase {
                Phase::Open => Ok(()),
                Phase::Connecting => Err(ErrorKind::WouldBlock.into()),
                Phase::Dead(why) => Err(why.into()),
            }
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.end
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    fn of<R>(&self, f: impl FnOnce(&mut End) -> R) -> io::Result<R> {
        self.network.with(|state, _| state.end(self.end).map(f))
    }

    pub(crate) fn peer_addr(&self) -> io::Result<A> {
        self.of(|it| A::of(&it.remote))?
    }

    pub(crate) fn local_addr(&self) -> io::Result<A> {
        self.of(|it| A::of(&it.local))?
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        point();
        self.network
            .with(|state, news| state.shutdown(self.end, how, news))
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.of(|it| it.error.take().map(io::Error::from))
    }

    fn copy(&self, bufs: &mut [IoSliceMut<'_>], take: bool) -> io::Result<usize> {
        point();
        self.network.with(|state, news| {
            state.read(self.end, news, take, |one, two| {
                // It is there, and can be read without fail.
                one.chain(two).read_vectored_fully(bufs)
            })
        })
    }
}

/// Fills one buffer after the other, as far as the data goes.
trait ReadVectoredFully: Read {
    fn read_vectored_fully(mut self, bufs: &mut [IoSliceMut<'_>]) -> usize
    where
        Self: Sized,
    {
        let mut length = 0;
        for buf in bufs {
            let mut filled = 0;
            while filled < buf.len() {
                match self.read(&mut buf[filled..]) {
                    Ok(0) | Err(_) => return length + filled,
                    Ok(more) => filled += more,
                }
            }
            length += filled;
        }
        length
    }
}

impl<T: Read> ReadVectoredFully for T {}

impl<A: Family> Read for &Stream<A> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.copy(&mut [IoSliceMut::new(buf)], true)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.copy(bufs, true)
    }
}

impl<A: Family> Write for &Stream<A> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        point();
        self.network
            .with(|state, news| state.write(self.end, &[buf], news))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        point();
        let bufs: Vec<&[u8]> = bufs.iter().map(|it| &**it).collect();
        self.network
            .with(|state, news| state.write(self.end, &bufs, news))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<A: Family> Endpoint for Stream<A> {
    fn source(&self) -> Arc<Source> {
        Arc::clone(&self.source)
    }

    fn hang_up(&self) {
        // It fails when the simulation is over, and all has been hung up.
        drop(self.network.with(|state, news| {
            state.leave(self.end, news);
            Ok(())
        }));
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct(A::STREAM);
        if let (Ok(local), Ok(peer)) = (self.local_addr(), self.peer_addr()) {
            fields.field(A::LOCAL, &local).field("peer", &peer);
        }
        fields.finish_non_exhaustive()
    }
}

impl<A: Family> Drop for Stream<A> {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// What a caller has of a listener: of TCP, unless it has other addresses.
pub(crate) struct Listener<A: Family = SocketAddr> {
    network: Arc<Network>,
    number: u64,
    source: Arc<Source>,
    family: PhantomData<fn() -> A>,
}

impl Listener {
    pub(crate) fn bind(network: Arc<Network>, address: SocketAddr) -> io::Result<Self> {
        Self::listen(network, |state, number| {
            let host = host_of(address.ip(), state.host());
            let port = state.take_port(Protocol::Stream, host, address, number)?;
            let local = SocketAddr::new(address.ip(), port.number);
            Ok((local.into(), Held::Port(port)))
        })
    }

    pub(crate) fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.of(|it| it.ttl = ttl)
    }

    pub(crate) fn ttl(&self) -> io::Result<u32> {
        self.of(|it| it.ttl)
    }
}

impl Listener<unix::SocketAddr> {
    pub(crate) fn bind_name(network: Arc<Network>, address: &unix::SocketAddr) -> io::Result<Self> {
        Self::listen(network, |state, number| {
            let (host, name) = (state.host(), Name::of(address));
            let (name, held) = state.take_name(Protocol::Stream, host, &name, number)?;
            Ok((Address::Name(name), held))
        })
    }
}

impl<A: Family> Listener<A> {
    /// Listens where `take` says, which takes that for the listener of this number.
    fn listen(
        network: Arc<Network>,
        take: impl FnOnce(&mut State, u64) -> io::Result<(Address, Held)>,
    ) -> io::Result<Self> {
        point();
        let source = Arc::new(Source::simulated());
        let number = network.with(|state, _| {
            let number = state.number();
            let (local, held) = take(state, number)?;
            state.listen(number, local, held, &source);
            Ok(number)
        })?;
        Ok(Self {
            network,
            number,
            source,
            family: PhantomData,
        })
    }

    fn of<R>(&self, f: impl FnOnce(&mut Listening) -> R) -> io::Result<R> {
        self.network
            .with(|state, _| state.listener(self.number).map(f))
    }

    pub(crate) fn accept(&self) -> io::Result<(Stream<A>, A)> {
        point();
        let accept = |state: &mut State, news: &mut _| state.accept(self.number, news);
        let end = self.network.with(accept)?;
        let stream = Stream::of_end(Arc::clone(&self.network), end)?;
        let peer = stream.peer_addr()?;
        Ok((stream, peer))
    }

    pub(crate) fn local_addr(&self) -> io::Result<A> {
        self.of(|it| A::of(&it.local))?
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.of(|_| None)
    }
}

impl<A: Family> Endpoint for Listener<A> {
    fn source(&self) -> Arc<Source> {
        Arc::clone(&self.source)
    }

    fn hang_up(&self) {
        // It fails when the simulation is over, and all has been hung up.
        drop(self.network.with(|state, news| {
            state.stop_listening(self.number, news);
            Ok(())
        }));
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct(A::LISTENER);
        if let Ok(local) = self.local_addr() {
            fields.field(A::LOCAL, &local);
        }
        fields.finish_non_exhaustive()
    }
}

impl<A: Family> Drop for Listener<A> {
    fn drop(&mut self) {
        self.hang_up();
    }
}
