//! What a request is sent again from: a copy of its head, and its body as far as it is kept.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::body::{Body, Kept};

/// What a request is sent again from.
#[derive(Debug)]
pub(super) struct Spare {
    method: Method,
    uri: Uri,
    version: Version,
    /// As a list, which is smaller than a map and made at once.
    headers: Box<[(HeaderName, HeaderValue)]>,
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
            headers: listed(message.headers()),
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
        let headers = message.headers_mut();
        headers.reserve(self.headers.len());
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        Some(Box::new(message))
    }

    /// Whether the whole request came, so that it can be sent twice at once.
    pub(super) fn is_whole(&self) -> bool {
        self.kept.as_ref().is_none_or(Kept::is_whole)
    }
}

fn listed(headers: &HeaderMap) -> Box<[(HeaderName, HeaderValue)]> {
    let mut list = Vec::with_capacity(headers.len());
    list.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    list.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_same_again() {
        let mut message = Request::put("/x?y").version(Version::HTTP_2);
        for (name, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
            message = message.header(name, value);
        }
        let mut message = message.body(Body::empty()).unwrap();
        let again = Spare::of(&mut message, 0).again().unwrap();
        assert_eq!((again.method(), again.uri()), (message.method(), message.uri()));
        assert_eq!((again.version(), again.headers()), (message.version(), message.headers()));
    }
}
