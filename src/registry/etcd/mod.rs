//! etcd v3 as a registry: one connection that follows every wanted service until the connection fails.
//!
//! Each wanted service is listed at one revision and watched from the next one on, all watches over one stream; events carry
//! the records, so that a change costs etcd no reading. An audit lists it again at a low rate and compares: a watch that
//! lost something is replaced. etcd has no folders, so a service that nobody has announced is absent.
//!
//! An announcement is a record with a lease of its own, which ends some time after this proxy died.
//!
//! The cluster is trusted input, as its makers' client is.

mod announce;
mod find;
mod keep;
mod known;
mod list;
mod session;
mod settings;
mod stream;
mod watch;

pub use announce::{EtcdAnnouncer, announcer};
pub use settings::Settings;

use super::{Registry, Reports, Wanted, Watch};

/// etcd v3 as a registry.
#[derive(Debug)]
pub struct Etcd {
    settings: Settings,
}

/// The registry of these settings; nothing is connected before it is watched.
pub const fn open(settings: Settings) -> Etcd {
    Etcd { settings }
}

/// Where they are, for messages and logs.
fn location(settings: &Settings) -> String {
    let prefix = if settings.base.is_empty() { "/" } else { settings.base.trim_end_matches('/') };
    format!("etcd://{}?prefix={prefix}", settings.cluster())
}

impl Registry for Etcd {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    fn location(&self) -> String {
        location(&self.settings)
    }

    fn watch<'a>(&'a self, wanted: Wanted, reports: Reports) -> Watch<'a> {
        Box::pin(watch::watch(&self.settings, wanted, reports))
    }
}
