//! The providers of the demo: they start, withdraw, die and come back, and a file announces them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use tokio::net::TcpListener;

use super::greeter;
use crate::drain::Drain;

/// The service that the providers of the demo provide.
pub(super) const SERVICE: &str = "greeter";
/// Providers at most, so that nobody's loop fills the machine.
const PROVIDERS_MAX: usize = 50;

/// What can be done to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// A provider starts and announces itself.
    Add,
    /// One withdraws its announcement, finishes what it does, and stops.
    Remove,
    /// One dies without a word: its announcement stays.
    Kill,
    /// The dead come back where they were.
    Revive,
    /// Who is there.
    List,
}

impl Command {
    /// All there are, with what they do, as a user is told.
    pub(super) const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Add, "add", "a provider starts and announces itself"),
        (Self::Remove, "remove", "one withdraws and stops"),
        (Self::Kill, "kill", "one dies without a word"),
        (Self::Revive, "revive", "the dead come back"),
        (Self::List, "list", "who is there"),
    ];

    /// The command that a word, or the first letter of one, stands for. `v` is revive, since `r` is remove.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let text = if text == "v" { "revive" } else { text.as_str() };
        let stands_for =
            |word: &str| !text.is_empty() && (word == text || (text.len() == 1 && word.starts_with(text)));
        Self::ALL.iter().find(|(_, word, _)| stands_for(word)).map(|(command, ..)| *command)
    }
}

/// The providers, and the file that announces them.
#[derive(Debug)]
pub(super) struct Fleet {
    file: PathBuf,
    providers: BTreeMap<u32, Provider>,
    /// The number of the last provider started.
    last: u32,
}

#[derive(Debug)]
struct Provider {
    address: SocketAddr,
    /// What runs for it; `None` when it is dead.
    tasks: Option<Drain>,
}

impl Fleet {
    /// No providers yet, announced in a file of this folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let fleet = Self { file: Self::file_in(folder), providers: BTreeMap::new(), last: 0 };
        fleet.announce()?;
        Ok(fleet)
    }

    /// The file that announces providers in a folder.
    pub(super) fn file_in(folder: &Path) -> PathBuf {
        folder.join("services.toml")
    }

    /// Does what it is told, and says in a sentence what came of it.
    pub(super) async fn obey(&mut self, command: Command) -> String {
        let done = match command {
            Command::Add => self.add().await,
            Command::Remove => self.remove(),
            Command::Kill => Ok(self.kill().await),
            Command::Revive => self.revive().await,
            Command::List => Ok(self.list()),
        };
        done.unwrap_or_else(|error| format!("that failed: {error}"))
    }

    async fn add(&mut self) -> io::Result<String> {
        if self.providers.len() >= PROVIDERS_MAX {
            return Ok(format!("there are {PROVIDERS_MAX} providers already, which is enough for a demo"));
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        self.last += 1;
        let number = self.last;
        let tasks = Some(greeter::start(listener, name(number)));
        self.providers.insert(number, Provider { address, tasks });
        self.announce()?;
        Ok(format!("{} started at {address}", name(number)))
    }

    fn remove(&mut self) -> io::Result<String> {
        let Some((number, provider)) = self.providers.pop_last() else {
            return Ok("there is no provider left to remove".to_owned());
        };
        // Withdrawn first, so that no request is sent to one that has stopped.
        self.announce()?;
        if let Some(tasks) = provider.tasks {
            tasks.begin();
        }
        Ok(format!("{} withdrew and stopped", name(number)))
    }

    async fn kill(&mut self) -> String {
        let alive = self.providers.iter_mut().find(|(_, provider)| provider.tasks.is_some());
        let Some((number, provider)) = alive else {
            return "there is no provider left alive".to_owned();
        };
        if let Some(tasks) = provider.tasks.take() {
            tasks.finish(Duration::ZERO).await;
        }
        format!("{} died; it is still announced, and requests go elsewhere", name(*number))
    }

    async fn revive(&mut self) -> io::Result<String> {
        let mut revived = Vec::new();
        for (number, provider) in &mut self.providers {
            if provider.tasks.is_none() {
                let listener = TcpListener::bind(provider.address).await?;
                provider.tasks = Some(greeter::start(listener, name(*number)));
                revived.push(name(*number));
            }
        }
        if revived.is_empty() {
            return Ok("nobody is dead".to_owned());
        }
        Ok(format!(
            "{} came back; a request tries it again after a pause that grows with each failure",
            revived.join(", ")
        ))
    }

    fn list(&self) -> String {
        let mut list = String::new();
        for (number, provider) in &self.providers {
            let state = if provider.tasks.is_some() { "alive" } else { "dead" };
            let separator = if list.is_empty() { "" } else { "\n" };
            let _ = write!(list, "{separator}{} at {}: {state}", name(*number), provider.address);
        }
        if list.is_empty() { "there is no provider".to_owned() } else { list }
    }

    /// Writes the file beside its place and moves it there, so that nobody ever reads half of it.
    fn announce(&self) -> io::Result<()> {
        let addresses = self.providers.iter().map(|(number, provider)| {
            format!("  {{ address = \"{}\", id = \"{}\" }},\n", provider.address, name(*number))
        });
        let text = format!(
            "# The registry of the demo. Wayside follows this file: change it, and it takes effect at once.\n\
             [services]\n{SERVICE} = [\n{}]\n",
            addresses.collect::<String>()
        );
        let new = self.file.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(new, &self.file)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.providers.values().filter_map(|provider| provider.tasks.as_ref()).for_each(Drain::stop);
    }
}

fn name(number: u32) -> String {
    format!("{SERVICE}-{number}")
}
