//! Files that the process may have open: as many as it can ask for; and where there are no more it says so, and goes on later.

use http::StatusCode;

use crate::support::client::Client;
use crate::support::patience::at_last;
use crate::support::program::{ANY, Program};
use crate::support::provider::Echo;

#[tokio::test]
async fn without_files_for_connections_it_says_so_and_recovers() {
    let echo = Echo::start().await;
    let mut program = Program::run(&["--registry", &format!("fixed:greeter={}", echo.address())]).await;
    let address = program.listeners()[0];
    let mut client = Client::connect(address).await;
    // It has the connection when it has answered something on it, and none to the provider yet.
    assert_ne!(client.get("nobody", "/").await.status(), StatusCode::OK);
    program.may_open(Some(3));
    for _ in 0..20 {
        let refused = client.get("greeter", "/").await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
        let told = refused.headers()["proxy-status"].to_str().unwrap();
        assert!(told.contains("details=\"lacking\""), "{told}");
    }
    let said = program.logged("as many files open as a process may (ulimit -n)");
    assert_eq!(said.len(), 1, "{said:#?}");
    // Whoever connects now waits until it can be accepted.
    let late = tokio::spawn(async move { Client::connect(address).await.get("greeter", "/").await });
    program.logs("cannot accept connections for the moment").await;
    assert!(program.is_alive());
    program.may_open(None);
    assert_eq!(late.await.unwrap().status(), StatusCode::OK);
    at_last("the other is answered as well", async || client.get("greeter", "/").await.status() == 200).await;
}

#[tokio::test]
async fn it_asks_for_as_many_as_it_may_have_and_says_when_they_are_few() {
    let run = ["run", "--listen", ANY, "--admin", ANY, "--registry", "fixed:greeter=127.0.0.1:1"];
    let program = Program::launch_within(&run, 256, 4096);
    program.logs("operators are answered").await;
    assert_eq!(program.files(), 4096);
    let told = program.logs("as many files open as limits.connections needs").await;
    assert!(told.contains("files=4096") && told.contains("wanted=20128"), "{told}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[limits]\nconnections = 1980").unwrap();
    let program =
        Program::launch_within(&[&run[..], &["--config", file.path().to_str().unwrap()]].concat(), 256, 4096);
    program.logs("operators are answered").await;
    assert_eq!((program.files(), program.logged("limits.connections needs")), (4096, Vec::new()));
}
