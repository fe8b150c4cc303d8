//! ZooKeeper as a registry: one session that follows every wanted service until the session fails.
//!
//! Each wanted service is followed in rounds: set a recursive watch on its folder, read the folder whole, report it; from then
//! on an event only marks a child, and each marked child is read again, once. A new round begins after every reconnect,
//! since ZooKeeper does not replay what a recursive watch missed meanwhile, and at a low rate in any case. So a watch is a
//! way to hear early, and never the only way to hear. A folder of rules beside that of the providers is followed with it.
//!
//! Where names are the records, the folder's own state tells whether its names changed, so that what did not is not listed
//! again. The names are read all the same, once: their data says nothing, but when and by whom a node was made stands beside it.
//!
//! What one sidecar asks is bounded, since a fleet asks it many thousand times:
//!
//! * A change: one request, for all records of the service that changed. The first after a quiet moment at once, steady
//!   changes four times a second.
//! * A reconnect: three for the connection, one for all services together to catch up, and for each folder of a service three
//!   (the watch, the names, the records; where names are the records two, if none changed), after a pause of up to `spread`.
//! * A new session: the same, after a pause of up to a second that the catalog makes.
//! * Idle: about two signs of life in `connection_timeout`; three requests for each folder in `audit`; and three in half a
//!   minute for a service that is not there.
//!
//! The ensemble is trusted input: the client believes the lengths it sends.

mod announce;
mod batch;
mod follow;
mod known;
mod one_shot;
mod place;
mod ration;
mod read;
mod reap;
mod session;
mod settings;
mod watch;

pub use announce::{Announcing, announcer};
pub use settings::Settings;

use super::{Reap, Registry, Reports, Wanted, Watch};
use crate::provider::{Provider, ServiceName};

/// ZooKeeper as a registry.
#[derive(Debug)]
pub struct ZooKeeper {
    settings: Settings,
}

/// The registry of these settings; nothing is connected before it is watched.
pub const fn open(settings: Settings) -> ZooKeeper {
    ZooKeeper { settings }
}

impl Registry for ZooKeeper {
    fn kind(&self) -> &'static str {
        "zookeeper"
    }

    fn location(&self) -> String {
        format!("zookeeper://{}?prefix={}", self.settings.cluster(), self.settings.root())
    }

    fn watch<'a>(&'a self, wanted: Wanted, reports: Reports) -> Watch<'a> {
        Box::pin(watch::watch(&self.settings, wanted, reports))
    }

    fn reap<'a>(&'a self, service: &'a ServiceName, provider: &'a Provider) -> Reap<'a> {
        Box::pin(reap::reap(&self.settings, service, provider))
    }
}
