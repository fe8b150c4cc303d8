//! Any key can be given by a variable of the environment or a flag.

use super::super::reader::Reader;
use super::*;

fn variables(given: &[(&str, &str)]) -> Overrides {
    let setting = |(name, text): &(&str, &str)| Setting::of_variable(name, (*text).to_owned()).unwrap();
    Overrides { settings: given.iter().map(setting).collect(), ..Overrides::default() }
}

fn flags(given: &[&str]) -> Vec<Setting> {
    given.iter().map(|argument| Setting::of_flag(argument).unwrap()).collect()
}

#[test]
fn names_are_paths() {
    let path = |name: &str| Setting::of_variable(name, String::new()).map(|setting| setting.path.join("."));
    assert_eq!(path("WAYSIDE_TIMEOUTS__CONNECT").as_deref(), Some("timeouts.connect"));
    assert_eq!(path("WAYSIDE_ROUTE__2__REQUEST_TIMEOUT").as_deref(), Some("route.2.request_timeout"));
    assert_eq!(path("WAYSIDE_DRAIN_TIMEOUT").as_deref(), Some("drain_timeout"));
    // Others have a meaning of their own, are made by Kubernetes, or are nobody's.
    for name in [
        "WAYSIDE_WORKERS",
        "WAYSIDE_PORT",
        "WAYSIDE_SERVICE_HOST",
        "WAYSIDE_PORT_4140_TCP",
        "WAYSIDE__X",
        "HOME",
    ] {
        assert_eq!(path(name), None, "{name}");
    }
    let flag = |argument: &str| {
        Setting::of_flag(argument).map(|setting| (setting.path.join("."), setting.given.text))
    };
    assert_eq!(flag("log.level = debug"), Some(("log.level".to_owned(), "debug".to_owned())));
    assert_eq!(flag("route.1.headers={ a = \"b=c\" }").unwrap().1, "{ a = \"b=c\" }");
    assert_eq!((flag("log.level"), flag("log..level=x"), flag("=x")), (None, None, None));
}

#[test]
fn values_are_taken_for_what_their_key_wants() {
    let overrides = variables(&[
        ("WAYSIDE_TIMEOUTS__REQUEST", "7s"),
        ("WAYSIDE_LIMITS__REQUESTS", "77"),
        ("WAYSIDE_NAMING__PATH", "false"),
        ("WAYSIDE_SERVICES__ZONES", "[\"b\", \"c\"]"),
        ("WAYSIDE_SERVICES__CHECK__KIND", "tcp"),
        ("WAYSIDE_RETRIES__STATUSES", "503"),
        ("WAYSIDE_IDENTITY", "7"),
        ("WAYSIDE_SERVICE__1__NAME", "a"),
        ("WAYSIDE_SERVICE__1__VERSION", "2"),
        ("WAYSIDE_ROUTE__1__SERVICE", "b"),
        ("WAYSIDE_ROUTE__2", "{ service = \"c\", path = \"/c\" }"),
    ]);
    let file = format!("{REGISTRY}[[route]]\nservice = \"a\"\npath = \"/a\"\n[timeouts]\nrequest = \"1s\"");
    let config = read(Some("w.toml"), &file, &overrides).unwrap_or_else(|error| panic!("{error}"));
    let limits = &config.routes.naming().rules.limits;
    assert_eq!((limits.request_timeout, &*limits.retries.statuses), (Duration::from_secs(7), &[503][..]));
    assert_eq!((config.proxy.requests_max, config.routes.naming().path), (77, false));
    assert_eq!(config.layouts.usual.zones, [Arc::<str>::from("b"), Arc::<str>::from("c")]);
    let routes: Vec<String> =
        config.routes.routes().iter().map(|route| route.claim.service.to_string()).collect();
    assert_eq!(routes, ["b", "c"]);
    let a = config.declared.iter().find(|claim| &*claim.service.to_string() == "a").unwrap();
    assert_eq!(a.subset.version.as_deref(), Some("2"), "a text that looks like a number");
    let origin = |path: &str| {
        let value = config.in_force().iter().find(|value| value.path == path).unwrap();
        (value.origin.clone(), value.is_default)
    };
    assert_eq!(origin("timeouts.request"), (Origin::Variable("WAYSIDE_TIMEOUTS__REQUEST"), false));
    assert_eq!(origin("route.2.path"), (Origin::Variable("WAYSIDE_ROUTE__2"), false));
    assert!(matches!(origin("route.1.path").0, Origin::File { line: 5, .. }), "{:?}", origin("route.1.path"));
    assert_eq!(origin("timeouts.header"), (Origin::Default, true));
    assert!(config.to_toml().contains("requests = 77  # WAYSIDE_LIMITS__REQUESTS"));
}

#[test]
fn a_part_of_a_millisecond_is_shown_too() {
    let file = format!("{REGISTRY}[services]\nsettle = \"1ms500us\"\n[explain]\nsample_percent = -0.0\n");
    let config = read(None, &file, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    let text = config.to_toml();
    assert!(text.contains("settle = \"1ms500us\"\n") && text.contains("sample_percent = 0\n"), "{text}");
}

#[test]
fn flags_win_over_variables_of_the_same_key() {
    let mut overrides = variables(&[
        ("WAYSIDE_LOG__LEVEL", "trace"),
        ("WAYSIDE_LISTENER__1__ADDRESS", "127.0.0.1:1"),
        ("WAYSIDE_LISTENER__1__SERVICE", "a"),
        ("WAYSIDE_ADMIN__HOSTS", "b.internal"),
    ]);
    overrides.settings.extend(flags(&["admin.hosts=[\"c.internal\"]", "workers=7"]));
    overrides.log_level = Some(given("--log-level", "debug"));
    overrides.listen = vec![given("--listen", "127.0.0.1:2")];
    overrides.workers = Some(given("WAYSIDE_WORKERS", "3"));
    let config = read(None, REGISTRY, &overrides).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.log.level.as_str(), "debug");
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:2");
    assert_eq!(config.listeners[0].service.as_ref().unwrap().to_string(), "a");
    assert_eq!(config.admin.unwrap().hosts, ["c.internal"]);
    assert_eq!(config.workers, 7);
}

#[test]
fn no_flag_includes_a_file() {
    let overrides = Overrides { settings: flags(&["include=conf.d/*.toml"]), ..Overrides::default() };
    let error = read(None, REGISTRY, &overrides).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("write include there"), "{error}");
}

#[test]
fn a_secret_may_be_in_a_file_that_a_variable_names() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "user:planted\n").unwrap();
    let path = file.path().to_str().unwrap();
    let overrides = variables(&[("WAYSIDE_REGISTRY__1__AUTH__FILE", path)]);
    for auth in ["", "auth = \"user:other\"\n"] {
        let config =
            read(None, &format!("{REGISTRY}{auth}"), &overrides).unwrap_or_else(|error| panic!("{error}"));
        assert!(config.files.contains(file.path()), "it is followed");
        assert!(config.annotated(&[]).contains("# auth = ***"), "{}", config.annotated(&[]));
    }
}

#[test]
fn every_key_at_the_top_has_a_variable() {
    let (mut tree, _) = file::parse(REGISTRY, 0);
    let reader = Reader::default();
    understand(&mut tree, &reader, &Overrides::default());
    let (asked, _) = reader.into_parts();
    for asked in asked.iter().filter(|asked| asked.section.is_empty() && asked.key != "include") {
        let name = format!("WAYSIDE_{}", asked.key.to_ascii_uppercase());
        let is_known = ["WAYSIDE_WORKERS", "WAYSIDE_ZONE"].contains(&name.as_str());
        assert!(is_known || Setting::of_variable(&name, String::new()).is_some(), "{name}");
    }
}
