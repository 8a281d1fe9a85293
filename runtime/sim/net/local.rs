//! The names of simulated Unix sockets, and streams between those who have them.
//!
//! Each host has names of its own, and no file is made for any. A path whose socket is gone stays, as its
//! file would: nobody answers there. But as nobody could remove it, whoever binds it next gets it. The system
//! finds a socket by its name at once, so a name that cannot be connected to is told before anything is sent.

use super::{
    address::{Address, Name},
    connection::Phase,
    network::{Held, News, Protocol, State},
};
use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::IpAddr,
};

/// A name on a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label {
    host: IpAddr,
    /// Abstract names are apart for each; paths are not.
    protocol: Option<Protocol>,
    name: Name,
}

impl Label {
    fn new(protocol: Protocol, host: IpAddr, name: &Name) -> Self {
        let protocol = matches!(name, Name::Abstract(_)).then_some(protocol);
        let name = name.clone();
        Self {
            host,
            protocol,
            name,
        }
    }
}

#[derive(Debug)]
struct Named {
    protocol: Protocol,
    /// None any more for a path that is left.
    socket: Option<u64>,
}

/// Whose the names are.
#[derive(Debug, Default)]
pub(super) struct Names {
    named: BTreeMap<Label, Named>,
    /// How many names were given to those who have asked for any.
    given: u32,
}

impl Names {
    fn is_free(&self, label: &Label) -> bool {
        self.named.get(label).is_none_or(|it| it.socket.is_none())
    }

    /// Nobody has this name any more.
    pub(super) fn free(&mut self, label: &Label) {
        match label.name {
            Name::Path(_) => {
                if let Some(it) = self.named.get_mut(label) {
                    it.socket = None;
                }
            }
            Name::Abstract(_) | Name::Unnamed => drop(self.named.remove(label)),
        }
    }
}

impl State {
    /// Takes a name for `socket`; an abstract one that nobody has for none.
    ///
    /// # Errors
    ///
    /// `AddrInUse`.
    pub(super) fn take_name(
        &mut self,
        protocol: Protocol,
        host: IpAddr,
        name: &Name,
        socket: u64,
    ) -> io::Result<(Name, Held)> {
        let mut label = Label::new(protocol, host, name);
        if *name == Name::Unnamed {
            while label.name == Name::Unnamed || !self.labels.is_free(&label) {
                let text = format!("{:05x}", self.labels.given);
                self.labels.given += 1;
                label = Label::new(protocol, host, &Name::Abstract(text.as_bytes().into()));
            }
        }
        if !self.labels.is_free(&label) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let named = Named {
            protocol,
            socket: Some(socket),
        };
        self.labels.named.insert(label.clone(), named);
        Ok((label.name.clone(), Held::Name(label)))
    }

    /// The socket of this kind that has the name.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn find_name(
        &self,
        protocol: Protocol,
        host: IpAddr,
        name: &Name,
    ) -> io::Result<u64> {
        if *name == Name::Unnamed {
            return Err(ErrorKind::InvalidInput.into());
        }
        let label = Label::new(protocol, host, name);
        let Some(named) = self.labels.named.get(&label) else {
            return Err(match name {
                Name::Path(_) => ErrorKind::NotFound.into(),
                Name::Abstract(_) | Name::Unnamed => ErrorKind::ConnectionRefused.into(),
            });
        };
        let socket = named.socket.ok_or(ErrorKind::ConnectionRefused)?;
        if named.protocol != protocol {
            return Err(io::Error::from_raw_os_error(libc::EPROTOTYPE));
        }
        Ok(socket)
    }

    /// Two ends on this host, of which the first asks the second for a connection. Whoever waits for it
    /// has all the time in the world, as in the system.
    pub(super) fn connect_name(&mut self, name: Name, news: &mut News) -> io::Result<u64> {
        let host = self.host();
        self.find_name(Protocol::Stream, host, &name)?;
        let ends = [self.number(), self.number()];
        self.tie(ends, [host; 2], &[Name::Unnamed, name].map(Address::Name));
        self.ask(ends[0], news);
        Ok(ends[0])
    }

    /// Two ends on this host that are connected to each other.
    pub(super) fn pair(&mut self) -> io::Result<[u64; 2]> {
        let host = self.host();
        let ends = [self.number(), self.number()];
        let unnamed = [Name::Unnamed, Name::Unnamed];
        self.tie(ends, [host; 2], &unnamed.map(Address::Name));
        for end in ends {
            self.end(end)?.phase = Phase::Open;
        }
        Ok(ends)
    }
}
