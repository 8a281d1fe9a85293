//! What simulated sockets are called: an address with a port, or a name on their host.

use std::{
    fmt, io,
    net::SocketAddr,
    os::{linux::net::SocketAddrExt, unix::net as unix},
    path::Path,
    sync::Arc,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Port(SocketAddr),
    Name(Name),
}

/// The address of a Unix socket. What it is on belongs to it, and is told beside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Unnamed,
    Path(Arc<Path>),
    Abstract(Arc<[u8]>),
}

impl Name {
    pub(super) fn of(address: &unix::SocketAddr) -> Self {
        match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => Self::Path(path.into()),
            (None, Some(name)) => Self::Abstract(name.into()),
            (None, None) => Self::Unnamed,
        }
    }

    /// As `std` has it.
    ///
    /// # Errors
    ///
    /// None for what was such an address before.
    pub(super) fn to_address(&self) -> io::Result<unix::SocketAddr> {
        match self {
            Self::Unnamed => unix::SocketAddr::from_pathname(""),
            Self::Path(path) => unix::SocketAddr::from_pathname(path),
            Self::Abstract(name) => unix::SocketAddr::from_abstract_name(name),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Port(address)
    }
}

impl From<&Address> for Address {
    fn from(address: &Self) -> Self {
        address.clone()
    }
}

impl From<&Name> for Address {
    fn from(name: &Name) -> Self {
        Self::Name(name.clone())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str("(unnamed)"),
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}

/// A type of addresses, and what `std` shows of the sockets that have them.
pub(crate) trait Family: Sized + fmt::Debug {
    const STREAM: &str;
    const LISTENER: &str;
    /// What the address of a socket is called.
    const LOCAL: &str;

    /// # Errors
    ///
    /// `EAFNOSUPPORT` for an address of the other family.
    fn of(address: &Address) -> io::Result<Self>;
}

fn other_family() -> io::Error {
    io::Error::from_raw_os_error(libc::EAFNOSUPPORT)
}

impl Family for SocketAddr {
    const STREAM: &str = "TcpStream";
    const LISTENER: &str = "TcpListener";
    const LOCAL: &str = "addr";

    fn of(address: &Address) -> io::Result<Self> {
        match address {
            Address::Port(address) => Ok(*address),
            Address::Name(_) => Err(other_family()),
        }
    }
}

impl Family for unix::SocketAddr {
    const STREAM: &str = "UnixStream";
    const LISTENER: &str = "UnixListener";
    const LOCAL: &str = "local";

    fn of(address: &Address) -> io::Result<Self> {
        match address {
            Address::Name(name) => name.to_address(),
            Address::Port(_) => Err(other_family()),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Address, Family, Name};
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};

    #[test]
    fn names_are_addresses_and_back() {
        let all = [
            (SocketAddr::from_pathname(""), "(unnamed)"),
            (SocketAddr::from_pathname("/run/some"), "/run/some"),
            (SocketAddr::from_abstract_name(b"a\0b"), r"@a\x00b"),
        ];
        for (address, text) in all {
            let address = address.expect("short");
            let name = Name::of(&address);
            assert_eq!(name.to_string(), text);
            let again = SocketAddr::of(&Address::from(&name)).expect("of this family");
            assert_eq!(Name::of(&again), name);
        }
        std::net::SocketAddr::of(&Address::Name(Name::Unnamed)).expect_err("of another family");
    }
}
