//! Disclosure: what providers are told of a request beside the request: it may change while the proxy runs.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::{Forwarding, Settings};

/// What is told at present. Written by a reload, read by workers with every request.
#[derive(Debug)]
pub struct Disclosure {
    /// The place of the forwarding among all.
    forwarding: AtomicU8,
    request_id: AtomicBool,
}

impl Clone for Disclosure {
    fn clone(&self) -> Self {
        let (forwarding, request_id) = (self.forwarding.load(Ordering::Relaxed), self.request_id());
        Self { forwarding: AtomicU8::new(forwarding), request_id: AtomicBool::new(request_id) }
    }
}

impl Disclosure {
    /// As these settings say.
    pub fn new(settings: &Settings) -> Self {
        let disclosure = Self { forwarding: AtomicU8::new(0), request_id: AtomicBool::new(false) };
        disclosure.renew(settings);
        disclosure
    }

    /// As these say from now on. A request meanwhile may find one of both changed already.
    pub fn renew(&self, settings: &Settings) {
        let place = Forwarding::ALL.iter().position(|forwarding| *forwarding == settings.forwarding);
        let place = place.and_then(|place| u8::try_from(place).ok()).unwrap_or_default();
        self.forwarding.store(place, Ordering::Relaxed);
        self.request_id.store(settings.request_id, Ordering::Relaxed);
    }

    /// How providers are told whom a request comes from.
    pub fn forwarding(&self) -> Forwarding {
        let place = usize::from(self.forwarding.load(Ordering::Relaxed));
        Forwarding::ALL.get(place).copied().unwrap_or(Forwarding::Usual)
    }

    /// Whether an `X-Request-Id` is made where the request has none.
    pub fn request_id(&self) -> bool {
        self.request_id.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_settings_say() {
        let disclosure = Disclosure::new(&Settings::default());
        for forwarding in Forwarding::ALL {
            for request_id in [false, true] {
                disclosure.renew(&Settings { forwarding, request_id, ..Settings::default() });
                assert_eq!((disclosure.forwarding(), disclosure.request_id()), (forwarding, request_id));
            }
        }
    }
}
