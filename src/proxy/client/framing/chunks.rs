//! Where a chunked body ends (RFC 9112, 7.1), read more strictly than the parser does, so that both see the same end.

use super::Doubt;

/// Digits of a chunk's size: as many as 64 bits have.
const DIGITS_MAX: u8 = 16;

/// Follows the bytes of a chunked body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chunks {
    /// In the size of a chunk, of which so many digits came.
    Size { size: u64, digits: u8 },
    /// In the extensions of a chunk of this size, from their `;` or the white space before it on.
    Extension { size: u64, named: bool },
    /// Before the LF that ends the line with the size.
    SizeLf { size: u64 },
    /// In a chunk of which so many bytes are to come.
    Data { left: u64 },
    /// Behind the bytes of a chunk.
    DataCr,
    /// Before the LF behind those.
    DataLf,
    /// At the beginning of a line of the trailers.
    Trailers,
    /// In such a line.
    Trailer,
    /// Before the LF that ends one.
    TrailerLf,
    /// Before the last LF.
    LastLf,
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

impl Chunks {
    /// How many of these bytes are the body's and well-formed; and whether it is over, be it because the next byte is not.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Option<Result<(), Doubt>>) {
        let mut at = 0;
        while at < bytes.len() {
            if let Self::Data { left } = self {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                *left -= count as u64;
                at += count;
                if *left == 0 {
                    *self = Self::DataCr;
                }
                continue;
            }
            if matches!((&*self, bytes[at]), (Self::LastLf, b'\n')) {
                return (at + 1, Some(Ok(())));
            }
            match self.step(bytes[at]) {
                Some(next) => *self = next,
                None => return (at, Some(Err(Doubt::Chunk))),
            }
            at += 1;
        }
        (at, None)
    }

    /// What comes behind a byte outside of the data; nothing where it may not stand.
    fn step(&self, byte: u8) -> Option<Self> {
        Some(match (*self, byte) {
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16)?;
                Self::Size { size: (size << 4) | u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { size, digits: 1.. }, b'\r') => Self::SizeLf { size },
            (Self::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => {
                Self::Extension { size, named: byte == b';' }
            }
            (Self::Extension { size, named: true }, b'\r') => Self::SizeLf { size },
            (Self::Extension { size, named: false }, b';') => Self::Extension { size, named: true },
            (Self::Extension { named: false, .. }, b' ' | b'\t') => *self,
            (Self::Extension { named: true, .. }, _) if is_text(byte) => *self,
            (Self::SizeLf { size: 0 }, b'\n') => Self::Trailers,
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::default(),
            (Self::Trailers, b'\r') => Self::LastLf,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::Trailers | Self::Trailer, _) if is_text(byte) => Self::Trailer,
            (Self::TrailerLf, b'\n') => Self::Trailers,
            (_, _) => return None,
        })
    }
}

/// What may stand in a line: no control character but the tab.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
