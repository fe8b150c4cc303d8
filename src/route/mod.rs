//! Routes: which requests go to which service, by which provider's choice, and within which limits.
//!
//! Pure: a request is described by [`Asked`], and [`Table::find`] says where it goes. Nothing is allocated on the
//! common path.

pub mod cookie;
pub mod edit;
mod fault;
mod host;
mod key;
mod limits;
mod matcher;
mod mirror;
mod naming;
pub mod overrides;
mod proxy_protocol;
mod rate;
mod retries;
mod rewriting;
mod rules;
mod share;
mod split;
mod sticky;
mod table;
pub mod template;

use std::sync::Arc;

use http::HeaderValue;

pub use edit::Edit;
pub use fault::Fault;
pub use host::is_name_byte;
pub use key::{Key, Keyed, Source, SourceError, is_token};
pub use limits::Limits;
pub use matcher::{HeaderPattern, HostPattern, Matcher, PathPrefix, PatternError, Unmet};
pub use mirror::Mirror;
pub use naming::{Declared, Naming, Unroutable};
pub use proxy_protocol::ProxyProtocol;
pub use rate::{Rate, RateLimit};
pub use retries::{Hedge, Retries};
pub use rewriting::{RewriteError, Rewriting, RewritingError, leads_up};
pub use rules::Rules;
pub use share::Share;
pub use split::{Part, Split};
pub use sticky::{Held, Sticky};
pub use table::{Asked, Found, Table, Target, Via};

use crate::catalog::Claim;

/// Which requests go to which subscription, changed how on the way, and within which limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name in logs, metrics and answers; unique in a table.
    pub name: Arc<str>,
    /// The requests it is for.
    pub matcher: Matcher,
    /// Where they go.
    pub claim: Claim,
    /// What is changed before they go there.
    pub rewrite: Rewrite,
    /// What else is laid down for them.
    pub rules: Arc<Rules>,
}

/// What a route changes in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// What takes the place of the matched path prefix: empty to strip it, or a path that begins with `/` and does not
    /// end with one. `None` leaves the path as it is.
    pub prefix: Option<Arc<str>>,
    /// What the path is made into otherwise.
    pub path: Option<Arc<Rewriting>>,
    /// What takes the place of `Host`; `None` leaves it as it is.
    pub host: Option<HeaderValue>,
}

#[cfg(test)]
mod properties;
