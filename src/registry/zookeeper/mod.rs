//! ZooKeeper as a registry: one session that follows every wanted service until the session fails.
//!
//! Each wanted service is followed in rounds: set a recursive watch on its folder, read the folder whole, report it; from then
//! on an event only marks a child, and each marked child is read again, once. A new round begins after every reconnect,
//! since ZooKeeper does not replay what a recursive watch missed meanwhile, and at a low rate in any case. So a watch is a
//! way to hear early, and never the only way to hear.
//!
//! The ensemble is trusted input: the client believes the lengths it sends.

mod batch;
mod follow;
mod known;
mod one_shot;
mod read;
mod session;
mod settings;
mod watch;

pub use settings::Settings;

use super::{Registry, Reports, Wanted, Watch};

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
}
