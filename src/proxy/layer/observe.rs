//! Observe: begins the record of a request, and has it ended by the end of the answer's body.

use std::convert::Infallible;
use std::rc::Rc;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::{Response, StatusCode, Version};

use super::middleware::{Answer, Middleware, Serve};
use crate::body::{Body, Gate, Incoming};
use crate::proxy::client::{Client, Stream};
use crate::proxy::headers::expects_to_continue;
use crate::proxy::record::Record;
use crate::proxy::request::Request;
use crate::proxy::takeover::Within;
use crate::proxy::traits::Traits;
use crate::proxy::worker::Worker;

/// A request as the HTTP server hands it over.
#[derive(Debug)]
pub struct Arrived {
    /// The message.
    pub message: http::Request<Incoming>,
    /// Who sent it.
    pub client: Rc<Client>,
    /// Its stream, where it came over HTTP/2.
    pub stream: Option<Rc<Stream>>,
    /// Its side of what it asks for by CONNECT, where it came over HTTP/2.
    pub tunnel: Option<Within>,
}

/// Begins records.
#[derive(Clone, Debug)]
pub struct Observe {
    /// Whose records.
    pub worker: Rc<Worker>,
}

impl Middleware for Observe {
    type Request = Arrived;
    type Error = Infallible;
    type InnerRequest = Request;
    type InnerError = Infallible;

    fn call(&self, arrived: Arrived, inner: &mut impl Serve<Request, Infallible>) -> Answer<Infallible> {
        let Arrived { message, client, stream, tunnel } = arrived;
        let record = Record::begin(&self.worker, &client, &message);
        // HTTP/2 has a frame for it.
        let is_http1 = message.version() <= Version::HTTP_11;
        let farewell =
            is_http1.then(|| Farewell { worker: Rc::clone(&self.worker), client: Rc::clone(&client) });
        client.hear_interim(message.version() == Version::HTTP_11);
        let is_old = message.version() == Version::HTTP_10;
        let mut message = Box::new(take_in(message, &record, stream.as_ref()));
        record.tunnel.replace(tunnel);
        if !message.body().is_empty() {
            // As long as its body comes in, a request is not over, not even when it is answered.
            let record = Rc::clone(&record);
            record.uploading.set(true);
            message.body_mut().on_end(move |end| record.received(end));
        }
        if let Some(stream) = stream {
            if !message.body().is_empty() {
                message.body_mut().beat(stream.upload());
            }
            record.begin_stream(stream);
        }
        let answer = inner.call(Request {
            traits: Traits::of(message.headers()),
            message,
            client,
            record: Rc::clone(&record),
        });
        Box::pin(async move {
            let mut response = answer.await?;
            record.answer(&response);
            if let Some(farewell) = farewell {
                farewell.say(&mut response);
            }
            if let Some(stream) = record.stream() {
                response.body_mut().beat(Rc::clone(&stream.pulse));
            }
            leave_unasked(&mut response, &record, is_http1);
            if is_http1 && response.status() == StatusCode::NOT_MODIFIED {
                tell_length(&mut response);
            }
            let ends_with_connection = is_old && !response.headers().contains_key(CONTENT_LENGTH);
            response.body_mut().on_end(move |end| {
                if !end.complete && ends_with_connection {
                    record.client().set_cut();
                }
                record.ended(end);
            });
            Ok(response)
        })
    }
}

/// The message with a body of ours, which is held back where its sender waits to be asked for it (RFC 9110, 10.1.1).
fn take_in(
    message: http::Request<Incoming>,
    record: &Record,
    stream: Option<&Rc<Stream>>,
) -> http::Request<Body> {
    let has_body = !message.body().is_end_stream();
    if has_body && message.version() >= Version::HTTP_11 && expects_to_continue(message.headers()) {
        let gate = Rc::new(match stream.cloned() {
            Some(stream) => Gate::asking(move || stream.ask_for_body()),
            None => Gate::default(),
        });
        record.gate.replace(Some(Rc::clone(&gate)));
        return message.map(|incoming| Body::behind(gate, incoming));
    }
    message.map(Body::received)
}

/// Sees to what becomes of a body that was not asked for before there was an answer: its sender may send it or not, so that
/// nothing that follows on its connection can be told what it is; and nobody waits for it once the answer has passed.
fn leave_unasked(response: &mut Response<Body>, record: &Record, is_http1: bool) {
    let gate = record.gate.borrow();
    let Some(gate) = gate.as_ref().filter(|gate| !gate.is_asked()) else { return };
    if is_http1 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let gate = Rc::clone(gate);
    response.body_mut().on_end(move |_| gate.refuse());
}

/// Keeps the length that an answer tells of a body which its status leaves out (RFC 9110, 8.6): the library drops that of a body
/// that is empty. Over HTTP/2 it does not, and an answer counts as broken there that tells of more than it has.
fn tell_length(response: &mut Response<Body>) {
    let told = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if let Some(length) = told.filter(|_| response.body().is_empty()) {
        response.body_mut().count_as(length);
    }
}

/// Who is told with an answer that it is the last one on its connection, once the drain has begun.
///
/// Closing a busy connection between two requests would cut off the next, which may be on its way.
struct Farewell {
    worker: Rc<Worker>,
    client: Rc<Client>,
}

impl Farewell {
    fn say(&self, response: &mut Response<Body>) {
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if self.worker.draining.get() && self.client.may_be_dismissed() && !switches {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}
