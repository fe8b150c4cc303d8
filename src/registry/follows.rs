//! The services that one watch follows, each by a future of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;

use super::RegistryError;
use crate::provider::ServiceName;

/// One service, followed until the registry fails.
type Running<'a> = Pin<Box<dyn Future<Output = RegistryError> + Send + 'a>>;

/// The services that are followed. Their futures run inside the one watch: dropping it drops them.
#[derive(Default)]
pub(crate) struct Follows<'a> {
    handles: BTreeMap<ServiceName, AbortHandle>,
    running: FuturesUnordered<Abortable<Running<'a>>>,
}

impl<'a> Follows<'a> {
    /// Follows what is newly wanted, as `follow` does, and lets go of what is no longer.
    pub(crate) fn adjust<F>(&mut self, wanted: &BTreeSet<ServiceName>, follow: impl Fn(ServiceName) -> F)
    where
        F: Future<Output = RegistryError> + Send + 'a,
    {
        self.handles.retain(|service, handle| {
            let keep = wanted.get(service).is_some_and(|wanted| wanted.is(service));
            if !keep {
                handle.abort();
            }
            keep
        });
        for service in wanted {
            if !self.handles.contains_key(service) {
                let (handle, registration) = AbortHandle::new_pair();
                let running: Running<'a> = Box::pin(follow(service.clone()));
                self.running.push(Abortable::new(running, registration));
                self.handles.insert(service.clone(), handle);
            }
        }
    }

    /// Waits until one of them ends, and with it the watch; for ever while none does.
    pub(crate) async fn ended(&mut self) -> RegistryError {
        loop {
            match self.running.next().await {
                Some(Ok(error)) => return error,
                // It was let go of.
                Some(Err(_)) => {}
                None => return std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn what_is_let_go_of_ends_nothing() {
        let [a, b, ends]: [ServiceName; 3] = ["a", "b", "ends"].map(|name| name.parse().unwrap());
        let names = |names: &[&ServiceName]| names.iter().map(|name| (*name).clone()).collect();
        let begun = Mutex::new(Vec::new());
        let follow = |service: ServiceName| {
            begun.lock().unwrap().push(service.to_string());
            async move {
                match service.as_str() {
                    "ends" => RegistryError::Abandoned,
                    _ => std::future::pending().await,
                }
            }
        };
        let mut follows = Follows::default();
        follows.adjust(&names(&[&a, &b]), follow);
        follows.adjust(&names(&[&b]), follow);
        assert!(futures_util::FutureExt::now_or_never(follows.ended()).is_none());
        // One that went and came back before anybody looked is begun anew.
        follows.adjust(&names(&[&a, &b.anew(), &ends]), follow);
        assert!(matches!(follows.ended().await, RegistryError::Abandoned));
        assert_eq!(*begun.lock().unwrap(), ["a", "b", "a", "b", "ends"]);
    }
}
