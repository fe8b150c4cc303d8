//! The program itself, started as a process: what it says, what it answers, how it ends.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Command as Now, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::client::Client;
use super::container::Container;
use super::patience::eventually;

/// How long a process may take for anything on a busy machine before a test fails.
const LIMIT: Duration = Duration::from_secs(30);

/// The program: the one that was built with the tests, or what `WAYSIDE_TEST_PROGRAM` names, so that what is promised can be measured
/// on a release build.
pub(crate) fn binary() -> String {
    std::env::var("WAYSIDE_TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_wayside").to_owned())
}

/// Any free port of loopback, as an argument.
pub(crate) const ANY: &str = "127.0.0.1:0";

/// A process of the program; killed when dropped.
pub(crate) struct Program {
    child: Child,
    /// What it wrote to standard error, where the log goes.
    log: Arc<Mutex<String>>,
    /// What it wrote to standard output.
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts it with these arguments and nothing in its environment but these variables.
    pub(crate) fn launch(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments).env_clear().envs(variables.iter().copied());
        Self::spawn(command)
    }

    /// Starts it with these arguments, where it may have `soft` files open, and ask for `hard`.
    pub(crate) fn launch_within(arguments: &[&str], soft: u64, hard: u64) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -S -n {soft}; ulimit -H -n {hard}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, &binary()]).args(arguments);
        Self::spawn(command)
    }

    /// Starts it with these arguments in a container, if there is one.
    pub(crate) fn launch_in(arguments: &[&str], container: Option<&Container>) -> Self {
        let mut command = Command::new("sh");
        let doors = container.map(Container::doors).unwrap_or_default();
        let enter = doors.iter().map(|door| format!("echo $$ >'{}' && ", door.display()));
        let script = format!("{}exec \"$0\" \"$@\"", enter.collect::<String>());
        command.args(["-c", &script, &binary()]).args(arguments);
        Self::spawn(command)
    }

    /// Starts it with these arguments, given two sockets by these names as systemd does.
    pub(crate) fn launch_given(arguments: &[&str], sockets: [OwnedFd; 2], names: &str) -> Self {
        let mut command = Command::new("sh");
        let script = "exec 3<&0 4<&1 0</dev/null 1>&2; \
                      LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=$1; shift; export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; \
                      exec \"$0\" \"$@\"";
        let [first, second] = sockets;
        command.args(["-c", script, &binary(), names]).args(arguments).stdin(first).stdout(second);
        Self::started(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self::started(command)
    }

    fn started(mut command: Command) -> Self {
        command.stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (log, output) = (Arc::default(), Arc::default());
        let mut readers = vec![collect(child.stderr.take().unwrap(), Arc::clone(&log))];
        readers.extend(child.stdout.take().map(|stdout| collect(stdout, Arc::clone(&output))));
        Self { child, log, output, readers }
    }

    /// `wayside run` with these arguments on free ports, once it takes requests and answers operators.
    pub(crate) async fn run(arguments: &[&str]) -> Self {
        let arguments = [&["run", "--listen", ANY, "--admin", ANY], arguments].concat();
        let program = Self::launch(&arguments, &[]);
        program.logs("operators are answered").await;
        program
    }

    /// `wayside run` with this in its file, once it takes requests and answers operators.
    pub(crate) async fn configured(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wayside.toml");
        std::fs::write(&file, text).unwrap();
        Self::run(&["--config", file.to_str().unwrap()]).await
    }

    /// All that it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// All that it wrote to standard output so far.
    pub(crate) fn output(&self) -> String {
        self.output.lock().clone()
    }

    /// Waits until it has logged a text; gives the first line with it.
    pub(crate) async fn logs(&self, text: &str) -> String {
        self.line("the log", text, || self.log()).await
    }

    /// Waits until it has written a text to standard output; gives the first line with it.
    pub(crate) async fn says(&self, text: &str) -> String {
        self.line("the output", text, || self.output()).await
    }

    async fn line(&self, place: &str, text: &str, read: impl Fn() -> String) -> String {
        let find = || read().lines().find(|line| line.contains(text)).map(str::to_owned);
        eventually(LIMIT, &format!("{text:?} in {place}"), find).await
    }

    /// The addresses on which it takes requests, as it logged them.
    pub(crate) fn listeners(&self) -> Vec<SocketAddr> {
        logged_addresses(&self.log(), "requests are taken")
    }

    /// The address on which it answers operators, as it logged it.
    pub(crate) fn admin(&self) -> SocketAddr {
        logged_addresses(&self.log(), "operators are answered")[0]
    }

    /// Asks admin for a path.
    pub(crate) async fn ask(&self, path: &str) -> Response<Bytes> {
        get(self.admin(), path).await
    }

    /// Asks admin for a path; its JSON.
    pub(crate) async fn ask_json(&self, path: &str) -> Value {
        let response = self.ask(path).await;
        serde_json::from_slice(response.body()).unwrap_or_else(|_| panic!("no JSON: {response:?}"))
    }

    /// Sends it a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().expect("a process that was not waited for").to_string();
        assert!(Now::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Lets it have so many files open from now on, or with `None` as many as this process may.
    pub(crate) fn may_open(&self, files: Option<u64>) {
        let id = self.child.id().expect("a process that was not waited for");
        let limit = Rlimit { current: files, ..getrlimit(Resource::Nofile) };
        let current = limit.current.or(limit.maximum);
        prlimit(Pid::from_raw(id.cast_signed()), Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    }

    /// The lines logged so far that contain this.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        self.log.lock().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Bytes of memory that are its own at present.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("RssAnon:")
    }

    /// The same, with what of files is mapped, its own code for the most part.
    pub(crate) fn resident_whole(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that this ever was.
    pub(crate) fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, kind: &str) -> u64 {
        let id = self.child.id().expect("a process that was not waited for");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(kind)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// How many files it may have open now.
    pub(crate) fn files(&self) -> u64 {
        let id = self.child.id().expect("a process that was not waited for");
        let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Processor time used so far, to a hundredth of a second.
    pub(crate) fn processor_time(&self) -> Duration {
        let id = self.child.id().expect("a process that was not waited for");
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        // Behind the name, which may hold anything: its own time and the system's for it, 100 ticks a second.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// The sum of a metric over all its labels, or over those that contain `label`.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> f64 {
        let text = text(&self.ask("/metrics").await);
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            let same = labels.is_empty() || labels.starts_with('{');
            (same && labels.contains(label)).then(|| value.parse::<f64>().unwrap())
        });
        values.sum()
    }

    /// Waits until it has ended, and everything it wrote is there; how it ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let waited = tokio::time::timeout(LIMIT, self.child.wait()).await;
        let status = waited.unwrap_or_else(|_| panic!("it goes on:\n{}", self.log())).unwrap();
        for reader in self.readers.drain(..) {
            reader.await.unwrap();
        }
        status
    }
}

fn collect(from: impl AsyncRead + Send + Unpin + 'static, to: Arc<Mutex<String>>) -> JoinHandle<()> {
    let mut lines = BufReader::new(from).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let mut text = to.lock();
            text.push_str(&line);
            text.push('\n');
        }
    })
}

fn logged_addresses(log: &str, what: &str) -> Vec<SocketAddr> {
    let lines = log.lines().filter(|line| line.contains(what));
    // A Unix socket is none.
    lines.filter_map(|line| line.rsplit_once("address=").unwrap().1.trim().parse().ok()).collect()
}

/// Asks an address for a path, by its number.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Response<Bytes> {
    request(address, "GET", path, "").await
}

/// Sends an address a request of its own connection.
pub(crate) async fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> Response<Bytes> {
    let request = Request::builder().method(method).uri(path).header("host", address.to_string());
    let body = Full::from(body.to_owned());
    Client::connect(address).await.send(request.body(body).unwrap()).await
}

/// The text of an answer.
pub(crate) fn text(response: &Response<Bytes>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

/// Runs it to its end: its exit code, what it said, and what it complained of.
pub(crate) fn whole(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = assert_cmd::Command::new(binary());
    let command = command.args(arguments).env_clear().envs(variables.iter().copied()).timeout(LIMIT);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = status.code().unwrap_or_else(|| panic!("it was killed: {status}"));
    (code, text(stdout), text(stderr))
}
