//! Where each request of an HTTP/1 connection ends, found before the parser sees its bytes, and what makes that doubtful.

mod chunks;

use memchr::{memchr, memchr2};

use chunks::Chunks;

/// Bytes of a line that are kept while the rest of it has not come: far more than a length or a coding needs.
const KEPT_MAX: usize = 256;

/// What makes it doubtful what a client sent, so that another reader of the same bytes might see something else in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A line that ends in LF alone. RFC 9112, 2.2 lets it pass; others count it as part of the line.
    BareLf,
    /// A CR within a line (RFC 9112, 2.2).
    BareCr,
    /// `Content-Length` more than once, be it the same (RFC 9112, 6.3).
    Lengths,
    /// A `Content-Length` that is no number (RFC 9112, 6.3).
    Length,
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112, 6.1).
    LengthAndCoding,
    /// A `Transfer-Encoding` that is anything but `chunked`, once (RFC 9112, 6.1).
    Coding,
    /// A fragment in the target, which is none of its parts (RFC 9112, 3.2) and would be dropped in silence.
    Fragment,
    /// A chunk that is not as RFC 9112, 7.1 has it.
    Chunk,
}

impl Doubt {
    /// What is wrong, and what to send instead.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::BareLf => "a line of the request ends without CR; end each with CR LF",
            Self::BareCr => "a CR stands alone in the request; end each line with CR LF",
            Self::Lengths => "more than one Content-Length; send one",
            Self::Length => "a Content-Length that is no number of bytes; send digits alone",
            Self::LengthAndCoding => "Content-Length and Transfer-Encoding together; send one of them",
            Self::Coding => "a transfer coding that is not understood; send chunked, or a length",
            Self::Fragment => "a fragment in the request target; leave it out, from # on",
            Self::Chunk => "a chunk of the body is malformed",
        }
    }
}

/// What was seen of the head that came last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Why the request is not to be trusted.
    pub doubt: Option<Doubt>,
    /// Whether its target is that of `OPTIONS` for a whole host, in absolute form: a URI that ends with the host. The parser
    /// makes a path of it, which it is not (RFC 9112, 3.2.4).
    pub asterisk: bool,
}

/// Follows the bytes of a connection from request to request.
#[derive(Debug, Default)]
pub struct Framing {
    part: Part,
    /// The beginning of a line that has not come whole; nothing else is held.
    line: Vec<u8>,
    /// What makes it impossible to go on.
    broken: Option<Doubt>,
    /// Whether a head came whole on this connection.
    used: bool,
}

#[derive(Debug)]
enum Part {
    Head(Head),
    Body(u64),
    Chunks(Chunks),
    /// What is not looked at: no HTTP/1, or what comes behind a doubt, which is answered and then nothing more is.
    Raw,
}

impl Default for Part {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

/// What is known of a head that is still coming.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Whether its first line came; empty lines before it are none.
    begun: bool,
    /// Whether its method did, so that what comes is the target.
    in_target: bool,
    after_cr: bool,
    seen: Seen,
    length: Option<u64>,
    chunked: bool,
}

impl Head {
    fn doubts(&mut self, doubt: Doubt) {
        self.seen.doubt.get_or_insert(doubt);
    }
}

impl Framing {
    /// One that looks at nothing.
    pub fn raw() -> Self {
        Self { part: Part::Raw, ..Self::default() }
    }

    /// Whether nothing is looked at.
    pub const fn is_raw(&self) -> bool {
        matches!(self.part, Part::Raw)
    }

    /// Whether what came last is within the target of a request.
    pub const fn is_in_target(&self) -> bool {
        matches!(self.part, Part::Head(Head { begun: false, in_target: true, .. }))
    }

    /// Whether part of a head came, and not all of it.
    pub const fn is_in_head(&self) -> bool {
        matches!(self.part, Part::Head(Head { begun: true, .. } | Head { after_cr: true, .. }))
            || !self.line.is_empty()
    }

    /// Why no further byte can be told what it is.
    pub const fn broken(&self) -> Option<Doubt> {
        self.broken
    }

    /// How many of the bytes that came belong to the request that is being read: all, or those up to its end. None at all
    /// only where [`Framing::broken`] says why. Tells `ended` what was seen of a head once it is whole.
    pub fn take(&mut self, bytes: &[u8], mut ended: impl FnMut(Seen)) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.part {
                Part::Raw => return bytes.len(),
                Part::Head(_) => match self.take_head(rest) {
                    Some((count, seen)) => {
                        at += count;
                        ended(seen);
                    }
                    None => return bytes.len(),
                },
                Part::Body(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    at += count;
                    *left -= count as u64;
                    if *left == 0 {
                        self.part = Part::default();
                    }
                }
                Part::Chunks(chunks) => {
                    let (count, over) = chunks.take(rest);
                    at += count;
                    match over {
                        Some(Ok(())) => self.part = Part::default(),
                        Some(Err(doubt)) => {
                            self.broken = Some(doubt);
                            return at;
                        }
                        None => {}
                    }
                }
            }
            if matches!(self.part, Part::Head(_)) {
                return at;
            }
        }
        at
    }

    /// How many bytes are the head's, if they go up to its end, and what was seen of it.
    fn take_head(&mut self, bytes: &[u8]) -> Option<(usize, Seen)> {
        let Part::Head(head) = &mut self.part else { return None };
        let (mut begin, mut at) = (0, 0);
        let mut pending_cr = std::mem::take(&mut head.after_cr);
        loop {
            // Where the line ends, and the next one begins.
            let (end, next) = if pending_cr {
                pending_cr = false;
                if bytes[0] != b'\n' {
                    head.doubts(Doubt::BareCr);
                    head.keep(&mut self.line, b"\r");
                    continue;
                }
                (0, 1)
            } else {
                let Some(found) = memchr2(b'\r', b'\n', &bytes[at..]) else { break };
                let end = at + found;
                match (bytes[end], bytes.get(end + 1)) {
                    (b'\n', _) => {
                        head.doubts(Doubt::BareLf);
                        (end, end + 1)
                    }
                    (_, Some(b'\n')) => (end, end + 2),
                    (_, Some(_)) => {
                        head.doubts(Doubt::BareCr);
                        at = end + 1;
                        continue;
                    }
                    (_, None) => {
                        head.after_cr = true;
                        head.keep(&mut self.line, &bytes[begin..end]);
                        return None;
                    }
                }
            };
            let ended = if self.line.is_empty() {
                head.look_for_fragment(&bytes[begin..end]);
                head.look(&bytes[begin..end], self.used)
            } else {
                head.keep(&mut self.line, &bytes[begin..end]);
                let ended = head.look(&self.line, self.used);
                self.line.clear();
                ended
            };
            match ended {
                Line::Inside => (begin, at) = (next, next),
                Line::Last => return Some((next, self.end_head())),
                Line::Preface => {
                    self.part = Part::Raw;
                    return Some((bytes.len(), Seen::default()));
                }
            }
        }
        head.keep(&mut self.line, &bytes[begin..]);
        None
    }

    /// Goes on with what comes behind a head.
    fn end_head(&mut self) -> Seen {
        let Part::Head(mut head) = std::mem::take(&mut self.part) else { return Seen::default() };
        if head.chunked && head.length.is_some() {
            head.doubts(Doubt::LengthAndCoding);
        }
        self.part = match (head.seen.doubt, head.length) {
            (Some(_), _) => Part::Raw,
            (None, _) if head.chunked => Part::Chunks(Chunks::default()),
            (None, Some(length @ 1..)) => Part::Body(length),
            (None, Some(0) | None) => Part::default(),
        };
        self.used = true;
        self.line = Vec::new();
        head.seen
    }
}

/// What a line is to its head.
enum Line {
    Inside,
    Last,
    /// The first of HTTP/2.
    Preface,
}

impl Head {
    /// Keeps the beginning of a line that comes in pieces.
    fn keep(&mut self, line: &mut Vec<u8>, piece: &[u8]) {
        self.look_for_fragment(piece);
        let room = KEPT_MAX - line.len();
        line.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn look_for_fragment(&mut self, piece: &[u8]) {
        if self.begun {
            return;
        }
        let mut target = piece;
        if !self.in_target {
            // A method may have one.
            let Some(space) = memchr(b' ', piece) else { return };
            self.in_target = true;
            target = &piece[space..];
        }
        if memchr(b'#', target).is_some() {
            self.doubts(Doubt::Fragment);
        }
    }

    fn look(&mut self, line: &[u8], used: bool) -> Line {
        if line.is_empty() {
            // What a client may have sent behind a body before (RFC 9112, 2.2).
            return if self.begun { Line::Last } else { Line::Inside };
        }
        // One that came in pieces may have been longer.
        let is_short = line.len() < KEPT_MAX;
        if !self.begun {
            self.begun = true;
            if !used && line == b"PRI * HTTP/2.0" {
                return Line::Preface;
            }
            self.seen.asterisk = is_short && asks_of_all(line);
        } else if let Some(value) = value_of(line, b"content-length") {
            match (self.length, number(value).filter(|_| is_short)) {
                (Some(_), _) => self.doubts(Doubt::Lengths),
                (None, None) => self.doubts(Doubt::Length),
                (None, length) => self.length = length,
            }
        } else if let Some(value) = value_of(line, b"transfer-encoding") {
            if self.chunked || !is_short || !value.eq_ignore_ascii_case(b"chunked") {
                self.doubts(Doubt::Coding);
            }
            self.chunked = true;
        }
        Line::Inside
    }
}

/// Whether a first line is that of an `OPTIONS` whose target ends with a host.
fn asks_of_all(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"OPTIONS ") else { return false };
    let target = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    let scheme = memchr(b':', target).unwrap_or_default();
    let host = target[scheme..].strip_prefix(b"://");
    host.is_some_and(|host| !host.iter().any(|byte| matches!(byte, b'/' | b'?')))
}

/// The value of a header line of this name, in lower case, without the white space around it.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    // The first letter tells most lines apart.
    if line[0] | 0x20 != name[0] || *line.get(name.len())? != b':' {
        return None;
    }
    let (found, value) = line.split_at(name.len());
    found.eq_ignore_ascii_case(name).then(|| value[1..].trim_ascii())
}

/// Digits as a number.
fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if !is_number {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
