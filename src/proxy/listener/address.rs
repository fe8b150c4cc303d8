//! Where requests are taken: an IP address with a port, or a Unix socket by its name.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use socket2::SockAddr;
use thiserror::Error;

/// Where a listener takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address; port 0 takes a free one.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix(UnixName),
}

/// The name of a Unix socket (unix(7)); the system can take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixName {
    /// A file.
    Path(PathBuf),
    /// A name without a file, as Linux has them; whoever is in the same network namespace may connect.
    Abstract(String),
}

/// Why a text names no Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// There is nothing, or nothing but an `@`.
    #[error("it names no socket")]
    Empty,
    /// The system has no room for it.
    #[error("it is longer than the {most} bytes that the system takes; write a shorter one")]
    TooLong {
        /// The longest there is.
        most: usize,
    },
    /// It has a byte that ends names.
    #[error("it has a zero byte")]
    Zero,
    /// A name without a file, where there are none.
    #[error("only Linux has sockets without a file; write a path")]
    OnlyFiles,
}

/// What a text begins with that names a Unix socket.
pub const UNIX: &str = "unix:";

impl ListenAddress {
    /// The IP address and port, if it has such.
    pub const fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether only programs of this machine can come here.
    pub const fn is_local(&self) -> bool {
        match self {
            Self::Ip(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ();

    /// Reads what is displayed.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_prefix(UNIX) {
            Some(name) => name.parse().map(Self::Unix).map_err(drop),
            None => text.parse().map(Self::Ip).map_err(drop),
        }
    }
}

impl UnixName {
    /// The file, if it has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Abstract(_) => None,
        }
    }

    /// The address as the system wants it.
    pub(super) fn to_system(&self) -> io::Result<SockAddr> {
        match self {
            Self::Path(path) => SockAddr::unix(path),
            Self::Abstract(name) => SockAddr::unix(format!("\0{name}")),
        }
    }
}

impl FromStr for UnixName {
    type Err = NameError;

    /// Reads what stands behind `unix:`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = match text.strip_prefix('@') {
            Some(name) => Self::Abstract(name.to_owned()),
            None => Self::Path(PathBuf::from(text)),
        };
        if matches!(text, "" | "@") {
            return Err(NameError::Empty);
        }
        if text.contains('\0') {
            return Err(NameError::Zero);
        }
        if matches!(name, Self::Abstract(_)) && !cfg!(target_os = "linux") {
            return Err(NameError::OnlyFiles);
        }
        match name.to_system() {
            Ok(_) => Ok(name),
            Err(_) => Err(NameError::TooLong { most: longest() }),
        }
    }
}

/// The length of the longest path that the system takes.
fn longest() -> usize {
    let fits = |length: &usize| SockAddr::unix("a".repeat(*length)).is_ok();
    (1..256).take_while(fits).last().unwrap_or_default()
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{UNIX}{}", path.display()),
            Self::Abstract(name) => write!(f, "{UNIX}@{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_refused() {
        for text in ["/run/wayside/greeter.sock", "greeter.sock", "@wayside/greeter"] {
            assert_eq!(text.parse::<UnixName>().unwrap().to_string(), format!("unix:{text}"));
        }
        let long = "x".repeat(longest());
        assert!(long.parse::<UnixName>().is_ok());
        assert_eq!(format!("{long}x").parse::<UnixName>(), Err(NameError::TooLong { most: longest() }));
        assert_eq!("".parse::<UnixName>(), Err(NameError::Empty));
        assert_eq!("@".parse::<UnixName>(), Err(NameError::Empty));
        assert_eq!("a\0b".parse::<UnixName>(), Err(NameError::Zero));
    }
}
