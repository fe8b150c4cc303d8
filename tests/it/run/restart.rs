//! Restart: the program that starts itself once more, and becomes what its supervisor looks after.

use std::process::Command;

use http::StatusCode;

use super::Place;
use super::supervised::Supervisor;
use crate::support::patience::at_last;
use crate::support::polite::Polite;
use crate::support::program::{ANY, Program, get};
use crate::support::provider::Echo;

/// A process that a test did not start itself; killed when dropped.
struct Stray(String);

impl Drop for Stray {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0]).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_by_a_signal_it_is_succeeded_by_itself() {
    let echo = Echo::start().await;
    let place = Place::with(&format!("[registry]\nurl = \"fixed:greeter={}\"\n", echo.address()));
    let supervisor = Supervisor::new();
    let (file, path) = (place.file(), supervisor.path());
    let arguments = ["run", "--listen", ANY, "--admin", ANY, "--config", file.to_str().unwrap()];
    let mut program = Program::launch(&arguments, &[("NOTIFY_SOCKET", &path)]);
    program.logs("operators are answered").await;
    let (address, admin) = (program.listeners()[0], program.admin());
    let clients = Polite::start(address, "greeter", 12);
    clients.answers(50).await;
    supervisor.hears("READY=1");
    program.signal("USR2");
    let line = program.logs("started once more, to take over").await;
    let process = line.rsplit_once("process=").unwrap().1.trim().to_owned();
    let successor = Stray(process.clone());
    // First it is told who the process is, then that one says that it is ready.
    let heard = supervisor.hears("READY=1");
    assert!(heard.contains(&format!("MAINPID={process}\n")), "{heard:?}");
    at_last("the first has ended", async || !program.is_alive()).await;
    clients.answers(100).await;
    assert_eq!(get(admin, "/readyz").await.status(), StatusCode::OK);
    let (answered, connections) = clients.finish().await;
    println!("{answered} requests on {connections} connections");
    drop(successor);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_nobody_can_succeed_says_how_to_change_that() {
    let mut program = Program::run(&["--registry", "fixed:greeter=127.0.0.1:1"]).await;
    program.signal("USR2");
    program.logs("write succession =").await;
    assert!(program.is_alive());
}
