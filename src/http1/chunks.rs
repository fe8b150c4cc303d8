//! Chunked bodies (RFC 9112, 7.1), read to the letter: what leaves a doubt is an error.

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;

use super::Error;
use super::fields;

/// Digits of a chunk's size: as many as 64 bits have.
const DIGITS_MAX: u8 = 16;

/// Bytes of the extensions of one body, which nobody reads.
const EXTENSIONS_MAX: usize = 16 * 1024;

/// Bytes of the trailers of one body.
const TRAILERS_MAX: usize = 16 * 1024;

/// Where in a chunked body its reader is.
#[derive(Debug)]
pub(super) struct Chunks {
    place: Place,
    /// Whether white space may stand behind a size, as some servers pad it.
    padded: bool,
    /// Bytes of extensions so far.
    extensions: usize,
    /// The trailers so far.
    trailers: BytesMut,
}

#[derive(Clone, Copy, Debug)]
enum Place {
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
    /// Behind all of it.
    Over,
}

impl Default for Chunks {
    fn default() -> Self {
        let place = Place::Size { size: 0, digits: 0 };
        Self { place, padded: false, extensions: 0, trailers: BytesMut::new() }
    }
}

/// What came of a chunked body.
pub(super) enum Came {
    /// Data or trailers.
    Frame(Frame<Bytes>),
    /// Its end, without trailers.
    End,
    /// Nothing but what lies between.
    Nothing,
}

impl Chunks {
    /// Those of an answer, where white space is no danger.
    pub(super) fn padded() -> Self {
        Self { padded: true, ..Self::default() }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.place, Place::Over)
    }

    /// Takes what comes next out of these bytes, until there is something to tell or none is left.
    pub(super) fn take(&mut self, ahead: &mut Bytes) -> Result<Came, Error> {
        while !ahead.is_empty() {
            if let Place::Data { left } = self.place {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(ahead.len());
                let left = left - count as u64;
                self.place = if left == 0 { Place::DataCr } else { Place::Data { left } };
                return Ok(Came::Frame(Frame::data(ahead.split_to(count))));
            }
            let byte = ahead.get_u8();
            self.place =
                step(self.place, byte, self.padded).ok_or(Error::Malformed("a chunk of the body"))?;
            match self.place {
                // Who pads sizes does so in each chunk of however many.
                Place::Extension { named, .. } if named || !self.padded => {
                    self.extensions += 1;
                    if self.extensions > EXTENSIONS_MAX {
                        return Err(Error::Malformed("extensions of chunks without end"));
                    }
                }
                Place::Trailer | Place::TrailerLf | Place::LastLf => self.keep(byte)?,
                Place::Trailers if !self.trailers.is_empty() => self.keep(byte)?,
                Place::Over => {
                    self.keep(byte)?;
                    return self.end();
                }
                Place::Size { .. }
                | Place::Extension { .. }
                | Place::SizeLf { .. }
                | Place::Data { .. }
                | Place::DataCr
                | Place::DataLf
                | Place::Trailers => {}
            }
        }
        Ok(Came::Nothing)
    }

    fn keep(&mut self, byte: u8) -> Result<(), Error> {
        if self.trailers.len() >= TRAILERS_MAX {
            return Err(Error::Malformed("trailers without end"));
        }
        self.trailers.extend_from_slice(&[byte]);
        Ok(())
    }

    fn end(&mut self) -> Result<Came, Error> {
        let trailers: HeaderMap = fields::trailers(&std::mem::take(&mut self.trailers).freeze())?;
        Ok(if trailers.is_empty() { Came::End } else { Came::Frame(Frame::trailers(trailers)) })
    }
}

/// What comes behind a byte outside of the data; nothing where it may not stand.
fn step(place: Place, byte: u8, padded: bool) -> Option<Place> {
    use Place as P;
    Some(match (place, byte) {
        (P::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < DIGITS_MAX => {
            let digit = char::from(byte).to_digit(16)?;
            P::Size { size: (size << 4) | u64::from(digit), digits: digits + 1 }
        }
        (P::Size { size, digits: 1.. }, b'\r') => P::SizeLf { size },
        (P::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => P::Extension { size, named: byte == b';' },
        (P::Extension { size, named }, b'\r') if named || padded => P::SizeLf { size },
        (P::Extension { size, named: false }, b';') => P::Extension { size, named: true },
        (P::Extension { named: false, .. }, b' ' | b'\t') => place,
        (P::Extension { named: true, .. }, _) if is_text(byte) => place,
        (P::SizeLf { size: 0 }, b'\n') => P::Trailers,
        (P::SizeLf { size }, b'\n') => P::Data { left: size },
        (P::DataCr, b'\r') => P::DataLf,
        (P::DataLf, b'\n') => P::Size { size: 0, digits: 0 },
        (P::Trailers, b'\r') => P::LastLf,
        (P::Trailer, b'\r') => P::TrailerLf,
        (P::Trailers | P::Trailer, _) if is_text(byte) => P::Trailer,
        (P::TrailerLf, b'\n') => P::Trailers,
        (P::LastLf, b'\n') => P::Over,
        (_, _) => return None,
    })
}

/// What may stand in a line: no control character but the tab.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields = Vec<(String, String)>;

    /// The data, the trailers and what is left behind them; nothing of what is malformed.
    fn read(bytes: &str, piece: usize) -> Option<(String, Fields, String)> {
        let mut chunks = Chunks::default();
        let (mut data, mut trailers) = (Vec::new(), Vec::new());
        let mut pieces = bytes.as_bytes().chunks(piece);
        let mut ahead = Bytes::new();
        while !chunks.is_over() {
            if ahead.is_empty() {
                ahead = Bytes::copy_from_slice(pieces.next()?);
            }
            match chunks.take(&mut ahead).ok()? {
                Came::Frame(frame) => match frame.into_data() {
                    Ok(bytes) => data.extend_from_slice(&bytes),
                    Err(frame) => {
                        for (name, value) in &frame.into_trailers().unwrap() {
                            trailers.push((name.to_string(), value.to_str().unwrap().to_owned()));
                        }
                    }
                },
                Came::End | Came::Nothing => {}
            }
        }
        let rest = [&ahead[..], &pieces.collect::<Vec<_>>().concat()].concat();
        Some((String::from_utf8(data).unwrap(), trailers, String::from_utf8(rest).unwrap()))
    }

    #[test]
    fn data_and_trailers_are_told_apart_however_they_come() {
        for piece in [1, 2, 3, 7, 1000] {
            let bare = "5\r\nhello\r\n00A; x=\"y\"\r\n, you all!\r\n0\r\n\r\nnext";
            assert_eq!(read(bare, piece).unwrap(), ("hello, you all!".into(), Vec::new(), "next".into()));
            let told = "1 ;x\r\na\r\n000\r\nX-One: 1\r\ntwo:2\r\n\r\n";
            let trailers = vec![("x-one".into(), "1".into()), ("two".into(), "2".into())];
            assert_eq!(read(told, piece).unwrap(), ("a".into(), trailers, String::new()));
        }
    }

    #[test]
    fn padding_is_no_extension_however_much_of_it_comes() {
        let body = "1   \r\na\r\n".repeat(EXTENSIONS_MAX / 2) + "0   \r\n\r\n";
        let (mut chunks, mut ahead) = (Chunks::padded(), Bytes::from(body));
        while !chunks.is_over() {
            assert!(chunks.take(&mut ahead).is_ok());
        }
        assert!(ahead.is_empty());
    }

    #[test]
    fn nothing_in_doubt_is_taken() {
        for wrong in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\na\r\n",
            "1\na\r\n",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\na\r0\r\n\r\n",
            "1 1\r\na\r\n",
            "1;a\nb\r\na\r\n",
            "1 \r\na\r\n0\r\n\r\n",
            "11111111111111111\r\n",
            "0\r\n\n",
            "0\r\na\r\n\r\n",
            "0\r\na b: c\r\n\r\n",
            "0\r\n\ra: b\r\n\r\n",
        ] {
            for piece in [1, 1000] {
                assert_eq!(read(wrong, piece), None, "{wrong:?}");
            }
        }
        assert_eq!(read(&format!("1;{}\r\na\r\n", "x".repeat(EXTENSIONS_MAX)), 1000), None);
        assert_eq!(read(&format!("0\r\na: {}\r\n\r\n", "x".repeat(TRAILERS_MAX)), 1000), None);
    }
}
