//! The access log while it is moved away, and while it is asked for otherwise: no line is lost.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::patience::{PATIENCE, eventually};
use crate::support::program::{Program, request};
use crate::support::provider::Echo;

/// A program whose access log is in a folder, and whose file may be rewritten.
struct Logging {
    program: Program,
    echo: Echo,
    folder: tempfile::TempDir,
}

impl Logging {
    async fn start(settings: &str) -> Self {
        let (echo, folder) = (Echo::start().await, tempfile::tempdir().unwrap());
        let file = folder.path().join("wayside.toml");
        fs::write(&file, Self::text(&echo, folder.path(), settings)).unwrap();
        let program = Program::run(&["--config", file.to_str().unwrap()]).await;
        Self { program, echo, folder }
    }

    fn text(echo: &Echo, folder: &Path, settings: &str) -> String {
        let path = folder.join("access.log");
        format!(
            "[registry]\nurl = \"fixed:greeter={}\"\n[access_log]\nenabled = true\npath = \"{}\"\n{settings}\n",
            echo.address(),
            path.display()
        )
    }

    /// Has the file say something else, and waits until that is in force.
    async fn reload(&self, settings: &str, told: &str) {
        let before = self.program.logged(told).len();
        fs::write(self.path("wayside.toml"), Self::text(&self.echo, self.folder.path(), settings)).unwrap();
        self.program.signal("HUP");
        let is_told = || (self.program.logged(told).len() > before).then_some(());
        eventually(PATIENCE, "the reload is told", is_told).await;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    async fn get(&self, path: &str) {
        let answer = request(self.program.listeners()[0], "GET", &format!("/greeter/{path}"), "").await;
        assert_eq!(answer.status(), 200);
    }

    async fn written(&self, name: &str, text: &str) {
        let is_there = || self.read(name).contains(text).then_some(());
        eventually(PATIENCE, &format!("{text} in {name}"), is_there).await;
    }
}

#[tokio::test]
async fn a_log_that_is_moved_away_goes_on_in_a_new_file() {
    let mut log = Logging::start("").await;
    log.get("first").await;
    log.written("access.log", "/greeter/first").await;
    fs::rename(log.path("access.log"), log.path("access.log.1")).unwrap();
    // Nobody has to say anything.
    log.get("second").await;
    log.written("access.log", "/greeter/second").await;
    assert!(!log.read("access.log.1").contains("/second") && !log.read("access.log").contains("/first"));
    // Who says it by USR1 or HUP, as to other programs, finds the new file at once.
    for signal in ["USR1", "HUP"] {
        fs::rename(log.path("access.log"), log.path("access.log.2")).unwrap();
        log.program.signal(signal);
        eventually(PATIENCE, "a new file", || log.path("access.log").exists().then_some(())).await;
        assert!(log.program.is_alive());
    }
    log.get("last").await;
    log.program.signal("TERM");
    assert_eq!(log.program.ended().await.code(), Some(0));
    assert!(log.read("access.log").contains("/greeter/last"));
}

#[tokio::test]
async fn what_a_line_has_changes_with_the_configuration() {
    let log = Logging::start("").await;
    log.get("usual").await;
    log.written("access.log", "/greeter/usual").await;
    let fields = "fields = [\"status\", \"target\", \"agent=request:user-agent\", \"response:content-length\", \"env=text:prod\"]";
    log.reload(&format!("format = \"json\"\n{fields}\nquery = false"), "the configuration changed").await;
    assert!(
        log.program.logged("next start").is_empty(),
        "all of it takes effect at once: {}",
        log.program.log()
    );
    log.get("json?a=b").await;
    log.written("access.log", "{\"status\":200,\"target\":\"/greeter/json\"").await;
    let text = log.read("access.log");
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&line["agent"], &line["env"]), (&Value::Null, &"prod".into()));
    assert!(line["response_content_length"].as_str().unwrap().parse::<u32>().unwrap() > 0, "{line}");
    // A folder that is not there: what is in force stays, and the next good one is taken.
    log.reload("format = \"text\"\nqueue = 5\npath_is_not_a_key = 1", "the configuration is wrong").await;
    log.get("still").await;
    log.written("access.log", "{\"status\":200,\"target\":\"/greeter/still\"").await;
    log.reload("format = \"text\"\nqueue = 5", "the configuration changed").await;
    log.get("text").await;
    log.written("access.log", " GET /greeter/text greeter ").await;
}

#[tokio::test]
async fn no_line_is_lost_while_the_log_is_moved_and_changed() {
    let mut log = Logging::start("").await;
    let listener = log.program.listeners()[0];
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let asking = tokio::spawn(async move {
        let (mut count, mut stopped) = (0, stopped);
        while stopped.try_recv().is_err() {
            request(listener, "GET", &format!("/greeter/{count}."), "").await;
            count += 1;
        }
        count
    });
    for turn in 0..6 {
        let before = log.read("access.log").len();
        let more = || (log.read("access.log").len() > before).then_some(());
        eventually(PATIENCE, "lines in the file", more).await;
        fs::rename(log.path("access.log"), log.path(&format!("access.log.{turn}"))).unwrap();
        let format = if turn % 2 == 0 { "json" } else { "text" };
        log.reload(&format!("format = \"{format}\"\nqueue = 800{turn}"), "the configuration changed").await;
    }
    stop.send(()).unwrap();
    let count: usize = asking.await.unwrap();
    assert_eq!(log.program.metric("wayside_log_lines_dropped_total", "access_log").await, 0.0);
    log.program.signal("TERM");
    assert_eq!(log.program.ended().await.code(), Some(0));
    let names = (0..6).map(|turn| format!("access.log.{turn}")).chain(["access.log".to_owned()]);
    let text: String = names.map(|name| log.read(&name)).collect();
    for number in 0..count {
        let lines = text.lines().filter(|line| line.contains(&format!("/greeter/{number}."))).count();
        assert_eq!(lines, 1, "the line of request {number} of {count}");
    }
    assert_eq!(text.lines().count(), count);
}
