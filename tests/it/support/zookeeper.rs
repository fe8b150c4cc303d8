//! Real ZooKeeper servers of their own for each test: alone or in an ensemble, killed, stopped and started again.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use zookeeper_client::{Acls, Client, CreateMode, Error};

use super::ports;

/// What to run when a server cannot be started.
const CURE: &str =
    "run tests/servers.sh, or: apt-get install -y --no-install-recommends zookeeper default-jre-headless";
/// The longest a server may take to serve.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Servers at a time: each is a Java machine of up to 256 MiB.
static SERVERS: Semaphore = Semaphore::const_new(4);

/// The releases that tests run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// The machine's own package.
    Installed,
    /// The last before 3.5: no recursive watches, no reading of many.
    V3_4,
}

/// One ZooKeeper server and its data, gone when dropped.
pub(crate) struct Server {
    port: u16,
    /// All settings but the port.
    settings: String,
    folder: PathBuf,
    class_path: String,
    process: Option<Child>,
    /// Kills the process when this one dies without dropping anything: it waits for the end of its input.
    guard: Option<Child>,
}

/// A server alone, or several that form an ensemble; all gone when dropped.
pub(crate) struct ZooKeeper {
    pub(crate) servers: Vec<Server>,
    _folder: TempDir,
    _permit: SemaphorePermit<'static>,
}

impl ZooKeeper {
    /// A server alone, ready to serve.
    pub(crate) async fn start() -> Self {
        Self::start_release(Release::Installed).await
    }

    /// A server of that release alone, ready to serve.
    pub(crate) async fn start_release(release: Release) -> Self {
        Self::start_all(1, release).await
    }

    /// An ensemble of three, ready to serve.
    pub(crate) async fn start_ensemble() -> Self {
        Self::start_all(3, Release::Installed).await
    }

    async fn start_all(count: usize, release: Release) -> Self {
        let permits = u32::try_from(count).unwrap();
        let permit = SERVERS.acquire_many(permits).await.unwrap();
        let class_path = class_path(release);
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<[u16; 3]> = (0..count).map(|_| ports::free()).collect();
        let mut peers = String::new();
        if count > 1 {
            peers.push_str("initLimit=20\nsyncLimit=10\n");
            for (number, [_, quorum, election]) in ports.iter().enumerate() {
                peers.push_str(&format!("server.{}=127.0.0.1:{quorum}:{election}\n", number + 1));
            }
        }
        let mut servers = Vec::new();
        for (number, [port, _, _]) in ports.into_iter().enumerate() {
            let folder = folder.path().join((number + 1).to_string());
            fs::create_dir_all(folder.join("data")).unwrap();
            fs::write(folder.join("data/myid"), (number + 1).to_string()).unwrap();
            let data = folder.join("data");
            let settings = format!(
                "tickTime=200\ndataDir={}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
                 admin.enableServer=false\n4lw.commands.whitelist=*\nminSessionTimeout=1000\nmaxSessionTimeout=60000\n{peers}",
                data.display()
            );
            let mut server =
                Server { port, settings, folder, class_path: class_path.clone(), process: None, guard: None };
            server.start();
            servers.push(server);
        }
        for server in &mut servers {
            server.ready().await;
        }
        Self { servers, _folder: folder, _permit: permit }
    }

    /// All addresses, as a URL takes them.
    pub(crate) fn addresses(&self) -> String {
        let all: Vec<String> = self.servers.iter().map(Server::address).collect();
        all.join(",")
    }

    /// The only server, or the first of several.
    pub(crate) fn server(&mut self) -> &mut Server {
        &mut self.servers[0]
    }

    /// The index of the leader.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.servers
            .iter()
            .position(|server| server.ask("srvr").is_some_and(|answer| answer.contains("Mode: leader")))
    }

    /// A client of its own to write with.
    pub(crate) async fn writer(&self) -> Writer {
        Writer::connect(&self.addresses()).await
    }
}

impl Server {
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts the server with the data it has; [`Server::ready`] waits for it.
    pub(crate) fn start(&mut self) {
        let settings = format!("clientPort={}\n{}", self.port, self.settings);
        fs::write(self.folder.join("zoo.cfg"), settings).unwrap();
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let process = Command::new("java")
            .args([
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Dzookeeper.jmx.log4j.disable=true",
            ])
            .args(["-Dzookeeper.admin.enableServer=false", "-Dzookeeper.4lw.commands.whitelist=*"])
            .args([
                "-Dzookeeper.forceSync=no",
                "-Dzookeeper.extendedTypesEnabled=true",
                "-Dznode.container.checkIntervalMs=500",
                "-cp",
                &self.class_path,
            ])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(self.folder.join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let process = process.unwrap_or_else(|error| panic!("cannot run java: {error}; {CURE}"));
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
        while !self.ask("srvr").is_some_and(|answer| answer.contains("Mode:")) {
            let process = self.process.as_mut().expect("the server was started");
            let runs = process.try_wait().unwrap().is_none();
            assert!(runs && Instant::now() < deadline, "ZooKeeper does not start:\n{}\n{CURE}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Moves the server to another port, from its next start on. Gives the one it had.
    pub(crate) fn move_to(&mut self, port: Option<u16>) -> u16 {
        std::mem::replace(&mut self.port, port.unwrap_or_else(|| ports::free::<1>()[0]))
    }

    /// Deletes what the server has written: its data, and its sessions.
    pub(crate) fn forget(&mut self) {
        fs::remove_dir_all(self.folder.join("data")).unwrap();
        fs::create_dir_all(self.folder.join("data")).unwrap();
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
        let process = self.process.as_ref().expect("the server runs");
        let status = Command::new("kill").args([&format!("-{signal}"), &process.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// The answer to a four-letter word, if it comes within a second.
    pub(crate) fn ask(&self, word: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Recursive watches in force, of all clients.
    pub(crate) fn watches(&self) -> i64 {
        // The server keeps each among those of data, and among those of children.
        self.number("zk_watch_count") / 2
    }

    /// A number of `mntr`.
    pub(crate) fn number(&self, key: &str) -> i64 {
        let answer = self.ask("mntr").unwrap_or_default();
        let line = answer.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        line.unwrap_or_else(|| panic!("no {key} in {answer}"))
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where the release's classes lie.
fn class_path(release: Release) -> String {
    let jars = match release {
        Release::Installed => [
            "/usr/share/java/zookeeper-jute.jar".into(),
            "/usr/share/java/zookeeper.jar".into(),
            "/usr/share/java/slf4j-simple.jar".into(),
        ]
        .to_vec(),
        Release::V3_4 => V3_4_JARS.clone(),
    };
    for jar in &jars {
        assert!(jar.exists(), "{} is missing; {CURE}", jar.display());
    }
    jars.iter().map(|jar: &PathBuf| jar.display().to_string()).collect::<Vec<_>>().join(":")
}

/// ZooKeeper 3.4 out of an older release's package, fetched once.
static V3_4_JARS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("zookeeper-3.4");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers.sh");
    let run = Command::new(&script).arg("zookeeper-3.4").arg(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{} zookeeper-3.4 {}: {said}", script.display(), folder.display());
    let own = folder.join("usr/share/java/zookeeper.jar");
    let beside = ["slf4j-api.jar", "slf4j-simple.jar", "log4j-1.2.jar"]
        .map(|jar| Path::new("/usr/share/java").join(jar));
    [own].into_iter().chain(beside).collect()
});

/// A client that writes what others would have written.
pub(crate) struct Writer {
    pub(crate) client: Client,
}

impl Writer {
    /// Connects, however long the servers take.
    pub(crate) async fn connect(cluster: &str) -> Self {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let connector = Client::connector()
                .with_server_version(3, 4, 13)
                .with_session_timeout(Duration::from_secs(20))
                .with_connection_timeout(Duration::from_secs(2));
            match connector.connect(cluster).await {
                Ok(client) => return Self { client },
                Err(error) => assert!(Instant::now() < deadline, "cannot write to {cluster}: {error}"),
            }
        }
    }

    /// Writes a node, new or not, and the folders above it.
    pub(crate) async fn put(&self, path: &str, data: impl AsRef<[u8]>) {
        let data = data.as_ref();
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        if let Some((above, _)) = path.rsplit_once('/')
            && !above.is_empty()
        {
            self.client.mkdir(above, &options).await.unwrap();
        }
        match self.client.create(path, data, &options).await {
            Ok(_) => {}
            Err(Error::NodeExists) => drop(self.client.set_data(path, data, None).await.unwrap()),
            Err(error) => panic!("cannot write {path}: {error}"),
        }
    }

    /// Deletes a node.
    pub(crate) async fn delete(&self, path: &str) {
        self.client.delete(path, None).await.unwrap();
    }
}
