//! Which ZooKeeper, how it is reached, and how its entries are read.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::provider::Address;
use crate::registry::Pace;
use crate::registry::auth::Auth;
use crate::registry::format::{Format, kinds};
use crate::registry::url::{Options, UrlError, decode};

/// The port of ZooKeeper where none is given.
const PORT: u16 = 2181;
/// How long the session lives without a sign of life, unless the server bounds it otherwise (4 to 40 s by default).
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may be silent before another one is tried.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest a reading that follows a reconnect is held up, while what is known is served. Of ten thousand sidecars with five
/// services each, on three servers of which one restarts, 3,300 ask the other two for 17 things each: 30,000 a second of either.
const SPREAD: Duration = Duration::from_secs(1);
/// The cure for every mistake in the servers.
const SERVERS_CURE: &str = "write zookeeper://HOST:PORT,HOST:PORT/CHROOT, such as zookeeper://127.0.0.1:2181";

/// Which ZooKeeper, how it is reached, and how its entries are read. Made from a URL:
///
/// `zookeeper://h1:2181,h2:2182/chroot?format=go-micro&prefix=/micro-registry&session_timeout=10s&connection_timeout=2s&audit=5m&spread=1s`
///
/// All but the servers may be left out; the values above are the defaults, but for the chroot, which is none. Credentials
/// never stand in the URL: see [`Settings::with_auth`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port`, joined by commas.
    pub(super) servers: String,
    /// With a slash in front and none behind, or empty.
    pub(super) chroot: String,
    /// With a slash in front and none behind, or empty.
    pub(super) prefix: String,
    pub(super) format: Arc<dyn Format>,
    pub(super) session_timeout: Duration,
    pub(super) connection_timeout: Duration,
    pub(super) pace: Pace,
    /// The longest a reading that follows a reconnect is held up.
    pub(super) spread: Duration,
    /// For ZooKeeper's `digest` scheme.
    pub(super) auth: Option<Auth>,
}

impl Settings {
    /// These settings with credentials to read what not everybody may.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// These settings with another format, and the prefix that is usual for it.
    ///
    /// # Errors
    /// When there is no such format.
    pub(in crate::registry) fn with_format(mut self, format: &str) -> Result<Self, UrlError> {
        if self.format.name() != format {
            self.format = kinds::open(format, &mut Options::default())?;
            self.prefix = read_path("prefix", self.format.prefix())?;
        }
        Ok(self)
    }

    /// The servers and the chroot as the client takes them.
    pub(super) fn cluster(&self) -> String {
        format!("{}{}", self.servers, self.chroot)
    }

    /// The folder in which the services lie, below the chroot.
    pub(super) fn root(&self) -> &str {
        if self.prefix.is_empty() { "/" } else { &self.prefix }
    }
}

impl FromStr for Settings {
    type Err = UrlError;

    /// Reads what stands behind `zookeeper:`.
    fn from_str(rest: &str) -> Result<Self, UrlError> {
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(UrlError::new("there are no two slashes behind \"zookeeper:\"", SERVERS_CURE));
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (servers, chroot) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let mut options = Options::parse(options)?;
        let seconds = |least, most| (Duration::from_secs(least), Duration::from_secs(most));
        let pace = Pace::default();
        let format = kinds::open("go-micro", &mut options)?;
        let settings = Self {
            servers: read_servers(servers)?,
            chroot: read_path("chroot", &decode(chroot)?)?,
            prefix: read_path(
                "prefix",
                &options.take("prefix").unwrap_or_else(|| format.prefix().to_owned()),
            )?,
            format,
            session_timeout: options.duration("session_timeout", SESSION_TIMEOUT, seconds(1, 600))?,
            connection_timeout: options.duration("connection_timeout", CONNECTION_TIMEOUT, seconds(1, 60))?,
            pace: Pace { audit: options.duration("audit", pace.audit, seconds(1, 86_400))?, ..pace },
            spread: options.duration("spread", SPREAD, seconds(0, 60))?,
            auth: None,
        };
        options.finish()?;
        // The client ignores a connection timeout above 3/5 of the session timeout.
        if settings.connection_timeout * 2 > settings.session_timeout {
            return Err(UrlError::new(
                format!(
                    "connection_timeout={} is more than half of session_timeout={}",
                    humantime::format_duration(settings.connection_timeout),
                    humantime::format_duration(settings.session_timeout)
                ),
                "make it smaller, so that another server can be tried before the session expires",
            ));
        }
        Ok(settings)
    }
}

/// The servers, each with its port.
fn read_servers(text: &str) -> Result<String, UrlError> {
    if text.contains('@') {
        return Err(UrlError::new(
            "the URL holds credentials, and URLs are logged",
            "leave out what is before the @, and give it as auth = \"USER:PASSWORD\" beside the URL",
        ));
    }
    let mut servers = Vec::new();
    for server in text.split(',').map(str::trim) {
        let has_port = server.rfind(':') > server.rfind(']') && server.contains(':');
        let address = if has_port { server.parse::<Address>() } else { Address::new(server, PORT) };
        let address = address.map_err(|error| {
            UrlError::new(format!("the ZooKeeper server {server:?} is no address: {error}"), SERVERS_CURE)
        })?;
        servers.push(address.to_string());
    }
    Ok(servers.join(","))
}

/// An absolute path of znodes without its last slash; `/` and nothing are empty.
fn read_path(what: &str, text: &str) -> Result<String, UrlError> {
    let path = text.trim_end_matches('/');
    let good =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(char::is_control);
    match path.strip_prefix('/') {
        _ if path.is_empty() => Ok(String::new()),
        Some(parts) if parts.split('/').all(good) => Ok(path.to_owned()),
        Some(_) | None => Err(UrlError::new(
            format!("the {what} {text:?} is no path in ZooKeeper"),
            "write it like /micro-registry: with a slash in front, without empty parts, \".\" and \"..\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rest: &str) -> Settings {
        rest.parse().unwrap()
    }

    fn error(rest: &str) -> String {
        rest.parse::<Settings>().unwrap_err().to_string()
    }

    #[test]
    fn all_but_the_servers_may_be_left_out() {
        let settings = read("//zk");
        assert_eq!((settings.cluster().as_str(), settings.root()), ("zk:2181", "/micro-registry"));
        assert_eq!(settings.format.name(), "go-micro");
        assert_eq!(settings.session_timeout, Duration::from_secs(10));
        assert_eq!(settings.connection_timeout, Duration::from_secs(2));
        assert_eq!(settings.pace.audit, Duration::from_mins(5));
        assert_eq!(settings.spread, Duration::from_secs(1));
    }

    #[test]
    fn everything_may_be_given() {
        let settings = read(
            "//h1:2181, h2:2182,[::1]/a/b/?format=go-micro&prefix=/x%2Fy/&session_timeout=6s&connection_timeout=1s&audit=1m&spread=0s",
        );
        assert_eq!(settings.cluster(), "h1:2181,h2:2182,[::1]:2181/a/b");
        assert_eq!(settings.root(), "/x/y");
        assert_eq!(settings.session_timeout, Duration::from_secs(6));
        assert_eq!(settings.spread, Duration::ZERO);
        assert_eq!(read("//h/?prefix=/").root(), "/");
    }

    #[test]
    fn mistakes_are_named_with_their_cure() {
        for (rest, culprit) in [
            ("h1:2181", "two slashes"),
            ("//", "\"\""),
            ("//h1,,h2", "\"\""),
            ("//h1:70000", "h1:70000"),
            ("//h1:x", "h1:x"),
            ("//h 1", "h 1"),
            ("//h1/a//b", "/a//b"),
            ("//h1?prefix=micro", "prefix \"micro\""),
            ("//h1?prefix=/a/../b", "/a/../b"),
            ("//h1?format=gomicro", "go-micro"),
            ("//h1?formt=go-micro", "did you mean format?"),
            ("//h1?session_timeout=10", "session_timeout is \"10\""),
            ("//h1?session_timeout=3s", "more than half"),
        ] {
            assert!(error(rest).contains(culprit), "{rest}: {}", error(rest));
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        assert!(!error("//scott:tiger@h1").contains("tiger"));
        let auth: Auth = "scott:tiger".parse().unwrap();
        assert!(!format!("{:?}", read("//h1").with_auth(auth)).contains("tiger"));
    }
}
