//! Announcing with the agent beside us: services with a check that lives by our signs, put back when somebody takes them out.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::agent::{Answer, Fault, Line};
use super::registration::{Registration, look_path, withdraw_path};
use super::settings::Settings;
use crate::provider::{Address, Host};
use crate::registry::announcer::{Announcement, Announcer, Standing, Standings, ToAnnounce};
use crate::registry::{RegistryError, Watch, varied};

/// How often what is announced is looked at; varied by half. What somebody took out is back after that, at the latest.
const LOOK: Duration = Duration::from_secs(2);
/// How soon what was refused is tried again; varied by half.
const RETRY: Duration = Duration::from_secs(30);
/// Signs of life in the time that a check lives without one.
const SIGNS: u32 = 3;

/// What announces with a Consul agent.
#[derive(Debug)]
pub struct Announcing {
    settings: Settings,
    /// The ids of what may be registered by us, over all calls.
    owned: Mutex<BTreeSet<String>>,
}

/// The announcer of these settings; nothing is connected before something is announced.
pub const fn announcer(settings: Settings) -> Announcing {
    Announcing { settings, owned: Mutex::new(BTreeSet::new()) }
}

impl Announcer for Announcing {
    fn kind(&self) -> &'static str {
        "consul"
    }

    fn location(&self) -> String {
        self.settings.location()
    }

    fn server(&self) -> Option<Address> {
        // An agent on this machine says nothing of where this machine is found by others.
        let agent = &self.settings.agent;
        let is_local = match agent.host() {
            Host::Ip(ip) => ip.is_loopback(),
            Host::Name(name) => &**name == "localhost",
        };
        (!is_local).then(|| agent.clone())
    }

    fn announce<'a>(&'a self, wanted: ToAnnounce, standings: &'a Standings) -> Watch<'a> {
        Box::pin(async move {
            match self.run(wanted, standings).await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        })
    }
}

impl Announcing {
    async fn run(&self, mut wanted: ToAnnounce, standings: &Standings) -> Result<Infallible, RegistryError> {
        standings.send_replace(Arc::default());
        let mut keeper = Keeper { announcing: self, standings, line: None, kept: BTreeMap::new() };
        loop {
            let all = wanted.borrow_and_update().clone();
            keeper.adjust(&all).await?;
            tokio::select! {
                biased;
                changed = wanted.changed() => if changed.is_err() {
                    keeper.adjust(&BTreeMap::new()).await?;
                    return Err(RegistryError::Abandoned);
                },
                () = keeper.due() => keeper.tend().await?,
            }
        }
    }
}

/// One announcement, as it stands with the agent.
struct Kept {
    announcement: Arc<Announcement>,
    /// `None` when it cannot be said.
    registration: Option<Registration>,
    standing: Option<Standing>,
    /// When it is looked at next.
    look: Instant,
    /// When the next sign of life is due.
    sign: Instant,
}

/// All that is announced with one agent.
struct Keeper<'a> {
    announcing: &'a Announcing,
    standings: &'a Standings,
    /// The connection, between two requests.
    line: Option<Line<'a>>,
    kept: BTreeMap<Arc<str>, Kept>,
}

type Announcements = BTreeMap<Arc<str>, Arc<Announcement>>;

impl Keeper<'_> {
    /// Announces what is newly wanted or changed, and withdraws what is no longer.
    async fn adjust(&mut self, wanted: &Announcements) -> Result<(), RegistryError> {
        self.take(wanted);
        self.withdraw().await?;
        self.tend().await
    }

    /// Takes over what is wanted now. What was refused is looked at again, last: the id that it needs may be free by now.
    fn take(&mut self, wanted: &Announcements) {
        self.kept.retain(|name, kept| wanted.get(name) == Some(&kept.announcement));
        let spelling = self.announcing.settings.spelling;
        let is_said = |name: &Arc<str>| self.kept.get(name).is_some_and(|kept| kept.registration.is_some());
        let (refused, new): (Vec<_>, Vec<_>) = (wanted.iter().filter(|(name, _)| !is_said(name)))
            .partition(|(name, _)| self.kept.contains_key(*name));
        for (name, announcement) in new.into_iter().chain(refused) {
            let now = Instant::now();
            let (registration, standing) = match Registration::of(announcement, spelling) {
                Ok(new) if self.has(new.id()) => {
                    let cause =
                        format!("another announcement has the id {:?} too; give it another", new.id());
                    (None, Some(Standing::Refused { cause }))
                }
                Ok(registration) => (Some(registration), None),
                Err(cause) => (None, Some(Standing::Refused { cause })),
            };
            let announcement = Arc::clone(announcement);
            let kept = Kept { announcement, registration, standing, look: now, sign: now };
            self.kept.insert(Arc::clone(name), kept);
        }
    }

    /// Whether something is announced by this id.
    fn has(&self, id: &str) -> bool {
        self.kept.values().filter_map(|kept| kept.registration.as_ref()).any(|other| other.id() == id)
    }

    /// Takes out what is ours and not to be announced any more.
    async fn withdraw(&mut self) -> Result<(), RegistryError> {
        let owned = self.announcing.owned.lock().clone();
        for id in owned {
            if self.has(&id) {
                continue;
            }
            match self.put(&withdraw_path(&id), Bytes::new()).await {
                Ok(_) | Err(Fault::Refused { status: 404, .. }) => {}
                Err(Fault::Refused { status, said }) => {
                    tracing::warn!(
                        id,
                        status,
                        said,
                        "Consul does not let this proxy withdraw what it announced; it goes when its check has expired"
                    );
                }
                Err(Fault::TooLarge) => {}
                // Versions before 1.11 say so of an id that they do not know.
                Err(Fault::Failed(_)) if self.is_gone(&id).await? => {}
                Err(Fault::Failed(error) | Fault::Broken(error)) => return Err(error),
            }
            self.announcing.owned.lock().remove(&id);
        }
        Ok(())
    }

    async fn is_gone(&mut self, id: &str) -> Result<bool, RegistryError> {
        match self.get(&look_path(id)).await {
            Ok(_) | Err(Fault::TooLarge) => Ok(false),
            Err(Fault::Refused { status, .. }) => Ok(status == 404),
            Err(Fault::Failed(error) | Fault::Broken(error)) => Err(error),
        }
    }

    /// Waits until something is to be looked at.
    async fn due(&self) {
        let due = self.kept.values().filter(|kept| kept.registration.is_some()).map(|kept| kept.look).min();
        match due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Looks at what is due, and tells how things stand.
    async fn tend(&mut self) -> Result<(), RegistryError> {
        let now = Instant::now();
        let due = |(name, kept): (&Arc<str>, &Kept)| {
            let registration = kept.registration.clone().filter(|_| kept.look <= now)?;
            let announced = matches!(kept.standing, Some(Standing::Announced { .. }));
            Some((Arc::clone(name), registration, announced, kept.sign <= now))
        };
        let due: Vec<_> = self.kept.iter().filter_map(due).collect();
        for (name, registration, announced, sign) in due {
            let (standing, signed) = self.keep(&registration, announced, sign).await?;
            let pause = match &standing {
                Standing::Announced { .. } => LOOK.min(registration.ttl() / SIGNS),
                Standing::Refused { .. } => RETRY,
            };
            let Some(kept) = self.kept.get_mut(&name) else { continue };
            kept.standing = Some(standing);
            kept.look = Instant::now() + varied(pause);
            if signed {
                kept.sign = Instant::now() + registration.ttl() / SIGNS;
            }
        }
        let standings =
            self.kept.iter().filter_map(|(name, kept)| Some((Arc::clone(name), kept.standing.clone()?)));
        let standings = standings.collect::<BTreeMap<_, _>>();
        self.standings.send_if_modified(|before| {
            let changed = **before != standings;
            if changed {
                *before = Arc::new(standings);
            }
            changed
        });
        Ok(())
    }

    /// Sees to it that an announcement is in its place. Gives how it stands, and whether a sign of life was given.
    async fn keep(
        &mut self,
        registration: &Registration,
        announced: bool,
        sign: bool,
    ) -> Result<(Standing, bool), RegistryError> {
        let in_place = Standing::Announced { record: registration.id().to_owned() };
        if announced && self.is_there(registration).await? {
            if !sign {
                return Ok((in_place, false));
            }
            match self.put(&registration.pass_path(), Bytes::new()).await {
                Ok(_) => return Ok((in_place, true)),
                // There is no such check, or not for us: to be registered anew finds out which.
                Err(Fault::Refused { .. } | Fault::Failed(_) | Fault::TooLarge) => {}
                Err(Fault::Broken(error)) => return Err(error),
            }
        }
        if announced {
            tracing::warn!(
                id = registration.id(),
                "Consul does not have what was announced any more, or another; it is announced anew"
            );
        }
        self.announcing.owned.lock().insert(registration.id().to_owned());
        match self.put(REGISTER, registration.body().into()).await {
            Ok(_) => Ok((in_place, true)),
            Err(Fault::Refused { status, said }) => {
                let cause =
                    format!("the Consul agent answered {status}: {said}; a token needs service:write for it");
                Ok((Standing::Refused { cause }, false))
            }
            Err(Fault::TooLarge) => Ok((in_place, true)),
            Err(Fault::Failed(error) | Fault::Broken(error)) => Err(error),
        }
    }

    /// Whether the agent has the instance, as it was told. Who may not ask, believes so.
    async fn is_there(&mut self, registration: &Registration) -> Result<bool, RegistryError> {
        match self.get(&look_path(registration.id())).await {
            Ok(answer) => Ok(registration.is(&answer.body)),
            Err(Fault::Refused { status, .. }) => Ok(status != 404),
            Err(Fault::TooLarge) => Ok(false),
            Err(Fault::Failed(error) | Fault::Broken(error)) => Err(error),
        }
    }

    async fn get(&mut self, path: &str) -> Result<Answer, Fault> {
        self.ask("GET", path, Bytes::new()).await
    }

    async fn put(&mut self, path: &str, body: Bytes) -> Result<Answer, Fault> {
        self.ask("PUT", path, body).await
    }

    /// Asks, on the connection there is, or when that broke, on a new one: everything asked here may be asked twice.
    async fn ask(&mut self, method: &str, path: &str, body: Bytes) -> Result<Answer, Fault> {
        let settings = &self.announcing.settings;
        let limit = settings.pace.call_timeout;
        if let Some(mut line) = self.line.take() {
            match line.ask(method, path, body.clone(), limit).await {
                Err(Fault::Broken(_)) => {}
                answer => {
                    self.line = Some(line);
                    return answer;
                }
            }
        }
        let mut line = Line::open(settings).await.map_err(Fault::Broken)?;
        let answer = line.ask(method, path, body, limit).await;
        if !matches!(answer, Err(Fault::Broken(_) | Fault::TooLarge)) {
            self.line = Some(line);
        }
        answer
    }
}

/// Where an instance is registered; checks that a former registration had are dropped.
const REGISTER: &str = "/v1/agent/service/register?replace-existing-checks=true";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Provider;

    #[test]
    fn an_id_that_is_free_again_is_had_by_who_was_refused_it() {
        let announcing = announcer("//127.0.0.1:8500".parse().unwrap());
        let standings = Standings::default();
        let mut keeper =
            Keeper { announcing: &announcing, standings: &standings, line: None, kept: BTreeMap::new() };
        let one = |service: &str, port: u16| {
            let announcement = Announcement {
                service: service.parse().unwrap(),
                provider: Provider::new("host-1", format!("10.0.0.5:{port}").parse().unwrap()),
                service_metadata: BTreeMap::new(),
                endpoints: Vec::new(),
                ttl: Duration::from_secs(30),
                since: std::time::SystemTime::UNIX_EPOCH,
            };
            (Arc::<str>::from(service), Arc::new(announcement))
        };
        let said = |keeper: &Keeper<'_>| {
            let said = keeper.kept.iter().filter(|(_, kept)| kept.registration.is_some());
            said.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
        };
        keeper.take(&[one("web", 80)].into());
        keeper.take(&[one("admin", 81), one("web", 80)].into());
        assert_eq!(said(&keeper), ["web"], "who has it keeps it");
        keeper.take(&[one("admin", 81), one("web", 82)].into());
        assert_eq!(said(&keeper), ["web"], "though it moves");
        keeper.take(&[one("admin", 81)].into());
        assert_eq!(said(&keeper), ["admin"]);
    }
}
