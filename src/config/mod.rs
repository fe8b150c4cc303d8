//! The configuration: a file, flags and environment become values that are valid by construction.

mod announce;
mod announced;
mod asked;
mod care;
mod checks;
mod choices;
mod decimal;
mod declared;
mod edits;
mod effective;
mod error;
mod excerpt;
mod explain;
mod failover;
mod file;
mod include;
mod listener_tls;
mod listeners;
mod logs;
mod nested;
mod networks;
mod overrides;
mod patterns;
mod raw;
mod reader;
mod resolve;
mod retries;
mod routes;
mod rules;
mod schema;
mod secret;
mod services;
mod settings;
mod sources;
mod subset;
mod tiers;
mod tls;
mod tracing;
mod units;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use effective::{InForce, Origin};
pub use error::{ConfigError, Mistake, Mistakes, Place};
pub use overrides::{Given, Overrides};
pub use schema::{REFERENCE, schema};
pub use settings::Setting;
pub use sources::Followed;

use crate::announce::{Target, Wish};
use crate::catalog::Claim;
use crate::provider::ServiceName;
use crate::telemetry::{access, log, traces};
use crate::{admin, catalog, health, proxy, route, upstream};
use file::{Entry, Node};
use include::{Gathered, gather};
use reader::Reader;

/// Everything this proxy is told: valid by construction.
#[derive(Clone)]
pub struct Config {
    /// Threads that serve requests, each with a runtime of its own.
    pub workers: usize,
    /// How long what runs may take to finish once the proxy was told to stop.
    pub drain_timeout: Duration,
    /// How long requests are still accepted once the proxy was told to stop and says it is not ready.
    pub lame_duck: Duration,
    /// The Unix socket by which another process can take the place of this one; `None` where none can.
    pub succession: Option<PathBuf>,
    /// The addresses on which requests are taken; at least one.
    pub listeners: Vec<proxy::ListenerSettings>,
    /// Where operators ask; `None` when that is off.
    pub admin: Option<admin::Settings>,
    /// The registries that are followed; at least one.
    pub sources: Vec<Followed>,
    /// The registries that some services may come from; all others may come from any.
    pub restrictions: catalog::Restrictions,
    /// The folder in which last known providers are kept; `None` when they are not.
    pub store: Option<PathBuf>,
    /// How long what is left there of endpoints is good for the next process; not at all if zero.
    pub handover: Duration,
    /// How services are followed.
    pub catalog: catalog::Settings,
    /// How the endpoints of each service are treated.
    pub cares: catalog::Cares,
    /// How the endpoints of each service are laid out in tiers.
    pub layouts: catalog::Layouts,
    /// How the endpoints of each service are asked whether they are well.
    pub checks: health::Checks,
    /// Where requests go. Its naming holds what is declared of services, and the policy of all others.
    pub routes: Arc<route::Table>,
    /// What is followed from the start and never dropped, each claim once: declared services, and those of routes and
    /// listeners. One service may be there with several subsets.
    pub declared: Vec<Claim>,
    /// What is announced of the apps that this proxy stands beside.
    pub announce: Vec<Wish>,
    /// Where it is announced what nothing else is said of: the first registry that takes announcements; why there is none.
    pub target: Result<Target, Arc<str>>,
    /// How requests are taken and bounded.
    pub proxy: proxy::Settings,
    /// How endpoints are reached.
    pub upstream: upstream::Settings,
    /// What is logged, and how.
    pub log: log::Settings,
    /// How requests are logged.
    pub access: access::Settings,
    /// Which requests are remembered.
    pub explain: proxy::Remembering,
    /// Where spans are sent, and of which requests.
    pub traces: traces::Settings,
    /// The files that it names and that were read with it, such as certificates.
    pub files: BTreeSet<PathBuf>,
    wording: Wording,
    in_force: Arc<[InForce]>,
}

/// What a configuration said, by which another one is told apart from it.
#[derive(Clone, Default)]
pub struct Wording {
    text: Arc<str>,
    /// What tells the secrets apart that are not in the text.
    secrets: Arc<BTreeMap<(usize, String), u64>>,
}

impl Wording {
    /// All of it as TOML, but for secrets.
    pub fn to_toml(&self) -> &str {
        &self.text
    }

    /// The keys of secrets that are others in another configuration, or in one of both alone.
    pub fn changed_secrets(&self, other: &Self) -> Vec<String> {
        let all = self.secrets.keys().chain(other.secrets.keys());
        let changed = all.filter(|place| self.secrets.get(*place) != other.secrets.get(*place));
        changed.map(|(_, key)| key).collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }
}

impl Config {
    /// The registries that are followed, as sources; nothing is connected yet.
    pub fn open_sources(&self) -> Vec<catalog::Source> {
        let open = |Followed { name, role, registry }: &Followed| {
            let registry = registry.clone().open();
            catalog::Source { name: Arc::clone(name), role: *role, registry }
        };
        self.sources.iter().map(open).collect()
    }

    /// The services that are followed from the start, each once: one may be followed with several subsets.
    pub fn followed(&self) -> BTreeSet<&ServiceName> {
        self.declared.iter().map(|claim| &claim.service).collect()
    }

    /// The configuration in force as TOML, defaults, flags and environment included, without secrets.
    pub fn to_toml(&self) -> &str {
        self.wording.to_toml()
    }

    /// What it said, to be kept beyond it.
    pub fn wording(&self) -> &Wording {
        &self.wording
    }

    /// Every value in force, and where it comes from.
    pub fn in_force(&self) -> &[InForce] {
        &self.in_force
    }

    /// The same as TOML. Keys and sections of `waiting` are said to wait for the next start.
    pub fn annotated(&self, waiting: &[String]) -> String {
        effective::annotated(self.in_force.iter(), waiting)
    }

    /// Those of the values that are not at their defaults, as TOML.
    pub fn annotated_changes(&self) -> String {
        effective::annotated(self.in_force.iter().filter(|value| !value.is_default), &[])
    }

    /// Values in force as JSON, all or those that are not at their defaults: a list of objects with `key`, `value`, `secret`,
    /// `default` and `origin`.
    pub fn annotated_json(&self, only_changed: bool) -> serde_json::Value {
        effective::json(self.in_force.iter().filter(|value| !only_changed || !value.is_default))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("text", &self.to_toml()).finish_non_exhaustive()
    }
}

/// The configuration of a file, if there is one, under what flags and environment say.
///
/// # Errors
/// When the file cannot be read, and with every mistake at once when something in it or them is wrong.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
    let Some(path) = file else { return Ok(read(None, "", overrides)?) };
    let name = path.display().to_string();
    let unreadable = |source| ConfigError::Unreadable { file: name.clone(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok(read(Some(&name), &text, overrides)?)
}

/// The configuration that a text says, under what flags and environment say; `name` stands for it in messages, and what it includes
/// is sought from the folder of that.
///
/// # Errors
/// With every mistake at once when something is wrong.
pub fn read(name: Option<&str>, text: &str, overrides: &Overrides) -> Result<Config, Mistakes> {
    let Gathered { mut tree, sources, mistakes, files: included } = gather(name, text);
    if !mistakes.is_empty() {
        // What was recovered of a broken file would be found wrong for reasons that are not the user's.
        return Err(Mistakes::new(sources, mistakes).naming(included));
    }
    let reader = Reader::default();
    let config = understand(&mut tree, &reader, overrides);
    let files = &reader.files() | &included;
    let (asked, mistakes) = reader.into_parts();
    match config {
        Some(mut config) if mistakes.is_empty() => {
            config.files = files;
            let secrets = effective::secrets(&asked).into_iter().collect();
            config.wording = Wording { text: effective::toml(&asked).into(), secrets: Arc::new(secrets) };
            config.in_force = effective::in_force(&asked, &sources).into();
            Ok(config)
        }
        Some(_) | None => Err(Mistakes::new(sources, mistakes).naming(files)),
    }
}

/// Reads a tree with defaults and overrides laid into it.
fn understand(tree: &mut Entry, reader: &Reader, overrides: &Overrides) -> Option<Config> {
    if tree.child("listener").is_none() {
        tree.put(&["listener"], Entry { place: Place::Missing, node: Node::List(vec![Entry::empty()]) });
    }
    sources::spread(tree);
    for mistake in overrides.lay_over(tree) {
        reader.wrong(mistake.place, mistake.key, mistake.message);
    }
    reader.read(tree, resolve::config)
}

#[cfg(test)]
mod tests;
