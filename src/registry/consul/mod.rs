//! Consul as a registry: a blocking query for every wanted service, and services registered with the agent beside us.
//!
//! An agent answers a blocking query when the service changed, or when it waited long enough; the answer is the whole list,
//! whichever it is. Its index is where the next query goes on from. What a query should have told of and did not is found by
//! a query at a low rate that does not wait.
//!
//! Consul checks by itself and takes out what it is told to, so presence says something of life here: an instance whose
//! worst check is critical is out, one whose worst is a warning has the weight it announces for that.
//!
//! | what | from |
//! |---|---|
//! | address | `Service.Address`, else `Node.Address`; `Service.Port` |
//! | weight | `Weights.Passing` or `Weights.Warning` by the worst check, times `weight` among the metadata; at most 1000 |
//! | metadata | `Meta`; Go Micro's packed tags; tags `key=value`; a tag `canary` is `tag.canary = "true"` |
//! | zone | `zone` among the metadata, else in `Node.Meta`, else `Locality.Zone` |
//! | version, protocol | as Go Micro packs them, else `version` and `protocol` (`http1`, `h2c` or `grpc`, `mucp`, `tcp`) among the metadata |
//! | TLS | `secure = "true"`, `tls = "true"` or `scheme = "https"` among the metadata |
//!
//! Names are looked up by Consul without regard to case. Consul does not tell a service that never was from one whose last
//! instance is gone, nor, before 1.12, from one that the token may not read: all are absent.
//!
//! One service that is refused, or whose answer makes no sense, stands as it is known and is asked for again at a low rate; a
//! failure of the agent or its servers ends the watch.

mod agent;
mod announce;
mod bucket;
mod entry;
mod follow;
#[cfg(fuzzing)]
pub mod fuzzed;
mod known;
mod registration;
mod settings;
mod tags;
mod watch;

pub use announce::{Announcing, announcer};
pub use settings::{Settings, Token};

use super::{Registry, Reports, Wanted, Watch};

/// Consul as a registry.
#[derive(Debug)]
pub struct Consul {
    settings: Settings,
}

/// The registry of these settings; nothing is connected before it is watched.
pub const fn open(settings: Settings) -> Consul {
    Consul { settings }
}

impl Registry for Consul {
    fn kind(&self) -> &'static str {
        "consul"
    }

    fn location(&self) -> String {
        self.settings.location()
    }

    fn watch<'a>(&'a self, wanted: Wanted, reports: Reports) -> Watch<'a> {
        Box::pin(watch::watch(&self.settings, wanted, reports))
    }
}
