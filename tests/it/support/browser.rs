//! A real browser, driven as W3C WebDriver has it, by Chromium's own driver.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::program::request;

/// How long the browser may take for anything on a busy machine before a test fails.
const LIMIT: Duration = Duration::from_secs(60);

/// A browser with one window, without a screen; ended when dropped.
pub(crate) struct Browser {
    driver: SocketAddr,
    /// The path of its session.
    session: String,
    _process: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts one with an empty profile.
    pub(crate) async fn start() -> Self {
        let mut command = Command::new("chromedriver");
        command.args(["--port=0", "--log-level=SEVERE"]).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("chromedriver: tests/servers.sh installs it");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = tokio::time::timeout(LIMIT, async {
            loop {
                let line = lines.next_line().await.unwrap().expect("chromedriver says on which port it is");
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    return port.trim_end_matches('.').parse().unwrap();
                }
            }
        });
        let driver = SocketAddr::from(([127, 0, 0, 1], port.await.expect("chromedriver should start")));
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless=new",
            // Without it Chromium refuses to run as root, which tests in containers do. It is shown nothing but our own page.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            // So that it ends with its driver.
            "--remote-debugging-pipe",
            "--window-size=1200,900",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = command_of(driver, "POST", "/session", &wanted).await;
        let session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        Self { driver, session, _process: process, _profile: profile }
    }

    async fn command(&self, path: &str, body: &Value) -> Value {
        command_of(self.driver, "POST", &format!("{}{path}", self.session), body).await
    }

    /// Opens an address, and waits until that has loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.command("/url", &json!({ "url": url })).await;
    }

    /// What a script gives, which stands for the body of a function.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// Waits until an expression is true; one about what is not there yet is not.
    ///
    /// # Panics
    /// When that takes too long, with all that is shown.
    pub(crate) async fn shows(&self, expression: &str) {
        let begun = Instant::now();
        while self.run(&format!("try {{ return Boolean({expression}) }} catch {{ return false }}")).await
            != json!(true)
        {
            if begun.elapsed() > LIMIT {
                let shown = self.run("return location.href + '\\n' + document.body.innerText").await;
                let said = self.complaints().await;
                panic!(
                    "not within {LIMIT:?}: {expression}\n{}\n{said:?}",
                    shown.as_str().unwrap_or_default()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Presses keys one after the other, wherever the focus is. [`Self::TAB`] and [`Self::ENTER`] are keys.
    pub(crate) async fn press(&self, keys: &str) {
        let pressed = keys.chars().flat_map(|key| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        });
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": pressed.collect::<Vec<_>>() });
        self.command("/actions", &json!({ "actions": [keyboard] })).await;
    }

    /// The key that leads from one element to the next.
    pub(crate) const TAB: &str = "\u{e004}";
    /// The key that follows a link.
    pub(crate) const ENTER: &str = "\u{e007}";

    /// Makes the screen so wide, in pixels of CSS, as on a phone.
    pub(crate) async fn widen(&self, width: u32) {
        let screen = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &screen).await;
    }

    /// Prefers `dark` or `light` colours.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features })).await;
    }

    async fn devtools(&self, command: &str, parameters: &Value) {
        self.command("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await;
    }

    /// What was written to the console since this was asked last, what could not be loaded among it.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let entries = self.command("/se/log", &json!({ "type": "browser" })).await;
        entries.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }
}

/// Sends the driver a command; the value it answers.
async fn command_of(driver: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let answered = tokio::time::timeout(LIMIT, request(driver, method, path, &body.to_string())).await;
    let answer = answered.unwrap_or_else(|_| panic!("{path} is not answered"));
    let mut told: Value = serde_json::from_slice(answer.body()).unwrap();
    assert!(answer.status().is_success(), "{path}: {told}");
    told["value"].take()
}
