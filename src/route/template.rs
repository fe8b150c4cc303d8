//! A template: the value of a header, with what differs from message to message in braces.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use http::HeaderValue;
use thiserror::Error;

use crate::provider::Address;

/// The most bytes that one variable adds to a value: ids and hosts were written by others.
const VARIABLE_BYTES_MAX: usize = 1024;

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Template {
    /// The same in every message.
    Plain(HeaderValue),
    /// Made anew for each.
    Made(Box<[Piece]>),
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands there.
    Text(Box<str>),
    /// What the message says.
    Variable(Variable),
}

/// What differs from message to message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The IP address of whoever sent the request.
    Client,
    /// The service that was asked for.
    Service,
    /// The route that the request took; nothing where it took none.
    Route,
    /// Its `X-Request-Id`; nothing where it has none.
    RequestId,
    /// The host it asked for.
    Host,
    /// The id of the provider that answered; nothing where none did.
    Provider,
    /// The address of that provider.
    Address,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To a provider.
    Request,
    /// Back to the client.
    Response,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A brace that begins or ends nothing.
    #[error("a brace stands alone; write it twice where a brace is meant")]
    Brace,
    /// No variable has this name.
    #[error("there is no {{{0}}}; there are {1}, and a brace is written twice")]
    Unknown(String, String),
    /// What is only known with the answer.
    #[error("{{{0}}} is known once a provider has answered; use it for the headers of responses")]
    TooEarly(&'static str),
    /// A character that no header's value has.
    #[error("it has characters that no value of a header has; write visible ASCII, with spaces only within")]
    Character,
}

/// What a template takes its variables from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Whoever sent the request.
    pub client: Option<IpAddr>,
    /// The service that was asked for.
    pub service: &'a str,
    /// The route, if it took one.
    pub route: Option<&'a str>,
    /// The id of the request.
    pub request_id: Option<&'a HeaderValue>,
    /// The host it asked for.
    pub host: Option<&'a HeaderValue>,
    /// The id of the provider that answered.
    pub provider: Option<&'a str>,
    /// The address of that provider.
    pub address: Option<&'a Address>,
}

impl Variable {
    const ALL: [Self; 7] = [
        Self::Client,
        Self::Service,
        Self::Route,
        Self::RequestId,
        Self::Host,
        Self::Provider,
        Self::Address,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Service => "service",
            Self::Route => "route",
            Self::RequestId => "request_id",
            Self::Host => "host",
            Self::Provider => "provider",
            Self::Address => "address",
        }
    }

    /// Whether it is known when the message goes that way.
    const fn is_known(self, way: Way) -> bool {
        match (self, way) {
            (Self::Provider | Self::Address, Way::Request) => false,
            (Self::Client | Self::Service | Self::Route | Self::RequestId | Self::Host, Way::Request)
            | (_, Way::Response) => true,
        }
    }

    fn named(name: &str, way: Way) -> Result<Self, TemplateError> {
        let known = Self::ALL.into_iter().find(|variable| variable.as_str() == name);
        match known {
            Some(variable) if variable.is_known(way) => Ok(variable),
            Some(variable) => Err(TemplateError::TooEarly(variable.as_str())),
            None => {
                let known = Self::ALL.into_iter().filter(|variable| variable.is_known(way));
                let known: Vec<String> = known.map(|known| format!("{{{}}}", known.as_str())).collect();
                Err(TemplateError::Unknown(name.to_owned(), known.join(", ")))
            }
        }
    }

    fn value<'a>(self, facts: &Facts<'a>) -> Cow<'a, str> {
        let text = |value: Option<&'a HeaderValue>| {
            value.map_or(Cow::Borrowed(""), |value| String::from_utf8_lossy(value.as_bytes()))
        };
        match self {
            Self::Client => facts.client.map_or(Cow::Borrowed("unix"), |client| client.to_string().into()),
            Self::Service => facts.service.into(),
            Self::Route => facts.route.unwrap_or_default().into(),
            Self::RequestId => text(facts.request_id),
            Self::Host => text(facts.host),
            Self::Provider => facts.provider.unwrap_or_default().into(),
            Self::Address => facts.address.map(Address::to_string).unwrap_or_default().into(),
        }
    }
}

impl Template {
    /// Reads a template of a message that goes this way.
    ///
    /// # Errors
    /// When a brace stands alone, a variable is not known then, or a character cannot be in the value of a header.
    pub fn parse(text: &str, way: Way) -> Result<Self, TemplateError> {
        if text.trim() != text || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(TemplateError::Character);
        }
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let (name, after) = rest.split_once('}').filter(|_| brace == "{").ok_or(TemplateError::Brace)?;
            let variable = Variable::named(name, way)?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
            }
            pieces.push(Piece::Variable(variable));
            rest = after;
        }
        plain.push_str(rest);
        if pieces.is_empty() {
            return HeaderValue::try_from(plain).map(Self::Plain).map_err(|_| TemplateError::Character);
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into()));
        }
        Ok(Self::Made(pieces.into()))
    }

    /// The same, not shown where values are, and never kept in the tables that HTTP/2 compresses with (RFC 7541, 7.1.3).
    #[must_use]
    pub fn kept_secret(mut self) -> Self {
        if let Self::Plain(value) = &mut self {
            value.set_sensitive(true);
        }
        self
    }

    /// The value for one message. What others wrote and no header can carry becomes `?`.
    pub fn fill(&self, facts: &Facts<'_>) -> HeaderValue {
        let pieces = match self {
            Self::Plain(value) => return value.clone(),
            Self::Made(pieces) => pieces,
        };
        let mut filled = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Variable(variable) => {
                    let visible = |found: char| if matches!(found, ' '..='~') { found } else { '?' };
                    let value = variable.value(facts);
                    for found in value.chars().take(VARIABLE_BYTES_MAX) {
                        let _ = filled.write_char(visible(found));
                    }
                }
            }
        }
        HeaderValue::try_from(filled).expect("every character was made a visible one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let (id, host) = (HeaderValue::from_static("r-1"), HeaderValue::from_bytes(b"h\xe9:80").unwrap());
        let address = "[::1]:80".parse().unwrap();
        let facts = Facts {
            client: "10.0.0.1".parse().ok(),
            service: "greeter",
            route: None,
            request_id: Some(&id),
            host: Some(&host),
            provider: Some("g\r\n1\u{202e}"),
            address: Some(&address),
        };
        Template::parse(text, Way::Response).unwrap().fill(&facts).to_str().unwrap().to_owned()
    }

    #[test]
    fn variables_are_filled_and_braces_doubled() {
        assert_eq!(filled("plain"), "plain");
        assert_eq!(filled(""), "");
        assert_eq!(filled("a {client}/{service}"), "a 10.0.0.1/greeter");
        assert_eq!(filled("{{client}} {{{client}}} }}{{"), "{client} {10.0.0.1} }{");
        assert_eq!(filled("{request_id}-{route}-{host}"), "r-1--h?:80");
        assert_eq!(filled("{provider} at {address}"), "g??1? at [::1]:80");
    }

    #[test]
    fn what_others_wrote_is_bounded() {
        let long = "x".repeat(VARIABLE_BYTES_MAX * 2);
        let facts = Facts {
            client: "10.0.0.1".parse().ok(),
            service: &long,
            route: None,
            request_id: None,
            host: None,
            provider: None,
            address: None,
        };
        let value = Template::parse("{service}", Way::Request).unwrap().fill(&facts);
        assert_eq!(value.len(), VARIABLE_BYTES_MAX);
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let wrong = |text, way| Template::parse(text, way).unwrap_err().to_string();
        for lone in ["{", "}", "a { b", "a } b", "{client"] {
            assert!(wrong(lone, Way::Request).starts_with("a brace stands alone"), "{lone}");
        }
        assert_eq!(
            wrong("{clint}", Way::Request),
            "there is no {clint}; there are {client}, {service}, {route}, {request_id}, {host}, and a brace is written twice"
        );
        assert!(wrong("{provider}", Way::Request).contains("known once a provider has answered"));
        for bad in ["a\r\nb: c", "a\0", "\u{e9}", " a", "a ", "a\tb"] {
            assert_eq!(Template::parse(bad, Way::Request), Err(TemplateError::Character), "{bad:?}");
        }
    }
}
