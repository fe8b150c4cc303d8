//! A process that may open no more files: it says so, once and not for each request, and goes on when it may again.

use http::StatusCode;

use crate::support::client::Client;
use crate::support::patience::at_last;
use crate::support::program::Program;
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
