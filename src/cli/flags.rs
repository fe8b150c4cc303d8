//! Flags and variables of the environment that say what a configuration says.

use std::path::PathBuf;

use clap::Args;

use crate::catalog::source::SOURCES_MAX;
use crate::config::{Given, Overrides, Setting};

/// The variables of the credentials for each registry, by its place.
const REGISTRY_AUTH: [&str; SOURCES_MAX] = [
    "WAYSIDE_REGISTRY_AUTH",
    "WAYSIDE_REGISTRY_AUTH_2",
    "WAYSIDE_REGISTRY_AUTH_3",
    "WAYSIDE_REGISTRY_AUTH_4",
    "WAYSIDE_REGISTRY_AUTH_5",
    "WAYSIDE_REGISTRY_AUTH_6",
    "WAYSIDE_REGISTRY_AUTH_7",
    "WAYSIDE_REGISTRY_AUTH_8",
];

/// What `wayside run` can be told without a file. Flags win over variables, and both over the file.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Flags {
    /// Read the configuration from this file [env: WAYSIDE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Follow this registry: zookeeper://HOST:PORT,…/CHROOT, etcd://HOST:PORT,…, file:PATH or fixed:NAME=HOST:PORT,…; can be
    /// repeated, and all of them are used [env: WAYSIDE_REGISTRY]
    #[arg(long, value_name = "URL")]
    registry: Vec<String>,
    /// Take requests on this address, or on a Unix socket as unix:PATH; can be repeated [env: WAYSIDE_LISTEN, joined by commas] [default: 127.0.0.1:4140]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Answer operators on this address, or not at all with "off" [env: WAYSIDE_ADMIN] [default: 127.0.0.1:4141]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Serve requests with this many threads [env: WAYSIDE_WORKERS] [default: auto: 2, or 1 on a single core]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Choose providers by this policy: round-robin, random, least-request, peak-ewma or maglev [env: WAYSIDE_POLICY] [default: round-robin]
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Prefer providers in this zone, in which this proxy runs [env: WAYSIDE_ZONE]
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// Send every request to this service, whatever it names [env: WAYSIDE_SERVICE]
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Log from this level on: off, error, warn, info, debug or trace [env: WAYSIDE_LOG_LEVEL] [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Set any key of the configuration by its path, such as timeouts.connect=2s or route.1.path=/api; can be repeated. Not for
    /// secrets, since command lines are seen by everybody on the machine [env: WAYSIDE_ and the path: WAYSIDE_TIMEOUTS__CONNECT]
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = set_by_flag)]
    set: Vec<Setting>,
}

fn set_by_flag(argument: &str) -> Result<Setting, String> {
    Setting::of_flag(argument)
        .ok_or_else(|| "a path and a value are joined by =, such as timeouts.connect=2s".to_owned())
}

impl Flags {
    /// The file to read, if one is given.
    pub(super) fn file(&self, variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
        self.config.clone().or_else(|| set("WAYSIDE_CONFIG", variable).map(|given| given.text.into()))
    }

    /// What flags and variables say in place of the file.
    pub(super) fn overrides(&self, variable: &dyn Fn(&str) -> Option<String>) -> Overrides {
        let given = |flag: &'static str, value: &Option<String>, name: &'static str| {
            let flag = value.clone().map(|text| Given { origin: flag, text });
            flag.or_else(|| set(name, variable))
        };
        let flagged = self.listen.iter().map(|text| Given { origin: "--listen", text: text.clone() });
        let mut listen: Vec<Given> = flagged.collect();
        if let Some(Given { origin, text }) = set("WAYSIDE_LISTEN", variable).filter(|_| listen.is_empty()) {
            listen = text.split(',').map(|text| Given { origin, text: text.trim().to_owned() }).collect();
        }
        let flagged = self.registry.iter().map(|text| Given { origin: "--registry", text: text.clone() });
        let mut registries: Vec<Given> = flagged.collect();
        if registries.is_empty() {
            registries.extend(set("WAYSIDE_REGISTRY", variable));
        }
        let auth = REGISTRY_AUTH.iter().enumerate();
        Overrides {
            registries,
            // Not a flag: command lines are seen by everybody on the machine.
            registry_auth: auth.filter_map(|(place, name)| Some((place, set(name, variable)?))).collect(),
            state_directory: set("STATE_DIRECTORY", variable),
            listen,
            admin: given("--admin", &self.admin, "WAYSIDE_ADMIN"),
            workers: given("--workers", &self.workers, "WAYSIDE_WORKERS"),
            policy: given("--policy", &self.policy, "WAYSIDE_POLICY"),
            zone: given("--zone", &self.zone, "WAYSIDE_ZONE"),
            service: given("--service", &self.service, "WAYSIDE_SERVICE"),
            log_level: given("--log-level", &self.log_level, "WAYSIDE_LOG_LEVEL"),
            announce: Vec::new(),
            settings: set_by_variables(names_of_environment(), variable)
                .chain(self.set.iter().cloned())
                .collect(),
        }
    }
}

/// The names of the variables that this process has.
fn names_of_environment() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

/// What those of these variables set that are called like keys, in the order of their paths: numbers as such.
fn set_by_variables(
    names: impl Iterator<Item = String>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> impl Iterator<Item = Setting> {
    let mut settings: Vec<Setting> = names
        .filter_map(|name| Setting::of_variable(&name, variable(&name).filter(|text| !text.is_empty())?))
        .collect();
    let part = |part: &String| (part.parse::<usize>().unwrap_or(0), part.clone());
    settings.sort_by_cached_key(|setting| setting.path.iter().map(part).collect::<Vec<_>>());
    settings.into_iter()
}

/// A variable of the environment; one that is set to nothing counts as unset.
pub(super) fn set(origin: &'static str, variable: &dyn Fn(&str) -> Option<String>) -> Option<Given> {
    variable(origin).filter(|text| !text.is_empty()).map(|text| Given { origin, text })
}
