//! A URL of Dubbo, as it stands in the name of an entry, and the key that a service is asked for by.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::provider::Address;
use crate::registry::format::json::VALUE_BYTES_MAX;
use crate::registry::format::{Reason, Unusable, convention};

/// What Java's form encoding changes: all but letters, digits, and these; a space becomes a plus.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b' ');
/// The longest name that is written, in bytes: three times less than what ZooKeeper takes of a path.
const NAME_BYTES_MAX: usize = 256 * 1024;
/// The most parameters that are read of a URL.
const PARAMETERS_MAX: usize = 256;

/// A URL of Dubbo.
#[derive(Debug)]
pub(super) struct Url {
    pub(super) scheme: String,
    /// `host:port`, or a host alone.
    authority: String,
    /// Without the slash in front.
    pub(super) path: String,
    pub(super) parameters: BTreeMap<String, String>,
}

impl Url {
    /// The URL in the name of an entry.
    pub(super) fn of(name: &str) -> Result<Self, Unusable> {
        let text = decoded(name);
        let odd = || {
            Unusable::new(Reason::Malformed, format!("the name of the entry is no URL of Dubbo: {text:?}"))
        };
        let (head, query) = text.split_once('?').unwrap_or((&text, ""));
        let (scheme, rest) = head.split_once("://").ok_or_else(odd)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // Credentials of a provider are of no use here, and nobody should see them.
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        if [scheme, authority, path].iter().any(|part| part.len() > VALUE_BYTES_MAX) || scheme.is_empty() {
            return Err(odd());
        }
        let pairs = query.split('&').map(str::trim).filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, pair)));
        let pairs = pairs.filter(|(key, value)| key.len().max(value.len()) <= VALUE_BYTES_MAX);
        let parameters = pairs.take(PARAMETERS_MAX).map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ok(Self {
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
            path: path.to_owned(),
            parameters: parameters.collect(),
        })
    }

    /// A parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The host and, where there is one, the port. Dubbo writes IPv6 addresses with and without brackets.
    pub(super) fn host_and_port(&self) -> Result<(&str, Option<u16>), Unusable> {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse::<u16>().map_err(|_| {
                    let detail = format!("the port of {:?} is not a number from 0 to 65535", self.authority);
                    Unusable::new(Reason::Address, detail)
                })?;
                Ok((host, Some(port).filter(|port| *port > 0)))
            }
            Some(_) | None => Ok((&self.authority, None)),
        }
    }

    /// The address of a provider.
    pub(super) fn address(&self) -> Result<Address, Unusable> {
        let (host, port) = self.host_and_port()?;
        let missing = || Unusable::new(Reason::Address, format!("{:?} has no port", self.authority));
        convention::address(host, port.ok_or_else(missing)?)
    }
}

/// What a service is asked for by: `group/interface:version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) group: Option<String>,
    pub(super) interface: String,
    pub(super) version: Option<String>,
}

impl Key {
    /// The key in the name of a service.
    pub(super) fn of(service: &str) -> Self {
        let (group, rest) = match service.rsplit_once('/') {
            Some((group, rest)) => (Some(group.to_owned()), rest),
            None => (None, service),
        };
        let (interface, version) = match rest.rsplit_once(':') {
            Some((interface, version)) => (interface, Some(version.to_owned())),
            None => (rest, None),
        };
        Self {
            group,
            interface: interface.to_owned(),
            version: version.filter(|version| !version.is_empty()),
        }
    }

    /// Refuses what is of another group or version than the one asked for.
    pub(super) fn admit(&self, group: Option<&str>, version: Option<&str>) -> Result<(), Unusable> {
        for (what, asked, has) in [("group", &self.group, group), ("version", &self.version, version)] {
            let Some(asked) = asked.as_deref().filter(|asked| *asked != "*") else { continue };
            let has = has.unwrap_or_default();
            if !same(asked, has) {
                let detail = if has.is_empty() {
                    format!("of no {what}; asked for is {asked:?}")
                } else {
                    format!("of {what} {has:?}; asked for is {asked:?}")
                };
                return Err(Unusable::new(Reason::Filtered, detail));
            }
        }
        Ok(())
    }
}

/// Whether two groups or versions are one; `0.0.0` is Dubbo's word for no version.
fn same(a: &str, b: &str) -> bool {
    let plain = |word: &'_ str| if word == "0.0.0" { String::new() } else { word.to_owned() };
    plain(a) == plain(b)
}

/// A text in Java's form encoding.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, FORM).to_string().replace(' ', "+")
}

/// A text out of Java's form encoding.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// A URL with its parameters in the order of their names, as Dubbo has them.
///
/// # Errors
/// When a parameter cannot be said, since Dubbo does not encode it a second time.
pub(super) fn written(
    scheme: &str,
    address: &Address,
    path: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<String, String> {
    let mut url = format!("{scheme}://{address}/{path}");
    let mut mark = '?';
    for (name, value) in parameters {
        if name.is_empty() || name.contains(['&', '=', '?']) || value.contains('&') {
            return Err(format!("a URL of Dubbo cannot say {name}={value}; leave out the & and ="));
        }
        let _ = write!(url, "{mark}{name}={}", value.trim());
        mark = '&';
    }
    if path.contains(['?', ' ']) || url.len() > NAME_BYTES_MAX {
        return Err(format!("a URL of Dubbo of {} bytes and the path {path:?} cannot be written", url.len()));
    }
    Ok(url)
}
