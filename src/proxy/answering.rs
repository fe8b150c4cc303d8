//! What is to be changed in the headers of an answer, kept from when that is known until there is one, whoever gives it.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use super::client::Client;
use super::record::Record;
use crate::route::template::Facts;
use crate::route::{Edit, Rules};

/// What is to be changed in the headers of one answer.
#[derive(Debug)]
pub struct Answering {
    edit: Arc<Edit>,
    route: Option<Arc<str>>,
    /// The host that was asked for.
    host: Option<HeaderValue>,
}

impl Answering {
    /// What is laid down for the answer to a request, if anything is.
    pub fn of(rules: &Rules, route: Option<&Arc<str>>, host: Option<&HeaderValue>) -> Option<Box<Self>> {
        let edit = Arc::clone(rules.response_headers.as_ref()?);
        Some(Box::new(Self { edit, route: route.cloned(), host: host.cloned() }))
    }

    /// Changes the headers of the answer.
    pub fn apply(&self, headers: &mut HeaderMap, client: &Client, record: &Record) {
        let (bound, target) = (record.bound.borrow(), record.target.borrow());
        let request_id = record.request_id.borrow();
        // Whoever was tried last is not who answered, where this proxy did.
        let answered = target.as_ref().filter(|_| record.reason.get().is_none());
        let provider = answered.and_then(|target| target.provider.as_deref());
        self.edit.apply(
            headers,
            &Facts {
                client: client.peer.ip(),
                service: bound.as_ref().map_or("", |bound| bound.service().as_str()),
                route: self.route.as_deref(),
                request_id: request_id.as_ref(),
                host: self.host.as_ref(),
                provider: provider.map(|provider| &*provider.id),
                address: provider.map(|provider| &provider.address),
            },
        );
    }
}
