//! The PROXY protocol, versions 1 and 2, as it comes in: what of the first bytes is the header, and whom it names (HAProxy,
//! "The PROXY protocol", sections 2.1 and 2.2).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_header::{ParseConfig, ProxyHeader};
use thiserror::Error;

/// The end of the longest header of version 1, its line end included (section 2.1).
const LINE_MAX: usize = 107;

/// Bytes of a header of version 2 at most; a length of 65,535 can be written there, and none that is so long is sent.
pub(super) const HEADER_MAX: usize = 4096;

/// What a header of version 1 begins with.
const LINE: &[u8] = b"PROXY ";

/// What a header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The bytes of version 2 before what its length counts.
const FIXED: usize = 16;

/// The version and command of a connection that the balancer made itself, and its family and protocol that say nothing.
const LOCAL: u8 = 0x20;
const UNSPECIFIED: u8 = 0;

/// Why a connection does not begin as it has to.
#[derive(Debug, Error)]
pub enum HeaderError {
    /// Something else came.
    #[error("it does not begin with a PROXY header; is whoever connects told to send one?")]
    Missing,
    /// It begins like a header, and is none.
    #[error("its PROXY header is malformed")]
    Malformed,
    /// The header is longer than any should be.
    #[error("its PROXY header is longer than {most} bytes")]
    TooLong {
        /// The bound.
        most: usize,
    },
    /// It ended before.
    #[error("it was closed before its PROXY header was complete")]
    Closed,
    /// Its time was over before.
    #[error("its PROXY header was not complete within {limit:?}")]
    Late {
        /// How long there was.
        limit: Duration,
    },
    /// The connection failed.
    #[error("it failed before its PROXY header was complete")]
    Io(#[source] io::Error),
}

impl HeaderError {
    /// One word for it.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::TooLong { .. } => "too_long",
            Self::Closed => "closed",
            Self::Late { .. } => "timeout",
            Self::Io(_) => "io",
        }
    }
}

/// The length of the header that these bytes begin with; `None` as long as it cannot be told, when all of them are part of it.
///
/// # Errors
/// As soon as it can be told that there is no header, or one that is too long.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, HeaderError> {
    let begins = |with: &[u8]| {
        let shared = with.len().min(bytes.len());
        bytes[..shared] == with[..shared]
    };
    if begins(LINE) {
        let end = bytes.iter().take(LINE_MAX).position(|byte| *byte == b'\n').map(|at| at + 1);
        if end.is_none() && bytes.len() >= LINE_MAX {
            return Err(HeaderError::TooLong { most: LINE_MAX });
        }
        return Ok(end);
    }
    if !begins(SIGNATURE) {
        return Err(HeaderError::Missing);
    }
    let Some(counted) = bytes.get(FIXED - 2..FIXED) else { return Ok(None) };
    let length = FIXED + usize::from(counted[0]) * 256 + usize::from(counted[1]);
    if length > HEADER_MAX {
        return Err(HeaderError::TooLong { most: HEADER_MAX });
    }
    Ok((bytes.len() >= length).then_some(length))
}

/// The client that a whole header names; `None` where it names none with an IP address, and the connection's own end counts.
///
/// # Errors
/// When it is malformed.
pub(super) fn client(header: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    let mut header = header.to_vec();
    // Whatever family a balancer states of its own connection is to be ignored (section 2.2).
    if header.starts_with(SIGNATURE) && header.get(12) == Some(&LOCAL) {
        header[13] = UNSPECIFIED;
    }
    // A number with a sign is none there, though the standard library reads it.
    if header.starts_with(LINE) && header.contains(&b'+') && !header.starts_with(b"PROXY UNKNOWN") {
        return Err(HeaderError::Malformed);
    }
    match ProxyHeader::parse(&header, ParseConfig { include_tlvs: false, ..ParseConfig::default() }) {
        Ok((parsed, length)) if length == header.len() => {
            Ok(parsed.proxied_address().map(|proxied| proxied.source))
        }
        Ok(_) | Err(_) => Err(HeaderError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proxy_header::{ProxiedAddress, Tlv};

    use super::*;

    /// A header of version 2 with this command, family and block.
    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    }

    /// What becomes of bytes that come one by one: the length of the header, and the client.
    fn read(bytes: &[u8]) -> Result<(usize, Option<SocketAddr>), HeaderError> {
        for seen in 0..=bytes.len() {
            if let Some(length) = length(&bytes[..seen])? {
                assert_eq!(length, seen, "no byte more is needed than there are");
                return Ok((length, client(&bytes[..length])?));
            }
        }
        Err(HeaderError::Closed)
    }

    fn address(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    const V4: [u8; 12] = [10, 0, 0, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80];

    #[test]
    fn headers_name_the_client_and_end_where_they_end() {
        let line = "PROXY TCP4 10.0.0.7 10.0.0.1 4660 80\r\n";
        assert_eq!(read(format!("{line}GET /").as_bytes()).unwrap(), (line.len(), address("10.0.0.7:4660")));
        let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 65535 1\r\n\x16\x03";
        assert_eq!(read(line).unwrap(), (line.len() - 2, address("[2001:db8::7]:65535")));
        for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 whatever + 1 2\r\n"] {
            assert_eq!(read(unknown.as_bytes()).unwrap(), (unknown.len(), None));
        }
        let told = binary(0x21, 0x11, &V4);
        assert_eq!(read(&[&told[..], b"PRI"].concat()).unwrap(), (28, address("10.0.0.7:4660")));
        let more = binary(0x21, 0x11, &[&V4[..], &[4, 0, 2, 0, 0]].concat());
        assert_eq!(read(&more).unwrap(), (33, address("10.0.0.7:4660")));
        // LOCAL, whatever else it says; nothing said; and a client that has no IP address.
        for local in [
            binary(0x20, 0, &[]),
            binary(0x20, 0x11, &V4),
            binary(0x20, 0x77, &[1, 2, 3]),
            binary(0x21, 0, &[1]),
            binary(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(read(&local).unwrap(), (local.len(), None), "{local:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_it_can_be() {
        for (bytes, cause) in [
            (&b"G"[..], "missing"),
            (b"PRI * HTTP/2.0\r\n", "missing"),
            (b"PROXy", "missing"),
            (b"\x16\x03\x01", "missing"),
            (b"\r\n\r\nG", "missing"),
            (b"PROXY TCP4 10.0.0.7 10.0.0.1 4660 80\n", "malformed"),
            (b"PROXY TCP4 10.0.0.7 10.0.0.1 +466 80\r\n", "malformed"),
            (b"PROXY TCP4 ::1 ::1 1 1\r\n", "malformed"),
            (b"PROXY TCP4  10.0.0.7 10.0.0.1 4660 80\r\n", "malformed"),
            (b"PROXY TCP4 10.0.0.7 10.0.0.1 4660 80 \r\n", "malformed"),
            (b"PROXY TCP4 10.0.0.7 10.0.0.1 66000 80\r\n", "malformed"),
            (b"PROXY UDP4 10.0.0.7 10.0.0.1 4660 80\r\n", "malformed"),
            (b"PROXY UNKNOWN\n", "malformed"),
            (b"PROXY TCP4", "closed"),
            (&[SIGNATURE, &[0x21]].concat(), "closed"),
            (&[b"PROXY UNKNOWN ", &[b'x'; 100][..], b"\r\n"].concat(), "too_long"),
            (&[SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat(), "too_long"),
            (&binary(0x11, 0x11, &V4), "malformed"),
            (&binary(0x22, 0x11, &V4), "malformed"),
            (&binary(0x21, 0x41, &V4), "malformed"),
            (&binary(0x21, 0x11, &V4[..11]), "malformed"),
            (&binary(0x21, 0x31, &[0; 215]), "malformed"),
        ] {
            let error = read(bytes).expect_err(&String::from_utf8_lossy(bytes));
            assert_eq!(error.cause(), cause, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_others_write_is_read(source: SocketAddr, port: u16, tail: Vec<u8>, padding in 0..64_usize) {
            // Headers have no room for what else an address of IPv6 may have.
            let source = SocketAddr::new(source.ip(), source.port());
            let destination = SocketAddr::new(source.ip(), port);
            let address = ProxiedAddress::stream(source, destination);
            let padded = ProxyHeader::with_tlvs(Some(address.clone()), [Tlv::Noop(padding)]);
            let plain = ProxyHeader::with_address(address);
            let mut buffer = [0; HEADER_MAX];
            for length in [plain.encode_to_slice_v1(&mut buffer).unwrap(), 0, 1] {
                let length = match length {
                    0 => plain.encode_to_slice_v2(&mut buffer).unwrap(),
                    1 => padded.encode_to_slice_v2(&mut buffer).unwrap(),
                    line => line,
                };
                let told = read(&[&buffer[..length], &tail].concat()).unwrap();
                prop_assert_eq!(told, (length, Some(source)));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, signed: bool) {
            let bytes = if signed { [SIGNATURE, &bytes].concat() } else { [LINE, &bytes].concat() };
            let _ = read(&bytes);
        }
    }
}
