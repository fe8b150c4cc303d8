//! What is said of broken configurations, word for word.

use super::*;

/// Each with a good registry before it, unless it says `registry` itself.
const BROKEN: [&str; 91] = [
    "[registry]",
    "[registry]\nurl = \"127.0.0.1:2181\"",
    "[registry]\nurl = \"zk://127.0.0.1:2181\"",
    "[registry]\nurl = \"zookeeper://user:secret@127.0.0.1:2181\"\nauth = \"secret\"",
    "[registry]\nurl = \"zookeeper://127.0.0.1:2181?session_timout=5s\"",
    "[registry]\nurl = \"fixed:greeter\"",
    "[registry]\nurl = \"zookeeper://127.0.0.1:2181\"\nauth = \"secret\"",
    "[registry]\nurl = \"consul://127.0.0.1:8500\"\nauth = \"two words\"",
    "[registry]\nurl = \"fixed:greeter=127.0.0.1:1\"\nauth = \"a:b\"",
    "[registry]\nurl = \"fixed:greeter=127.0.0.1:1;users=127.0.0.1:2\"\n[[listener]]\nservice = \"greter\"\n[[route]]\nservice = \"billing\"",
    "[registry]\nurl = \"file:x.toml\"\n[registry.services]\ngreeter = [\"127.0.0.1:1\"]",
    "[registry.services]\n\"a b\" = []\ngreeter = [\"127.0.0.1\", 5, { address = \"h:1\", wait = 1 }, { address = \"h:1\", weight = -1 }]",
    "registry = []",
    "registry = 5",
    "[[registry]]\nurl = \"file:a\"\nname = \"a b\"\n[[registry]]\nurl = \"file:b\"\nrole = \"backup\"\n[[registry]]\nname = \"c\"",
    "[[registry]]\nurl = \"file:a\"\n[[registry]]\nurl = \"file:b\"\nname = \"file\"\nrol = \"shadow\"",
    "[[registry]]\nurl = \"file:a\"\nrole = \"shadow\"\n[[registry]]\nurl = \"file:b\"\nrole = \"fallback\"",
    "[[registry]]\nurl = \"file:a\"\n[[registry]]\nname = \"new\"\nurl = \"file:b\"\nrole = \"shadow\"\n[[service]]\nname = \"a\"\nregistries = [\"nw\"]\n[[service]]\nname = \"b\"\nregistries = \"new\"\n[[service]]\nname = \"c\"\nregistries = []\n[[service]]\nname = \"d\"\nregistries = [\"zookeeper\"]",
    "workers = 0",
    "workers = \"many\"",
    "workrs = 2",
    "drain_timeout = 30",
    "drain_timeout = \"30\"",
    "drain_timeout = \"soon\"",
    "drain_timeout = \"2days\"",
    "drain-timeout = \"5s\"\nlame_duk = \"1s\"\nzzz = 1",
    "[listener]\naddress = \"127.0.0.1:1\"",
    "[[listener]]\naddress = 4140",
    "[[listener]]\naddress = \":4140\"\n[[listener]]\naddress = \"localhost:80\"\n[[listener]]\naddress = \"*:80\"",
    "[[listener]]\naddress = \"127.0.0.1\"",
    "[[listener]]\naddress = \"127.0.0.1:1\"\n[[listener]]\naddress = \"127.0.0.1:1\"",
    "[[listener]]\naddress = \"0.0.0.0:4141\"",
    "[[listener]]\nadress = \"127.0.0.1:1\"\nservice = \"go micro\"",
    "[[listener]]\naddress = \"/run/a.sock\"\n[[listener]]\naddress = \"unix:\"\n[[listener]]\naddress = \"@a\"",
    "[[listener]]\naddress = \"unix:/a.sock\"\nmode = 660\n[[listener]]\naddress = \"unix:/a.sock\"\nmode = \"rw-\"\n[[listener]]\naddress = \"unix:/b.sock\"\nmode = \"1777\"",
    "[[listener]]\naddress = \"127.0.0.1:1\"\nmode = \"0660\"\n[[listener]]\naddress = \"unix:@a\"\nmode = \"0660\"",
    "[[listener]]\naddress = \"unix:/an/unreasonably/long/path/that/goes/on/and/on/and/would/not/fit/into/an/address/of/the/system/since/it/has/108/bytes\"",
    "[[listener]]\nproxy_protocol = \"v2\"\n[listener.tls]\nkey = \"/no-such-folder/key.pem\"",
    "listener = []",
    "listener = \"127.0.0.1:4140\"",
    "[[admin]]\nenabled = true",
    "admin = \"off\"",
    "[admin]\nenabled = \"yes\"",
    "[timeouts]\nrequst = \"1s\"\nconect = \"1s\"",
    "[timeouts]\nconnect_timeout = \"1s\"",
    "[timeouts]\nrequest = \"1s\"\nattempt = \"2s\"\nconnect = \"0s\"",
    "[limits]\nheader_bytes = \"64K\"\nuri_bytes = 100000\nheaders = \"100\"\nconnections = -1",
    "[upstream]\nconnections_max = 10\nidle_max = 20",
    "[upstream]\nidle_max = 99999999999999999999",
    "[services]\npolicy = \"roundrobin\"",
    "[services]\npolicy = \"fastest\"",
    "[services]\nshadow_policy = \"off\"",
    "[services]\nload_bound = 1",
    "[services]\nload_bound = \"1.25\"",
    "[[service]]\nname = \"a\"\nload_bound = 1.25",
    "[services]\non_demand = false",
    "[services]\nmax = 1\n[[service]]\nname = \"a\"\n[[service]]\nname = \"b\"",
    "[naming]\nhost_suffix = \".svc.local\"\npath = 1",
    "[[service]]\npolicy = \"random\"",
    "[[service]]\nname = \"a\"\n[[service]]\nname = \"a\"\nversion = 2",
    "[[route]]\npath = \"api\"",
    "[[route]]\nservice = \"a\"\npath = \"/a/../b\"\nmethods = [\"get\", \"PO ST\", 1]\nhosts = [\"a:80\", \"a b\"]",
    "[[route]]\nservice = \"a\"\nheaders = { \"x y\" = \"1\", x-a = 1, x-b = \"a\\nb\" }\nname = \"a b\"",
    "[[route]]\nservice = \"a\"\nstrip_prefix = true\nreplace_prefix = \"/\"",
    "[[route]]\nname = \"x\"\nservice = \"a\"\npath = \"/a\"\n[[route]]\nname = \"x\"\nservice = \"b\"\npath = \"/a/b\"",
    "[[route]]\nservice = \"a\"\nrequest_timeout = \"1s\"\nattempt_timeout = \"5s\"\nretries = 8",
    "[retries]\nstatuses = [200, \"503\"]\nback_off = \"1s\"\nbudget_percent = 2000\nbody_bytes = \"1GiB\"\nidempotent = 1",
    "[[route]]\nservice = \"a\"\nhedge = \"p100\"\nretry_statuses = 99\n[[service]]\nname = \"b\"\nhedge = \"soon\"\nidempotent = \"yes\"\n[[service]]\nname = \"c\"\nhedge = \"2h\"",
    "[services]\nkey = \"user\"",
    "[[service]]\nname = \"a\"\nkey = [\"x-user\", \"header:a b\", \"cookie:\", 1]\noverrides = \"yes\"",
    "[[route]]\nservice = \"a\"\nkey = []\npolicy = \"random\"\n[[service]]\nname = \"b\"\nkey = \"path\"",
    "[[route]]\npath = \"/a\"\nsplit = [{ weight = 1 }, { service = \"b\" }, { service = \"c\", weight = -1 }, { service = \"d\", weight = nan }]",
    "[[route]]\nservice = \"a\"\nsplit = [{ weight = 0 }, { version = \"2\", weight = 0.0 }]",
    "[[route]]\nservice = \"a\"\nsplit = [{ weight = 95 }, { service = \"a\", weight = 5 }, { weight = \"5%\", versoin = \"2\" }]",
    "[[route]]\nservice = \"a\"\nsticky = true\nsplit = { version = \"2\" }",
    "[[route]]\nservice = \"a\"\nsticky = { cokie = \"a\", ttl = \"0s\", path = \"a;b\" }",
    "[[route]]\nservice = \"a\"\nsticky = { cookie = \"a b\", path = \"/a;b\" }",
    "[[route]]\nservice = \"a\"\nmirror = { percent = 101 }\nrate_limit = { per = \"2days\", burst = 0 }",
    "[[route]]\nservice = \"a\"\nfault = { delay_percent = 5, abort = 200 }",
    "[[route]]\nservice = \"a\"\nfault = {}\nfalt = {}",
    "[registry]\nurl = \"fixed:greeter=127.0.0.1:1\"\n[[route]]\nservice = \"greeter\"\nmirror = { service = \"greter\" }\nsplit = [{ service = \"greetr\", weight = 1 }]",
    "[services.check]\nkind = \"http\"\nstatus = []\n[[service]]\nname = \"a\"\n[service.check]\nstatus = []",
    "[services.check]\nkind = \"tcp\"\npath = \"/health\"\nhost = \"a.b\"\ngrpc_service = \"a.B\"\n[[service]]\nname = \"a\"\n[service.check]\nkind = \"grpc\"",
    "[services.check]\npath = \"/health\"",
    "[services.check]\nkind = \"htp\"\npath = \"/health\"",
    "[[announce]]\nservice = \"a\"\naddress = \":80\"\n[announce.check]\nkind = \"htp\"\npath = \"/health\"",
    "[registry]\nurl = \"fixed:greeter=127.0.0.1:1;users=127.0.0.1:2\"\n[[service]]\nname = \"greeter\"\nfailover = \"greeter2\"",
    "[log]\nlevel = \"verbose\"\nformat = \"jsn\"",
    "[access_log]\nenabled = true\npath = \"\"\nqueue = 1979-05-27",
    "workers = \nadmin = {\n[log\nlevel = 'info'",
    "[log]\nlevel = \"info\"\nlevel = \"debug\"\n[log]\n",
];

/// A broken configuration with a good registry: what belongs to the top stays before the first section.
fn with_registry(broken: &str) -> String {
    if broken.contains("registry") {
        return broken.to_owned();
    }
    let at = if broken.starts_with('[') { Some(0) } else { broken.find("\n[").map(|at| at + 1) };
    let (top, sections) = broken.split_at(at.unwrap_or(broken.len()));
    format!("{top}\n{sections}\n{REGISTRY}")
}

#[test]
fn every_mistake_is_told_with_its_place_and_cure() {
    let mut said = String::new();
    for broken in BROKEN {
        let text = with_registry(broken);
        let mistakes = read(Some("w.toml"), &text, &Overrides::default()).expect_err(broken);
        let shown: String = broken.lines().map(|line| format!("    {line}\n")).collect();
        said.push_str(&format!("{shown}{mistakes}\n\n"));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn flags_are_named_in_place_of_a_line() {
    let overrides = Overrides {
        listen: vec![given("--listen", "127.0.0.1:4141"), given("--listen", "localhost")],
        admin: Some(given("WAYSIDE_ADMIN", "of")),
        workers: Some(given("--workers", "-1")),
        policy: Some(given("--policy", "fastest")),
        service: Some(given("--service", "..")),
        log_level: Some(given("WAYSIDE_LOG_LEVEL", "INFO")),
        ..Overrides::default()
    };
    let mistakes = read(None, "", &overrides).unwrap_err();
    insta::assert_snapshot!(mistakes);
}
