//! Switch: what becomes of a request for another protocol once the provider has answered, whichever HTTP either side speaks.

use std::rc::Rc;

use http::header::{HeaderValue, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Request, Response, StatusCode};

use super::client::Client;
use super::error::ProxyError;
use super::request::Exchange;
use super::takeover::{Hold, Takeover};
use super::websocket;
use super::worker::Worker;
use crate::body::Body;
use crate::provider::Protocol;

/// What a request for another protocol asked for.
#[derive(Debug)]
pub struct Asked {
    /// The protocols it named.
    protocols: Option<HeaderValue>,
    /// What a WebSocket's yes is made of.
    key: Option<HeaderValue>,
    /// Whether the provider is asked in the way of HTTP/2.
    is_connect: bool,
}

impl Asked {
    /// What a request asks for, if it does, of a provider that speaks this. One that an attempt before asked in the way of HTTP/2
    /// is asked in that of HTTP/1.1 again, where all of it can be seen.
    pub fn by(message: &mut Request<Body>, exchange: Exchange, protocol: Protocol) -> Option<Box<Self>> {
        if exchange != Exchange::Upgrade {
            return None;
        }
        websocket::back_to_http1(message);
        let headers = message.headers();
        let is_connect = protocol == Protocol::H2c && websocket::is_upgrade(headers);
        let (protocols, key) = (headers.get(UPGRADE).cloned(), headers.get(SEC_WEBSOCKET_KEY).cloned());
        Some(Box::new(Self { protocols, key, is_connect }))
    }

    /// Hands both sides over to raw bytes where the provider has agreed; gives what the client is answered.
    ///
    /// # Errors
    /// [`ProxyError::Switch`] for an answer that could be taken for a yes, and is none to what was asked.
    pub fn settle(
        &self,
        mut response: Response<Body>,
        client: &Rc<Client>,
        worker: &Rc<Worker>,
        mut hold: Hold,
    ) -> Result<Response<Body>, ProxyError> {
        let status = response.status();
        let is_within = hold.record.tunnel.borrow().is_some();
        let yes = if self.is_connect { StatusCode::OK } else { StatusCode::SWITCHING_PROTOCOLS };
        if status != yes {
            // To a client of HTTP/2, and from a provider of it, any success is a yes.
            let is_mistakable = (is_within || self.is_connect) && status.is_success();
            let is_wrong = is_mistakable || status == StatusCode::SWITCHING_PROTOCOLS;
            return if is_wrong { Err(ProxyError::Switch) } else { Ok(response) };
        }
        if !self.is_connect && !self.named(response.headers().get(UPGRADE)) {
            return Err(ProxyError::Switch);
        }
        let key = self.key.as_ref();
        if !self.is_connect && is_within && !websocket::agreed(response.headers_mut(), key) {
            return Err(ProxyError::Switch);
        }
        let record = Rc::clone(&hold.record);
        let upstream = response.body_mut().take_raw().ok_or(ProxyError::Switch)?;
        if self.is_connect {
            // Its stream lasts as long as the bytes flow, and so does its place among those of the connection.
            hold.answer = std::mem::take(response.body_mut());
        }
        let takeover = Takeover::Upgrade { upstream, hold };
        match (record.tunnel.take(), record.stream()) {
            (Some(tunnel), Some(stream)) => {
                *response.status_mut() = StatusCode::OK;
                takeover.begin_within(tunnel, Rc::clone(stream), worker);
            }
            _ => {
                if self.is_connect {
                    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                    websocket::agree(response.headers_mut(), key);
                }
                client.takeover.replace(Some(takeover));
            }
        }
        Ok(response)
    }

    /// Whether the protocol that a provider switched to was asked for (RFC 9110, 7.8).
    fn named(&self, switched: Option<&HeaderValue>) -> bool {
        let (Some(asked), Some(switched)) = (&self.protocols, switched) else { return false };
        let mut protocols = asked.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        protocols.any(|protocol| protocol.eq_ignore_ascii_case(switched.as_bytes().trim_ascii()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_may_be_switched_to() {
        let asked = |protocols| Asked {
            protocols: Some(HeaderValue::from_static(protocols)),
            key: None,
            is_connect: false,
        };
        let named = |protocols, switched| asked(protocols).named(Some(&HeaderValue::from_static(switched)));
        assert!(named("websocket", "WebSocket") && named("foo/1, websocket", " websocket"));
        assert!(!named("websocket", "foo/1") && !named("websocket", "") && !named("websocket", "web"));
        assert!(!asked("websocket").named(None));
    }

    #[test]
    fn a_websocket_that_was_asked_for_over_http2_is_still_one_at_the_next_attempt() {
        let request = Request::get("/chat").header("connection", "upgrade").header("upgrade", "websocket");
        let mut message = request.header("sec-websocket-key", "abc").body(Body::empty()).unwrap();
        for (protocol, over_http2) in [(Protocol::H2c, true), (Protocol::H2c, true), (Protocol::Http1, false)]
        {
            let asked = Asked::by(&mut message, Exchange::Upgrade, protocol).unwrap();
            assert_eq!(asked.is_connect, over_http2);
            assert_eq!(asked.key.as_ref().map(HeaderValue::as_bytes), Some(&b"abc"[..]));
            assert!(asked.named(Some(&HeaderValue::from_static("websocket"))));
            // As it is sent then, and comes back where no connection comes about.
            websocket::to_http2(&mut message);
        }
    }
}
