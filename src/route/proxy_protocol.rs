//! The PROXY protocol, by which a provider of raw connections learns who the client is.

/// A version of the PROXY protocol (haproxy.org/download/3.0/doc/proxy-protocol.txt).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Version 1: a line of text.
    V1,
    /// Version 2: binary.
    V2,
}

impl ProxyProtocol {
    /// Every version.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The word for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// The header of a connection that nobody else asked for, such as a check: what follows is this program's own.
    pub const fn of_nobody(self) -> &'static [u8] {
        match self {
            Self::V1 => b"PROXY UNKNOWN\r\n",
            Self::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        }
    }
}
