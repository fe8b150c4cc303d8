//! The registry `fixed`: providers that stand in the configuration and never change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::url::UrlError;
use super::{Listing, Registry, RegistryError, Report, Reports, View, Wanted, Watch, written};
use crate::provider::{Provider, ServiceName};

/// What to write when the list after `fixed:` cannot be read.
const CURE: &str = "write fixed:greeter=127.0.0.1:8080,127.0.0.1:8081;users=127.0.0.1:9000";

/// The providers of each service.
///
/// As text, services are joined by `;`, and the addresses of one by `,`: `greeter=127.0.0.1:8080,127.0.0.1:8081`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The providers of each service, in the order they are written.
    pub services: BTreeMap<ServiceName, Vec<Arc<Provider>>>,
}

impl FromStr for Settings {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let mut services = BTreeMap::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, addresses) = part
                .split_once('=')
                .ok_or_else(|| UrlError::new(format!("{part:?} names no service"), CURE))?;
            let name = name
                .trim()
                .parse::<ServiceName>()
                .map_err(|error| UrlError::new(format!("{error}, in {part:?}"), CURE))?;
            let mut providers = Vec::new();
            for address in addresses.split(',').map(str::trim).filter(|address| !address.is_empty()) {
                if address.contains('@') {
                    // Not repeated: it may be a secret.
                    return Err(UrlError::new(
                        "a provider is asked without credentials",
                        "leave out what is before the @",
                    ));
                }
                let provider = written::at(address).map_err(|mistake| UrlError::new(mistake.detail, CURE))?;
                providers.push(Arc::new(provider));
            }
            if providers.is_empty() {
                return Err(UrlError::new(format!("the service {:?} has no address", name.as_str()), CURE));
            }
            if services.insert(name.clone(), providers).is_some() {
                let wrong = format!("the service {:?} is written twice", name.as_str());
                return Err(UrlError::new(wrong, "join its addresses with commas"));
            }
        }
        if services.is_empty() {
            return Err(UrlError::new("no service is written", CURE));
        }
        Ok(Self { services })
    }
}

impl fmt::Display for Settings {
    /// The text form, which knows only addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (service, providers)) in self.services.iter().enumerate() {
            let addresses: Vec<String> =
                providers.iter().map(|provider| provider.address.to_string()).collect();
            write!(f, "{}{service}={}", if index == 0 { "" } else { ";" }, addresses.join(","))?;
        }
        Ok(())
    }
}

/// Providers that never change.
#[derive(Debug)]
pub struct Fixed {
    settings: Settings,
}

/// The registry of these providers.
pub const fn open(settings: Settings) -> Fixed {
    Fixed { settings }
}

impl Registry for Fixed {
    fn kind(&self) -> &'static str {
        "fixed"
    }

    fn location(&self) -> String {
        "the configuration".to_owned()
    }

    fn watch<'a>(&'a self, wanted: Wanted, reports: Reports) -> Watch<'a> {
        Box::pin(async move {
            match self.list(wanted, reports).await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        })
    }
}

impl Fixed {
    /// Lists each service once when it comes to be wanted.
    async fn list(
        &self,
        mut wanted: Wanted,
        reports: Reports,
    ) -> Result<std::convert::Infallible, RegistryError> {
        let detail = format!("{} services", self.settings.services.len());
        reports.send(Report::Connected { detail }).await?;
        let mut listed = Arc::<BTreeSet<ServiceName>>::default();
        loop {
            let now = Arc::clone(&wanted.borrow_and_update());
            let is_new =
                |service: &&ServiceName| listed.get(*service).is_none_or(|before| !before.is(service));
            for service in now.iter().filter(is_new) {
                reports.send(Report::Listed(self.listing(service))).await?;
            }
            listed = now;
            wanted.changed().await.map_err(|_| RegistryError::Abandoned)?;
        }
    }

    fn listing(&self, service: &ServiceName) -> Listing {
        let view = match self.settings.services.get(service) {
            None => View::Absent,
            Some(providers) => View::Present { providers: providers.clone(), skipped: Vec::new() },
        };
        Listing::new(service.clone(), view)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    fn names(names: &[&str]) -> Arc<BTreeSet<ServiceName>> {
        Arc::new(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn reads_services_and_addresses() {
        let text = "greeter=127.0.0.1:8080,127.0.0.1:8081;users=[::1]:9000";
        let settings: Settings = text.parse().unwrap();
        assert_eq!(settings.to_string(), text);
        assert_eq!(" greeter = a:1 , b:2 ; ".parse::<Settings>().unwrap().to_string(), "greeter=a:1,b:2");
    }

    #[test]
    fn mistakes_name_culprit_and_cure() {
        for (text, part) in [
            ("", "no service is written; write fixed:greeter="),
            ("127.0.0.1:80", "\"127.0.0.1:80\" names no service"),
            ("=a:1", "a service name cannot be empty, in \"=a:1\""),
            ("greeter=", "the service \"greeter\" has no address"),
            ("greeter=127.0.0.1", "\"127.0.0.1\" has no port"),
            ("a=h:1;a=h:2", "the service \"a\" is written twice; join its addresses with commas"),
        ] {
            let error = text.parse::<Settings>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn lists_each_wanted_service_once() {
        let registry = open("greeter=127.0.0.1:8080".parse().unwrap());
        let (want, wanted) = watch::channel(names(&["greeter"]));
        let (reports, mut queue) = Reports::channel();
        let mut said = async || match queue.recv().await.unwrap() {
            Report::Listed(listing) => (listing.service.to_string(), listing.view == View::Absent),
            Report::Connected { .. } => ("connected".to_owned(), false),
            Report::Disconnected { .. } => ("disconnected".to_owned(), false),
            Report::Unheard { .. } => ("unheard".to_owned(), false),
        };
        let checks = async {
            assert_eq!(said().await.0, "connected");
            assert_eq!(said().await, ("greeter".to_owned(), false));
            want.send_modify(|wanted| {
                Arc::make_mut(wanted).insert("nobody".parse().unwrap());
            });
            assert_eq!(said().await, ("nobody".to_owned(), true));
            // What went and came back before anybody looked is listed again.
            want.send_replace(names(&["greeter"]));
            assert_eq!(said().await, ("greeter".to_owned(), false));
            drop(want);
        };
        let (end, ()) = tokio::join!(registry.watch(wanted, reports), checks);
        assert!(matches!(end, RegistryError::Abandoned));
    }
}
