//! An error as the caller understands it: for people, for programs, for Go Micro, for gRPC.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::json;

use super::error::{ProxyError, Telling, with_causes};
use super::headers::X_REQUEST_ID;
use super::record::Record;
use super::traits::Traits;
use super::worker::Worker;
use crate::body::Body;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const MICRO_ERROR: HeaderName = HeaderName::from_static("micro-error");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The methods that are passed on, as far as they have a name of their own (RFC 9110, 9.1); others are as well.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH";

/// In which form a caller wants to hear of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line of text.
    Text,
    /// A JSON object.
    Json,
    /// A Go Micro client: status 200 and a `Micro-Error`; any other status is opaque to it.
    GoMicro,
    /// A gRPC client: status 200 and a `grpc-status`.
    Grpc,
}

impl Form {
    /// The form that a request asks for.
    pub const fn of(traits: Traits) -> Self {
        if traits.has(Traits::GO_MICRO) {
            Self::GoMicro
        } else if traits.has(Traits::GRPC) {
            Self::Grpc
        } else if traits.has(Traits::JSON) {
            Self::Json
        } else {
            Self::Text
        }
    }

    /// The answer that tells an error in this form.
    pub fn tell(self, error: &ProxyError, record: &Record, worker: &Worker) -> Response<Body> {
        let telling = error.telling();
        let detail = detail(error, record, worker);
        let mut response = match self {
            Self::Text => whole(telling.status, "text/plain; charset=utf-8", format!("{detail}\n")),
            Self::Json => {
                let service = record.bound.borrow().as_ref().map(|bound| bound.service().to_string());
                let object = json!({
                    "error": telling.reason, "status": telling.status.as_u16(), "service": service, "detail": detail,
                });
                whole(telling.status, "application/json", object.to_string())
            }
            Self::GoMicro => go_micro(telling, &detail),
            Self::Grpc => grpc(telling, &detail),
        };
        let headers = response.headers_mut();
        let name = &worker.shared.pseudonym.name;
        let mut status = format!("{name}; error={}", telling.proxy_status);
        if let Some((address, alert)) = error.unreached() {
            // RFC 9209, sections 2.1.2 and 2.3.15. An address has nothing that would have to be escaped.
            let _ = write!(status, "; next-hop=\"{address}\"");
            if let Some((number, alert)) = alert {
                let _ = write!(status, "; alert-id={number}; alert-message=\"{alert}\"");
            }
        }
        let _ = write!(status, "; details=\"{}\"", telling.reason);
        insert(headers, PROXY_STATUS, &status);
        if let Some(after) = error.retry_after() {
            // Whole seconds, and never none: a caller is not asked to try again at once.
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1000).max(1) as u64));
        }
        if matches!(error, ProxyError::ConnectRefused) {
            headers.insert(ALLOW, HeaderValue::from_static(METHODS));
        }
        if matches!(error, ProxyError::BadRequest(_) | ProxyError::ConnectRefused) {
            // Who was misunderstood once is not listened to any longer, and what comes behind CONNECT is meant for a tunnel.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(id) = record.request_id.borrow().as_ref() {
            headers.insert(X_REQUEST_ID, id.clone());
        }
        response
    }
}

fn whole(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Go Micro knows few codes: 408 is one that its clients take for a timeout; the others pass as they are.
fn go_micro(telling: Telling, detail: &str) -> Response<Body> {
    let status = if telling.status == StatusCode::GATEWAY_TIMEOUT {
        StatusCode::REQUEST_TIMEOUT
    } else {
        telling.status
    };
    let object = json!({
        "id": "wayside",
        "code": status.as_u16(),
        "detail": detail,
        "status": status.canonical_reason().unwrap_or_default(),
    });
    let mut response = Response::new(Body::empty());
    insert(response.headers_mut(), MICRO_ERROR, &object.to_string());
    response
}

/// Codes as gRPC maps HTTP statuses ("HTTP to gRPC Status Code Mapping"), but for what has a code of its own. Clients send again
/// what is told as UNAVAILABLE (14), so nothing is that would fail the same way again.
const fn grpc_code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::GATEWAY_TIMEOUT => "4",
        StatusCode::NOT_FOUND => "12",
        StatusCode::BAD_REQUEST => "13",
        StatusCode::UNAUTHORIZED => "16",
        StatusCode::FORBIDDEN => "7",
        // Not as mapped there, which is for answers of others: the exact code is known here.
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        | StatusCode::URI_TOO_LONG
        | StatusCode::PAYLOAD_TOO_LARGE => "8",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "14",
        _ => "2",
    }
}

/// A text as `grpc-message` has it ("Percent-Encoded" in gRPC over HTTP/2): its reader decodes it.
fn grpc_message(text: &str) -> String {
    const ENCODED: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b'%');
    percent_encoding::utf8_percent_encode(text, ENCODED).to_string()
}

fn grpc(telling: Telling, detail: &str) -> Response<Body> {
    let code = grpc_code(telling.status);
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from_static(code));
    insert(headers, GRPC_MESSAGE, &grpc_message(detail));
    response
}

/// Inserts a text made from what a caller sent: what a header cannot carry becomes `?`.
fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    let visible = |character: char| if matches!(character, ' '..='~') { character } else { '?' };
    let text: String = text.chars().map(visible).collect();
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

/// The error, and how things stand with its service: enough to know where to look next.
fn detail(error: &ProxyError, record: &Record, worker: &Worker) -> String {
    let mut detail = with_causes(error);
    let bound = record.bound.borrow();
    let Some(bound) = bound.as_ref() else { return detail };
    let (known, wanted, available) = bound.look(|snapshot| {
        let available = snapshot.all().filter(|endpoint| endpoint.is_available()).count();
        (snapshot.known, snapshot.all().count(), available)
    });
    let _ = write!(
        detail,
        "; service {}: {known} known, {wanted} wanted here, {available} available, {}",
        bound.service(),
        bound.subscription.freshness(),
    );
    for registry in worker.shared.catalog.registries().iter().filter(|registry| registry.is_used()) {
        let _ = write!(detail, "; registry {registry}");
    }
    if record.attempts.get() > 0 {
        let _ = write!(detail, "; attempts: {}", record.attempts.get());
    }
    if let Some(why) = record.not_again.get() {
        let _ = write!(detail, "; not tried again: {why}");
    }
    detail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_go_well_another_time_is_told_as_unavailable() {
        let codes = [400, 403, 404, 405, 414, 429, 431, 500, 502, 503, 504, 508]
            .map(|status| grpc_code(StatusCode::from_u16(status).unwrap()));
        assert_eq!(codes, ["13", "7", "12", "2", "8", "8", "8", "2", "14", "14", "4", "2"]);
    }

    #[test]
    fn a_message_of_grpc_is_read_as_it_was_meant() {
        assert_eq!(grpc_message("100% \u{e4}\n%41"), "100%25 %C3%A4%0A%2541");
        assert_eq!(grpc_message("a \"b\" ~"), "a \"b\" ~");
    }
}
