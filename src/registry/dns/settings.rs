//! Which DNS servers, what they are asked for, and what is spoken with those they name.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::provider::Protocol;
use crate::registry::url::{Options, UrlError, decode};

/// The port of DNS where none is given.
const PORT: u16 = 53;
/// Where the name of a service goes in a name that is asked for.
const PLACE: &str = "{service}";
/// The bounds of how long an answer is believed, whatever it says.
const TTL_MIN: Duration = Duration::from_secs(1);
const TTL_MAX: Duration = Duration::from_mins(5);
/// How long a server may take to answer one question.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The cure for every mistake in the servers.
const CURE: &str = "write dns://IP:PORT,IP:PORT?OPTIONS, such as dns://127.0.0.1:8600?name={service}.service.consul, or dns:// for the servers of this machine";

/// Which DNS servers, what they are asked for, and what is spoken with those they name. Made from a URL:
///
/// `dns://10.0.0.2:53,10.0.0.3?name=_http._tcp.{service}.example.org&min_ttl=1s&max_ttl=5m&timeout=2s&protocol=http1&tls=false`
///
/// Without servers, this machine's own are asked, with its search list. `name` is by default the name of the service alone.
/// SRV records are asked for; with `port=8080`, addresses, and every provider listens on that port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// None for those of this machine.
    pub(super) servers: Vec<SocketAddr>,
    pub(super) name: String,
    /// The port of all providers where only addresses are asked for.
    pub(super) port: Option<u16>,
    pub(super) ttl_min: Duration,
    pub(super) ttl_max: Duration,
    pub(super) timeout: Duration,
    pub(super) protocol: Protocol,
    pub(super) secure: bool,
}

impl FromStr for Settings {
    type Err = UrlError;

    /// Reads what stands behind `dns:`.
    fn from_str(rest: &str) -> Result<Self, UrlError> {
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(UrlError::new("there are no two slashes behind \"dns:\"", CURE));
        };
        let (servers, options) = rest.split_once('?').unwrap_or((rest, ""));
        let servers = decode(servers.trim_end_matches('/'))?;
        let mut options = Options::parse(options)?;
        let seconds = |least, most| (Duration::from_secs(least), Duration::from_secs(most));
        let name = options.take("name").unwrap_or_else(|| PLACE.to_owned());
        if name.matches(PLACE).count() != 1 {
            let wrong = format!("name is {name:?}, which does not say where the name of the service goes");
            return Err(UrlError::new(
                wrong,
                "write {service} in it once, such as _http._tcp.{service}.example.org",
            ));
        }
        let settings = Self {
            servers: read_servers(&servers)?,
            name,
            port: options.take("port").map(|text| read_port(&text)).transpose()?,
            ttl_min: options.duration("min_ttl", TTL_MIN, seconds(1, 3600))?,
            ttl_max: options.duration("max_ttl", TTL_MAX, seconds(1, 86_400))?,
            timeout: options.duration(
                "timeout",
                TIMEOUT,
                (Duration::from_millis(100), Duration::from_mins(1)),
            )?,
            protocol: read_protocol(options.take("protocol"))?,
            secure: read_flag(options.take("tls"))?,
        };
        options.finish()?;
        if settings.ttl_min > settings.ttl_max {
            return Err(UrlError::new(
                "min_ttl is longer than max_ttl",
                "make it shorter, or the other longer",
            ));
        }
        Ok(settings)
    }
}

impl Settings {
    /// The name that is asked for, for a service of that name.
    pub(super) fn question(&self, service: &str) -> String {
        self.name.replace(PLACE, service)
    }

    /// Whether whoever names a service names a host of any domain, since nothing stands behind it in the name that is asked for.
    pub(super) fn is_of_any_domain(&self) -> bool {
        self.name.trim_end_matches('.').ends_with(PLACE)
    }
}

impl fmt::Display for Settings {
    /// Where it is, for an operator.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.servers.iter().map(SocketAddr::to_string).collect();
        write!(f, "dns://{}?name={}", servers.join(","), self.name)?;
        match self.port {
            Some(port) => write!(f, "&port={port}"),
            None => Ok(()),
        }
    }
}

fn read_servers(text: &str) -> Result<Vec<SocketAddr>, UrlError> {
    if text.contains('@') {
        // Not repeated: it may be a secret.
        return Err(UrlError::new("a DNS server asks for no credentials", "leave out what is before the @"));
    }
    let server = |text: &str| {
        let ip = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let alone = ip.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
        let address = text.parse::<SocketAddr>().or(alone);
        address.map_err(|_| {
            UrlError::new(format!("the DNS server {text:?} is no IP address with or without a port"), CURE)
        })
    };
    if text.is_empty() { Ok(Vec::new()) } else { text.split(',').map(|text| server(text.trim())).collect() }
}

fn read_port(text: &str) -> Result<u16, UrlError> {
    let port = text.parse::<u16>().ok().filter(|port| *port > 0);
    port.ok_or_else(|| UrlError::new(format!("port is {text:?}"), "write a number from 1 to 65535"))
}

fn read_protocol(word: Option<String>) -> Result<Protocol, UrlError> {
    let Some(word) = word else { return Ok(Protocol::Http1) };
    let words = Protocol::ALL.map(Protocol::as_str);
    let found = Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == word);
    found.ok_or_else(|| {
        UrlError::new(format!("protocol is {word:?}"), format!("write {}", words.join(" or ")))
    })
}

fn read_flag(word: Option<String>) -> Result<bool, UrlError> {
    match word.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(word) => Err(UrlError::new(format!("tls is {word:?}"), "write true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_may_be_left_out() {
        let settings: Settings = "//".parse().unwrap();
        assert_eq!((settings.servers.len(), settings.port), (0, None));
        assert_eq!(settings.question("greeter"), "greeter");
        assert_eq!((settings.ttl_min, settings.ttl_max), (Duration::from_secs(1), Duration::from_mins(5)));
        assert_eq!((settings.protocol, settings.secure), (Protocol::Http1, false));
    }

    #[test]
    fn everything_may_be_given() {
        let text = "//10.0.0.2, 10.0.0.3:5353,[::1],::1,[::1]:54/?name=_http._tcp.{service}.example.org.&port=80\
                    &min_ttl=2s&max_ttl=1m&timeout=500ms&protocol=h2c&tls=true";
        let settings: Settings = text.parse().unwrap();
        let servers: Vec<String> = settings.servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(servers, ["10.0.0.2:53", "10.0.0.3:5353", "[::1]:53", "[::1]:53", "[::1]:54"]);
        assert_eq!(settings.question("web"), "_http._tcp.web.example.org.");
        assert_eq!((settings.port, settings.protocol, settings.secure), (Some(80), Protocol::H2c, true));
        assert!(settings.to_string().starts_with("dns://10.0.0.2:53,"));
        assert_eq!("//?name=%7Bservice%7D.x".parse::<Settings>().unwrap().question("a"), "a.x");
    }

    #[test]
    fn a_domain_behind_the_service_keeps_its_names_within() {
        let any = |rest: &str| rest.parse::<Settings>().unwrap().is_of_any_domain();
        assert!(any("//") && any("//?name=_http._tcp.{service}") && any("//?name={service}."));
        assert!(!any("//?name={service}.example.org") && !any("//?name={service}.example.org."));
    }

    #[test]
    fn mistakes_are_named_with_their_cure() {
        for (rest, culprit) in [
            ("10.0.0.2", "two slashes"),
            ("//ns.example.org", "\"ns.example.org\" is no IP address"),
            ("//10.0.0.2,", "the DNS server \"\""),
            ("//?name=greeter", "where the name of the service goes; write {service}"),
            ("//?port=0", "port is \"0\"; write a number from 1 to 65535"),
            ("//?min_ttl=10m&max_ttl=1m", "min_ttl is longer"),
            ("//?protocol=grpc", "write http1 or h2c or mucp or tcp"),
            ("//?tls=yes", "write true or false"),
            ("//?nam={service}", "did you mean name?"),
        ] {
            let error = rest.parse::<Settings>().unwrap_err().to_string();
            assert!(error.contains(culprit), "{rest}: {error}");
        }
    }
}
