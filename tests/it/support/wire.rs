//! HTTP/2 as bytes: frames of any kind, sound or not (RFC 9113, 4.1 and 6), and fields as HPACK writes them (RFC 7541).

use std::fmt;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
/// The end of the stream, and of its fields.
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// Why a stream or a connection ends (RFC 9113, 7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u32);

impl Code {
    pub(crate) const NO_ERROR: Self = Self(0);
    pub(crate) const PROTOCOL_ERROR: Self = Self(1);
    pub(crate) const INTERNAL_ERROR: Self = Self(2);
    pub(crate) const FLOW_CONTROL_ERROR: Self = Self(3);
    pub(crate) const STREAM_CLOSED: Self = Self(5);
    pub(crate) const FRAME_SIZE_ERROR: Self = Self(6);
    pub(crate) const REFUSED_STREAM: Self = Self(7);
    pub(crate) const CANCEL: Self = Self(8);
    pub(crate) const ENHANCE_YOUR_CALM: Self = Self(11);
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
        ]
        .get(self.0 as usize);
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "code {}", self.0),
        }
    }
}

/// One frame as it came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The code of a reset or a farewell.
    pub(crate) fn code(&self) -> Code {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        Code(u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap()))
    }

    /// The status of an answer, which its first field tells (the tables of RFC 7541, A and B).
    pub(crate) fn status(&self) -> u16 {
        let fields = &self.payload[..];
        match fields[0] {
            // A change of the size of the table may come first.
            size @ 0x20..0x40 if size != 0x3f => {
                Self { payload: fields[1..].to_vec(), ..self.clone() }.status()
            }
            0x3f => {
                let end = 1 + fields[1..].iter().position(|byte| byte & 0x80 == 0).unwrap();
                Self { payload: fields[end + 1..].to_vec(), ..self.clone() }.status()
            }
            indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
            0x08 | 0x48 if fields[1] & 0x80 == 0 => {
                std::str::from_utf8(&fields[2..5]).unwrap().parse().unwrap()
            }
            0x08 | 0x48 => {
                let bits =
                    fields[2..].iter().take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << 8;
                (0..3)
                    .fold((0, bits), |(status, bits), _| {
                        let (digit, length) = match bits >> 27 {
                            digit @ 0..3 => (digit, 5),
                            _ => (3 + (bits >> 26) - 0b01_1001, 6),
                        };
                        (status * 10 + u16::try_from(digit).unwrap(), bits << length)
                    })
                    .0
            }
            other => panic!("no status at the begin: {other:#x} of {fields:?}"),
        }
    }
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A setting, as the payload of its frame.
pub(crate) fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A reset of a stream.
pub(crate) fn reset(stream: u32, code: Code) -> Vec<u8> {
    frame(RESET, 0, stream, code.0.to_be_bytes())
}

/// Fields, each written out in full, with nothing remembered.
pub(crate) fn fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(list: &[(N, V)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in list {
        bytes.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            length(text.len(), &mut bytes);
            bytes.extend(text);
        }
    }
    bytes
}

/// A length as HPACK writes it behind one bit (RFC 7541, 5.1).
fn length(mut length: usize, bytes: &mut Vec<u8>) {
    const FIRST: usize = 127;
    if length < FIRST {
        bytes.push(u8::try_from(length).unwrap());
        return;
    }
    bytes.push(0x7f);
    length -= FIRST;
    while length >= 128 {
        bytes.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    bytes.push(u8::try_from(length).unwrap());
}
