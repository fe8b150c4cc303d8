//! HTTP/1.1 as strict as it gets (RFC 9112): what is not exactly as it should be is told, nothing is guessed.

use std::io::{ErrorKind, Read};

/// How a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// With its head, or after so many bytes.
    Bytes(usize),
    /// With its last chunk.
    Chunked,
    /// With its connection.
    Close,
}

/// The head of a message.
#[derive(Debug)]
pub struct Head {
    /// Its first line.
    pub first: String,
    /// Its fields, names in small letters.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// What is read of a connection.
pub struct Wire<R> {
    from: R,
    /// What was read and not used yet.
    left: Vec<u8>,
}

/// Why nothing more comes.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// The other side ended, in the middle of something if so many bytes are left.
    End(usize),
    /// Nothing came in time.
    Late,
    /// What came is wrong.
    Wrong(String),
}

fn wrong<T>(what: &str, bytes: &[u8]) -> Result<T, Stop> {
    Err(Stop::Wrong(format!("{what}: {:?}", String::from_utf8_lossy(bytes))))
}

impl<R: Read> Wire<R> {
    /// Nothing was read yet.
    pub const fn new(from: R) -> Self {
        Self { from, left: Vec::new() }
    }

    /// Where it reads from, once nothing is left that was read.
    ///
    /// # Panics
    /// When something is.
    pub fn into_inner(self) -> R {
        assert_eq!(String::from_utf8_lossy(&self.left), "", "more than was asked for");
        self.from
    }

    fn fill(&mut self) -> Result<(), Stop> {
        let mut bytes = [0; 4096];
        match self.from.read(&mut bytes) {
            Ok(0) => Err(Stop::End(self.left.len())),
            Ok(read) => {
                self.left.extend_from_slice(&bytes[..read]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(Stop::Late),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(_) => Err(Stop::End(self.left.len())),
        }
    }

    /// A line up to CRLF, which are to be together.
    fn line(&mut self) -> Result<Vec<u8>, Stop> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.left[looked..].iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                let at = looked + at;
                if self.left[at] != b'\r' {
                    return wrong("a bare line feed or NUL", &self.left[..=at]);
                }
                if let Some(next) = self.left.get(at + 1) {
                    if *next != b'\n' {
                        return wrong("a bare carriage return", &self.left[..=at]);
                    }
                    let line = self.left[..at].to_vec();
                    self.left.drain(..at + 2);
                    return Ok(line);
                }
                looked = at;
            } else {
                looked = self.left.len();
            }
            self.fill()?;
        }
    }

    fn fields(&mut self) -> Result<Vec<(String, Vec<u8>)>, Stop> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                return wrong("a field without a colon", &line);
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
                return wrong("a field without a name", &line);
            }
            if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 127) {
                return wrong("a field with control characters", &line);
            }
            fields.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
        }
    }

    /// The next head.
    ///
    /// # Errors
    /// When there is none, or it is wrong.
    pub fn head(&mut self) -> Result<Head, Stop> {
        let first = self.line()?;
        let Ok(first) = String::from_utf8(first.clone()) else { return wrong("a first line of no text", &first) };
        Ok(Head { first, fields: self.fields()? })
    }

    /// The body of this length.
    ///
    /// # Errors
    /// When it breaks off, or is wrong.
    pub fn body(&mut self, length: Length) -> Result<Vec<u8>, Stop> {
        match length {
            Length::Bytes(count) => self.bytes(count),
            Length::Close => loop {
                match self.fill() {
                    Ok(()) => {}
                    Err(Stop::End(_)) => return Ok(std::mem::take(&mut self.left)),
                    Err(stop) => return Err(stop),
                }
            },
            Length::Chunked => {
                let mut body = Vec::new();
                loop {
                    let line = self.line()?;
                    let text = std::str::from_utf8(&line).ok();
                    let is_hex = !line.is_empty() && line.iter().all(u8::is_ascii_hexdigit);
                    let Some(size) = text.filter(|_| is_hex).and_then(|text| usize::from_str_radix(text, 16).ok())
                    else {
                        return wrong("a chunk of no plain size", &line);
                    };
                    if size == 0 {
                        self.fields()?;
                        return Ok(body);
                    }
                    body.extend(self.bytes(size)?);
                    let end = self.bytes(2)?;
                    if end != b"\r\n" {
                        return wrong("a chunk that goes on", &end);
                    }
                }
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Stop> {
        while self.left.len() < count {
            self.fill()?;
        }
        Ok(self.left.drain(..count).collect())
    }

    /// Nothing but the end.
    ///
    /// # Errors
    /// When something else comes.
    pub fn end(&mut self) -> Result<(), Stop> {
        match self.body(Length::Close) {
            Ok(rest) if rest.is_empty() => Ok(()),
            Ok(rest) => wrong("more than was asked for", &rest),
            Err(stop) => Err(stop),
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl Head {
    /// The values of a field.
    pub fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| &**value)
    }

    /// Whether a field is there with this word.
    pub fn says(&self, name: &str, word: &str) -> bool {
        self.all(name).any(|value| String::from_utf8_lossy(value).to_ascii_lowercase().contains(word))
    }

    /// How long it is, as its fields say; `None` where they say nothing.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn length(&self) -> Result<Option<Length>, Stop> {
        let lengths: Vec<&[u8]> = self.all("content-length").collect();
        let codings: Vec<&[u8]> = self.all("transfer-encoding").collect();
        match (&*lengths, &*codings) {
            ([], []) => Ok(None),
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Some(Length::Chunked)),
            ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
                let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
                length.map_or_else(|| wrong("a length of no number", b""), |length| Ok(Some(Length::Bytes(length))))
            }
            _ => wrong("lengths that contradict each other", format!("{self:?}").as_bytes()),
        }
    }

    /// The method of a request whose first line is as it should be, and whose host is named once.
    ///
    /// # Errors
    /// When it is not.
    pub fn method(&self) -> Result<String, Stop> {
        let parts: Vec<&str> = self.first.split(' ').collect();
        let [method, target, "HTTP/1.1"] = *parts else {
            return wrong("no line of a request", self.first.as_bytes());
        };
        let is_target = target == "*" || target.starts_with('/');
        if method.is_empty() || !method.bytes().all(is_token) || !is_target || target.bytes().any(|byte| byte <= b' ' || byte == 127) {
            return wrong("no line of a request", self.first.as_bytes());
        }
        if self.all("host").count() != 1 {
            return wrong("not one host", format!("{self:?}").as_bytes());
        }
        Ok(method.to_owned())
    }

    /// The status of an answer whose first line is as it should be.
    ///
    /// # Errors
    /// When it is not.
    pub fn status(&self) -> Result<u16, Stop> {
        let rest = self.first.strip_prefix("HTTP/1.1 ").or_else(|| self.first.strip_prefix("HTTP/1.0 "));
        let status = rest.and_then(|rest| rest.get(..3)).filter(|status| status.bytes().all(|byte| byte.is_ascii_digit()));
        let after = rest.and_then(|rest| rest.as_bytes().get(3));
        match status.and_then(|status| status.parse().ok()) {
            Some(status) if matches!(after, Some(b' ')) => Ok(status),
            _ => wrong("no line of an answer", self.first.as_bytes()),
        }
    }
}
