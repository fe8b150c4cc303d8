//! A strict reader of HTTP/1: it makes messages of bytes, every byte accounted for, and nothing of what RFC 9112 does not let stand.

/// A message, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The parts of its first line: method, target, version, or version, status, reason.
    pub(crate) first: [String; 3],
    /// Its headers, with their names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Whether its body went on until the end of the connection.
    pub(crate) to_the_end: bool,
}

/// What is read, and how strictly.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'a> {
    /// A request of a client: it may have what a proxy is to take out, such as extensions of chunks.
    Request,
    /// A request of a proxy.
    Forwarded,
    /// The answer to a request of this method; and whether nothing more will come.
    Answer { method: &'a str, ended: bool },
}

impl Message {
    /// The value of a header, if there is one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn status(&self) -> u16 {
        self.first[1].parse().unwrap_or_default()
    }

    /// Whether nothing follows on its connection.
    pub(crate) fn is_last(&self, version: usize) -> bool {
        let says = |option: &str| {
            self.header("connection").is_some_and(|value| {
                value.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(option))
            })
        };
        self.to_the_end || says("close") || (self.first[version] == "HTTP/1.0" && !says("keep-alive"))
    }
}

/// The message that the bytes begin with and how many are its own; nothing while it is not whole.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(bytes: &[u8], kind: Kind<'_>) -> Result<Option<(Message, usize)>, String> {
    let mut at = 0;
    let Some(first) = line(bytes, &mut at)? else { return Ok(None) };
    let first = match kind {
        Kind::Request | Kind::Forwarded => request_line(&first)?,
        Kind::Answer { .. } => status_line(&first)?,
    };
    let Some(headers) = fields(bytes, &mut at)? else { return Ok(None) };
    let mut message = Message { first, headers, body: Vec::new(), trailers: Vec::new(), to_the_end: false };
    let framing = framing(&message, kind)?;
    let (body, trailers) = match framing {
        Body::Length(length) => {
            let Some(body) = bytes.get(at..at + length) else { return Ok(None) };
            at += length;
            (body.to_vec(), Vec::new())
        }
        Body::Chunks => match chunks(bytes, &mut at, matches!(kind, Kind::Request))? {
            Some(read) => read,
            None => return Ok(None),
        },
        Body::ToTheEnd => {
            message.to_the_end = true;
            if !matches!(kind, Kind::Answer { ended: true, .. }) {
                return Ok(None);
            }
            let body = bytes[at..].to_vec();
            at = bytes.len();
            (body, Vec::new())
        }
    };
    (message.body, message.trailers) = (body, trailers);
    Ok(Some((message, at)))
}

enum Body {
    Length(usize),
    Chunks,
    ToTheEnd,
}

/// How the end of the body is told (RFC 9112, 6.3), which must be in one way.
fn framing(message: &Message, kind: Kind<'_>) -> Result<Body, String> {
    let all = |name: &str| message.headers.iter().filter(|(found, _)| found == name).collect::<Vec<_>>();
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    if lengths.len() + codings.len() > 1 {
        return Err("its end is told more than once".to_owned());
    }
    if let Kind::Request | Kind::Forwarded = kind {
        let hosts = all("host").len();
        if hosts > 1 || (hosts == 0 && message.first[2] == "HTTP/1.1") {
            return Err(format!("{hosts} hosts"));
        }
    }
    let length = match lengths.first() {
        None => None,
        Some((_, digits)) if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(format!("the length {digits:?}"));
        }
        Some((_, digits)) => Some(digits.parse::<usize>().map_err(|error| error.to_string())?),
    };
    if let Kind::Answer { method, .. } = kind {
        let status = message.status();
        if status < 200 || status == 204 {
            let told = length.is_some() || !codings.is_empty();
            return if told { Err("a length where none may be".to_owned()) } else { Ok(Body::Length(0)) };
        }
        if status == 304 || method == "HEAD" {
            return Ok(Body::Length(0));
        }
    }
    match codings.first() {
        Some((_, coding))
            if coding.eq_ignore_ascii_case("chunked") && !message.first.contains(&"HTTP/1.0".to_owned()) =>
        {
            Ok(Body::Chunks)
        }
        Some((_, coding)) => Err(format!("the coding {coding:?}")),
        None => Ok(match (length, kind) {
            (Some(length), _) => Body::Length(length),
            (None, Kind::Answer { .. }) => Body::ToTheEnd,
            (None, Kind::Request | Kind::Forwarded) => Body::Length(0),
        }),
    }
}

type Chunks = (Vec<u8>, Vec<(String, String)>);

fn chunks(bytes: &[u8], at: &mut usize, may_extend: bool) -> Result<Option<Chunks>, String> {
    let mut body = Vec::new();
    loop {
        let Some(told) = line(bytes, at)? else { return Ok(None) };
        let size = match told.split_once(';') {
            Some((size, _)) if may_extend => size.trim_end(),
            Some(_) => return Err(format!("an extension in {told:?}")),
            None => &told,
        };
        let is_hex = (1..=16).contains(&size.len()) && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex {
            return Err(format!("the chunk size {told:?}"));
        }
        let size = usize::from_str_radix(size, 16).map_err(|error| error.to_string())?;
        if size == 0 {
            return Ok(fields(bytes, at)?.map(|trailers| (body, trailers)));
        }
        let Some(data) = bytes.get(*at..).and_then(|rest| rest.get(..size)) else { return Ok(None) };
        body.extend_from_slice(data);
        *at += size;
        match bytes.get(*at..*at + 2) {
            None => return Ok(None),
            Some(b"\r\n") => *at += 2,
            Some(other) => return Err(format!("{other:?} behind a chunk")),
        }
    }
}

/// The next line, without its end, if it is whole.
fn line(bytes: &[u8], at: &mut usize) -> Result<Option<String>, String> {
    let rest = &bytes[*at..];
    let end = rest.iter().position(|byte| byte.is_ascii_control() && *byte != b'\t');
    let Some(end) = end else { return Ok(None) };
    match (rest[end], rest.get(end + 1)) {
        (b'\r', None) => Ok(None),
        (b'\r', Some(b'\n')) => {
            *at += end + 2;
            Ok(Some(String::from_utf8_lossy(&rest[..end]).into_owned()))
        }
        (byte, _) => Err(format!("the byte {byte:#x} in a line")),
    }
}

fn fields(bytes: &[u8], at: &mut usize) -> Result<Option<Vec<(String, String)>>, String> {
    let mut fields = Vec::new();
    loop {
        let Some(line) = line(bytes, at)? else { return Ok(None) };
        if line.is_empty() {
            return Ok(Some(fields));
        }
        let Some((name, value)) = line.split_once(':') else { return Err(format!("the line {line:?}")) };
        if !is_token(name) {
            return Err(format!("the name {name:?}"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

fn request_line(line: &str) -> Result<[String; 3], String> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version @ ("HTTP/1.1" | "HTTP/1.0")] = parts[..] else {
        return Err(format!("the request line {line:?}"));
    };
    if !is_token(method) || target.is_empty() {
        return Err(format!("the request line {line:?}"));
    }
    Ok([method, target, version].map(str::to_owned))
}

fn status_line(line: &str) -> Result<[String; 3], String> {
    let mut parts = line.splitn(3, ' ');
    let (version, status, reason) = (parts.next(), parts.next(), parts.next());
    match (version, status, reason) {
        (Some(version @ ("HTTP/1.1" | "HTTP/1.0")), Some(status), Some(reason))
            if status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            Ok([version, status, reason].map(str::to_owned))
        }
        _ => Err(format!("the status line {line:?}")),
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
