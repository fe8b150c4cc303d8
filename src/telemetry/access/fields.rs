//! Which fields a line has, in which order and under which names, where others than the usual ones are asked for.

use std::fmt;
use std::str::FromStr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

/// What a line can tell of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// When its head was read.
    At,
    /// Who asked.
    Client,
    /// The method.
    Method,
    /// The target.
    Target,
    /// The authority it was asked of.
    Host,
    /// The service that was found.
    Service,
    /// The service that took its place.
    Failover,
    /// By what it was found.
    Via,
    /// The part of a split.
    Part,
    /// The endpoint of the last attempt.
    Endpoint,
    /// The status of the answer.
    Status,
    /// Why this proxy made the answer itself or broke it off.
    Reason,
    /// What was done to it on purpose.
    Fault,
    /// How many endpoints were tried.
    Attempts,
    /// From its head to the end of the answer.
    Duration,
    /// From its head to the first byte of the answer.
    FirstByte,
    /// Bytes of the answer's body.
    BytesSent,
    /// Bytes of the request's body.
    BytesReceived,
    /// The id of the request.
    RequestId,
    /// The id of its trace.
    TraceId,
}

impl Field {
    /// All there are.
    pub const ALL: [Self; 20] = [
        Self::At,
        Self::Client,
        Self::Method,
        Self::Target,
        Self::Host,
        Self::Service,
        Self::Failover,
        Self::Via,
        Self::Part,
        Self::Endpoint,
        Self::Status,
        Self::Reason,
        Self::Fault,
        Self::Attempts,
        Self::Duration,
        Self::FirstByte,
        Self::BytesSent,
        Self::BytesReceived,
        Self::RequestId,
        Self::TraceId,
    ];

    /// The word for it, which is its usual name too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::At => "at",
            Self::Client => "client",
            Self::Method => "method",
            Self::Target => "target",
            Self::Host => "host",
            Self::Service => "service",
            Self::Failover => "failover",
            Self::Via => "via",
            Self::Part => "part",
            Self::Endpoint => "endpoint",
            Self::Status => "status",
            Self::Reason => "reason",
            Self::Fault => "fault",
            Self::Attempts => "attempts",
            Self::Duration => "duration_ms",
            Self::FirstByte => "first_byte_ms",
            Self::BytesSent => "bytes_sent",
            Self::BytesReceived => "bytes_received",
            Self::RequestId => "request_id",
            Self::TraceId => "trace_id",
        }
    }
}

/// What stands in one place of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A field.
    Field(Field),
    /// A header of the request, as it came.
    RequestHeader(HeaderName),
    /// A header of the answer, as it goes to the client.
    ResponseHeader(HeaderName),
    /// Always the same text.
    Text(String),
}

/// One place of a line: its name and what stands there, written as `what` or `name=what`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name in the line.
    pub name: String,
    /// What stands there.
    pub what: What,
    written: String,
}

/// A text is not an [`Item`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ItemError {
    /// There is no such field.
    #[error(
        "there is no such field; there are {}, request:NAME, response:NAME and, with a name before it, text:WORDS",
        listed()
    )]
    Unknown,
    /// A text that is always the same has to be told apart.
    #[error("a text needs a name, as in \"env=text:prod\"")]
    Nameless,
    /// The name cannot be one.
    #[error("its name has other characters than letters, digits and _ . -")]
    Name,
    /// It is not the name of a header.
    #[error("it has characters that no header's name has")]
    Header,
    /// What it tells must not be in a log.
    #[error("that header carries credentials, which are never logged; leave it out")]
    Credentials,
}

/// What the names of fields contain that carry credentials.
const TELLTALES: [&str; 13] = [
    "auth",
    "cookie",
    "token",
    "secret",
    "password",
    "passwd",
    "credential",
    "api-key",
    "apikey",
    "access-key",
    "session",
    "jwt",
    "signature",
];

/// Whether the values of a header are kept out of logs and out of what is shown of the configuration.
pub fn carries_credentials(name: &HeaderName) -> bool {
    is_telltale(name.as_str())
}

/// Whether a name, of a header or a key of the configuration, speaks of credentials.
pub fn is_telltale(name: &str) -> bool {
    // Some write an underscore.
    let name = name.to_ascii_lowercase().replace('_', "-");
    TELLTALES.iter().any(|telltale| name.contains(telltale))
}

fn listed() -> String {
    Field::ALL.map(Field::as_str).join(", ")
}

impl FromStr for Item {
    type Err = ItemError;

    fn from_str(written: &str) -> Result<Self, ItemError> {
        // What follows `text:` may have the sign in it.
        let named = written.split_once('=').filter(|(name, _)| !name.contains(':'));
        let (name, what) = named.map_or((None, written), |(name, what)| (Some(name), what));
        let header = |name: &str| {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| ItemError::Header)?;
            if carries_credentials(&name) { Err(ItemError::Credentials) } else { Ok(name) }
        };
        let what = match what.split_once(':') {
            Some(("request", name)) => What::RequestHeader(header(name)?),
            Some(("response", name)) => What::ResponseHeader(header(name)?),
            Some(("text", _)) if name.is_none() => return Err(ItemError::Nameless),
            Some(("text", text)) => What::Text(text.to_owned()),
            Some(_) => return Err(ItemError::Unknown),
            None => {
                let field = Field::ALL.into_iter().find(|field| field.as_str() == what);
                What::Field(field.ok_or(ItemError::Unknown)?)
            }
        };
        let name = name.map_or_else(|| usual_name(&what), str::to_owned);
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.is_empty() || !name.chars().all(is_of_name) {
            return Err(ItemError::Name);
        }
        Ok(Self { name, what, written: written.to_owned() })
    }
}

fn usual_name(what: &What) -> String {
    match what {
        What::Field(field) => field.as_str().to_owned(),
        What::RequestHeader(name) => format!("request_{}", name.as_str().replace('-', "_")),
        What::ResponseHeader(name) => format!("response_{}", name.as_str().replace('-', "_")),
        What::Text(text) => text.clone(),
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// The values of the headers that a line tells of, each in the place of its item; nothing where none are told.
pub type Captured = Box<[Option<HeaderValue>]>;

/// Takes from headers what these items tell of them. A field that is there several times is one value (RFC 9110, 5.3).
pub(super) fn capture(
    items: &[Item],
    headers: &HeaderMap,
    name_in: impl Fn(&What) -> Option<&HeaderName>,
) -> Captured {
    let value = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?;
        if values.next().is_none() {
            return Some(first.clone());
        }
        let all: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        HeaderValue::from_bytes(&all.join(&b", "[..])).ok()
    };
    items.iter().map(|item| name_in(&item.what).and_then(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_read_back() {
        for field in Field::ALL {
            let item: Item = field.as_str().parse().unwrap();
            assert_eq!((item.what.clone(), item.name.as_str()), (What::Field(field), field.as_str()));
            assert_eq!(item.to_string(), field.as_str());
        }
    }

    #[test]
    fn headers_texts_and_names_of_ones_own() {
        for (written, name) in [
            ("request:User-Agent", "request_user_agent"),
            ("ua=request:user-agent", "ua"),
            ("response:content-type", "response_content_type"),
            ("env=text:prod=1", "env"),
            ("took=duration_ms", "took"),
        ] {
            let item: Item = written.parse().unwrap();
            assert_eq!((item.name.as_str(), item.to_string().as_str()), (name, written));
        }
        for (written, error) in [
            ("agent", ItemError::Unknown),
            ("header:agent", ItemError::Unknown),
            ("text:prod", ItemError::Nameless),
            ("a b=status", ItemError::Name),
            ("=status", ItemError::Name),
            ("request:a b", ItemError::Header),
            ("request:Authorization", ItemError::Credentials),
            ("response:set-cookie", ItemError::Credentials),
            ("k=request:x_api_key", ItemError::Credentials),
        ] {
            assert_eq!(written.parse::<Item>(), Err(error), "{written}");
        }
    }

    #[test]
    fn a_header_that_is_there_twice_is_one_value() {
        let items = ["status".parse().unwrap(), "request:accept".parse().unwrap()];
        let mut headers = HeaderMap::new();
        let taken = |headers: &HeaderMap| {
            capture(&items, headers, |what| match what {
                What::RequestHeader(name) => Some(name),
                What::Field(_) | What::ResponseHeader(_) | What::Text(_) => None,
            })
        };
        assert_eq!(&*taken(&headers), [None, None]);
        for value in ["a", "b"] {
            headers.append("accept", HeaderValue::from_static(value));
        }
        assert_eq!(taken(&headers)[1].as_ref().unwrap(), "a, b");
    }
}
