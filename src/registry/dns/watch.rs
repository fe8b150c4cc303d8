//! The one watch: every wanted service asked for, until no server answers, or none of the services can be had.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::asking::Asking;
use super::follow::Follow;
use super::settings::Settings;
use crate::provider::ServiceName;
use crate::registry::follows::Follows;
use crate::registry::{RegistryError, Report, Reports, Wanted};

/// Services asked for at a time: at first all are due at once.
const TURNS_MAX: usize = 32;

/// What the services of one watch share.
pub(super) struct Shared<'a> {
    pub(super) settings: &'a Settings,
    pub(super) reports: &'a Reports,
    pub(super) asking: Asking,
    /// Permits to ask.
    pub(super) turns: Semaphore,
    /// Whether an answer was reported. Written and read by the futures of the services, on one thread at a time.
    connected: AtomicBool,
    /// Who is followed, and the same of whom the servers say nothing.
    standing: Mutex<Standing>,
}

#[derive(Default)]
struct Standing {
    followed: BTreeSet<ServiceName>,
    failing: BTreeSet<ServiceName>,
}

/// Follows every wanted service until no server answers.
pub(super) async fn watch(settings: &Settings, wanted: Wanted, reports: Reports) -> RegistryError {
    match run(settings, wanted, reports).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn run(settings: &Settings, mut wanted: Wanted, reports: Reports) -> Result<Infallible, RegistryError> {
    let shared = Shared {
        settings,
        reports: &reports,
        asking: Asking::new(settings)?,
        turns: Semaphore::new(TURNS_MAX),
        connected: AtomicBool::new(false),
        standing: Mutex::default(),
    };
    if wanted.borrow().is_empty() {
        let pulse = shared.asking.pulse().await;
        pulse.map_err(|error| shared.unreachable("no DNS server answers", error))?;
        shared.connect().await?;
    }
    let follow = |service| Follow::new(&shared, service).run();
    let mut follows = Follows::default();
    shared.note_wanted(&wanted.borrow());
    follows.adjust(&wanted.borrow_and_update().clone(), follow);
    loop {
        tokio::select! {
            biased;
            changed = wanted.changed() => {
                changed.map_err(|_| RegistryError::Abandoned)?;
                shared.note_wanted(&wanted.borrow());
                follows.adjust(&wanted.borrow_and_update().clone(), follow);
            }
            error = follows.ended() => return Err(error),
        }
    }
}

impl Shared<'_> {
    /// The registry error of servers that are of no use.
    pub(super) fn unreachable(
        &self,
        what: &str,
        source: impl Error + Send + Sync + 'static,
    ) -> RegistryError {
        RegistryError::Unreachable { doing: format!("{what} of {}", self.settings), source: Box::new(source) }
    }

    /// Notes which services are followed.
    fn note_wanted(&self, wanted: &BTreeSet<ServiceName>) {
        let mut standing = self.standing.lock();
        standing.failing.retain(|service| wanted.contains(service));
        standing.followed.clone_from(wanted);
    }

    /// Notes that a service was listed.
    pub(super) async fn note_answering(&self, service: &ServiceName) -> Result<(), RegistryError> {
        self.standing.lock().failing.remove(service);
        self.connect().await
    }

    async fn connect(&self) -> Result<(), RegistryError> {
        if self.connected.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.reports.send(Report::Connected { detail: self.settings.to_string() }).await
    }

    /// Reports that the servers say nothing of a service, once they said something of another: until then nothing shows that
    /// they are of use, and what was known is stale as it is.
    pub(super) async fn tell_unheard(
        &self,
        service: &ServiceName,
        cause: String,
    ) -> Result<(), RegistryError> {
        if !self.connected.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.reports.send(Report::Unheard { service: service.clone(), cause }).await
    }

    /// Notes that the servers say nothing of a service. When they say nothing of any, the registry is of no use.
    pub(super) fn note_failing(&self, service: &ServiceName, cause: &str) -> Result<(), RegistryError> {
        let mut standing = self.standing.lock();
        standing.failing.insert(service.clone());
        if standing.failing.len() < standing.followed.len() {
            return Ok(());
        }
        let doing = format!("the DNS servers of {} tell of no service, last of {service}", self.settings);
        Err(RegistryError::Unreachable { doing, source: cause.into() })
    }
}

impl Settings {
    /// How long an answer is believed that says so long of itself: within bounds, and up to a tenth longer, so that what
    /// was asked at once is not asked at once again.
    pub(super) fn believed(&self, ttl: Duration) -> Duration {
        ttl.clamp(self.ttl_min, self.ttl_max).mul_f64(rand::random_range(1.0..1.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_believed_within_bounds() {
        let settings: Settings = "//?min_ttl=2s&max_ttl=10s".parse().unwrap();
        for (ttl, least) in [(0, 2), (5, 5), (600, 10)] {
            let believed = settings.believed(Duration::from_secs(ttl));
            let least = Duration::from_secs(least);
            assert!((least..=least.mul_f64(1.1)).contains(&believed), "{ttl} s gave {believed:?}");
        }
    }
}
