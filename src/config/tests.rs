//! What configurations are accepted, and what is said of the others.

mod announce;
mod broken;
mod care;
mod edits;
mod include;
mod keys;
mod raw;
mod reference;
mod retries;
mod rules;
mod schema;
mod secrets;
mod settings;
mod sources;
mod subsets;
mod tiers;

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// The least that a file has to say.
const REGISTRY: &str = "[registry]\nurl = \"zookeeper://127.0.0.1:2181\"\n";

fn given(origin: &'static str, text: &str) -> Given {
    Given { origin, text: text.to_owned() }
}

#[test]
fn a_registry_is_enough() {
    let overrides = Overrides {
        registries: vec![given("--registry", "zookeeper://127.0.0.1:2181")],
        ..Overrides::default()
    };
    let config = load(None, &overrides).unwrap();
    assert_eq!(config.listeners, [proxy::ListenerSettings::at(SocketAddr::from(([127, 0, 0, 1], 4140)))]);
    assert_eq!(config.admin, Some(admin::Settings::default()));
    assert_eq!(config.proxy, proxy::Settings::default());
    assert_eq!(config.upstream, upstream::Settings::default());
    assert_eq!(config.catalog, catalog::Settings::default());
    assert_eq!(*config.routes.naming(), route::Naming::default());
    assert!(config.declared.is_empty() && config.routes.routes().is_empty());
    assert!((1..=2).contains(&config.workers));
}

#[test]
fn flags_win_over_the_file() {
    let file = format!(
        "workers = 1\n{REGISTRY}[[listener]]\naddress = \"127.0.0.1:1\"\n[admin]\naddress = \"127.0.0.1:2\"\n[[announce]]\nservice = \"old\"\naddress = 1"
    );
    let overrides = Overrides {
        registries: vec![given("--registry", "zookeeper://10.0.0.1:2181")],
        registry_auth: vec![(0, given("WAYSIDE_REGISTRY_AUTH", "user:opensesame"))],
        state_directory: Some(given("STATE_DIRECTORY", "/var/lib/wayside:/var/lib/other")),
        listen: vec![given("--listen", "127.0.0.1:3"), given("--listen", "127.0.0.1:4")],
        admin: Some(given("--admin", "off")),
        workers: Some(given("WAYSIDE_WORKERS", "3")),
        policy: Some(given("--policy", "random")),
        zone: Some(given("WAYSIDE_ZONE", "a")),
        service: Some(given("--service", "greeter")),
        log_level: Some(given("--log-level", "debug")),
        announce: vec![
            (vec!["service".to_owned()], given("--service", "greeter")),
            (vec!["address".to_owned()], given("--address", ":80")),
            (vec!["check".to_owned(), "kind".to_owned()], given("--check", "none")),
        ],
        settings: Vec::new(),
    };
    let config = read(Some("w.toml"), &file, &overrides).unwrap();
    assert_eq!(config.workers, 3);
    assert_eq!(config.admin, None);
    assert_eq!(config.layouts.usual.zone.as_deref(), Some("a"));
    let listeners: Vec<String> = config
        .listeners
        .iter()
        .map(|listener| format!("{} {}", listener.address, listener.service.as_ref().unwrap()))
        .collect();
    assert_eq!(listeners, ["127.0.0.1:3 greeter", "127.0.0.1:4 greeter"]);
    assert_eq!(config.declared.len(), 1);
    assert_eq!(config.declared[0].choice.policy.as_str(), "random");
    let announced: Vec<String> = config
        .announce
        .iter()
        .map(|wish| format!("{} {} {}", wish.service, wish.address, wish.check.kind))
        .collect();
    assert_eq!(announced, ["greeter :80 none"]);
    let text = config.to_toml();
    assert!(text.contains("workers = 3  # WAYSIDE_WORKERS\n"), "{text}");
    assert!(text.contains("level = \"debug\"  # --log-level\n"), "{text}");
    assert!(!format!("{config:?}{text}").contains("opensesame"), "a secret is shown: {text}");
}

#[test]
fn the_configuration_in_force_reads_back_as_itself() {
    let reference = REFERENCE;
    // There is one registry, and there are no files of certificates.
    let left_out = [
        "include",
        "url = \"zookeeper",
        "auth =",
        "ca =",
        "crl =",
        "client_cert =",
        "client_key =",
        "mode =",
        "[listener.tls]",
        "cert =",
        "key = \"/etc",
        "client_ca =",
    ];
    let is_other_registry = |line: &&str| !left_out.iter().any(|key| line.starts_with(key));
    let everything = super::schema::everything(reference);
    let fixed = everything.lines().filter(is_other_registry).collect::<Vec<_>>().join("\n");
    // Nothing can be announced in a list that never changes.
    let (fixed, _) = fixed.split_once("[[announce]]").unwrap();
    // Less than what is usual for a connection.
    let short = format!("{REGISTRY}[timeouts]\nrequest = \"1s\"\n");
    for text in [reference, fixed, &short] {
        let config = read(None, text, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
        let again = read(None, config.to_toml(), &Overrides::default()).unwrap();
        assert_eq!(again.to_toml(), config.to_toml());
        assert_eq!(again.declared, config.declared);
        assert_eq!(again.routes.routes(), config.routes.routes());
    }
}

#[test]
fn routes_inherit_what_they_do_not_say() {
    let file = format!(
        r#"{REGISTRY}
        [timeouts]
        request = "5s"
        [retries]
        max = 1
        [[service]]
        name = "greeter"
        policy = "random"
        version = "1"
        [[route]]
        service = "greeter"
        path = "/api/"
        replace_prefix = "/v2/"
        retries = 0
        [[route]]
        name = "canary"
        service = "greeter"
        headers = {{ x-stage = "canary", X-Any = true }}
        hosts = "*.Example.org"
        version = "2"
        request_timeout = "1m"
        "#
    );
    let config = read(None, &file, &Overrides::default()).unwrap();
    let [api, canary] = config.routes.routes() else { panic!("there are two routes") };
    assert_eq!(&*api.name, "route-1");
    assert_eq!(api.claim, config.declared[0]);
    assert_eq!(api.rewrite.prefix.as_deref(), Some("/v2"));
    assert_eq!((api.rules.limits.request_timeout, api.rules.limits.retries.max), (Duration::from_secs(5), 0));
    assert_eq!(canary.claim.subset.version.as_deref(), Some("2"));
    assert_eq!(canary.claim.choice.policy.as_str(), "random");
    assert_eq!(
        (canary.rules.limits.request_timeout, canary.rules.limits.retries.max),
        (Duration::from_secs(60), 1)
    );
    assert_eq!(canary.matcher.headers.len(), 2);
    assert_eq!(config.declared.len(), 2);
    let naming = config.routes.naming();
    assert_eq!(naming.claim("greeter".parse().unwrap()), config.declared[0]);
    assert_eq!(naming.rules.limits.request_timeout, Duration::from_secs(5));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Path::new("no-such-folder/wayside.toml");
    let error = load(Some(missing), &Overrides::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read no-such-folder/wayside.toml");
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,60}|([a-z_.]{1,8} ?= ?[\\[\\]{}\"'0-9a-z,]{0,8}\n|\\[{1,2}[a-z.]{1,10}\\]{1,2}\n){0,8}") {
        if let Err(mistakes) = read(Some("w.toml"), &text, &Overrides::default()) {
            prop_assert!(!mistakes.list().is_empty());
        }
    }

    #[test]
    fn a_reference_with_something_cut_out_is_good_or_told(at in 0.0..1.0_f64, length in 1..40_usize, put in "[\\[\\]{}=\"',.#\n0-9a-z]{0,3}") {
        // What is included would be sought here.
        let text = super::schema::everything(REFERENCE).replace("include = ", "#include = ");
        let characters: Vec<char> = text.chars().collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place within a text")]
        let at = (at * characters.len() as f64) as usize;
        let end = (at + length).min(characters.len());
        let cut: String = characters[..at].iter().copied().chain(put.chars()).chain(characters[end..].iter().copied()).collect();
        if let Err(mistakes) = read(Some("w.toml"), &cut, &Overrides::default()) {
            prop_assert!(!mistakes.list().is_empty());
            for line in mistakes.to_string().lines() {
                prop_assert!(line.starts_with("w.toml:"), "{}", line);
            }
        }
    }
}
