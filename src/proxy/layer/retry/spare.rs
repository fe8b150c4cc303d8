//! What a request is sent again from: a copy of its head, and its body as far as it is kept.

use http::{HeaderMap, Method, Request, Uri, Version};

use crate::body::{Body, Kept};

/// What a request is sent again from.
#[derive(Debug)]
pub(super) struct Spare {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    /// `None`: the body is empty.
    kept: Option<Kept>,
}

impl Spare {
    /// Copies the head of a request, and has its body kept as it is read, up to a bound.
    pub(super) fn of(message: &mut Request<Body>, kept_max: usize) -> Self {
        let kept = (!message.body().is_empty()).then(|| Kept::keep(message.body_mut(), kept_max));
        Self {
            method: message.method().clone(),
            uri: message.uri().clone(),
            version: message.version(),
            headers: message.headers().clone(),
            kept,
        }
    }

    /// The request once more, if all that was read of its body so far is kept.
    pub(super) fn again(&self) -> Option<Box<Request<Body>>> {
        let body = match &self.kept {
            None => Body::empty(),
            Some(kept) => kept.again()?,
        };
        let mut message = Request::new(body);
        *message.method_mut() = self.method.clone();
        *message.uri_mut() = self.uri.clone();
        *message.version_mut() = self.version;
        *message.headers_mut() = self.headers.clone();
        Some(Box::new(message))
    }

    /// Whether the whole request came, so that it can be sent twice at once.
    pub(super) fn is_whole(&self) -> bool {
        self.kept.as_ref().is_none_or(Kept::is_whole)
    }
}
