//! Which etcd, how it is reached, and how its entries are read.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use std::time::Duration;

use crate::provider::{Address, ServiceName};
use crate::registry::Pace;
use crate::registry::auth::Auth;
use crate::registry::format::{Folder, Format, kinds};
use crate::registry::url::{Options, UrlError};

/// The port of etcd where none is given.
const PORT: u16 = 2379;
/// The cure for every mistake in the servers.
const SERVERS_CURE: &str = "write etcd://HOST:PORT,HOST:PORT, such as etcd://127.0.0.1:2379";

/// Which etcd, how it is reached, and how its entries are read. Made from a URL:
///
/// `etcd://h1:2379,h2:2379?format=go-micro&prefix=/micro/registry&audit=5m&tls=false&ca=FILE&cert=FILE&key=FILE`
///
/// All but the servers may be left out; the values above are the defaults, but for the files, which are none. A prefix of
/// `/` is none: the keys then begin with the service. With `ca` or `cert` there is TLS; without `ca` the system's own
/// authorities are trusted. Credentials never stand in the URL: see [`Settings::with_auth`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Each with its port; one or more.
    pub(super) servers: Vec<Address>,
    /// What every key begins with: empty, or with a slash at its end.
    pub(super) base: String,
    pub(super) format: Arc<dyn Format>,
    pub(super) tls: Option<Tls>,
    pub(super) pace: Pace,
    pub(super) auth: Option<Auth>,
}

/// The files for TLS, in PEM; read at each connection, so that they may be replaced.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls {
    /// The authorities trusted, in place of the system's.
    pub(super) ca: Option<PathBuf>,
    /// This proxy's own certificate and its key.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    /// These settings with another format, and its own prefix.
    ///
    /// # Errors
    /// When there is no such format.
    pub(in crate::registry) fn with_format(mut self, format: &str) -> Result<Self, UrlError> {
        if self.format.name() != format {
            self.format = kinds::open(format, &mut Options::default())?;
            self.base = read_prefix(self.format.prefix_in_etcd())?;
        }
        Ok(self)
    }

    /// These settings with the user and password that etcd asks for.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// The servers, for people.
    pub(super) fn cluster(&self) -> String {
        self.servers.iter().map(Address::to_string).collect::<Vec<_>>().join(",")
    }

    /// What the keys of a service begin with, always with a slash at the end: without it `foo` would be `foobar` as well.
    pub(super) fn folders(&self, service: &ServiceName) -> Vec<(Folder, String)> {
        let providers = (Folder::Providers, self.format.folder(service));
        let rules = self.format.rules_folder(service).map(|folder| (Folder::Rules, folder));
        [Some(providers), rules]
            .into_iter()
            .flatten()
            .map(|(folder, name)| (folder, format!("{}{name}/", self.base)))
            .collect()
    }
}

impl FromStr for Settings {
    type Err = UrlError;

    /// Reads what stands behind `etcd:`.
    fn from_str(rest: &str) -> Result<Self, UrlError> {
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(UrlError::new("there are no two slashes behind \"etcd:\"", SERVERS_CURE));
        };
        let (servers, options) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = Options::parse(options)?;
        let pace = Pace::default();
        let bounds = (Duration::from_secs(1), Duration::from_hours(24));
        let format = kinds::open("go-micro", &mut options)?;
        let prefix = options.take("prefix");
        let settings = Self {
            servers: read_servers(servers)?,
            base: read_prefix(prefix.as_deref().unwrap_or_else(|| format.prefix_in_etcd()))?,
            format,
            tls: read_tls(&mut options)?,
            pace: Pace { audit: options.duration("audit", pace.audit, bounds)?, ..pace },
            auth: None,
        };
        options.finish()?;
        Ok(settings)
    }
}

/// The servers, each with its port.
fn read_servers(text: &str) -> Result<Vec<Address>, UrlError> {
    if text.contains('@') {
        return Err(UrlError::new(
            "the URL holds credentials, and URLs are logged",
            "leave out what is before the @, and give it as auth = \"USER:PASSWORD\" beside the URL",
        ));
    }
    if let Some((_, path)) = text.trim_end_matches('/').split_once('/') {
        return Err(UrlError::new(
            format!("the servers are followed by the path {path:?}"),
            format!("write it as the option prefix: ?prefix=/{path}"),
        ));
    }
    let server = |server: &str| {
        let has_port = server.rfind(':') > server.rfind(']') && server.contains(':');
        let address = if has_port { server.parse::<Address>() } else { Address::new(server, PORT) };
        address.map_err(|error| {
            UrlError::new(format!("the etcd server {server:?} is no address: {error}"), SERVERS_CURE)
        })
    };
    text.trim_end_matches('/').split(',').map(str::trim).map(server).collect()
}

/// What every key begins with. A slash alone is nothing: gRPC's own names begin with the service.
fn read_prefix(text: &str) -> Result<String, UrlError> {
    let prefix = text.trim_end_matches('/');
    let parts = prefix.strip_prefix('/').unwrap_or(prefix);
    let good = |part: &str| !part.is_empty() && !part.contains(char::is_control);
    if prefix.is_empty() {
        Ok(String::new())
    } else if parts.split('/').all(good) {
        Ok(format!("{prefix}/"))
    } else {
        Err(UrlError::new(
            format!("the prefix {text:?} has a part that is empty or not of letters"),
            "write it like /micro/registry, or / where the keys begin with the service",
        ))
    }
}

fn read_tls(options: &mut Options) -> Result<Option<Tls>, UrlError> {
    let mut file = |key| options.take(key).filter(|path| !path.is_empty()).map(PathBuf::from);
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => return Err(UrlError::new("there is a cert without its key", "add key=FILE")),
        (None, Some(_)) => return Err(UrlError::new("there is a key without its cert", "add cert=FILE")),
    };
    let tls = Tls { ca, identity };
    let implied = tls.ca.is_some() || tls.identity.is_some();
    match options.take("tls").as_deref() {
        None => Ok(implied.then_some(tls)),
        Some("true") => Ok(Some(tls)),
        Some("false") if !implied => Ok(None),
        Some("false") => Err(UrlError::new(
            "tls is false, and there are files for it",
            "leave out tls, or ca, cert and key",
        )),
        Some(other) => Err(UrlError::new(format!("tls is {other:?}"), "write true or false")),
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

    fn folder(rest: &str, service: &str) -> String {
        let folders = read(rest).folders(&service.parse().unwrap());
        assert_eq!((folders.len(), folders[0].0), (1, Folder::Providers));
        folders[0].1.clone()
    }

    #[test]
    fn all_but_the_servers_may_be_left_out() {
        let settings = read("//etcd");
        assert_eq!(settings.cluster(), "etcd:2379");
        assert_eq!((settings.base.as_str(), settings.format.name()), ("/micro/registry/", "go-micro"));
        assert_eq!(settings.pace.audit, Duration::from_mins(5));
        assert!(settings.tls.is_none() && settings.auth.is_none());
    }

    #[test]
    fn everything_may_be_given() {
        let settings = read(
            "//h1:2379, h2:23790,[::1]/?format=go-micro&audit=1m&ca=/ca.pem&cert=c.pem&key=k.pem&tls=true",
        );
        assert_eq!(settings.cluster(), "h1:2379,h2:23790,[::1]:2379");
        let tls = settings.tls.unwrap();
        assert_eq!((tls.ca, tls.identity), (Some("/ca.pem".into()), Some(("c.pem".into(), "k.pem".into()))));
        assert!(read("//h?tls=true").tls.is_some_and(|tls| tls.ca.is_none() && tls.identity.is_none()));
        assert!(read("//h?ca=c").tls.is_some() && read("//h?tls=false").tls.is_none());
    }

    #[test]
    fn a_key_begins_with_the_prefix_if_there_is_one_and_the_service() {
        assert_eq!(folder("//h", "web/users"), "/micro/registry/web-users/");
        assert_eq!(folder("//h?prefix=/micro/registry/blue/", "greeter"), "/micro/registry/blue/greeter/");
        assert_eq!(folder("//h?prefix=/", "greeter"), "greeter/");
        assert_eq!(folder("//h?prefix=", "greeter"), "greeter/");
        assert_eq!(folder("//h?prefix=names", "greeter"), "names/greeter/");
    }

    #[test]
    fn mistakes_are_named_with_their_cure() {
        for (rest, culprit) in [
            ("h1:2379", "two slashes"),
            ("//", "\"\""),
            ("//h1,,h2", "\"\""),
            ("//h1:70000", "h1:70000"),
            ("//h1/micro/registry", "?prefix=/micro/registry"),
            ("//h1?prefix=/a//b", "/a//b"),
            ("//h1?format=gomicro", "go-micro"),
            ("//h1?formt=go-micro", "did you mean format?"),
            ("//h1?audit=0s", "audit is \"0s\""),
            ("//h1?tls=yes", "tls is \"yes\""),
            ("//h1?tls=false&ca=c", "tls is false"),
            ("//h1?cert=c", "add key=FILE"),
            ("//h1?key=c", "add cert=FILE"),
        ] {
            assert!(error(rest).contains(culprit), "{rest}: {}", error(rest));
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        assert!(!error("//scott:tiger@h1").contains("tiger"));
        let settings = read("//h1").with_auth("scott:tiger".parse().unwrap());
        assert!(!format!("{settings:?}").contains("tiger"));
    }
}
