//! The program itself, run as a process; what it logs is kept for the test to look at.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::client::Client;
use super::patience::{PATIENCE, eventually};

/// `wayside run`, alive until dropped.
pub(crate) struct Program {
    /// Where it takes requests.
    pub(crate) listener: SocketAddr,
    /// Where it answers operators.
    pub(crate) admin: SocketAddr,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Program {
    /// Follows a registry, on two free ports.
    pub(crate) async fn run(registry: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wayside"))
            .args(["run", "--registry", registry, "--workers", "2"])
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&log);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().push(line);
            }
        });
        let address = |said: &str| {
            let lines = log.lock();
            let line = lines.iter().find(|line| line.contains(said))?;
            line.split_once("address=")?.1.parse().ok()
        };
        let both = || Some((address("requests are taken")?, address("operators are answered")?));
        let (listener, admin) = eventually(PATIENCE, "it says where it listens", both).await;
        Self { listener, admin, child, log, _task: task }
    }

    /// The lines logged so far that contain this.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        self.log.lock().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Bytes of memory that are its own at present.
    pub(crate) fn resident(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// The sum of a metric over all its labels, or over those that contain `label`.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> f64 {
        let response = Client::connect(self.admin).await.get("localhost", "/metrics").await;
        let text = String::from_utf8(response.body().to_vec()).unwrap();
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            let same = labels.is_empty() || labels.starts_with('{');
            (same && labels.contains(label)).then(|| value.parse::<f64>().unwrap())
        });
        values.sum()
    }
}
