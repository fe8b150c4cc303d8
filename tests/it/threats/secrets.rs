//! Secrets are planted wherever they can stand, and sought in everything that the program ever says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use http::Request;
use http_body_util::Full;

use crate::support::certificates::Authority;
use crate::support::client::{Client, Raw};
use crate::support::etcd::Etcd;
use crate::support::patience::at_last;
use crate::support::program::{Program, text, whole};
use crate::support::provider::{Echo, Script};
use crate::support::zookeeper::ZooKeeper;

/// What every secret of this test has in it.
const PLANTED: &str = "planted";

/// Where operators ask.
const PATHS: [&str; 10] = [
    "/config",
    "/readyz",
    "/services",
    "/services/svc",
    "/services/two",
    "/metrics",
    "/events",
    "/announcements",
    "/explain?url=http://localhost/three",
    "/registry?service=svc",
];

/// A configuration with a secret in everything that takes one.
fn configuration(folder: &Path, echoes: [&Echo; 2], header: &str) -> String {
    let issued = Authority::new("a").issue("client");
    let [certificate, key] = ["client.pem", "client.key"].map(|name| folder.join(name));
    fs::write(&certificate, issued.certificate).unwrap();
    fs::write(&key, issued.key.replace("-----BEGIN", "planted-key\n-----BEGIN")).unwrap();
    let [one, two] = echoes.map(Echo::address);
    format!(
        "[[registry]]\nurl = \"fixed:svc={one}\"\n\
         [[registry]]\nname = \"more\"\n[registry.services]\ntwo = [{{ address = \"{two}\", protocol = \"h2c\" }}]\n\
         [[registry]]\nname = \"zk\"\nurl = \"zookeeper://127.0.0.1:1\"\nauth = \"user:planted-zookeeper\"\n\
         [[registry]]\nname = \"consul\"\nurl = \"consul://127.0.0.1:1\"\nauth = \"planted-consul\"\n\
         [[registry]]\nname = \"etcd\"\nurl = \"etcd://127.0.0.1:1\"\n\
         [store]\nfolder = \"{store}\"\n\
         [access_log]\nenabled = true\nquery = false\n\
         [upstream.tls]\nclient_cert = \"{certificate}\"\nclient_key = \"{key}\"\n\
         [[service]]\nname = \"svc\"\n[service.request_headers]\n\
         set = {{ authorization = \"Bearer {header}\", x-api-key = \"planted-api-key\" }}\n\
         add = {{ cookie = [\"s=planted-cookie\", \"t=planted-second\"] }}\n\
         [service.response_headers]\nset = {{ set-cookie = \"planted-set-cookie\", x-csrf-token = \"planted-token\" }}\n\
         [[route]]\nservice = \"two\"\npath = \"/three\"\nheaders = {{ x-token = \"planted-match\" }}\n\
         [[route]]\nservice = \"two\"\npath = \"/two\"\n[route.request_headers]\nset = {{ x-secret = \"{header}\" }}\n",
        store = folder.join("store").display(),
        certificate = certificate.display(),
        key = key.display(),
    )
}

/// Fails where a text has a secret in it.
fn holds_none(place: &str, text: &str) {
    let line = text.lines().find(|line| line.contains(PLANTED));
    assert_eq!(line, None, "{place} tells a secret");
}

/// Sends a request with secrets in all of its parts.
async fn ask(program: &Program, path: &str) -> http::Response<bytes::Bytes> {
    let mut client = Client::connect(program.listeners()[0]).await;
    let request = Request::post(format!("{path}?token=planted-query")).header("host", "localhost");
    let request =
        request.header("authorization", "Bearer planted-caller").header("cookie", "a=planted-crumb");
    client.send(request.body(Full::from("planted-body")).unwrap()).await
}

#[tokio::test]
async fn no_secret_is_told_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Echo::start().await, Echo::start().await);
    let file = folder.path().join("wayside.toml");
    fs::write(&file, configuration(folder.path(), [&one, &two], "planted-header")).unwrap();
    let path = file.to_str().unwrap();
    let variables = [("WAYSIDE_REGISTRY_AUTH_5", "root:planted-etcd")];
    let (code, said, complaint) = whole(&["check", path], &variables);
    assert_eq!(code, 0, "{said}{complaint}");
    holds_none("check", &(said + &complaint));

    let arguments = [
        "run",
        "--config",
        path,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--log-level",
        "trace",
    ];
    let mut program = Program::launch(&arguments, &variables);
    program.logs("operators are answered").await;
    for path in ["/svc/x", "/two/x"] {
        let told = text(&ask(&program, path).await);
        assert!(
            told.contains("planted-header") && told.contains("planted-body"),
            "{path} is not passed on: {told}"
        );
    }
    for path in ["/nobody/x", "/100%/x", "/"] {
        holds_none(path, &text(&ask(&program, path).await));
    }
    at_last("the access log is written", async || program.output().contains("/two/x")).await;
    for path in PATHS {
        holds_none(path, &text(&program.ask(path).await));
    }
    let shown = text(&program.ask("/config").await);
    assert!(shown.contains("authorization = \"***\"") && shown.contains("x-secret = \"***\""), "{shown}");

    // A secret that changes is in force at once, and told by its key alone.
    fs::write(&file, configuration(folder.path(), [&one, &two], "planted-new")).unwrap();
    program.signal("HUP");
    program.logs("~ service.request_headers.set, which is not shown").await;
    assert!(text(&ask(&program, "/svc/x").await).contains("Bearer planted-new"));
    assert!(text(&ask(&program, "/two/x").await).contains("planted-new"));
    assert!(program.logged("take effect at the next start").is_empty(), "{:?}", program.logged("next start"));
    fs::write(&file, configuration(folder.path(), [&one, &two], "planted-wrong {")).unwrap();
    program.signal("HUP");
    program.logs("the value of authorization is none: a brace stands alone").await;
    let (code, said, complaint) = whole(&["check", path], &variables);
    assert_eq!(code, 1);
    holds_none("check of a wrong file", &(said + &complaint));

    program.signal("TERM");
    program.ended().await;
    holds_none("the log", &program.log());
    holds_none("the access log", &program.output());
    assert!(program.output().contains(" POST /svc/x svc "), "{}", program.output());
    let mut files = 0;
    for entry in fs::read_dir(folder.path().join("store")).unwrap() {
        let path = entry.unwrap().path();
        holds_none(&path.display().to_string(), &String::from_utf8_lossy(&fs::read(&path).unwrap()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o77, 0, "others may read it");
        files += 1;
    }
    assert!(files > 0, "nothing was kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registries_are_asked_with_secrets_that_no_trace_tells() {
    let (zookeeper, etcd, consul) =
        (ZooKeeper::start().await, Etcd::start_with(&["--bcrypt-cost", "4"]).await, Script::start().await);
    let mut root = etcd_client::Client::connect([etcd.address().to_string()], None).await.unwrap();
    root.role_add("reader").await.unwrap();
    root.user_add("root", "planted-etcd", None).await.unwrap();
    root.user_grant_role("root", "root").await.unwrap();
    root.auth_enable().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    let text = format!(
        "[[registry]]\nname = \"zk\"\nurl = \"zookeeper://{}\"\nauth = \"user:planted-zookeeper\"\n\
         [[registry]]\nname = \"etcd\"\nurl = \"etcd://{}\"\nauth = \"root:planted-etcd\"\n\
         [[registry]]\nname = \"consul\"\nurl = \"consul://{}\"\nauth = \"planted-consul\"\n\
         [log]\nlevel = \"trace\"\n[[service]]\nname = \"svc\"\n",
        zookeeper.addresses(),
        etcd.address(),
        consul.address()
    );
    fs::write(&file, text).unwrap();
    let mut program = Program::run(&["--config", file.to_str().unwrap()]).await;
    let mut agent = Raw::from(consul.accept().await);
    let asked = agent.hear_head().await;
    assert!(asked.contains("planted-consul"), "it is sent: {asked}");
    agent
        .say("HTTP/1.1 403 Forbidden\r\ncontent-length: 17\r\nconnection: close\r\n\r\nPermission denied")
        .await;
    for name in ["zk", "etcd"] {
        at_last("the registry answers", async || {
            program.metric("wayside_registry_up", &format!("\"{name}\"")).await == 1.0
        })
        .await;
    }
    for path in PATHS {
        holds_none(path, &text_of(&program, path).await);
    }
    program.signal("TERM");
    program.ended().await;
    assert!(program.log().contains("TRACE"), "all is traced");
    holds_none("the log", &program.log());
}

async fn text_of(program: &Program, path: &str) -> String {
    text(&program.ask(path).await)
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    for text in [
        "registry = \"zookeeper://user:planted@127.0.0.1:2181\"\n#",
        "url = \"zookeeper://user:planted@127.0.0.1:2181\"",
        "url = \"etcd://root:planted@127.0.0.1:2379\"",
        "url = \"consul://:planted@127.0.0.1:8500\"",
        "url = \"zookeeper://user:planted/x@127.0.0.1:2181\"",
        "url = \"etcd://root:x?planted@127.0.0.1:2379\"",
        "url = \"consul://127.0.0.1:8500?token=planted\"",
        "url = \"dns://planted@127.0.0.1:53\"",
        "url = \"zookeper://user:planted@127.0.0.1:2181\"",
        "url = \"zookeeper://127.0.0.1:2181?auth=planted\"",
        "url = \"zookeeper://127.0.0.1:2181\"\nauth = \"planted\"",
        "url = \"etcd://127.0.0.1:2379\"\nauth = \"planted\"",
        "url = \"dns://127.0.0.1:53\"\nauth = \"planted\"",
        "url = \"fixed:a=user:planted@127.0.0.1:1\"",
        "url = \"zookeeper://127.0.0.1:2181?password=planted%ff\"",
        "url = \"zookeeper://127.0.0.1:2181\"\nauth = [\"planted\"]",
        "url = \"fixed:a=127.0.0.1:1\"\n[[service]]\nname = \"a\"\nrequest_headers = \"planted\"",
        "url = \"fixed:a=127.0.0.1:1\"\n[[service]]\nname = \"a\"\nrequest_headers.set = { authorization = [\"planted\"] }",
        "url = \"fixed:a=127.0.0.1:1\"\n[[service]]\nname = \"a\"\nrequest_headers.set = { authorization = \"planted {\" }",
        "url = \"fixed:a=127.0.0.1:1\"\n[[service]]\nname = \"a\"\nrequest_headers.set = { authorization = \"{planted}\" }",
        "url = \"fixed:a=127.0.0.1:1\"\n[[route]]\nservice = \"a\"\nheaders = { authorization = \"planted\\u0000\" }",
    ] {
        let section = if text.starts_with("registry") { "" } else { "[registry]\n" };
        fs::write(&file, format!("{section}{text}\n")).unwrap();
        for arguments in
            [["check", file.to_str().unwrap()].as_slice(), &["run", "--config", file.to_str().unwrap()]]
        {
            let (code, said, complaint) = whole(arguments, &[]);
            assert_eq!(code, 1, "{text}: {said}{complaint}");
            holds_none(text, &(said + &complaint));
        }
    }
}
