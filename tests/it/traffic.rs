//! What is laid down for the requests of a route or a service: told apart, shared out, held together, copied, held back,
//! disturbed, led away, compared.

mod detours;
mod faults;
mod keys;
mod limits;
mod mirrors;
mod overrides;
mod rates;
mod samples;
mod shadows;
mod splits;
mod sticky;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use wayside::app::Running;
use wayside::config::{Config, Overrides};
use wayside::proxy::ListenerSettings;

use crate::support::client::Client;
use crate::support::program::Program;
use crate::support::provider::{Echo, told};
use crate::support::proxy::{loopback, start_with};

/// A provider as a registry in the configuration has it, with what else is said of it.
fn provider(echo: &Echo, more: &str) -> String {
    format!("{{ address = \"{}\", {more} }}", echo.address())
}

/// The registry of these services, each with its providers.
fn registry(services: &[(&str, &[String])]) -> String {
    let line = |(name, providers): &(&str, &[String])| format!("{name} = [{}]\n", providers.join(", "));
    format!("[registry.services]\n{}", services.iter().map(line).collect::<String>())
}

/// A configuration with one trusted listener on a free port.
fn configured(text: &str) -> Config {
    let mut config = wayside::config::read(None, text, &Overrides::default())
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.listeners =
        vec![ListenerSettings { address: loopback(), service: None, trusted: true, raw: None }];
    config.admin = None;
    config.workers = 1;
    config
}

fn start(config: Config) -> Running {
    let sources = config.open_sources();
    start_with(config, sources)
}

/// A proxy with this in its file, and a client of it.
async fn proxied(text: &str) -> (Running, Client) {
    let running = start(configured(text));
    let client = Client::connect(running.listeners[0]).await;
    (running, client)
}

/// Asks `a` for `/` with these headers.
async fn ask(client: &mut Client, headers: &[(&str, &str)]) -> Response<Bytes> {
    let request = headers
        .iter()
        .fold(Request::get("/").header("host", "a"), |request, (name, value)| request.header(*name, *value));
    client.send(request.body(Full::default()).unwrap()).await
}

/// The port of the provider that answered.
fn port(response: &Response<Bytes>) -> u16 {
    u16::try_from(told(response)["port"].as_u64().unwrap()).unwrap()
}

/// A program whose configuration can be changed.
struct Changed {
    program: Program,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Changed {
    async fn run(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wayside.toml");
        write(&file, text);
        let program = Program::run(&["--config", file.to_str().unwrap()]).await;
        Self { program, file, _folder: folder }
    }

    /// Changes the configuration, and waits until the program says that it did.
    async fn change(&self, text: &str) {
        write(&self.file, text);
        self.program.logs("the configuration changed").await;
    }

    async fn client(&self) -> Client {
        Client::connect(self.program.listeners()[0]).await
    }
}

/// Replaces a file as a careful program does, so that nobody reads half of it.
fn write(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}
