//! Rotation: files that are renewed are noticed, and what was believed before is believed no longer.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::certificates::{Authority, Files, accept};
use crate::support::client::Raw;
use crate::support::patience::at_last;
use crate::support::program::{Program, get, text};
use crate::support::provider::{Echo, Script, told};

const RENEWED: &str = "new connections use the certificates that were read now";

/// A program with one service, of this provider, that trusts what is in a file.
struct Trusting {
    program: Program,
    ca: PathBuf,
    _files: Files,
}

impl Trusting {
    async fn start(provider: &str, lines: &str, authority: &str) -> Self {
        let files = Files::new();
        let ca = files.write("ca.pem", authority);
        let text = format!(
            "workers = 1\n[registry.services]\nsvc = [{{ {provider}, tls = true }}]\n[timeouts]\nconnect = \"5s\"\n\
             [upstream]\nidle_timeout = \"10m\"\nidle_learnt = false\n[upstream.tls]\nca = {ca:?}\n{lines}\n"
        );
        let file = files.write("wayside.toml", &text);
        let program = Program::run(&["--config", file.to_str().unwrap()]).await;
        Self { program, ca, _files: files }
    }

    async fn status(&self) -> StatusCode {
        get(self.program.listeners()[0], "/svc/").await.status()
    }

    async fn renewed(&self, times: usize) {
        at_last("the change is noticed", async || self.program.logged(RENEWED).len() == times).await;
    }
}

/// Replaces a file as a careful program does.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

fn at(echo: &Echo) -> String {
    format!("address = \"{}\"", echo.address())
}

#[tokio::test]
async fn whom_nobody_vouches_for_any_more_is_reached_no_longer() {
    let (old, new) = (Authority::new("one"), Authority::new("other"));
    let echo = Echo::secure(old.issue("127.0.0.1").server(&[])).await;
    let it = Trusting::start(&at(&echo), "\n[access_log]\nenabled = true", &old.pem).await;
    assert_eq!((it.status().await, it.status().await), (StatusCode::OK, StatusCode::OK));
    assert_eq!(echo.connections(), 1);
    // Both are trusted meanwhile, as when one takes the place of the other.
    replace(&it.ca, &format!("{}{}", old.pem, new.pem));
    it.renewed(1).await;
    assert_eq!(
        (it.status().await, it.status().await, echo.connections()),
        (StatusCode::OK, StatusCode::OK, 2)
    );
    replace(&it.ca, &new.pem);
    it.renewed(2).await;
    let requests = echo.requests();
    let answer = get(it.program.listeners()[0], "/svc/").await;
    let told = text(&answer);
    assert_eq!((answer.status(), echo.requests()), (StatusCode::BAD_GATEWAY, requests), "{told}");
    assert!(
        told.contains(&echo.address().to_string()) && told.contains("no authority that is trusted here"),
        "{told}"
    );
    it.program.says("tls_unknown_authority").await;
    let line = it.program.logs("an endpoint cannot be reached").await;
    assert!(line.contains(&echo.address().to_string()) && line.contains("no authority"), "{line}");
    assert!(it.program.metric("wayside_upstream_tls_failures_total", "tls_unknown_authority").await >= 1.0);
}

#[tokio::test]
async fn what_idles_is_closed_and_what_is_under_way_ends() {
    let (old, new) = (Authority::new("one"), Authority::new("other"));
    let server = old.issue("127.0.0.1").server(&[]);
    let script = Script::start().await;
    let it = Trusting::start(&format!("address = \"{}\"", script.address()), "", &old.pem).await;
    let ask = "GET /svc/ HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    let mut raws = Vec::new();
    let mut providers = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(it.program.listeners()[0]).await;
        raw.say(ask).await;
        let mut provider = accept(&server, script.accept().await).await.unwrap();
        assert!(provider.read(&mut [0; 4096]).await.unwrap() > 0);
        raws.push(raw);
        providers.push(provider);
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    // One idles, the other is busy.
    providers[0].write_all(answer).await.unwrap();
    providers[0].flush().await.unwrap();
    raws[0].hear_until("hi").await;
    replace(&it.ca, &new.pem);
    it.renewed(1).await;
    assert_eq!(providers[0].read(&mut [0; 10]).await.unwrap(), 0, "it is closed, in good order");
    providers[1].write_all(answer).await.unwrap();
    providers[1].flush().await.unwrap();
    assert!(raws[1].hear_until("hi").await.starts_with("HTTP/1.1 200"));
    assert_eq!(providers[1].read(&mut [0; 10]).await.unwrap(), 0, "it takes no further request");
}

#[tokio::test]
async fn an_http2_connection_takes_no_further_streams() {
    let authority = Authority::new("one");
    let echo = Echo::secure(authority.issue("127.0.0.1").server(&["h2"])).await;
    let it = Trusting::start(&format!("{}, protocol = \"h2c\"", at(&echo)), "", &authority.pem).await;
    let mut raw = Raw::connect(it.program.listeners()[0]).await;
    raw.say("POST /svc/ HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    at_last("the stream has begun", async || echo.requests() == 1).await;
    replace(&it.ca, &format!("{}{}", authority.pem, Authority::new("other").pem));
    it.renewed(1).await;
    assert_eq!((it.status().await, echo.connections()), (StatusCode::OK, 2));
    raw.say("3\r\ndef\r\n0\r\n\r\n").await;
    let heard = raw.hear_head().await;
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    assert_eq!((it.status().await, echo.connections()), (StatusCode::OK, 2));
}

#[tokio::test]
async fn a_new_identity_is_shown_on_new_connections() {
    let authority = Authority::new("one");
    let echo =
        Echo::secure(authority.issue("127.0.0.1").server_for(&authority, &rustls::version::TLS13)).await;
    let files = Files::new();
    let write = |name: &str| {
        let us = authority.issue(name);
        replace(&files.write("us.pem", ""), &format!("{}{}", us.certificate, us.key));
    };
    write("first");
    let us = files.write("other.pem", "");
    let lines = format!("client_cert = {:?}", us.with_file_name("us.pem"));
    let it = Trusting::start(&at(&echo), &lines, &authority.pem).await;
    assert_eq!(
        (it.status().await, it.status().await, echo.connections()),
        (StatusCode::OK, StatusCode::OK, 1)
    );
    write("second");
    it.renewed(1).await;
    assert_eq!((it.status().await, echo.connections()), (StatusCode::OK, 2));
}

/// Lets a file become another in some way, and sees that it is noticed.
async fn noticed(place: impl FnOnce(&Path, &str), change: impl FnOnce(&Path, &str)) {
    let (old, new) = (Authority::new("one"), Authority::new("other"));
    let echo = Echo::secure(new.issue("127.0.0.1").server(&[])).await;
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), &old.pem);
    let lines =
        format!("\n[[service]]\nname = \"svc\"\n[service.tls]\nca = {:?}", folder.path().join("tls/ca.pem"));
    let it = Trusting::start(&at(&echo), &lines, &old.pem).await;
    assert_eq!(it.status().await, 502);
    change(folder.path(), &new.pem);
    it.renewed(1).await;
    at_last("the provider is believed", async || it.status().await == 200).await;
    assert!(it.program.logged("is wrong").is_empty(), "{}", it.program.log());
}

#[tokio::test]
async fn a_mounted_folder_that_is_swapped_is_noticed() {
    // As Kubernetes does it: files are links into a folder behind a link.
    let place = |folder: &Path, text: &str| {
        let mount = folder.join("tls");
        fs::create_dir_all(mount.join("..2026_1")).unwrap();
        fs::write(mount.join("..2026_1/ca.pem"), text).unwrap();
        symlink("..2026_1", mount.join("..data")).unwrap();
        symlink("..data/ca.pem", mount.join("ca.pem")).unwrap();
    };
    let swap = |folder: &Path, text: &str| {
        let mount = folder.join("tls");
        fs::create_dir(mount.join("..2026_2")).unwrap();
        fs::write(mount.join("..2026_2/ca.pem"), text).unwrap();
        symlink("..2026_2", mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        fs::remove_dir_all(mount.join("..2026_1")).unwrap();
    };
    noticed(place, swap).await;
}

#[tokio::test]
async fn a_file_that_is_written_anew_in_its_place_is_noticed_once_it_is_whole() {
    let place = |folder: &Path, text: &str| {
        fs::create_dir(folder.join("tls")).unwrap();
        fs::write(folder.join("tls/ca.pem"), text).unwrap();
    };
    let write = |folder: &Path, text: &str| {
        use std::io::Write as _;
        let mut file = fs::File::create(folder.join("tls/ca.pem")).unwrap();
        // Half of it, then the rest, both at the pace of a system under load.
        let (half, rest) = text.split_at(text.len() / 2);
        file.write_all(half.as_bytes()).unwrap();
        file.sync_all().unwrap();
        file.write_all(rest.as_bytes()).unwrap();
    };
    noticed(place, write).await;
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_named() {
    let (old, new) = (Authority::new("one"), Authority::new("other"));
    let echo = Echo::secure(old.issue("127.0.0.1").server(&[])).await;
    let it = Trusting::start(&at(&echo), "", &old.pem).await;
    assert_eq!(it.status().await, 200);
    for (text, cause) in [("nonsense", "there is no certificate in it"), (&new.pem[..100], "it is no PEM")] {
        replace(&it.ca, text);
        let line = it.program.logs(cause).await;
        assert!(line.contains("upstream.tls.ca") && line.contains(it.ca.to_str().unwrap()), "{line}");
        assert_eq!((it.status().await, echo.connections()), (StatusCode::OK, 1));
    }
    fs::remove_file(&it.ca).unwrap();
    it.program.logs("No such file").await;
    assert_eq!((it.status().await, echo.connections()), (StatusCode::OK, 1));
    // It is looked for until it is good again.
    replace(&it.ca, &new.pem);
    it.renewed(1).await;
    assert_eq!(it.status().await, 502);
}

#[tokio::test]
async fn what_is_the_same_as_before_makes_no_new_connections() {
    let authority = Authority::new("one");
    let echo = Echo::secure(authority.issue("127.0.0.1").server(&[])).await;
    let it = Trusting::start(&at(&echo), "", &authority.pem).await;
    assert_eq!(it.status().await, 200);
    replace(&it.ca, &authority.pem);
    it.program.logs("the configuration was read again; nothing changed").await;
    it.program.signal("HUP");
    at_last("it is read again", async || it.program.logged("nothing changed").len() == 2).await;
    let answer = get(it.program.listeners()[0], "/svc/").await;
    assert_eq!((told(&answer)["tls"]["resumed"].clone(), echo.connections()), (false.into(), 1));
}
