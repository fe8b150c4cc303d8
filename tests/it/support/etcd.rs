//! Real etcd servers of their own for each test: killed, stopped, and started again with the data they have.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions, PutOptions};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::ports;

/// What to run when a server cannot be started.
const CURE: &str = "run tests/servers.sh, or: apt-get install -y --no-install-recommends etcd-server";
/// The longest a server may take to serve.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Servers at a time.
static SERVERS: Semaphore = Semaphore::const_new(4);

/// One etcd server and its data; gone when dropped.
pub(crate) struct Etcd {
    port: u16,
    peers: u16,
    arguments: Vec<String>,
    folder: TempDir,
    process: Option<Child>,
    /// Kills the process when this one dies without dropping anything: it waits for the end of its input.
    guard: Option<Child>,
    /// One for itself, or for all of a cluster.
    _permit: Arc<SemaphorePermit<'static>>,
}

impl Etcd {
    /// A server, ready to serve.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server with these arguments beside its own, ready to serve.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let permit = Arc::new(SERVERS.acquire().await.unwrap());
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut etcd = Self::new(ports::free(), arguments, permit);
        etcd.run();
        etcd.ready().await;
        etcd
    }

    /// Three servers that are one cluster, ready to serve.
    pub(crate) async fn start_cluster() -> [Self; 3] {
        let permit = Arc::new(SERVERS.acquire_many(3).await.unwrap());
        let ports: [[u16; 2]; 3] = std::array::from_fn(|_| ports::free());
        let peers: Vec<String> =
            ports.iter().map(|[port, peers]| format!("etcd-{port}=http://127.0.0.1:{peers}")).collect();
        let mut cluster = ports.map(|ports| {
            let own = ["--name".to_owned(), format!("etcd-{}", ports[0])];
            let all = ["--initial-cluster".to_owned(), peers.join(",")];
            Self::new(ports, [own, all].concat(), Arc::clone(&permit))
        });
        for etcd in &mut cluster {
            etcd.run();
        }
        for etcd in &mut cluster {
            etcd.ready().await;
        }
        cluster
    }

    fn new([port, peers]: [u16; 2], arguments: Vec<String>, permit: Arc<SemaphorePermit<'static>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { port, peers, arguments, folder, process: None, guard: None, _permit: permit }
    }

    /// Where clients find it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts the server with the data it has; [`Etcd::ready`] waits for it.
    pub(crate) fn run(&mut self) {
        let scheme =
            if self.arguments.iter().any(|argument| argument == "--cert-file") { "https" } else { "http" };
        let (own, peers) =
            (format!("{scheme}://{}", self.address()), format!("http://127.0.0.1:{}", self.peers));
        let log = fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let process = Command::new("etcd")
            .args(["--unsafe-no-fsync", "--log-level", "error", "--data-dir"])
            .arg(self.folder.path().join("data"))
            .args(["--listen-client-urls", &own, "--advertise-client-urls", &own])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("default={peers}")])
            .args(&self.arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let process = process.unwrap_or_else(|error| panic!("cannot run etcd: {error}; {CURE}"));
        let guard = Command::new("sh")
            .args(["-c", "cat; kill -9 \"$1\"", "guard", &process.id().to_string()])
            .stdin(Stdio::piped())
            .spawn();
        self.guard = Some(guard.unwrap());
        self.process = Some(process);
    }

    /// Waits until the server serves.
    pub(crate) async fn ready(&mut self) {
        let deadline = Instant::now() + START_LIMIT;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let process = self.process.as_mut().expect("the server was started");
            let runs = process.try_wait().unwrap().is_none();
            assert!(runs && Instant::now() < deadline, "etcd does not start:\n{}\n{CURE}", self.log());
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

    /// Moves the server to another port, from its next start on. Gives the one it had.
    pub(crate) fn move_to(&mut self, port: Option<u16>) -> u16 {
        std::mem::replace(&mut self.port, port.unwrap_or_else(|| ports::free::<1>()[0]))
    }

    /// Deletes what the server has written.
    pub(crate) fn forget(&mut self) {
        fs::remove_dir_all(self.folder.path().join("data")).unwrap();
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
        let process = self.process.as_ref().expect("the server runs");
        let status = Command::new("kill").args([&format!("-{signal}"), &process.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// A client of its own to write with.
    pub(crate) async fn writer(&self) -> Writer {
        self.writer_as(None).await
    }

    /// The same with these options.
    pub(crate) async fn writer_as(&self, options: Option<ConnectOptions>) -> Writer {
        let client = Client::connect([self.address()], options).await.unwrap();
        let mut writer = Writer { client };
        let deadline = Instant::now() + START_LIMIT;
        // Right behind its start, it may have no leader yet.
        while let Err(error) = writer.client.get("ready", None).await {
            assert!(Instant::now() < deadline, "etcd does not serve: {error}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        writer
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client that writes what others would have written.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) client: Client,
}

impl Writer {
    /// Writes a record that lasts. Gives the revision.
    pub(crate) async fn put(&mut self, key: &str, value: impl Into<Vec<u8>>) -> i64 {
        let answer = self.client.put(key, value, None).await.unwrap();
        answer.header().unwrap().revision()
    }

    /// Writes a record that ends with a lease of so many seconds, which nobody keeps alive. Gives the lease.
    pub(crate) async fn lease(&mut self, key: &str, value: impl Into<Vec<u8>>, seconds: i64) -> i64 {
        let lease = self.client.lease_grant(seconds, None).await.unwrap().id();
        self.client.put(key, value, Some(PutOptions::new().with_lease(lease))).await.unwrap();
        lease
    }

    /// Deletes a record.
    pub(crate) async fn delete(&mut self, key: &str) {
        let deleted = self.client.delete(key, None).await.unwrap().deleted();
        assert_eq!(deleted, 1, "{key} was not there");
    }

    /// The value of a record, and its lease.
    pub(crate) async fn get(&mut self, key: &str) -> Option<(String, i64)> {
        let answer = self.client.get(key, None).await.unwrap();
        answer.kvs().first().map(|record| (record.value_str().unwrap().to_owned(), record.lease()))
    }
}
