//! A registry that a test steers.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use wayside::provider::{Address, Protocol, Provider, ServiceName};
use wayside::registry::{Listing, Registry, RegistryError, Report, Reports, View, Wanted, Watch};

type Services = BTreeMap<ServiceName, Vec<Arc<Provider>>>;

/// A registry that knows what it is told; services that it was not told of are absent.
#[derive(Debug)]
pub(crate) struct Told {
    services: watch::Sender<Services>,
    /// Whether it answers at all.
    up: watch::Sender<bool>,
}

impl Told {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { services: watch::Sender::default(), up: watch::Sender::new(true) })
    }

    /// A registry with one service of HTTP/1.1 providers at these addresses.
    pub(crate) fn with(service: &str, addresses: &[Address]) -> Arc<Self> {
        let told = Self::new();
        told.tell(service, Protocol::Http1, addresses);
        told
    }

    /// Replaces the providers of a service.
    pub(crate) fn tell(&self, service: &str, protocol: Protocol, addresses: &[Address]) {
        self.replace(service, addresses, |provider| Provider { protocol, ..provider });
    }

    /// Replaces the providers of a service by those that are reached over TLS.
    pub(crate) fn tell_secure(&self, service: &str, protocol: Protocol, addresses: &[Address]) {
        self.replace(service, addresses, |provider| Provider { protocol, secure: true, ..provider });
    }

    fn replace(&self, service: &str, addresses: &[Address], finish: impl Fn(Provider) -> Provider) {
        let provider = |address: &Address| {
            let id = format!("{service}-{}", address.port());
            Arc::new(finish(Provider::new(id, address.clone())))
        };
        let providers = addresses.iter().map(provider).collect();
        self.services.send_modify(|services| {
            services.insert(service.parse().unwrap(), providers);
        });
    }

    /// Lets it answer, or not.
    pub(crate) fn answer(&self, up: bool) {
        self.up.send_replace(up);
    }

    async fn watch_until_it_fails(&self, mut wanted: Wanted, reports: Reports) -> Result<(), RegistryError> {
        let (mut services, mut up) = (self.services.subscribe(), self.up.subscribe());
        let mut connected = false;
        loop {
            if !*up.borrow_and_update() {
                let source = "it was told to be silent".into();
                return Err(RegistryError::Unreachable { doing: "cannot hear the test".to_owned(), source });
            }
            if !std::mem::replace(&mut connected, true) {
                reports.send(Report::Connected { detail: "a test".to_owned() }).await?;
            }
            let names = wanted.borrow_and_update().clone();
            let known = services.borrow_and_update().clone();
            for service in names.iter() {
                let view = match known.get(service) {
                    None => View::Absent,
                    Some(providers) => View::Present { providers: providers.clone(), skipped: Vec::new() },
                };
                let service = service.clone();
                let listing = Listing { reads: 1, ..Listing::new(service, view) };
                reports.send(Report::Listed(listing)).await?;
            }
            tokio::select! {
                _ = services.changed() => {}
                _ = up.changed() => {}
                changed = wanted.changed() => if changed.is_err() { return Err(RegistryError::Abandoned) },
            }
        }
    }
}

impl Registry for Told {
    fn kind(&self) -> &'static str {
        "told"
    }

    fn location(&self) -> String {
        "in this test".to_owned()
    }

    fn watch<'a>(&'a self, wanted: Wanted, reports: Reports) -> Watch<'a> {
        Box::pin(async move {
            self.watch_until_it_fails(wanted, reports).await.expect_err("a watch ends only by failing")
        })
    }
}
