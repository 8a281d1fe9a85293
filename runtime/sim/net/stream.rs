//! Simulated TCP as `net` sees it: streams and listeners, by number.

use super::{
    Endpoint,
    connection::{End, Listening, Phase},
    network::{Network, Protocol, host_of},
};
use crate::wait::{point, source::Source};
use std::{
    fmt,
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write},
    net::{Shutdown, SocketAddr},
    sync::Arc,
};

/// What a caller has of one end of a connection.
pub(crate) struct Stream {
    network: Arc<Network>,
    end: u64,
    source: Arc<Source>,
}

impl Stream {
    /// Asks for a connection; it is there when [`connected`](Self::connected) says so.
    pub(crate) fn connect(network: Arc<Network>, to: SocketAddr) -> io::Result<Self> {
        point();
        let (end, source) = network.with(|state, news| {
            let end = state.connect(to, news)?;
            Ok((end, Arc::clone(&state.end(end)?.source)))
        })?;
        Ok(Self {
            network,
            end,
            source,
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

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.of(|it| it.remote)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.of(|it| it.local)
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        point();
        self.network
            .with(|state, news| state.shutdown(self.end, how, news))
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

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.of(|it| it.error.take().map(io::Error::from))
    }

    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.copy(&mut [IoSliceMut::new(buf)], false)
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

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.copy(&mut [IoSliceMut::new(buf)], true)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.copy(bufs, true)
    }
}

impl Write for &Stream {
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

impl Endpoint for Stream {
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
        let mut fields = f.debug_struct("TcpStream");
        if let Ok((local, peer)) = self.of(|it| (it.local, it.remote)) {
            fields.field("addr", &local).field("peer", &peer);
        }
        fields.finish_non_exhaustive()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// What a caller has of a listener.
pub(crate) struct Listener {
    network: Arc<Network>,
    number: u64,
    source: Arc<Source>,
}

impl Listener {
    pub(crate) fn bind(network: Arc<Network>, address: SocketAddr) -> io::Result<Self> {
        point();
        let source = Arc::new(Source::simulated());
        let number = network.with(|state, _| {
            let number = state.number();
            let host = host_of(address.ip(), state.host());
            let port = state.take_port(Protocol::Stream, host, address, number)?;
            state.listen(number, address.ip(), port, &source);
            Ok(number)
        })?;
        Ok(Self {
            network,
            number,
            source,
        })
    }

    fn of<R>(&self, f: impl FnOnce(&mut Listening) -> R) -> io::Result<R> {
        self.network
            .with(|state, _| state.listener(self.number).map(f))
    }

    pub(crate) fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        point();
        self.network.with(|state, news| {
            let number = state.accept(self.number, news)?;
            let end = state.end(number)?;
            let stream = Stream {
                network: Arc::clone(&self.network),
                end: number,
                source: Arc::clone(&end.source),
            };
            Ok((stream, end.remote))
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.of(|it| it.local)
    }

    pub(crate) fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.of(|it| it.ttl = ttl)
    }

    pub(crate) fn ttl(&self) -> io::Result<u32> {
        self.of(|it| it.ttl)
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.of(|_| None)
    }
}

impl Endpoint for Listener {
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
        let mut fields = f.debug_struct("TcpListener");
        if let Ok(local) = self.local_addr() {
            fields.field("addr", &local);
        }
        fields.finish_non_exhaustive()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.hang_up();
    }
}
