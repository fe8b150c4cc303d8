//! Real Consul agents of their own for each test, which are their own server: killed, stopped, and started again.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::client::Client;
use super::ports;

/// The longest an agent may take to serve.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Agents at a time.
static AGENTS: Semaphore = Semaphore::const_new(4);

/// Consul out of an older release's package, fetched once.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("consul-1.8");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers.sh");
    let run = Command::new(&script).arg("consul").arg(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{} consul {}: {said}", script.display(), folder.display());
    folder.join("usr/bin/consul")
});

/// The program, fetched if need be.
pub(crate) fn program() -> &'static Path {
    &PROGRAM
}

/// One agent, in memory; gone when dropped.
pub(crate) struct Consul {
    /// HTTP, the server's own, and gossip.
    ports: [u16; 3],
    /// Settings beyond the usual, as HCL.
    settings: &'static str,
    token: Option<&'static str>,
    folder: TempDir,
    process: Option<Child>,
    /// Kills the process when this one dies without dropping anything: it waits for the end of its input.
    guard: Option<Child>,
    _permit: SemaphorePermit<'static>,
}

impl Consul {
    /// An agent that everybody may ask, ready to serve.
    pub(crate) async fn start() -> Self {
        Self::start_with("", None).await
    }

    /// An agent with access control, that denies what no token allows; the test itself may do everything.
    pub(crate) async fn start_guarded() -> Self {
        let settings = "acl { enabled = true default_policy = \"deny\" tokens { master = \"root-token\" } }";
        Self::start_with(settings, Some("root-token")).await
    }

    async fn start_with(settings: &'static str, token: Option<&'static str>) -> Self {
        let permit = AGENTS.acquire().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut consul = Self {
            ports: ports::free(),
            settings,
            token,
            folder,
            process: None,
            guard: None,
            _permit: permit,
        };
        consul.run();
        consul.ready().await;
        consul
    }

    /// Starts it, with nothing of what it knew; [`Consul::ready`] waits for it.
    pub(crate) fn run(&mut self) {
        let [http, server, gossip] = self.ports;
        let settings = format!(
            "disable_update_check = true\nnode_name = \"node\"\nports {{ http = {http} server = {server} \
             serf_lan = {gossip} serf_wan = -1 grpc = -1 dns = -1 }}\n{}\n",
            self.settings
        );
        fs::write(self.folder.path().join("agent.hcl"), settings).unwrap();
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let process = Command::new(&*PROGRAM)
            .args(["agent", "-dev", "-client", "127.0.0.1", "-bind", "127.0.0.1", "-config-file"])
            .arg(self.folder.path().join("agent.hcl"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let guard = Command::new("sh")
            .args(["-c", "cat; kill -9 \"$1\"", "guard", &process.id().to_string()])
            .stdin(Stdio::piped())
            .spawn();
        self.guard = Some(guard.unwrap());
        self.process = Some(process);
    }

    /// Waits until it serves, with a leader and its own node in the catalog.
    pub(crate) async fn ready(&mut self) {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if TcpStream::connect(self.address()).await.is_ok() {
                let answer = self.ask("GET", "/v1/health/node/node", Bytes::new()).await;
                if answer.status() == 200 && answer.body().len() > 10 {
                    return;
                }
            }
            let process = self.process.as_mut().expect("the agent was started");
            let runs = process.try_wait().unwrap().is_none();
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(runs && Instant::now() < deadline, "Consul does not start:\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        // The guard first: once the process is waited for, its number may be another's.
        for mut process in self.guard.take().into_iter().chain(self.process.take()) {
            process.kill().ok();
            process.wait().ok();
        }
    }

    /// SIGSTOP: it is there, and says nothing.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("the agent runs");
        let status = Command::new("kill").args([&format!("-{signal}"), &process.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    /// Asks it for something, whatever it answers.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Bytes) -> Response<Bytes> {
        let request = Request::builder().method(method).uri(path).header("host", "agent");
        let request = request.header("x-consul-token", self.token.unwrap_or_default());
        Client::connect(self.address()).await.send(request.body(Full::from(body)).unwrap()).await
    }

    /// Has it do something.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Bytes {
        let answer = self.ask("PUT", path, body.to_string().into()).await;
        let said = String::from_utf8_lossy(answer.body()).into_owned();
        assert_eq!(answer.status(), 200, "{path}: {said}");
        answer.into_body()
    }

    /// What it knows.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, Bytes::new()).await;
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        serde_json::from_slice(answer.body()).unwrap()
    }

    /// Registers an instance, as a program beside it would.
    pub(crate) async fn register(&self, registration: &Value) {
        self.put("/v1/agent/service/register", registration).await;
    }

    /// Takes an instance out.
    pub(crate) async fn deregister(&self, id: &str) {
        self.put(&format!("/v1/agent/service/deregister/{id}"), &Value::Null).await;
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        self.kill();
    }
}
