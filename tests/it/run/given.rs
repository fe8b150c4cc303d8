//! Sockets that the process is given, as systemd passes them.

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use http::StatusCode;

use crate::support::client::Raw;
use crate::support::program::{ANY, Program, get};
use crate::support::provider::Echo;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_systemd_are_listened_on_by_address_and_by_name() {
    let echo = Echo::start().await;
    let (requests, admin) = (TcpListener::bind(ANY).unwrap(), TcpListener::bind(ANY).unwrap());
    let (address, operators) = (requests.local_addr().unwrap(), admin.local_addr().unwrap());
    // Somebody is there before the process is.
    let mut early = Raw::connect(address).await;
    early.say("GET / HTTP/1.1\r\nhost: greeter\r\n\r\n").await;
    let (registry, listen) = (format!("fixed:greeter={}", echo.address()), address.to_string());
    let arguments = ["run", "--registry", &registry, "--listen", &listen, "--workers", "2"];
    let mut program =
        Program::launch_given(&arguments, [OwnedFd::from(requests), OwnedFd::from(admin)], "requests:admin");
    program.logs("operators are answered").await;
    assert_eq!((program.listeners(), program.admin()), (vec![address], operators));
    assert!(early.hear_head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(get(operators, "/healthz").await.status(), StatusCode::OK);
    for _ in 0..8 {
        let mut client = Raw::connect(address).await;
        client.say("GET / HTTP/1.1\r\nhost: greeter\r\n\r\n").await;
        assert!(client.hear_head().await.starts_with("HTTP/1.1 200"));
    }
    drop(early);
    program.signal("TERM");
    assert!(program.ended().await.success(), "{}", program.log());
}

#[tokio::test]
async fn a_socket_that_no_listener_is_for_is_told_of() {
    let (one, other) = (TcpListener::bind(ANY).unwrap(), TcpListener::bind(ANY).unwrap());
    let (address, unclaimed) = (one.local_addr().unwrap().to_string(), other.local_addr().unwrap());
    let arguments = ["run", "--registry", "fixed:greeter=127.0.0.1:1", "--listen", &address, "--admin", ANY];
    let mut program = Program::launch_given(&arguments, [OwnedFd::from(one), OwnedFd::from(other)], "a:b");
    assert_eq!(program.ended().await.code(), Some(1));
    let log = program.log();
    assert!(log.contains(&format!("passes a socket on {unclaimed}")), "{log}");
    assert!(log.contains(&format!("write a [[listener]] with address = \"{unclaimed}\"")), "{log}");
}
