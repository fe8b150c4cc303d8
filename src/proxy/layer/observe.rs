//! Observe: begins the record of a request, and has it ended by the end of the answer's body.

use std::convert::Infallible;
use std::rc::Rc;

use http::header::{CONNECTION, HeaderValue};
use http::{Response, StatusCode, Version};
use hyper::body::Incoming;

use super::middleware::{Answer, Middleware, Serve};
use crate::body::Body;
use crate::proxy::client::{Client, Stream};
use crate::proxy::record::Record;
use crate::proxy::request::Request;
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
        let Arrived { message, client, stream } = arrived;
        let record = Record::begin(&self.worker, &client, &message);
        // HTTP/2 has a frame for it.
        let version = message.version();
        let farewell = (version <= Version::HTTP_11)
            .then(|| Farewell { worker: Rc::clone(&self.worker), client: Rc::clone(&client) });
        let mut message = Box::new(message.map(|incoming| Body::received(incoming, version)));
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
            record.answer(response.status().as_u16());
            if let Some(farewell) = farewell {
                farewell.say(&mut response);
            }
            if let Some(stream) = record.stream() {
                response.body_mut().beat(Rc::clone(&stream.pulse));
            }
            response.body_mut().on_end(move |end| record.ended(end));
            Ok(response)
        })
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
