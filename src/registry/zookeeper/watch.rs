//! The one watch: a session, every wanted service followed in it, and the session's own state.

use std::convert::Infallible;

use tokio::time::Instant;
use zookeeper_client::{Error, SessionState};

use super::Settings;
use super::follow::Follow;
use super::session::Session;
use crate::registry::follows::Follows;
use crate::registry::{RegistryError, Report, Reports, Wanted};

/// Follows every wanted service until the session fails.
pub(super) async fn watch(settings: &Settings, wanted: Wanted, reports: Reports) -> RegistryError {
    match run(settings, wanted, reports).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn run(settings: &Settings, mut wanted: Wanted, reports: Reports) -> Result<Infallible, RegistryError> {
    let session = Session::open(settings).await?;
    let mut states = session.states();
    let mut link = Link { session: &session, reports: &reports, give_up: None };
    link.note(SessionState::SyncConnected).await?;
    if session.client.state() != SessionState::SyncConnected {
        link.note(session.client.state()).await?;
    }
    let follow = |service| Follow::new(&session, &reports, service).run();
    let mut follows = Follows::default();
    follows.adjust(&wanted.borrow_and_update().clone(), follow);
    loop {
        tokio::select! {
            biased;
            state = states.changed() => link.note(state).await?,
            error = link.lost_for_good() => return Err(error),
            changed = wanted.changed() => {
                changed.map_err(|_| RegistryError::Abandoned)?;
                follows.adjust(&wanted.borrow_and_update().clone(), follow);
            }
            error = follows.ended() => return Err(error),
        }
    }
}

/// The session's connection, as it is reported.
struct Link<'a> {
    session: &'a Session<'a>,
    reports: &'a Reports,
    /// When a lost connection is given up; `None` while there is one.
    give_up: Option<Instant>,
}

impl Link<'_> {
    /// Notes the session's state, reports it, and fails when it has ended.
    async fn note(&mut self, state: SessionState) -> Result<(), RegistryError> {
        match state {
            SessionState::SyncConnected | SessionState::ConnectedReadOnly => {
                self.give_up = None;
                self.reports.send(Report::Connected { detail: self.session.detail() }).await
            }
            SessionState::Disconnected => {
                // The client waits longer and longer between its attempts, without a bound: a new session is sooner there.
                let patience = self.session.settings.connection_timeout * 2;
                self.give_up.get_or_insert_with(|| Instant::now() + patience);
                let cause =
                    format!("the connection to ZooKeeper at {} was lost", self.session.settings.servers);
                self.reports.send(Report::Disconnected { cause }).await
            }
            SessionState::Expired | SessionState::AuthFailed | SessionState::Closed => {
                Err(self.session.ended(state))
            }
        }
    }

    /// Waits until a lost connection is to be given up.
    async fn lost_for_good(&self) -> RegistryError {
        match self.give_up {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
        self.session.unreachable("the connection was lost and did not come back", Error::ConnectionLoss)
    }
}
