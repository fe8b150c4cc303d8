//! The catalog with a registry that says what the test wants, in time that the test moves.

mod cares;
mod checked;
mod follow;
mod limbo;
mod several;
mod subscribe;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::balance::Policy;
use crate::drain::Drain;
use crate::provider::{Protocol, Provider};
use crate::registry::format::Reason;
use crate::registry::{Listing, Registry, RegistryError, Report, Reports, Skipped, View, Wanted, Watch};

/// What the registry of a test does next.
#[derive(Debug)]
pub(super) enum Step {
    Say(Report),
    Fail(&'static str),
    Panic,
}

/// A registry that says what the test wants.
#[derive(Debug)]
struct Script {
    steps: tokio::sync::Mutex<mpsc::UnboundedReceiver<Step>>,
    /// When watches began, and what was wanted last.
    begun: Arc<Mutex<Vec<Instant>>>,
    wanted: Arc<Mutex<Option<Wanted>>>,
}

impl Registry for Script {
    fn kind(&self) -> &'static str {
        "script"
    }

    fn location(&self) -> String {
        "the test".to_owned()
    }

    fn watch<'a>(&'a self, wanted: Wanted, reports: Reports) -> Watch<'a> {
        Box::pin(async move {
            self.begun.lock().push(Instant::now());
            *self.wanted.lock() = Some(wanted);
            loop {
                match self.steps.lock().await.recv().await {
                    Some(Step::Say(report)) => {
                        if let Err(error) = reports.send(report).await {
                            return error;
                        }
                    }
                    Some(Step::Fail(doing)) => {
                        let source = std::io::Error::other("it is gone").into();
                        return RegistryError::Unreachable { doing: doing.to_owned(), source };
                    }
                    Some(Step::Panic) => panic!("as a client library may"),
                    None => return RegistryError::Abandoned,
                }
            }
        })
    }
}

/// A catalog that follows a [`Script`].
pub(super) struct Bed {
    pub(super) catalog: Arc<Catalog>,
    pub(super) metrics: Arc<Metrics>,
    steps: mpsc::UnboundedSender<Step>,
    begun: Arc<Mutex<Vec<Instant>>>,
    wanted: Arc<Mutex<Option<Wanted>>>,
    pub(super) drain: Drain,
}

impl Bed {
    pub(super) async fn new(settings: Settings) -> Self {
        Self::prepared(settings, |_| {}).await
    }

    /// The same, with something done to the catalog before it follows.
    pub(super) async fn prepared(settings: Settings, prepare: impl FnOnce(&Catalog)) -> Self {
        let metrics = Metrics::new();
        let (steps, queue) = mpsc::unbounded_channel();
        let (begun, wanted) = (Arc::default(), Arc::default());
        let script = Script {
            steps: tokio::sync::Mutex::new(queue),
            begun: Arc::clone(&begun),
            wanted: Arc::clone(&wanted),
        };
        let sources = vec![Source::new(Arc::new(script))];
        let catalog = Catalog::new(settings, sources, Arc::clone(&metrics), Clock::start(), 1);
        prepare(&catalog);
        let drain = Drain::new();
        drain.spawn("follow", catalog.follow(0, drain.clone()));
        let bed = Self { catalog, metrics, steps, begun, wanted, drain };
        bed.run().await;
        bed
    }

    /// Lets everything happen that can without time passing.
    async fn run(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets time pass, which stands still otherwise, and all that is due in it happen.
    pub(super) async fn pass(&self, duration: Duration) {
        let _ = tokio::time::timeout(duration, std::future::pending::<()>()).await;
        self.run().await;
    }

    pub(super) async fn step(&self, step: Step) {
        self.steps.send(step).unwrap();
        self.run().await;
    }

    pub(super) async fn say(&self, report: Report) {
        self.step(Step::Say(report)).await;
    }

    pub(super) async fn list(&self, service: &str, ports: &[u16]) {
        let providers = ports.iter().map(|port| provider(*port)).collect();
        self.say(listed(service, View::Present { providers, skipped: Vec::new() })).await;
    }

    pub(super) async fn absent(&self, service: &str) {
        self.say(listed(service, View::Absent)).await;
    }

    pub(super) fn subscribe(&self, service: &str) -> Arc<Subscription> {
        self.catalog.subscribe(&claim(service)).unwrap()
    }

    fn swaps(&self) -> u64 {
        self.metrics.catalog.swaps_total.get()
    }

    fn names_wanted(&self) -> Vec<String> {
        let wanted = self.wanted.lock();
        wanted.as_ref().unwrap().borrow().iter().map(ToString::to_string).collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.drain.stop();
    }
}

pub(super) fn claim(service: &str) -> Claim {
    Claim::on(service.parse().unwrap(), Policy::RoundRobin)
}

fn provider(port: u16) -> Arc<Provider> {
    let address: crate::provider::Address = format!("10.0.0.1:{port}").parse().unwrap();
    Arc::new(Provider::new(format!("p{port}"), address))
}

pub(super) fn listed(service: &str, view: View) -> Report {
    let service = service.parse().unwrap();
    Report::Listed(Listing { revision: Some(7), reads: 1, ..Listing::new(service, view) })
}

fn connected() -> Report {
    Report::Connected { detail: "session 1".to_owned() }
}

pub(super) fn ports(subscription: &Subscription) -> Vec<u16> {
    let snapshot = subscription.snapshot().load();
    snapshot.endpoints.iter().map(|endpoint| endpoint.provider.address.port()).collect()
}
