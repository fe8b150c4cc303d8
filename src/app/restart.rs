//! Restart: the program started once more beside this process, to take its place.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use tokio::signal::unix::Signal;

/// How often is looked whether a process that was started has ended.
const LOOK: Duration = Duration::from_secs(1);

/// How the program is started once more: as it was, be it another version by now.
#[derive(Clone, Debug)]
pub struct Restart {
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// Starts it each time that it is asked for; `None` where no other process could take over.
pub(super) async fn when_asked(mut asked: Signal, restart: Option<Restart>) {
    while asked.recv().await.is_some() {
        match &restart {
            Some(_) if std::process::id() == 1 => tracing::error!(
                "USR2 asks for another process to take over, and this one is the first of its container, which ends with it: \
                 start another container that shares its network and the folder of the socket named by succession"
            ),
            Some(restart) => restart.run().await,
            None => tracing::error!(
                "USR2 asks for another process to take over, and none could: write succession = \"/run/wayside/succession.sock\""
            ),
        }
    }
}

impl Restart {
    /// Starts it, and looks after it until it has ended; for ever, if it goes on.
    async fn run(&self) {
        let program = self.program.display();
        match self.start() {
            Ok(mut child) => {
                tracing::info!(%program, process = child.id(), "started once more, to take over");
                loop {
                    tokio::time::sleep(LOOK).await;
                    match child.try_wait() {
                        Ok(None) => {}
                        Ok(Some(status)) => {
                            tracing::warn!(%program, %status, "what was started to take over has ended");
                            return;
                        }
                        Err(_) => return,
                    }
                }
            }
            Err(error) => tracing::error!(%program, %error, "cannot be started once more"),
        }
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        // The signs of life that its supervisor waits for are to be its own.
        command.args(&self.arguments).env_remove("WATCHDOG_PID").spawn()
    }
}
