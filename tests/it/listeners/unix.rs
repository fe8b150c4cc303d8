//! Unix sockets: both versions of HTTP over them, who may come, and what becomes of their files.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use http::Request;
use http_body_util::Full;
use tempfile::TempDir;

use super::{Front, ask, ask_http2, connect_unix};
use crate::support::client::{Client, Raw};
use crate::support::patience::at_last;
use crate::support::program::{Program, whole};
use crate::support::provider::{Echo, Script, told, told_header};

/// A folder with a path for a socket, and the address of that.
fn place() -> (TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("svc.sock");
    let address = format!("unix:{}", path.display());
    (folder, path, address)
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_over_a_file() {
    let (_folder, path, address) = place();
    let front = Front::on_socket(&address, "mode = \"0660\"\n").await;
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
    // Enough of them that both workers get some.
    for _ in 0..8 {
        assert_eq!(ask(connect_unix(&path).await).await.status(), 200);
    }
    let response = ask_http2(connect_unix(&path).await).await;
    let told = told(&response);
    // Whoever has no address has none told.
    assert_eq!(told_header(&told, "x-forwarded-for"), [""; 0]);
    assert_eq!(told_header(&told, "x-forwarded-proto"), ["http"]);
    assert_eq!((front.proxy.sockets[0].to_string(), front.proxy.listeners.len()), (address, 0));
    assert_eq!(front.echo.requests(), 9);
    drop(front);
    assert!(!path.exists(), "the file goes with the proxy");
}

#[tokio::test]
async fn what_a_client_says_of_others_stays_and_it_has_no_key() {
    let (_folder, path, address) = place();
    let section = "[[service]]\nname = \"svc\"\npolicy = \"maglev\"\nkey = \"client\"\n";
    let _front = Front::on_socket(&address, section).await;
    let request = Request::get("/").header("host", "svc").header("x-forwarded-for", "10.1.1.1");
    let mut client = Client::over(connect_unix(&path).await).await;
    let response = client.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(told_header(&told(&response), "x-forwarded-for"), ["10.1.1.1"]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "nobody else may come unless it is said");
}

#[tokio::test]
async fn a_name_without_a_file_is_listened_on() {
    use std::os::linux::net::SocketAddrExt as _;
    let name = format!("wayside-test-{}", std::process::id());
    let front = Front::on_socket(&format!("unix:@{name}"), "").await;
    let connect = || {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name)?;
        let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
        stream.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(stream)
    };
    assert_eq!(ask(connect().unwrap()).await.status(), 200);
    drop(front);
    assert!(connect().is_err());
}

#[tokio::test]
async fn an_upgraded_connection_is_half_closed() {
    let (_folder, path, address) = place();
    let script = Script::start().await;
    let registry = crate::support::registry::Told::with("svc", &[script.address()]);
    let config = super::config(&format!("[[listener]]\naddress = \"{address}\"\n"));
    let _proxy = crate::support::proxy::start(config, registry);
    let mut client = Raw::over(connect_unix(&path).await);
    super::tls::half_close(&mut client, &script).await;
    assert_eq!(client.hear_all().await, "bye");
}

/// The program with this listener in front of an echo.
async fn program(address: &str, echo: &Echo) -> Program {
    let registry = format!("fixed:svc={}", echo.address());
    let arguments = ["run", "--listen", address, "--admin", "127.0.0.1:0", "--registry", &registry];
    let program = Program::launch(&arguments, &[("WAYSIDE_LOG_LEVEL", "info")]);
    program.logs("operators are answered").await;
    program
}

#[tokio::test]
async fn a_socket_of_a_process_that_died_gives_way_and_one_that_lives_does_not() {
    let (_folder, path, address) = place();
    let echo = Echo::start().await;
    let mut first = program(&address, &echo).await;
    let line = first.logs("requests are taken").await;
    assert!(line.ends_with(&format!("address={address}")), "{line}");
    assert_eq!(ask(connect_unix(&path).await).await.status(), 200);
    let registry = format!("fixed:svc={}", echo.address());
    let run =
        |address: &str| whole(&["run", "--registry", &registry, "--listen", address, "--admin", "off"], &[]);
    let (code, _, complaint) = run(&address);
    assert_eq!(code, 1);
    for part in [&format!("cannot listen on {address}"), "another program answers there", "ss -lxp"] {
        assert!(complaint.contains(part), "{part} in {complaint}");
    }
    assert_eq!(ask(connect_unix(&path).await).await.status(), 200, "it is left alone");
    first.signal("KILL");
    first.ended().await;
    assert!(path.exists());
    let mut second = program(&address, &echo).await;
    assert_eq!(ask(connect_unix(&path).await).await.status(), 200);
    second.signal("TERM");
    assert_eq!(second.ended().await.code(), Some(0));
    assert!(!path.exists());
    // What else is there is nobody's to remove.
    fs::write(&path, "precious").unwrap();
    let (code, _, complaint) = run(&address);
    assert!(code == 1 && complaint.contains("no socket") && complaint.contains("ls -l"), "{complaint}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let (code, _, complaint) = run(&format!("unix:{}/missing/a.sock", path.parent().unwrap().display()));
    assert!(code == 1 && complaint.contains("mkdir -p"), "{complaint}");
}

#[tokio::test]
async fn the_socket_of_the_next_process_is_not_removed_by_the_one_before() {
    let (_folder, path, address) = place();
    let script = Script::start().await;
    let registry = format!("fixed:svc={}", script.address());
    let mut first = Program::launch(
        &["run", "--listen", &address, "--admin", "127.0.0.1:0", "--registry", &registry],
        &[],
    );
    first.logs("operators are answered").await;
    let mut client = Raw::over(connect_unix(&path).await);
    client.say("GET / HTTP/1.1\r\nhost: svc\r\n\r\n").await;
    let mut known = Vec::new();
    let (_, at) = script.hear_head(&mut known).await;
    first.signal("TERM");
    at_last("it takes no more", async || !path.exists()).await;
    // While the old one still finishes what runs, the new one takes its place.
    let echo = Echo::start().await;
    let _second = program(&address, &echo).await;
    known[at].say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
    let heard = client.hear_all().await;
    assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("late"), "{heard}");
    assert_eq!(first.ended().await.code(), Some(0), "{}", first.log());
    assert_eq!(ask(connect_unix(&path).await).await.status(), 200);
}

#[tokio::test]
async fn check_config_and_reload_know_sockets() {
    let (folder, _, address) = place();
    let echo = Echo::start().await;
    let file = folder.path().join("wayside.toml");
    let text = |mode: &str| {
        format!(
            "[registry]\nurl = \"fixed:svc={}\"\n[access_log]\nenabled = true\n[[listener]]\naddress = \"{address}\"\nmode = \"{mode}\"\n",
            echo.address()
        )
    };
    fs::write(&file, text("0660")).unwrap();
    let (code, said, _) = whole(&["check", file.to_str().unwrap()], &[]);
    assert!(code == 0 && said.contains(&format!("listens on {address}")), "{said}");
    let program =
        Program::launch(&["run", "--config", file.to_str().unwrap(), "--admin", "127.0.0.1:0"], &[]);
    program.logs("operators are answered").await;
    assert_eq!(ask(connect_unix(&folder.path().join("svc.sock")).await).await.status(), 200);
    let line = program.says(" svc ").await;
    assert!(line.contains(" unix GET / svc "), "{line}");
    let shown = program.ask("/config").await;
    let shown = String::from_utf8_lossy(shown.body()).into_owned();
    assert!(
        shown.contains(&format!("address = \"{address}\"")) && shown.contains("mode = \"0660\""),
        "{shown}"
    );
    fs::write(&file, text("0666")).unwrap();
    program.signal("HUP");
    let line = program.logs("these changes take effect at the next start").await;
    assert!(line.contains("listener"), "{line}");
}
