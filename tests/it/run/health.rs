//! `wayside health`: what it says, and with which code it ends.

use tokio::net::TcpListener;

use crate::support::ports;
use crate::support::program::{ANY, Program, whole};

fn health(admin: &str, more: &[&str]) -> (i32, String, String) {
    whole(&[&["health", "--admin", admin], more].concat(), &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_tells_who_is_well_ready_or_gone() {
    let mut program = Program::run(&["--registry", "fixed:greeter=127.0.0.1:1"]).await;
    let admin = program.admin().to_string();
    assert_eq!(health(&admin, &[]), (0, "well\n".to_owned(), String::new()));
    assert_eq!(health(&admin, &["--ready"]), (0, "ready\n".to_owned(), String::new()));
    let (code, said, _) = whole(&["health"], &[("WAYSIDE_ADMIN", &admin)]);
    assert_eq!((code, said.as_str()), (0, "well\n"), "the variable of `wayside run` names it");
    program.signal("TERM");
    assert!(program.ended().await.success());
    let (code, said, complaint) = health(&admin, &[]);
    assert_eq!((code, said.as_str()), (1, ""), "{complaint}");
    assert!(complaint.contains(&format!("no Wayside listens at {admin}")), "{complaint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_for_its_registry_is_well_and_not_ready() {
    let program = Program::run(&["--registry", "zookeeper://127.0.0.1:1"]).await;
    let admin = program.admin().to_string();
    assert_eq!(health(&admin, &[]).0, 0);
    let (code, _, complaint) = health(&admin, &["--ready"]);
    assert_eq!(code, 1, "{complaint}");
    assert!(complaint.starts_with("wayside: not ready: the zookeeper registry at"), "{complaint}");
    let (code, _, complaint) = health(&admin, &["--ready", "--wait", "300ms"]);
    assert_eq!((code, complaint.matches("not ready").count()), (1, 1), "{complaint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_told_once_it_is_there() {
    let [port] = ports::free();
    let admin = format!("127.0.0.1:{port}");
    let asked = admin.clone();
    let waiting = tokio::task::spawn_blocking(move || health(&asked, &["--ready", "--wait", "1m"]));
    let _program = Program::launch(
        &["run", "--listen", ANY, "--admin", &admin, "--registry", "fixed:a=127.0.0.1:1"],
        &[],
    );
    assert_eq!(waiting.await.unwrap(), (0, "ready\n".to_owned(), String::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_not_wait_for_long() {
    let silent = TcpListener::bind(ANY).await.unwrap();
    let admin = silent.local_addr().unwrap().to_string();
    let (code, _, complaint) = health(&admin, &["--timeout", "200ms"]);
    assert_eq!(code, 1, "{complaint}");
    assert!(complaint.contains("nothing came within 200ms"), "{complaint}");
    let (code, _, complaint) = health(&admin, &["--timeout", "soon"]);
    assert_eq!(code, 2, "{complaint}");
    assert!(complaint.contains("write one such as 2s"), "{complaint}");
}
