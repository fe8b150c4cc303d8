//! Running it on machines: one process after the other without a gap, supervised, given its sockets, and asked whether it is well.

mod deployed;
mod given;
mod health;
mod restart;
mod succession;
mod supervised;

use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::program::Program;

/// A folder with a configuration by which processes take each other's place.
struct Place {
    folder: TempDir,
}

impl Place {
    /// One with this in its file.
    fn with(text: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.write(text);
        place
    }

    /// Replaces the file.
    fn write(&self, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("succession = \"{}\"\n{text}", self.socket().display())).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("wayside.toml")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("succession.sock")
    }

    /// A process of it, once it takes connections.
    async fn run(&self) -> Program {
        Program::run(&["--config", self.file().to_str().unwrap()]).await
    }
}
