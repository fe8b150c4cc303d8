//! The one watch: the agent's pulse, and every wanted service followed, until the agent fails.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::agent::{Fault, Line};
use super::follow::Follow;
use super::settings::Settings;
use crate::registry::follows::Follows;
use crate::registry::{RegistryError, Report, Reports, Wanted, varied};

/// Blocking queries at a time, each with a connection of its own: an agent takes 200 connections of one address by default,
/// which all programs of a machine share.
const BLOCKING_MAX: usize = 64;
/// Other queries at a time.
const TURNS_MAX: usize = 8;
/// How often the agent is asked whether it still answers, since a blocking query is silent for minutes; varied by half.
const PULSE: Duration = Duration::from_secs(15);
/// What it is asked for that.
const LEADER: &str = "/v1/status/leader";

/// What the services of one watch share.
pub(super) struct Shared<'a> {
    pub(super) settings: &'a Settings,
    pub(super) reports: &'a Reports,
    /// Permits to wait in a blocking query.
    pub(super) blocking: Semaphore,
    /// Permits to ask without waiting.
    pub(super) turns: Semaphore,
}

/// Follows every wanted service until the agent fails.
pub(super) async fn watch(settings: &Settings, wanted: Wanted, reports: Reports) -> RegistryError {
    match run(settings, wanted, reports).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn run(settings: &Settings, mut wanted: Wanted, reports: Reports) -> Result<Infallible, RegistryError> {
    let mut pulse = Pulse { settings, line: None };
    let detail = pulse.feel().await?;
    reports.send(Report::Connected { detail }).await?;
    let shared = Shared {
        settings,
        reports: &reports,
        blocking: Semaphore::new(BLOCKING_MAX),
        turns: Semaphore::new(TURNS_MAX),
    };
    let follow = |service| Follow::new(&shared, service).run();
    let mut follows = Follows::default();
    follows.adjust(&wanted.borrow_and_update().clone(), follow);
    let mut beating = Box::pin(pulse.beat());
    loop {
        tokio::select! {
            biased;
            changed = wanted.changed() => {
                changed.map_err(|_| RegistryError::Abandoned)?;
                follows.adjust(&wanted.borrow_and_update().clone(), follow);
            }
            error = &mut beating => return Err(error),
            error = follows.ended() => return Err(error),
        }
    }
}

/// The agent's sign of life.
struct Pulse<'a> {
    settings: &'a Settings,
    /// The connection, between two questions.
    line: Option<Line<'a>>,
}

impl Pulse<'_> {
    /// Asks for the leader, which needs no token; any answer is a sign of life. Gives what an operator is told.
    async fn feel(&mut self) -> Result<String, RegistryError> {
        let limit = self.settings.pace.call_timeout;
        let kept = match self.line.take() {
            None => None,
            Some(mut line) => match line.get(LEADER, limit).await {
                // It was idle, and the agent may have closed it: a new one tells whether the agent is there.
                Err(Fault::Broken(_)) => None,
                answer => Some((line, answer)),
            },
        };
        let (line, answer) = match kept {
            Some(kept) => kept,
            None => {
                let mut line = Line::open(self.settings).await?;
                let answer = line.get(LEADER, limit).await;
                (line, answer)
            }
        };
        let leader = match answer {
            Ok(answer) => serde_json::from_slice::<String>(&answer.body).ok(),
            Err(Fault::Broken(error)) => return Err(error),
            Err(Fault::Failed(_) | Fault::Refused { .. } | Fault::TooLarge) => None,
        };
        self.line = Some(line);
        let agent = &self.settings.agent;
        Ok(match leader.filter(|leader| !leader.is_empty()) {
            Some(leader) => format!("agent {agent}, leader {leader}"),
            None => format!("agent {agent}, which names no leader"),
        })
    }

    /// Asks again and again, until there is no answer.
    async fn beat(mut self) -> RegistryError {
        loop {
            tokio::time::sleep(varied(PULSE)).await;
            if let Err(error) = self.feel().await {
                return error;
            }
        }
    }
}
