//! How many proxies a request may still pass: `Max-Forwards`, which concerns `TRACE` and `OPTIONS` (RFC 9110, 7.6.2).

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderValue, MAX_FORWARDS, PROXY_AUTHORIZATION};
use http::{Method, Request, Response};

use super::error::ProxyError;
use crate::body::Body;

/// What tells who somebody is; a trace does not give it away (RFC 9110, 9.3.8).
const SECRET: [http::HeaderName; 3] = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE];

/// Counts this proxy in a request that may pass so many. The answer of one that may pass none, and so ends here.
///
/// # Errors
/// [`ProxyError::BadRequest`] of what is no number, is there twice, or of a trace with a body.
pub fn count(message: &mut Request<Body>) -> Result<Option<Response<Body>>, ProxyError> {
    let traces = message.method() == Method::TRACE;
    if !traces && message.method() != Method::OPTIONS {
        return Ok(None);
    }
    if traces && !message.body().is_empty() {
        return Err(ProxyError::BadRequest("a TRACE with a body; send none"));
    }
    let mut told = message.headers().get_all(MAX_FORWARDS).iter();
    let Some(left) = told.next() else { return Ok(None) };
    // A sign is none of these (RFC 9110, 7.6.2), though numbers have one elsewhere.
    let digits = left.to_str().ok().filter(|digits| !digits.starts_with('+'));
    let left = digits.and_then(|digits| digits.parse::<u32>().ok());
    let Some(left) = left.filter(|_| told.next().is_none()) else {
        return Err(ProxyError::BadRequest("a Max-Forwards that is no number; send digits, once"));
    };
    match left.checked_sub(1) {
        Some(left) => {
            message.headers_mut().insert(MAX_FORWARDS, left.into());
            Ok(None)
        }
        None if traces => Ok(Some(trace(message))),
        None => Ok(Some(Response::new(Body::empty()))),
    }
}

/// The request as it came, for whoever wants to know what became of it on its way.
fn trace(message: &Request<Body>) -> Response<Body> {
    let mut told = format!("TRACE {} {:?}\r\n", message.uri(), message.version()).into_bytes();
    for (name, value) in message.headers().iter().filter(|(name, _)| !SECRET.contains(name)) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            told.extend_from_slice(part);
        }
    }
    told.extend_from_slice(b"\r\n");
    let mut response = Response::new(Body::from(Bytes::from(told)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("message/http"));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn request(method: &str, told: &[&str]) -> Request<Body> {
        let mut request = Request::builder().method(method).uri("/x").header("cookie", "a").header("x", "1");
        for told in told {
            request = request.header(MAX_FORWARDS, *told);
        }
        request.body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn the_last_one_answers() {
        let mut passing = request("OPTIONS", &["3"]);
        assert!(count(&mut passing).unwrap().is_none());
        assert_eq!(passing.headers()[MAX_FORWARDS], "2");
        assert!(count(&mut request("TRACE", &[])).unwrap().is_none());
        assert!(count(&mut request("GET", &["0"])).unwrap().is_none(), "it concerns two methods");
        assert_eq!(count(&mut request("OPTIONS", &["0"])).unwrap().unwrap().status(), 200);
        let traced = count(&mut request("TRACE", &["0"])).unwrap().unwrap();
        assert_eq!(traced.headers()[CONTENT_TYPE], "message/http");
        let told = traced.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(told, "TRACE /x HTTP/1.1\r\nx: 1\r\nmax-forwards: 0\r\n\r\n");
        for wrong in [&["-1"][..], &["+1"], &["x"], &[""], &["1", "1"], &["4294967296"]] {
            assert!(count(&mut request("TRACE", wrong)).is_err(), "{wrong:?}");
        }
    }
}
