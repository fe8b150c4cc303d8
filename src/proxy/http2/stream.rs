//! One request on an HTTP/2 connection: from its stream into the stack, and its answer the way back.

use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::SystemTime;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderValue};
use http::{Method, Request, Response};
use http_body::Body as _;
use tokio::sync::oneshot;

use crate::body::http2::{Carries, Raw, Received, Sending};
use crate::body::{Body, Incoming};
use crate::drain::Drain;
use crate::proxy::client::{Client, Stream};
use crate::proxy::headers;
use crate::proxy::http1::Entrance;
use crate::proxy::layer::middleware::Answer;
use crate::proxy::stack::Stack;

/// The way back to a client.
struct Reply {
    stream: Rc<Stream>,
    reply: SendResponse<Bytes>,
    /// Where a request by CONNECT goes on, should the answer be yes.
    beyond: Option<Beyond>,
}

/// What raw bytes come in on behind a yes to CONNECT, and who waits for both ways.
struct Beyond {
    from: RecvStream,
    taker: oneshot::Sender<Raw>,
}

/// Hands a request to the stack, and has its answer sent by a task of its own.
pub(super) fn begin<S: Stack>(
    request: Request<RecvStream>,
    mut reply: SendResponse<Bytes>,
    entrance: &Entrance<S>,
    client: &Client,
    drain: &Drain,
) {
    let (parts, from) = request.into_parts();
    let stream = client.open_stream();
    let (body, beyond, tunnel) = if parts.method == Method::CONNECT {
        if parts.headers.contains_key(CONTENT_LENGTH) {
            // Its stream has no body whose length that could be (RFC 9113, 8.5).
            reply.send_reset(Reason::PROTOCOL_ERROR);
            return;
        }
        let (taker, tunnel) = oneshot::channel();
        (Incoming::Whole(Bytes::new()), Some(Beyond { from, taker }), Some(tunnel))
    } else if from.is_end_stream() {
        (Incoming::Whole(Bytes::new()), None, None)
    } else {
        (Incoming::Http2(Received::new(from, &parts.headers)), None, None)
    };
    let answer = entrance.call_within(Request::from_parts(parts, body), Rc::clone(&stream), tunnel);
    let reply = Reply { stream: Rc::clone(&stream), reply, beyond };
    stream.run(drain, reply.send(answer));
}

impl Reply {
    /// Waits for the answer and sends it; sends nothing more once the client has taken its request back.
    async fn send(mut self, answer: Answer<Infallible>) {
        let Some(response) = self.wait(answer).await else { return };
        let (parts, body) = response.into_parts();
        let mut head = Response::from_parts(parts, ());
        headers::fit_http2(head.headers_mut());
        date(head.headers_mut());
        if let Some(Beyond { from, taker }) = self.beyond.take_if(|_| head.status().is_success()) {
            // What follows is no body whose length that could be (RFC 9110, 9.3.6).
            head.headers_mut().remove(CONTENT_LENGTH);
            if let Some(to) = self.begin(head, false) {
                // Nobody waits for it where the takeover was given up.
                let _ = taker.send(Raw::new(from, to));
            }
            return;
        }
        let is_whole = body.is_end_stream();
        if let Some(length) = body.size_hint().exact().filter(|_| !is_whole) {
            head.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
        }
        let Some(to) = self.begin(head, is_whole) else { return };
        if !is_whole && let Err(error) = Sending::new(Carries::Answer, body, to).await {
            tracing::debug!(%error, "an answer was not sent to its end");
        }
    }

    /// The answer, with interim ones sent ahead of it; `None` once the client does not want it any more.
    async fn wait(&mut self, mut answer: Answer<Infallible>) -> Option<Response<Body>> {
        poll_fn(|cx| {
            let polled = answer.as_mut().poll(cx);
            for interim in self.stream.take_interim(cx) {
                if let Err(error) = self.reply.send_informational(interim) {
                    tracing::debug!(%error, "an interim answer was not sent");
                }
            }
            match polled {
                Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
                Poll::Pending => self.reply.poll_reset(cx).map(|_| None),
            }
        })
        .await
    }

    /// Sends the head of the answer.
    fn begin(&mut self, head: Response<()>, is_whole: bool) -> Option<h2::SendStream<Bytes>> {
        match self.reply.send_response(head, is_whole) {
            Ok(to) => Some(to),
            Err(error) => {
                tracing::debug!(%error, "an answer was not sent");
                self.reply.send_reset(Reason::INTERNAL_ERROR);
                None
            }
        }
    }
}

/// Says when an answer was made that does not say so itself (RFC 9110, 6.6.1).
fn date(headers: &mut HeaderMap) {
    headers.entry(DATE).or_insert_with(|| {
        let now = httpdate::fmt_http_date(SystemTime::now());
        HeaderValue::try_from(now).expect("a date is written with visible ASCII characters")
    });
}
