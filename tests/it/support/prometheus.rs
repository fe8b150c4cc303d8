//! A real Prometheus of its own for a test, and its checker.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use super::{ports, program};

/// What to run when it cannot be started.
const CURE: &str = "run tests/servers.sh, or: apt-get install -y --no-install-recommends prometheus";
/// The longest it may take to serve.
const START_LIMIT: Duration = Duration::from_secs(60);

/// One Prometheus; gone when dropped.
pub(crate) struct Prometheus {
    port: u16,
    process: Child,
    /// Kills the process when this one dies without dropping anything: it waits for the end of its input.
    guard: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// One that has this configuration, ready to answer.
    pub(crate) async fn start(configuration: &str) -> Self {
        let [port] = ports::free();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, configuration).unwrap();
        let mut process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--enable-feature=exemplar-storage")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run prometheus: {error}; {CURE}"));
        let guard = Command::new("sh")
            .args(["-c", "cat; kill -9 \"$1\"", "guard", &process.id().to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + START_LIMIT;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let runs = process.try_wait().unwrap().is_none();
            assert!(runs && Instant::now() < deadline, "prometheus does not start; {CURE}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { port, process, guard, _folder: folder }
    }

    /// What it answers to a query now: the samples, each with its labels and its value.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        self.ask("query", expression, "").await.as_array().cloned().unwrap_or_default()
    }

    /// The exemplars that it has of a series.
    pub(crate) async fn exemplars(&self, series: &str) -> Vec<Value> {
        let data = self.ask("query_exemplars", series, "&start=0&end=9999999999").await;
        data.as_array().cloned().unwrap_or_default()
    }

    async fn ask(&self, what: &str, expression: &str, more: &str) -> Value {
        let expression = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let path = format!("/api/v1/{what}?query={expression}{more}");
        let answer = program::get(([127, 0, 0, 1], self.port).into(), &path).await;
        // While it starts, it says so in words.
        let answer: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        assert_ne!(answer["status"], "error", "{answer}");
        if what == "query" { answer["data"]["result"].clone() } else { answer["data"].clone() }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The guard first: once the process is waited for, its number may be another's.
        for process in [&mut self.guard, &mut self.process] {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

/// Has the checker look at a file, and panics with its words where it is not content.
pub(crate) fn checked(arguments: &[&str], file: &Path) {
    let output = Command::new("promtool").args(arguments).arg(file).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run promtool: {error}; {CURE}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// What the checker has to say of metrics in the text format; nothing is good.
pub(crate) fn complaints(metrics: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metrics");
    std::fs::write(&file, metrics).unwrap();
    let input = Stdio::from(std::fs::File::open(&file).unwrap());
    let output = Command::new("promtool").args(["check", "metrics"]).stdin(input).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run promtool: {error}; {CURE}"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { said } else { format!("refused: {said}") }
}
