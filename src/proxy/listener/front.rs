//! The front of a listener: what becomes of its connections, which a reload changes for those to come.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::opening::Opening;
use crate::proxy::ListenerSettings;
use crate::proxy::tls::Acceptor;

/// What a listener makes of its connections at present; shared by all workers.
pub struct Front {
    /// Replaced when the configuration is read again; loaded once for each connection.
    opening: ArcSwap<Opening>,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Front").field(&self.opening.load().settings().address).finish()
    }
}

impl Front {
    /// That of a listener with these settings.
    pub fn new(settings: &ListenerSettings) -> Self {
        let acceptor = settings.tls.as_ref().map(|tls| Arc::new(Acceptor::new(tls)));
        Self { opening: ArcSwap::from_pointee(Opening::new(settings.clone(), acceptor)) }
    }

    /// Takes other settings, but for the address and the permissions of its file; connections that are there go on under the
    /// old ones, and sessions of TLS that were had under others are forgotten. True when TLS is spoken, and in another way.
    pub fn renew(&self, settings: &ListenerSettings) -> bool {
        let before = self.opening.load_full();
        if before.settings() == settings {
            return false;
        }
        let is_same_tls = before.settings().tls == settings.tls;
        let acceptor = match (&settings.tls, is_same_tls) {
            (None, _) => None,
            (Some(_), true) => before.acceptor().cloned(),
            (Some(tls), false) => Some(Arc::new(Acceptor::new(tls))),
        };
        self.opening.store(Arc::new(Opening::new(settings.clone(), acceptor)));
        settings.tls.is_some() && !is_same_tls
    }

    /// What is done with a connection that comes now.
    pub(super) fn opening(&self) -> Arc<Opening> {
        self.opening.load_full()
    }

    /// When the certificate ends that clients are shown, if they are shown one.
    pub fn certificate_end(&self) -> Option<SystemTime> {
        self.opening.load().settings().tls.as_ref()?.identity.end()
    }

    /// What is to be said of the certificate that clients are shown, if anything is; goes on behind its name.
    pub fn warning(&self) -> Option<String> {
        self.opening.load().settings().tls.as_ref()?.identity.warning()
    }
}
