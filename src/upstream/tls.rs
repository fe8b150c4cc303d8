//! TLS with providers whose record asks for it: on which terms, by service, and how it is begun.

mod error;
mod expiry;
mod manner;
mod revoked;
mod spiffe;
mod trust;
mod verify;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;

pub use error::TlsError;
pub(super) use error::refused;
pub(super) use manner::Manner;
pub use revoked::Revoked;
pub use spiffe::{SpiffeError, SpiffeId};
pub use trust::{Identity, PemError, Roots, Trust, certificates};
pub use verify::Distrust;

use crate::drain::Drain;
use crate::provider::ServiceName;

/// How TLS is spoken with the providers whose record asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// With those of services of which nothing else is said.
    pub usual: Arc<Terms>,
    /// With those of a service.
    pub by_service: BTreeMap<ServiceName, Arc<Terms>>,
}

/// The terms on which TLS is spoken with some providers: whom we believe, and who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Certificates that are believed no longer.
    pub revoked: Option<Revoked>,
    /// The name that every certificate has to bear, in place of the host of its provider. Where ids are wanted, it is only
    /// the name that is asked for.
    pub server_name: Option<ServerName<'static>>,
    /// The SPIFFE ids of which every certificate has to bear one, in place of a name; none if a name is wanted.
    pub ids: Vec<SpiffeId>,
    /// Who we are, where a provider asks.
    pub identity: Option<Identity>,
}

/// TLS as it is spoken now. A change of the terms holds for the connections made from then on, and those made before take
/// no further requests.
pub(super) struct Tls {
    /// Replaced when the configuration is read again; looked into once for each handshake.
    manners: ArcSwap<Manners>,
    /// Counts those replacements. Written after one, read at each request over TLS.
    epoch: AtomicU64,
}

struct Manners {
    usual: Arc<Manner>,
    by_service: HashMap<ServiceName, Arc<Manner>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Tls {
    pub(super) fn new(settings: &Settings) -> Self {
        let manners = Manners::new(settings, |_, terms| Manner::new(terms));
        manners.warn();
        Self { manners: ArcSwap::from_pointee(manners), epoch: AtomicU64::new(0) }
    }

    /// Takes other settings, and reads anew what the system trusts. Whoever keeps their terms keeps their connections. True
    /// when somebody does not.
    pub(super) async fn renew(&self, settings: &Settings, drain: &Drain) -> bool {
        let before = self.manners.load_full();
        let roots = before.system_roots(drain).await;
        let manners = Manners::new(settings, |service, terms| {
            let known = before.of(service);
            if known.still_holds(&terms, roots.as_deref()) { Arc::clone(known) } else { Manner::new(terms) }
        });
        let is_same = manners.is_same(&before);
        if !is_same {
            manners.warn();
            self.manners.store(Arc::new(manners));
            self.epoch.fetch_add(1, Ordering::Release);
        }
        !is_same
    }

    /// Says which of our certificates end soon.
    pub(super) fn warn_of_expiry(&self) {
        self.manners.load().warn_of_expiry();
    }

    /// When our certificates end: that of all services, and those of single ones.
    pub(super) fn ends(&self) -> Vec<(Option<ServiceName>, SystemTime)> {
        let manners = self.manners.load();
        let ends = manners.all().filter_map(|(service, manner)| {
            let identity = manner.terms.identity.as_ref()?;
            let is_usual = service.is_some() && manners.usual.terms.identity.as_ref() == Some(identity);
            if is_usual { None } else { Some((service.cloned(), identity.end()?)) }
        });
        ends.collect()
    }

    /// Another number whenever somebody's terms are others.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// How TLS is spoken with the providers of a service.
    pub(super) fn manner(&self, service: Option<&ServiceName>) -> Arc<Manner> {
        Arc::clone(self.manners.load().of(service))
    }
}

impl Manners {
    fn new(settings: &Settings, make: impl Fn(Option<&ServiceName>, Arc<Terms>) -> Arc<Manner>) -> Self {
        let usual = make(None, Arc::clone(&settings.usual));
        let of_service = |(service, terms): (&ServiceName, &Arc<Terms>)| {
            (service.clone(), make(Some(service), Arc::clone(terms)))
        };
        Self { usual, by_service: settings.by_service.iter().map(of_service).collect() }
    }

    fn of(&self, service: Option<&ServiceName>) -> &Arc<Manner> {
        service.and_then(|service| self.by_service.get(service)).unwrap_or(&self.usual)
    }

    fn all(&self) -> impl Iterator<Item = (Option<&ServiceName>, &Arc<Manner>)> {
        let own = self.by_service.iter().map(|(service, manner)| (Some(service), manner));
        std::iter::once((None, &self.usual)).chain(own)
    }

    /// Whether these are the very same.
    fn is_same(&self, other: &Self) -> bool {
        self.by_service.len() == other.by_service.len()
            && Arc::ptr_eq(&self.usual, &other.usual)
            && self.by_service.iter().all(|(service, manner)| {
                other.by_service.get(service).is_some_and(|other| Arc::ptr_eq(manner, other))
            })
    }

    /// What the system trusts now, if somebody holds what it trusted earlier.
    async fn system_roots(&self, drain: &Drain) -> Option<Arc<RootCertStore>> {
        if !self.all().any(|(_, manner)| manner.holds_system_roots()) {
            return None;
        }
        match drain.run_aside("system roots", trust::system_roots).await? {
            Ok(roots) => Some(Arc::new(roots)),
            Err(error) => {
                tracing::error!(%error, "what the system trusts cannot be read again; what was read before holds");
                None
            }
        }
    }

    /// Says what is to be known of each.
    fn warn(&self) {
        for (service, manner) in self.all() {
            // What a service has in common with all is said of all.
            let (terms, usual) = (&manner.terms, service.map(|_| &self.usual.terms));
            let of = service.map_or_else(String::new, |service| format!(" of service {service}"));
            if terms.trust == Trust::Anyone && usual.is_none_or(|usual| usual.trust != Trust::Anyone) {
                tracing::warn!(
                    "CERTIFICATES{of} ARE NOT VERIFIED: whoever can redirect connections to a provider can read and change what is sent"
                );
            }
        }
        self.warn_of_expiry();
    }

    /// Says which of our certificates providers will not accept for much longer, or do not accept now.
    fn warn_of_expiry(&self) {
        for (service, manner) in self.all() {
            let (own, usual) = (&manner.terms.identity, &self.usual.terms.identity);
            if service.is_some() && own == usual {
                continue;
            }
            let of = service.map_or_else(String::new, |service| format!(" of service {service}"));
            if let Some(warning) = own.as_ref().and_then(Identity::warning) {
                tracing::warn!("the client certificate that is shown to providers{of} {warning}");
            }
        }
    }
}

/// The one implementation of all that is secret: no other can be chosen by accident.
pub fn crypto() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
