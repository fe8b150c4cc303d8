//! Real Redis servers of their own for each test, which keep nothing; and what Redis' own clients say of them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::ports;

/// What to run when a server cannot be started.
const CURE: &str =
    "run tests/servers.sh, or: apt-get install -y --no-install-recommends redis-server redis-tools";
/// The longest a server may take to serve.
const START_LIMIT: Duration = Duration::from_secs(60);

/// One Redis server; gone when dropped.
pub(crate) struct Redis {
    pub(crate) port: u16,
    process: Option<Child>,
    /// Kills the process when this one dies without dropping anything: it waits for the end of its input.
    guard: Option<Child>,
}

impl Redis {
    /// A server, ready to serve.
    pub(crate) async fn start() -> Self {
        let [port] = ports::free();
        let mut process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--protected-mode", "no", "--daemonize", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run redis-server: {error}; {CURE}"));
        let guard = Command::new("sh")
            .args(["-c", "cat; kill -9 \"$1\"", "guard", &process.id().to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + START_LIMIT;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let runs = process.try_wait().unwrap().is_none();
            assert!(runs && Instant::now() < deadline, "redis-server does not start; {CURE}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { port, process: Some(process), guard: Some(guard) }
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        // The guard first: once the process is waited for, its number may be another's.
        for mut process in self.guard.take().into_iter().chain(self.process.take()) {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a client of Redis against a port: whether it succeeded, and what it said.
pub(crate) async fn client(program: &str, port: u16, arguments: &[&str]) -> (bool, String) {
    let port = port.to_string();
    let mut command = tokio::process::Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &port]).args(arguments).kill_on_drop(true);
    let output = tokio::time::timeout(START_LIMIT, command.output()).await.expect("the client ends");
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}; {CURE}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
}
