//! Succession: a process takes the place of another one that runs, between two requests: its sockets, what it announces, and
//! what it experienced.
//!
//! The process that runs listens on a Unix socket of its own for a successor. One that starts with the same configuration
//! connects there, and is given every socket that is listened on, while the other goes on to take all connections. It follows its
//! registries, announces the same once it knows them, and says that it is ready. Then the first withdraws nothing, takes no
//! more connections, finishes what it has, and ends. Whatever goes wrong before that word, the first serves on as if nothing had
//! been.

mod estate;
mod heir;
mod testator;
mod wire;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub(super) use estate::Estate;
pub(super) use heir::Heir;
pub(super) use testator::{Testator, Will};

/// Why this process cannot take the place of the one that runs.
#[derive(Debug, Error)]
pub enum SuccessionError {
    /// The other one did not say, or not in time, what it leaves.
    #[error("the process that listens on {path} does not hand over its place")]
    Silent {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// This one did not become ready in time.
    #[error("this process did not get ready: {why}")]
    NotReady {
        /// What was waited for.
        why: String,
    },
    /// The other one did not wait for so long.
    #[error("the process that runs waited too long, and goes on")]
    TooLate,
    /// It was told to stop before.
    #[error("this process was told to stop")]
    Stopped,
}
