//! The supervisor: systemd, or whoever else set NOTIFY_SOCKET, told how this process is (sd_notify(3)).

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;

/// Whoever watches over this process; nobody where it is one proxy of several in a process, or nobody asked to be told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Supervisor {
    is_there: bool,
}

impl Supervisor {
    /// That of this process, if anybody asked for it.
    pub(super) fn of_process() -> Self {
        Self { is_there: std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| !path.is_empty()) }
    }

    pub(super) const fn is_there(self) -> bool {
        self.is_there
    }

    /// How long it waits for a sign of life (WATCHDOG_USEC); `None` where it waits for none.
    pub(super) fn patience(self) -> Option<Duration> {
        if self.is_there {
            sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
        } else {
            None
        }
    }

    /// Connections are taken; or the configuration was read again.
    pub(super) fn ready(self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// How it is, for people.
    pub(super) fn status(self, status: &str) {
        self.tell(&[NotifyState::Status(status)]);
    }

    /// The configuration is read again.
    pub(super) fn reloading(self) {
        // From version 253 on, systemd compares the time with that of its order.
        let now = NotifyState::monotonic_usec_now();
        let states: Vec<NotifyState<'_>> = std::iter::once(NotifyState::Reloading).chain(now).collect();
        self.tell(&states);
    }

    /// It is about to end.
    pub(super) fn stopping(self, status: &str) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// Another process does from now on what this one did.
    pub(super) fn succeeded_by(self, process: u32) {
        self.tell(&[NotifyState::MainPid(process)]);
    }

    /// It goes on.
    pub(super) fn alive(self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    fn tell(self, states: &[NotifyState<'_>]) {
        if !self.is_there {
            return;
        }
        if let Err(error) = sd_notify::notify(states)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            tracing::warn!(%error, "the supervisor cannot be told how this process is");
        }
    }
}
