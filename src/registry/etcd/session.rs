//! One session with etcd: one connection to one of its servers, and calls with a timeout.

use std::fmt::Display;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Error, GetOptions, Identity, KvClient, TlsOptions, WatchClient,
};
use rand::RngExt as _;
use tokio::sync::Semaphore;

use super::Settings;
use super::find::Names;
use super::list::FIRST_PAGE;
use super::settings::Tls;
use crate::provider::Address;
use crate::registry::RegistryError;

/// How often the connection is asked for a sign of life: etcd cuts connections that ask more often than every 5 s.
const KEEP_ALIVE: Duration = Duration::from_secs(6);
/// How long that sign may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Services listed at a time: at first all are due at once.
const LISTINGS_MAX: usize = 32;
/// The largest answer read, in bytes: above what etcd takes in one request where its bound of 1.5 MiB was raised as far as
/// its makers advise (10 MiB). Pages are made to stay far below it.
const ANSWER_BYTES_MAX: usize = 12 * 1024 * 1024;
/// The key asked for to see whether a server answers, where there is no prefix: etcd has no empty key.
const NO_KEY: &str = "\0";

/// gRPC's codes, as far as they are told apart here.
mod code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// One session with etcd: all calls and watches go to one server, over one connection.
pub(super) struct Session<'a> {
    pub(super) settings: &'a Settings,
    pub(super) client: Client,
    /// The server.
    server: &'a Address,
    /// The cluster it is of.
    cluster: u64,
    /// Permits to list a service.
    pub(super) listings: Semaphore,
    /// The names of all services, for one that is misspelt.
    pub(super) names: Names,
    /// Records asked for at first in a listing; written by listings that found it to be too many.
    pub(super) page: AtomicI64,
}

/// Why a call gave nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// Not for this proxy's eyes.
    Denied,
    /// The revision asked for is no longer kept.
    Compacted,
    /// The answer is larger than what is read.
    TooLarge,
    /// It takes nothing more, since its database is as large as it may be; what is there can be kept.
    Full,
    /// What the call was about is not there (any more).
    Missing,
    /// The session is of no more use.
    Failed(RegistryError),
}

impl<'a> Session<'a> {
    /// Connects to the first server that answers, beginning with any: trying again is the catalog's.
    pub(super) async fn open(settings: &'a Settings) -> Result<Self, RegistryError> {
        let first = rand::rng().random_range(0..settings.servers.len());
        let (behind, before) = (&settings.servers[first..], &settings.servers[..first]);
        let mut failure = RegistryError::Abandoned;
        for server in behind.iter().chain(before) {
            match Self::connect(settings, server).await {
                Ok(session) => return Ok(session),
                // That credentials are not taken says more than that a server is down.
                Err(error) if !matches!(failure, RegistryError::Refused { .. }) => failure = error,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    async fn connect(settings: &'a Settings, server: &'a Address) -> Result<Self, RegistryError> {
        let limit = settings.pace.call_timeout;
        let options = ConnectOptions::new()
            .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE_TIMEOUT)
            // Nor does etcd bear to be asked while nothing is under way; a watch always is.
            .with_keep_alive_while_idle(false)
            .with_connect_timeout(limit)
            .with_auto_token_refresh(true)
            // A server that lost its leader ends watches then, instead of falling silent.
            .with_require_leader(true);
        let (options, scheme) = match &settings.tls {
            Some(tls) => (options.with_tls(read_tls(tls, server)?), "https"),
            None => (options, "http"),
        };
        let url = format!("{scheme}://{server}");
        let client = tokio::time::timeout(limit, authenticated(settings, options, &url)).await;
        let client = client.map_err(|elapsed| silent(server, "connect", limit, elapsed))?;
        let client = client.map_err(|error| failed(server, "cannot connect", error))?;
        let (listings, page) = (Semaphore::new(LISTINGS_MAX), AtomicI64::new(FIRST_PAGE));
        let names = Names::default();
        let mut session = Self { settings, client, server, cluster: 0, listings, names, page };
        session.cluster = session.ask().await?;
        Ok(session)
    }

    /// Whether the server answers at all, and for which cluster: connecting is put off until the first call.
    pub(super) async fn ask(&self) -> Result<u64, RegistryError> {
        let key = if self.settings.base.is_empty() { NO_KEY } else { &self.settings.base };
        let mut kv = self.kv();
        let answer =
            self.call("answer for", key, kv.get(key, Some(GetOptions::new().with_keys_only()))).await;
        match answer {
            Ok(answer) => {
                Ok(answer.header().map(etcd_client::ResponseHeader::cluster_id).unwrap_or_default())
            }
            Err(Fault::Failed(error)) => Err(error),
            // It answers.
            Err(Fault::Denied | Fault::Compacted | Fault::TooLarge | Fault::Full | Fault::Missing) => Ok(0),
        }
    }

    /// What an operator is told of this session.
    pub(super) fn detail(&self) -> String {
        match self.cluster {
            0 => format!("server {}", self.server),
            cluster => format!("server {} of cluster {cluster:x}", self.server),
        }
    }

    pub(super) fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(super) fn watches(&self) -> WatchClient {
        self.client.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// A call with its timeout; `doing` and `key` tell of it in errors.
    pub(super) async fn call<T>(
        &self,
        doing: &str,
        key: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Fault> {
        let limit = self.settings.pace.call_timeout;
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.fault(error, doing, key)),
            Err(elapsed) => {
                let doing = format!("{doing} {}", key.escape_debug());
                Err(Fault::Failed(silent(self.server, &doing, limit, elapsed)))
            }
        }
    }

    fn fault(&self, error: Error, doing: &str, key: &str) -> Fault {
        let (code, message) = status(&error);
        match code {
            Some(code::PERMISSION_DENIED) => Fault::Denied,
            Some(code::NOT_FOUND) => Fault::Missing,
            Some(code::RESOURCE_EXHAUSTED) if message.contains("space exceeded") => Fault::Full,
            Some(code::OUT_OF_RANGE) if message.contains("compacted") => Fault::Compacted,
            Some(code::OUT_OF_RANGE) if message.contains("too large") => Fault::TooLarge,
            _ => Fault::Failed(self.unreachable(format!("could not {doing} {}", key.escape_debug()), error)),
        }
    }

    /// The registry error of a call that cannot be done without.
    pub(super) fn failure(&self, fault: Fault, doing: &str) -> RegistryError {
        let cause = match fault {
            Fault::Failed(error) => return error,
            Fault::Denied => "permission denied",
            Fault::Compacted => "the revision is no longer kept",
            Fault::TooLarge => "the answer is too large",
            Fault::Full => "its database has no room left",
            Fault::Missing => "it is not there",
        };
        RegistryError::Refused { doing: format!("etcd at {} {doing}", self.server), source: cause.into() }
    }

    /// The registry error of a session that failed.
    pub(super) fn unreachable(&self, doing: impl Display, source: Error) -> RegistryError {
        failed(self.server, doing, source)
    }
}

/// A client with a token, if there are credentials and etcd wants any.
async fn authenticated(settings: &Settings, options: ConnectOptions, url: &str) -> Result<Client, Error> {
    let Some(auth) = &settings.auth else { return Client::connect([url], Some(options)).await };
    let (user, password) = auth.parts();
    match Client::connect([url], Some(options.clone().with_user(user, password))).await {
        Err(error)
            if status(&error).0 == Some(code::FAILED_PRECONDITION)
                && status(&error).1.contains("not enabled") =>
        {
            Client::connect([url], Some(options)).await
        }
        answer => answer,
    }
}

/// The code and the message of an answer that says no.
fn status(error: &Error) -> (Option<i32>, &str) {
    let Error::GRpcStatus(status) = error else { return (None, "") };
    (Some(status.code().into()), status.message())
}

/// The registry error of a server that did not answer in time.
fn silent(
    server: &Address,
    doing: &str,
    limit: Duration,
    source: impl std::error::Error + Send + Sync + 'static,
) -> RegistryError {
    let limit = humantime::format_duration(limit);
    let doing = format!("etcd at {server} did not {doing} within {limit}");
    RegistryError::Unreachable { doing, source: source.into() }
}

/// The registry error of a call that failed: what the operator has to mend is told apart from what passes.
fn failed(server: &Address, doing: impl Display, source: Error) -> RegistryError {
    let (code, message) = status(&source);
    let wrong_user =
        matches!(code, Some(code::INVALID_ARGUMENT)) && message.contains("authentication failed");
    if wrong_user || code == Some(code::UNAUTHENTICATED) {
        let doing = format!("etcd at {server} does not take these credentials; correct auth");
        return RegistryError::Refused { doing, source: source.into() };
    }
    if code == Some(code::INVALID_ARGUMENT) && message.contains("user name is empty") {
        let doing = format!("etcd at {server} asks for credentials; give auth");
        return RegistryError::Refused { doing, source: source.into() };
    }
    RegistryError::Unreachable { doing: format!("etcd at {server}: {doing}"), source: source.into() }
}

/// What the files for TLS say.
fn read_tls(tls: &Tls, server: &Address) -> Result<TlsOptions, RegistryError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| RegistryError::Refused {
            doing: format!("cannot read {} for TLS with etcd at {server}", path.display()),
            source: error.into(),
        })
    };
    let options = match &tls.ca {
        Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca)?)),
        None => TlsOptions::new().with_enabled_roots(),
    };
    match &tls.identity {
        Some((cert, key)) => Ok(options.identity(Identity::from_pem(read(cert)?, read(key)?))),
        None => Ok(options),
    }
}
