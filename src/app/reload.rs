//! Reload: a changed configuration is read again, checked whole, and as much of it applied as can be while running.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::Signal;

use super::ACCESS_LOG;
use super::certificates::expose;
use super::changes;
use super::farewell::Farewell;
use super::files::Looks;
use super::listeners::Fronts;
use super::supervisor::Supervisor;
use crate::alarm::Alarm;
use crate::announce::Announcements;
use crate::config::{Config, ConfigError, Wording};
use crate::health::Health;
use crate::proxy::Shared;
use crate::telemetry::access::AccessLog;
use crate::telemetry::log;
use crate::telemetry::metrics::Reloaded;

/// How often files are looked at even though nothing told of a change: some file systems never do.
const POLL: Duration = Duration::from_secs(10);

/// How often a configuration is read until it names no file that is new; those that a first one includes may include others.
const READS_MAX: usize = 4;

/// What takes effect at once, keys and whole sections; everything else waits for the next start.
const AT_ONCE: [&str; 29] = [
    "announce",
    "drain_timeout",
    "headers",
    "lame_duck",
    "route",
    "service",
    "naming",
    "retries",
    "timeouts.request",
    "timeouts.attempt",
    "services.policy",
    "zone",
    "identity",
    "services.nearest",
    "services.zones",
    "services.priority_key",
    "services.spill_below",
    "services.panic_below",
    "services.subset_size",
    "services.key",
    "services.check",
    "services.shadow_policy",
    "services.load_bound",
    "services.health",
    "services.limits",
    "upstream.tls",
    "log.level",
    "log.targets",
    "access_log",
];

/// How the configuration is read again.
pub struct Reload {
    /// The file, which is followed for changes.
    pub file: PathBuf,
    /// Reads it, under the same flags and environment as at the start.
    pub load: Box<dyn Fn() -> Result<Config, ConfigError> + Send>,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Follows the file and applies what changed.
pub(super) struct Reloader {
    pub(super) reload: Reload,
    /// How its files looked when it was about to take effect.
    pub(super) seen: Looks,
    /// What is in force.
    pub(super) config: Config,
    /// What was at the start: what waits for the next one is still as it says.
    pub(super) started: Wording,
    /// Access logs that were in force, until nobody writes to them any more: who lets go last waits for the disk.
    pub(super) retired: Vec<Arc<AccessLog>>,
    pub(super) text: Arc<ArcSwap<String>>,
    pub(super) shared: Arc<Shared>,
    pub(super) fronts: Fronts,
    pub(super) announcements: Arc<Announcements>,
    pub(super) health: Arc<Health>,
    pub(super) log: Option<log::Control>,
    pub(super) farewell: Arc<ArcSwap<Farewell>>,
    /// Asks for it to be read again.
    pub(super) hangup: Option<Signal>,
    /// Whoever is to know while it is.
    pub(super) supervisor: Supervisor,
}

impl Reloader {
    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let mut alarm = Alarm::new();
        // Those of the configuration that was read last, be it in force or not: it may be a file that is to be mended.
        let mut files = self.config.files.clone();
        loop {
            alarm.arm_all(std::iter::once(&self.reload.file).chain(&files).map(PathBuf::as_path));
            // What changed before the alarm was armed does not ring.
            let asked = Looks::at(&self.reload.file, &files) == self.seen
                && tokio::select! {
                    () = alarm.rung() => false,
                    () = tokio::time::sleep(POLL) => false,
                    Some(()) = async { self.hangup.as_mut()?.recv().await } => true,
                };
            self.retired.retain(|log| Arc::strong_count(log) > 1);
            if asked {
                self.shared.access.load().look_for_file();
            }
            let now = Looks::at(&self.reload.file, &files);
            if !asked && now == self.seen {
                continue;
            }
            let now = if now.has_other_files(&self.seen) {
                now.settled(&self.reload.file, &files).await
            } else {
                now
            };
            self.supervisor.reloading();
            let (loaded, now, read) = self.load(now);
            self.apply(loaded).await;
            self.supervisor.ready();
            (self.seen, files) = (now, read);
        }
    }

    /// Reads the configuration; how its files looked before they were read, and which they are, good or not.
    fn load(&self, mut now: Looks) -> (Result<Config, ConfigError>, Looks, BTreeSet<PathBuf>) {
        let mut rest = READS_MAX;
        loop {
            let loaded = (self.reload.load)();
            let files = match &loaded {
                Ok(config) => config.files.clone(),
                Err(ConfigError::Mistakes(mistakes)) => mistakes.files() | &self.config.files,
                Err(ConfigError::Unreadable { .. }) => self.config.files.clone(),
            };
            // What is named for the first time was read before anybody had looked at it, so that a change in between would never be
            // noticed: it is looked at now, and all is read once more.
            rest -= 1;
            let are_known = now.knows(&files);
            now = now.among(&files);
            if are_known || rest == 0 {
                return (loaded, now, files);
            }
        }
    }

    /// Applies what was read if it is good.
    async fn apply(&mut self, loaded: Result<Config, ConfigError>) {
        let config = match loaded {
            Ok(config) => config,
            Err(error) => {
                self.shared.metrics.config.reloaded(Reloaded::Refused);
                let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
                tracing::error!("the configuration is wrong; the one in force stays\n{error}{cause}");
                return;
            }
        };
        // Certificates may be others under the same names; those of the system are read again too.
        let has_other_terms = self.shared.dialler.renew_tls(&config.upstream.tls).await;
        if has_other_terms {
            tracing::info!(
                "new connections use the certificates that were read now; those made before end with their requests"
            );
        }
        let is_otherwise_known = self.fronts.renew(&config.listeners);
        if is_otherwise_known {
            tracing::info!("new connections of clients use the certificates of listeners that were read now");
        }
        expose(&self.fronts, &self.shared.dialler, &self.shared.metrics.config);
        self.put_in_force(config, has_other_terms || is_otherwise_known);
    }

    fn put_in_force(&mut self, config: Config, has_other_terms: bool) {
        let (config, has_its_log) = self.renew_access_log(config);
        let (old, new) = (self.config.to_toml(), config.to_toml());
        let secrets = self.config.wording().changed_secrets(config.wording());
        let metrics = &self.shared.metrics.config;
        if old == new && secrets.is_empty() {
            if has_other_terms {
                metrics.reloaded(Reloaded::Changed);
            } else {
                metrics.reloaded(Reloaded::Unchanged);
                tracing::info!("the configuration was read again; nothing changed");
            }
            self.show(config, has_its_log);
            return;
        }
        self.shared.catalog.restrict(config.restrictions.clone());
        self.shared.catalog.tend(config.cares.clone());
        self.shared.catalog.lay_out(config.layouts.clone());
        // First, so that they make room where there is none.
        self.shared.catalog.declare_no_others(&config.declared);
        for claim in &config.declared {
            if let Err(error) = self.shared.catalog.declare(claim) {
                tracing::error!(service = %claim.service, %error, "a declared service cannot be followed");
            }
        }
        // And those whose service was to be declared otherwise first.
        self.shared.catalog.declare_no_others(&config.declared);
        config.routes.go_on(&self.shared.table.load());
        self.shared.table.store(Arc::clone(&config.routes));
        self.shared.catalog.end_undeclared();
        super::warn_of_faults(&config.routes);
        self.announcements.configure(&config.announce);
        self.health.configure(config.checks.clone());
        self.shared.disclosure.renew(&config.proxy);
        self.farewell.store(Arc::new(Farewell::of(&config)));
        metrics.reloaded(Reloaded::Changed);
        // Only now: whoever reads it may count on it.
        tell(old, new, &secrets);
        if let Some(log) = &self.log {
            log.set(&(&config.log).into());
        }
        let waiting = self.show(config, has_its_log);
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting.join(", "), "these changes take effect at the next start");
        }
    }

    /// Opens the access log that is asked for now, in place of the one in force; where it cannot be, that one stays, and false is
    /// given.
    fn renew_access_log(&mut self, mut config: Config) -> (Config, bool) {
        if config.access == self.config.access {
            return (config, true);
        }
        match AccessLog::open(&config.access) {
            Ok(log) => {
                self.shared.metrics.watch_dropped_lines(ACCESS_LOG, log.dropped_lines());
                self.retired.push(self.shared.access.swap(Arc::new(log)));
                (config, true)
            }
            Err(error) => {
                let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
                tracing::error!("{error}{cause}; the one in force stays, and a restart would fail");
                // So that the next reload tries again.
                config.access = self.config.access.clone();
                (config, false)
            }
        }
    }

    /// Keeps the configuration, and shows operators what is in force and what waits for the next start; these keys. Without the
    /// log that it asks for, that is shown to wait as well; nobody is told to start anew for it, since that would fail.
    fn show(&mut self, config: Config, has_its_log: bool) -> Vec<String> {
        let secrets = self.started.changed_secrets(config.wording());
        let secrets = secrets.into_iter().filter(|key| !is_applied(key));
        let waiting: Vec<String> =
            waiting(self.started.to_toml(), config.to_toml()).into_iter().chain(secrets).collect();
        let metrics = &self.shared.metrics.config;
        metrics.keys_waiting.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
        let mut shown = waiting.clone();
        if !has_its_log {
            metrics.good.set(0);
            shown.push("access_log".to_owned());
        }
        self.text.store(Arc::new(config.annotated(&shown)));
        self.config = config;
        waiting
    }
}

/// Says what is different now.
fn tell(old: &str, new: &str, secrets: &[String]) {
    let secrets: String = secrets.iter().map(|key| format!("~ {key}, which is not shown\n")).collect();
    let changes = changes::told(old, new) + &secrets;
    if changes::is_only_order(old, new) && secrets.is_empty() {
        tracing::info!("the configuration changed, in the order of its sections only:\n{changes}");
    } else {
        tracing::info!("the configuration changed:\n{changes}");
    }
}

/// The keys that differ and do not take effect at once.
fn waiting(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (keys(old), keys(new));
    let differing = old.iter().chain(&new).filter(|(key, _)| old.get(*key) != new.get(*key));
    let mut waiting: Vec<String> =
        differing.map(|(key, _)| key.clone()).filter(|key| !is_applied(key)).collect();
    waiting.sort();
    waiting.dedup();
    waiting
}

/// Whether a change to this key takes effect at once.
fn is_applied(key: &str) -> bool {
    let section = key.split_once('.').map_or(key, |(section, _)| section);
    AT_ONCE.contains(&key) || AT_ONCE.contains(&section)
}

/// The keys of a configuration: those of its sections with the section's name before them, lists of sections as one. Of the
/// listeners only where they are, since all else holds at once for the connections to come.
fn keys(text: &str) -> BTreeMap<String, toml::Value> {
    let table: toml::Table = text.parse().unwrap_or_default();
    let mut keys = BTreeMap::new();
    for (name, value) in table {
        if name == "listener" {
            keys.extend(places(&value));
        } else if let toml::Value::Table(section) = value {
            keys.extend(section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
        } else {
            keys.insert(name, value);
        }
    }
    keys
}

/// The addresses of listeners, and the permissions of those that have such, in whatever order they stand.
fn places(listeners: &toml::Value) -> [(String, toml::Value); 2] {
    let listeners = || listeners.as_array().into_iter().flatten();
    let text = |listener: &toml::Value, key: &str| listener.get(key)?.as_str().map(str::to_owned);
    let addresses = listeners().filter_map(|listener| text(listener, "address"));
    let modes = listeners()
        .filter_map(|listener| Some(format!("{} {}", text(listener, "address")?, text(listener, "mode")?)));
    let sorted = |texts: Vec<String>| {
        let mut texts = texts;
        texts.sort();
        toml::Value::from(texts)
    };
    [("address", addresses.collect()), ("mode", modes.collect())]
        .map(|(key, texts)| (format!("listener.{key}"), sorted(texts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_named() {
        let old = "workers = 1\n[timeouts]\nrequest = \"1s\"\nconnect = \"1s\"\n[[route]]\nservice = \"a\"\n[upstream.tls]\nca = \"a\"";
        let new = "workers = 2\n[timeouts]\nrequest = \"2s\"\nconnect = \"2s\"\n[[route]]\nservice = \"b\"\n[upstream.tls]\nca = \"b\"";
        assert_eq!(waiting(old, new), ["timeouts.connect", "workers"]);
        assert_eq!(waiting(old, old), [""; 0]);
        let (old, new) =
            ("[retries]\nmax = 1\n[naming]\npath = true", "[retries]\nmax = 2\n[naming]\npath = false");
        assert_eq!(waiting(old, new), [""; 0], "a section that is applied is applied whole");
    }

    #[test]
    fn of_listeners_only_where_they_are_needs_a_restart() {
        let of = |listeners: &[&str]| {
            listeners.iter().map(|keys| format!("[[listener]]\n{keys}\n")).collect::<String>()
        };
        let (a, b) = ("address = \"a\"", "address = \"b\"\nmode = \"0600\"");
        let clear = of(&[a, b]);
        for (listeners, expected) in [
            (of(&[b, a]), &[][..]),
            (of(&["address = \"a\"\n[listener.tls]\ncert = \"c\"", b]), &[]),
            (of(&["address = \"a\"\ntrusted = false\nproxy_protocol = true", b]), &[]),
            (of(&["address = \"c\"", b]), &["listener.address"]),
            (of(&[a, "address = \"b\"\nmode = \"0660\""]), &["listener.mode"]),
            (of(&[a]), &["listener.address", "listener.mode"]),
        ] {
            assert_eq!(waiting(&clear, &listeners), expected, "{listeners}");
        }
    }
}
