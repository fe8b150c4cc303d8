//! DNS as a registry: SRV records, or addresses and a port, asked for again when what they say of themselves has run out.
//!
//! DNS cannot be watched, so a change is seen when an answer has run out, between `min_ttl` and `max_ttl` later.
//!
//! | answer | means |
//! |---|---|
//! | SRV records | the addresses of each target, IPv4 where it has any, share its weight; its name is `target` among the metadata |
//! | of several priorities | only the best (lowest) one of which a target has an address; the others are skipped and told |
//! | weights | shares up to 1000, scaled down together when one is greater; 0 beside others is the least there is |
//! | a target `.`, the port 0 | that record is none |
//! | no such name (NXDOMAIN), nor with any domain of the search list behind it | no such service |
//! | no records of the kind | the service, without providers |
//! | a refusal, a failure (SERVFAIL), silence | nothing: what is known stands |
//!
//! When one service fails and others do not, it is asked for again at a low rate. When no server answers any more, or none of
//! the services can be had, the watch ends.

mod asking;
mod follow;
mod list;
mod machine;
mod settings;
mod watch;

pub use settings::Settings;

use super::{Registry, Reports, Wanted, Watch};

/// DNS as a registry.
#[derive(Debug)]
pub struct Dns {
    settings: Settings,
}

/// The registry of these settings; nothing is asked before it is watched.
pub fn open(settings: Settings) -> Dns {
    if settings.is_of_any_domain() {
        tracing::warn!(
            "DNS is asked for whatever name a request gives: whoever may send requests can so reach any address that some name has; \
             write the domain behind {{service}} in the name that is asked for, or on_demand = false under [services]"
        );
    }
    Dns { settings }
}

impl Registry for Dns {
    fn kind(&self) -> &'static str {
        "dns"
    }

    fn location(&self) -> String {
        self.settings.to_string()
    }

    fn watch<'a>(&'a self, wanted: Wanted, reports: Reports) -> Watch<'a> {
        Box::pin(watch::watch(&self.settings, wanted, reports))
    }
}
