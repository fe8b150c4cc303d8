//! The supervisor is told: by datagrams at NOTIFY_SOCKET, as systemd reads them.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::Place;
use crate::support::patience::PATIENCE;
use crate::support::program::{ANY, Program};
use crate::support::provider::Echo;

/// What a supervisor hears.
pub(super) struct Supervisor {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Supervisor {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    pub(super) fn path(&self) -> String {
        self.folder.path().join("notify").display().to_string()
    }

    /// Waits for a message with this in it, and gives all that came until then.
    pub(super) fn hears(&self, text: &str) -> Vec<String> {
        let mut heard: Vec<String> = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let length =
                self.socket.recv(&mut buffer).unwrap_or_else(|_| panic!("no {text:?} after {heard:?}"));
            heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            if heard[heard.len() - 1].contains(text) {
                return heard;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_supervisor_is_told_of_start_reload_life_and_end() {
    let echo = Echo::start().await;
    let registry = format!("[registry]\nurl = \"fixed:greeter={}\"\n", echo.address());
    let place = Place::with(&registry);
    let supervisor = Supervisor::new();
    let (file, path) = (place.file(), supervisor.path());
    let arguments = ["run", "--listen", ANY, "--admin", ANY, "--config", file.to_str().unwrap()];
    let mut program = Program::launch(&arguments, &[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", "4000000")]);
    let begun = supervisor.hears("READY=1");
    assert!(begun.iter().all(|message| !message.contains("READY=1") || message == "READY=1\n"), "{begun:?}");
    supervisor.hears("STATUS=taking requests");
    for _ in 0..3 {
        supervisor.hears("WATCHDOG=1");
    }
    place.write(&format!("{registry}[timeouts]\nrequest = \"20s\"\n"));
    program.signal("HUP");
    let reloading = supervisor.hears("RELOADING=1").pop().unwrap();
    let time = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(Duration::from_micros(time.parse().unwrap()) > Duration::ZERO);
    supervisor.hears("READY=1");
    program.signal("TERM");
    supervisor.hears("STOPPING=1");
    assert!(program.ended().await.success(), "{}", program.log());
}

#[tokio::test]
async fn a_process_that_waits_for_its_registry_is_ready_and_says_what_it_waits_for() {
    let supervisor = Supervisor::new();
    let path = supervisor.path();
    let arguments = ["run", "--listen", ANY, "--admin", ANY, "--registry", "zookeeper://127.0.0.1:1"];
    let _program = Program::launch(&arguments, &[("NOTIFY_SOCKET", &path)]);
    supervisor.hears("READY=1");
    supervisor.hears("STATUS=waiting: the zookeeper registry at");
}
