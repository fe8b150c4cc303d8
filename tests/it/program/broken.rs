//! Broken configurations as people write them: what `wayside check` says of each, word for word.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::certificates::Authority;
use crate::support::program::whole;

/// The file that is checked, and what lies beside it; `@` stands for the folder of both.
struct Broken {
    what: &'static str,
    text: &'static str,
    beside: &'static [(&'static str, &'static str)],
    variables: &'static [(&'static str, &'static str)],
}

const fn broken(what: &'static str, text: &'static str) -> Broken {
    Broken { what, text, beside: &[], variables: &[] }
}

const fn beside(
    what: &'static str,
    text: &'static str,
    beside: &'static [(&'static str, &'static str)],
) -> Broken {
    Broken { what, text, beside, variables: &[] }
}

const fn under(what: &'static str, variables: &'static [(&'static str, &'static str)]) -> Broken {
    Broken { what, text: "[registry]\nurl = \"file:providers.toml\"\n", beside: &[], variables }
}

const BROKEN: [Broken; 48] = [
    broken("no registry", "workers = 2\n"),
    broken("a quote that is not closed", "[registry]\nurl = \"file:a\n[log]\nlevel = \"info\"\n"),
    broken("a value without quotes", "[registry]\nurl = zookeeper://127.0.0.1:2181\n"),
    broken("a bracket that is not closed", "[registry\nurl = \"file:a\"\n"),
    broken(
        "a section twice",
        "[registry]\nurl = \"file:a\"\n[log]\nlevel = \"info\"\n[log]\nformat = \"json\"\n",
    ),
    broken("YAML", "registry:\n  url: file:a\n"),
    broken(
        "an unknown key",
        "[registry]\nurl = \"file:a\"\n[timeouts]\nconect = \"1s\"\nrequest_timeout = \"5s\"\n",
    ),
    broken(
        "an unknown section",
        "[registry]\nurl = \"file:a\"\n[timeout]\nconnect = \"1s\"\n[tracing]\nenabled = true\n",
    ),
    broken("a key in the section before", "[registry]\nurl = \"file:a\"\nworkers = 2\n"),
    broken("one bracket where there are two", "[registry]\nurl = \"file:a\"\n[route]\nservice = \"a\"\n"),
    broken(
        "no unit",
        "drain_timeout = 30\n[registry]\nurl = \"file:a\"\n[timeouts]\nconnect = \"2\"\nrequest = 1.5\n",
    ),
    broken(
        "a unit that is none",
        "[registry]\nurl = \"file:a\"\n[timeouts]\nrequest = \"5 parsecs\"\n[limits]\nheader_bytes = \"64kb\"\n",
    ),
    broken(
        "out of range",
        "workers = 0\n[registry]\nurl = \"file:a\"\n[retries]\nmax = 8\n[limits]\nconnections = 99999999999\n",
    ),
    broken(
        "a number in quotes",
        "[registry]\nurl = \"file:a\"\n[limits]\nrequests = \"100\"\n[naming]\npath = \"true\"\n",
    ),
    broken(
        "a word that there is not",
        "[registry]\nurl = \"file:a\"\n[services]\npolicy = \"least_request\"\n[log]\nlevel = \"verbose\"\n",
    ),
    broken(
        "a port alone",
        "[registry]\nurl = \"file:a\"\n[[listener]]\naddress = 8080\n[[listener]]\naddress = \":8080\"\n",
    ),
    broken(
        "two on one port",
        "[registry]\nurl = \"file:a\"\n[[listener]]\naddress = \"127.0.0.1:80\"\n[[listener]]\naddress = \"0.0.0.0:80\"\n[admin]\naddress = \"127.0.0.1:80\"\n",
    ),
    broken("ZooKeeper without a port", "[registry]\nurl = \"zookeeper://zk.internal:21a81\"\n"),
    broken(
        "ZooKeeper with an unknown option",
        "[registry]\nurl = \"zookeeper://127.0.0.1:2181?sesion_timeout=5s\"\n",
    ),
    broken("etcd over http", "[registry]\nurl = \"http://127.0.0.1:2379\"\n"),
    broken(
        "etcd with a format that there is not",
        "[registry]\nurl = \"etcd://127.0.0.1:2379?format=go_micro\"\n",
    ),
    broken("Consul that waits for too long", "[registry]\nurl = \"consul://127.0.0.1:8500?wait=1h\"\n"),
    broken("DNS without a name in it", "[registry]\nurl = \"dns://127.0.0.1:53?name=greeter.internal\"\n"),
    broken("a fixed list without a port", "[registry]\nurl = \"fixed:greeter=127.0.0.1\"\n"),
    broken("credentials in the URL", "[registry]\nurl = \"zookeeper://root:hunter2@127.0.0.1:2181\"\n"),
    broken(
        "credentials of another form",
        "[registry]\nurl = \"zookeeper://127.0.0.1:2181\"\nauth = \"hunter2\"\n",
    ),
    broken(
        "two registries of one name",
        "[[registry]]\nurl = \"file:a\"\nname = \"x\"\n[[registry]]\nurl = \"file:b\"\nname = \"x\"\n",
    ),
    broken(
        "a service that the registry has not",
        "[registry.services]\ngreeter = [\"127.0.0.1:1\"]\n[[route]]\nservice = \"greter\"\n[[service]]\nname = \"greeter\"\nfailover = \"greeter-2\"\n",
    ),
    broken(
        "a registry that there is not",
        "[[registry]]\nurl = \"file:a\"\nname = \"old\"\n[[service]]\nname = \"a\"\nregistries = [\"odl\"]\n",
    ),
    broken(
        "a service twice",
        "[registry]\nurl = \"file:a\"\n[[service]]\nname = \"a\"\n[[service]]\nname = \"a\"\n",
    ),
    broken(
        "a circle of failovers",
        "[registry]\nurl = \"file:a\"\n[[service]]\nname = \"a\"\nfailover = \"b\"\n[[service]]\nname = \"b\"\nfailover = \"a\"\n",
    ),
    broken(
        "a route behind one that takes all",
        "[registry]\nurl = \"file:a\"\n[[route]]\nservice = \"a\"\n[[route]]\nservice = \"b\"\npath = \"/b\"\n",
    ),
    broken(
        "keys that contradict each other",
        "[registry]\nurl = \"file:a\"\n[timeouts]\nrequest = \"1s\"\nattempt = \"2s\"\n[upstream]\nconnections_max = 10\nidle_max = 20\n[services]\nspill_below = 40\npanic_below = 50\n",
    ),
    broken(
        "a key without the policy that needs it",
        "[registry]\nurl = \"file:a\"\n[[service]]\nname = \"a\"\nkey = \"client\"\nload_bound = 1.5\n",
    ),
    broken(
        "a regular expression that is none",
        "[registry]\nurl = \"file:a\"\n[[route]]\nservice = \"a\"\n[route.rewrite_path]\npattern = \"^/v1/(.*$\"\nwith = \"/$1\"\n[[route]]\nservice = \"b\"\npath = \"/b\"\n[route.rewrite_path]\npattern = \"^/(b)\"\nwith = \"/$2\"\n",
    ),
    broken(
        "weights of nothing",
        "[registry]\nurl = \"file:a\"\n[[route]]\nservice = \"a\"\nsplit = [{ weight = 0 }, { version = \"2\", weight = \"5%\" }]\n",
    ),
    broken(
        "a file of TLS that is not there",
        "[registry]\nurl = \"file:a\"\n[upstream.tls]\nca = \"@/none.pem\"\n",
    ),
    beside(
        "files of TLS that are none",
        "[registry]\nurl = \"file:a\"\n[upstream.tls]\nca = \"@/ca.pem\"\nclient_key = \"@/key.pem\"\n[[listener]]\n[listener.tls]\ncert = \"@/key.pem\"\n",
        &[("ca.pem", "no certificate\n"), ("key.pem", "-----BEGIN NOTHING-----\n")],
    ),
    broken(
        "a key that is of another certificate",
        "[registry]\nurl = \"file:a\"\n[upstream.tls]\nclient_cert = \"@/one.pem\"\nclient_key = \"@/other.key\"\n",
    ),
    broken(
        "a secret in a file that is not there",
        "[registry]\nurl = \"zookeeper://127.0.0.1:2181\"\nauth = { file = \"@/none\" }\n[[service]]\nname = \"a\"\n[service.request_headers]\nset = { authorization = { path = \"x\" } }\n",
    ),
    beside(
        "a secret in a file that is empty",
        "[registry]\nurl = \"consul://127.0.0.1:8500\"\nauth = { file = \"@/token\" }\n",
        &[("token", "\n")],
    ),
    broken(
        "an include that is not there",
        "include = [\"more.toml\", \"conf.d/*.toml\", \"*/x.toml\", 5]\n[registry]\nurl = \"file:a\"\n",
    ),
    beside(
        "a mistake in an included file",
        "include = \"conf.d/*.toml\"\n[registry]\nurl = \"file:a\"\n[timeouts]\nconect = \"1s\"\n",
        &[
            ("conf.d/10-a.toml", "[[route]]\nservice = \"a\"\npath = \"a\"\n"),
            ("conf.d/20-b.toml", "\n[[service]]\nname = \"b\"\nplicy = \"random\"\n"),
        ],
    ),
    beside(
        "an included file that is no TOML",
        "include = [\"a.toml\"]\n[registry]\nurl = \"file:a\"\n",
        &[("a.toml", "[log]\nlevel = info\n")],
    ),
    beside(
        "includes that go in a circle",
        "include = [\"a.toml\", \"wayside.toml\"]\n[registry]\nurl = \"file:a\"\n",
        &[
            ("a.toml", "include = \"b.toml\"\n"),
            ("b.toml", "include = [\"wayside.toml\", \"a.toml\", \"b.toml\"]\n"),
        ],
    ),
    under(
        "variables that are wrong",
        &[
            ("WAYSIDE_WORKERS", "many"),
            ("WAYSIDE_LISTEN", "127.0.0.1"),
            ("WAYSIDE_LOG_LEVEL", "loud"),
            ("WAYSIDE_REGISTRY_AUTH_3", "hunter2"),
        ],
    ),
    under(
        "variables of keys",
        &[
            ("WAYSIDE_TIMEOUTS__CONECT", "1s"),
            ("WAYSIDE_LIMITS__REQUESTS", "lots"),
            ("WAYSIDE_ROUTE__1__PATH", "api"),
            ("WAYSIDE_ROUTE__3__PATH", "/b"),
            ("WAYSIDE_SERVICE__NAME", "a"),
            ("WAYSIDE_PORT", "tcp://10.0.0.1:1"),
        ],
    ),
    under(
        "variables of lists",
        &[
            ("WAYSIDE_SERVICES__ZONES", "[\"a\", \"a\"]"),
            ("WAYSIDE_HEADERS__FORWARDED", "yes"),
            ("WAYSIDE_RETRIES__STATUSES", "[200]"),
        ],
    ),
];

/// Lays the files out in a folder; the one that is checked.
fn lay_out(folder: &Path, case: &Broken) -> String {
    let here = folder.to_str().unwrap();
    fs::create_dir_all(folder.join("conf.d")).unwrap();
    if case.what.starts_with("an include that") {
        fs::remove_dir(folder.join("conf.d")).unwrap();
    }
    let authority = Authority::new("ours");
    fs::write(folder.join("one.pem"), authority.issue("one").certificate).unwrap();
    fs::write(folder.join("other.key"), authority.issue("other").key).unwrap();
    for (name, text) in case.beside {
        fs::write(folder.join(name), text.replace('@', here)).unwrap();
    }
    let file = folder.join("wayside.toml");
    // An address has no folder in it.
    let text = case.text.replace("\"@/", &format!("\"{here}/"));
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn every_message_names_place_cause_and_cure() {
    let (mut told, mut lacking) = (String::new(), String::new());
    for case in &BROKEN {
        let folder = tempfile::tempdir().unwrap();
        let file = lay_out(folder.path(), case);
        let (code, said, complaint) = whole(&["check", &file], case.variables);
        assert_eq!((code, said.as_str()), (1, ""), "{}: {complaint}", case.what);
        let here = format!("{}/", folder.path().display());
        let complaint = complaint.replace(&here, "");
        assert!(!complaint.contains("hunter2"), "{}: a secret is told: {complaint}", case.what);
        told.push_str(&format!("# {}\n{complaint}\n", case.what));

        let (code, said, complaint) = whole(&["check", "--json", &file], case.variables);
        assert_eq!((code, complaint.as_str()), (1, ""), "{}", case.what);
        let list: Value = serde_json::from_str(&said).unwrap();
        for mistake in list.as_array().unwrap() {
            let text = |key: &str| mistake[key].as_str().unwrap_or_default();
            if text("cause").is_empty() || text("cure").is_empty() {
                lacking.push_str(&format!("{}: {mistake:#}\n", case.what));
            }
            let has_place =
                mistake["line"].is_u64() && mistake["column"].is_u64() && !text("file").is_empty();
            assert!(has_place || mistake["given_by"].is_string() || !text("file").is_empty(), "{mistake:#}");
        }
        assert!(!said.contains("hunter2"), "{}: a secret is told: {said}", case.what);
    }
    insta::assert_snapshot!(told);
    assert_eq!(lacking, "");
}
