//! One service, asked for again and again, as often as its answers allow.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::proto::rr::rdata::SRV;

use super::asking::{Answer, Fault, Services};
use super::list::{Addresses, Target, of_addresses, of_targets};
use super::watch::Shared;
use crate::provider::ServiceName;
use crate::registry::{Listing, RegistryError, Report, View};

/// How soon a question is asked again that was refused or not answered; doubles each time up to the longest, varied by half.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_mins(1);
/// Targets whose addresses are asked for at a time.
const TARGETS_AT_ONCE: usize = 8;

/// Why a service could not be listed.
enum Halt {
    /// The servers answer, but of this service say nothing that is of use.
    Alone(String),
    /// No server answers.
    Silent(NetError),
}

/// One service, followed.
pub(super) struct Follow<'a> {
    shared: &'a Shared<'a>,
    service: ServiceName,
    question: String,
    /// `None` when no name of DNS can be that.
    name: Option<Name>,
    /// The addresses that targets had when they were last answered: what is not answered now has them still.
    before: BTreeMap<Name, Vec<IpAddr>>,
    /// What was reported last.
    view: Option<View>,
    /// Questions put for the present list.
    asked: u32,
}

impl<'a> Follow<'a> {
    /// Follows a service.
    pub(super) fn new(shared: &'a Shared<'a>, service: ServiceName) -> Self {
        let question = shared.settings.question(service.as_str());
        let name = Name::from_utf8(&question).ok();
        Self { shared, service, question, name, before: BTreeMap::new(), view: None, asked: 0 }
    }

    /// Follows the service until no server answers any more.
    pub(super) async fn run(mut self) -> RegistryError {
        let mut retry = RETRY;
        loop {
            let pause = match self.list().await {
                Ok((view, ttl)) => {
                    retry = RETRY;
                    if let Err(error) = self.report(view).await {
                        return error;
                    }
                    self.shared.settings.believed(ttl)
                }
                Err(halt) => {
                    let cause = match self.judge(halt).await {
                        Ok(cause) => cause,
                        Err(error) => return error,
                    };
                    self.view = None;
                    // Before anything is said of the service alone: servers that tell of none are of no use.
                    if let Err(error) = self.shared.note_failing(&self.service, &cause) {
                        return error;
                    }
                    if retry == RETRY {
                        tracing::warn!(service = %self.service, question = self.question, cause, "DNS does not tell of this service; what is known of it stands");
                    }
                    if let Err(error) = self.shared.tell_unheard(&self.service, cause).await {
                        return error;
                    }
                    let pause = retry.mul_f64(rand::random_range(0.5..1.5));
                    retry = (retry * 2).min(RETRY_MAX);
                    pause
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether silence is for this service alone; gives the cause if it is, and the end of the watch if it is not.
    async fn judge(&self, halt: Halt) -> Result<String, RegistryError> {
        match halt {
            Halt::Alone(cause) => Ok(cause),
            Halt::Silent(error) => match self.shared.asking.pulse().await {
                Ok(()) => Ok(error.to_string()),
                Err(error) => Err(self.shared.unreachable("no DNS server answers", error)),
            },
        }
    }

    /// The list as it is now, and how long it may be believed.
    async fn list(&mut self) -> Result<(View, Duration), Halt> {
        self.asked = 1;
        let Some(name) = self.name.clone() else { return Ok((View::Absent, Duration::MAX)) };
        let _turn = self.shared.turns.acquire().await;
        let (shared, settings) = (self.shared, self.shared.settings);
        if let Some(port) = settings.port {
            return match listed(shared.asking.addresses(&name).await)? {
                Ok(Answer { records, ttl }) => {
                    Ok((of_addresses(settings, &self.question, port, records), ttl))
                }
                Err(none) => Ok(none),
            };
        }
        match listed(shared.asking.services(&name).await)? {
            Ok(Answer { records, ttl }) => self.resolve(records, ttl).await,
            Err(none) => Ok(none),
        }
    }

    /// Finds the addresses of all targets.
    async fn resolve(&mut self, services: Services, ttl: Duration) -> Result<(View, Duration), Halt> {
        let Services { records, beside } = services;
        let names: BTreeMap<Name, ()> = records.iter().map(|srv| (srv.target.to_lowercase(), ())).collect();
        let ask = |name: Name| {
            let (asking, beside) = (&self.shared.asking, beside.get(&name));
            async move {
                let answer = match beside {
                    Some(ips) => Ok(Answer { records: ips.clone(), ttl: Duration::MAX }),
                    None if name.is_root() => Err(Fault::Absent(None)),
                    None => asking.addresses(&name).await,
                };
                (name, answer)
            }
        };
        self.asked += u32::try_from(names.keys().filter(|name| !beside.contains_key(*name)).count())
            .unwrap_or(u32::MAX);
        let answers: Vec<_> =
            stream::iter(names.into_keys()).map(ask).buffer_unordered(TARGETS_AT_ONCE).collect().await;
        let mut least = ttl;
        let mut found: BTreeMap<Name, Addresses> = BTreeMap::new();
        let mut silence = None;
        for (name, answer) in answers {
            let addresses = match answer {
                Ok(Answer { records, ttl }) => {
                    least = least.min(ttl);
                    Addresses::Known(records)
                }
                Err(Fault::Absent(ttl) | Fault::Empty(ttl)) => {
                    least = least.min(ttl.unwrap_or(least));
                    Addresses::None
                }
                Err(fault) => {
                    least = least.min(RETRY);
                    let cause = match fault {
                        Fault::Silent(error) => silence.insert(error).to_string(),
                        Fault::Refused(cause) => cause,
                        Fault::Absent(_) | Fault::Empty(_) => String::new(),
                    };
                    let before = self.before.get(&name).cloned();
                    before.map_or(Addresses::Unknown(cause), Addresses::Known)
                }
            };
            found.insert(name, addresses);
        }
        if let Some(silence) = silence
            && !found.values().any(|addresses| matches!(addresses, Addresses::Known(_)))
        {
            return Err(Halt::Silent(silence));
        }
        let target = |srv: SRV| Target {
            addresses: found.get(&srv.target.to_lowercase()).cloned().unwrap_or(Addresses::None),
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            name: srv.target.to_lowercase().to_utf8(),
        };
        let targets = records.into_iter().map(target).collect();
        let view = of_targets(self.shared.settings, &self.question, targets).map_err(Halt::Alone)?;
        self.before = found
            .into_iter()
            .filter_map(|(name, addresses)| match addresses {
                Addresses::Known(ips) => Some((name, ips)),
                Addresses::None | Addresses::Unknown(_) => None,
            })
            .collect();
        Ok((view, least))
    }

    /// Reports the list if it is another one, or the first.
    async fn report(&mut self, view: View) -> Result<(), RegistryError> {
        self.shared.note_answering(&self.service).await?;
        if self.view.as_ref() == Some(&view) {
            return Ok(());
        }
        self.view = Some(view.clone());
        let listing = Listing { reads: self.asked, ..Listing::new(self.service.clone(), view) };
        self.shared.reports.send(Report::Listed(listing)).await
    }
}

/// An answer, or the list that its absence is.
fn listed<T>(answer: Result<T, Fault>) -> Result<Result<T, (View, Duration)>, Halt> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(Fault::Absent(ttl)) => Ok(Err((View::Absent, ttl.unwrap_or(Duration::ZERO)))),
        Err(Fault::Empty(ttl)) => {
            let view = View::Present { providers: Vec::new(), skipped: Vec::new() };
            Ok(Err((view, ttl.unwrap_or(Duration::ZERO))))
        }
        Err(Fault::Refused(cause)) => Err(Halt::Alone(cause)),
        Err(Fault::Silent(error)) => Err(Halt::Silent(error)),
    }
}
