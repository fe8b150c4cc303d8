//! HTTP/1 towards providers: one request at a time on a connection, driven by whoever waits for the answer.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BufMut as _;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;

use super::fault::Fault;
use super::interim::{Count, Hear, Interim};
use super::seat::Alive;
use super::{Settings, Stream};
use crate::body::{Body, Incoming};
use crate::drain::Drain;
use crate::http1::{
    Bounds, Connection, Error, Form, ResponseHead, Rewound, Sending, Unsent, begin_answer, poll_answer, write,
};

/// Fields of the head of an answer.
const FIELDS_MAX: usize = 100;

/// A connection to a provider.
pub(super) type Link = Connection<Stream, Held>;

/// What is known of such a connection.
pub(super) struct Held {
    /// Whether no further request may follow.
    is_last: Cell<bool>,
    /// Whether a request has not been sent to its end.
    is_sending: Cell<bool>,
    /// What is done once it has.
    afterwards: Cell<Option<Box<dyn FnOnce()>>>,
    _alive: Alive,
}

/// Begins HTTP on a connection.
pub(super) fn begin(stream: Stream, alive: Alive) -> Rc<Link> {
    let held = Held {
        is_last: Cell::new(false),
        is_sending: Cell::new(false),
        afterwards: Cell::new(None),
        _alive: alive,
    };
    Rc::new(Connection::new(stream, held))
}

/// Whether a connection takes no more requests; otherwise, whoever asks is woken by its end.
pub(super) fn is_closed(link: &Link, cx: &mut Context<'_>) -> bool {
    let Held { is_last, is_sending, .. } = &link.with;
    is_last.get()
        || is_sending.get()
        || link.is_broken()
        || !link.is_between()
        || link.poll_news(cx).is_ready()
}

/// Has something done once the request in flight has been sent to its end, be it at once.
pub(super) fn once_sent(link: &Link, then: impl FnOnce() + 'static) {
    if link.with.is_sending.get() {
        link.with.afterwards.set(Some(Box::new(then)));
    } else {
        then();
    }
}

/// A request that came back, whole where nothing of it was used up; and what is wrong with where its answer ends, if that is it.
pub(super) enum Failed {
    Fault(Fault, Option<Box<Request<Body>>>),
    Misframed(&'static str),
}

/// Sends a request and waits for the head of its answer. What is left of its body then is sent by a task of its own.
///
/// `looks_first` has the socket itself asked, right before anything is written, whether its peer has closed it: the runtime tells of
/// that only the next time it asks the system what happened, and under load much is written between.
#[expect(clippy::manual_async_fn, reason = "an async fn would have room twice for what it is called with")]
pub(super) fn send<'a>(
    link: &'a Rc<Link>,
    mut request: Box<Request<Body>>,
    looks_first: bool,
    hear: Hear<'a>,
    settings: &'a Settings,
    drain: &'a Drain,
) -> impl Future<Output = Result<Response<Incoming>, Failed>> + 'a {
    async move {
        let form = form(&mut request);
        write_head(link, &request);
        let is_head = request.method() == Method::HEAD;
        // What it can be sent again from, where it turns out that nothing was sent.
        let spare = request.body().whole();
        if looks_first {
            if spare.is_some() {
                link.look_first(Stream::has_news);
            } else if link.look(Stream::has_news).unwrap_or(true) {
                return Err(Failed::Fault(Error::Incomplete.into(), Some(request)));
            }
        }
        let body = std::mem::take(request.body_mut());
        let before = link.written();
        link.with.is_sending.set(true);
        let sending = Sending::of_request(body, form, true).absorbing(Body::absorb);
        let exchange = Exchange { link, sending: Some(sending), unsent: None };
        let bounds = Bounds { bytes: settings.header_bytes_max, fields: FIELDS_MAX, strict: false };
        let (head, sending) = match exchange.wait(hear, bounds).await {
            Ok(answered) => answered,
            Err(fault) => {
                let returned = spare.filter(|_| link.written() == before).map(|body| {
                    *request.body_mut() = Body::from(body);
                    request
                });
                return Err(Failed::Fault(fault, returned));
            }
        };
        let (received, is_to_end) = begin_answer(link, &head, is_head).map_err(Failed::Misframed)?;
        let is_switch = head.status == StatusCode::SWITCHING_PROTOCOLS;
        link.with.is_last.set(!head.keeps || is_to_end || is_switch);
        match sending {
            None if link.is_written() => link.with.is_sending.set(false),
            rest => finish(link, rest, drain),
        }
        let incoming = match is_switch.then(|| link.take()).flatten() {
            Some((stream, early)) => Incoming::Raw(Box::new(Rewound::new(stream, early))),
            None => Incoming::Http1(received),
        };
        Ok(answer(head, incoming))
    }
}

fn answer(head: ResponseHead, incoming: Incoming) -> Response<Incoming> {
    let ResponseHead { status, version, headers, reason, .. } = head;
    let mut response = Response::new(incoming);
    *response.status_mut() = status;
    *response.version_mut() = version;
    *response.headers_mut() = headers;
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    response
}

/// How the body of a request is framed (RFC 9112, 6.3), said in its head.
fn form(request: &mut Request<Body>) -> Form {
    let (is_whole, length) = (request.body().is_end_stream(), request.body().size_hint().exact());
    let headers = request.headers_mut();
    if is_whole {
        headers.remove(TRANSFER_ENCODING);
        return Form::Empty;
    }
    match length {
        Some(length) if !headers.contains_key(TRANSFER_ENCODING) => {
            headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
            Form::Length(length)
        }
        _ => {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            Form::Chunked { trailers: true }
        }
    }
}

fn write_head(link: &Link, request: &Request<Body>) {
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    // What had a host before may have had nothing behind it but a query.
    let root = if target.starts_with('?') { "/" } else { "" };
    link.write(|to| {
        to.put_slice(request.method().as_str().as_bytes());
        to.put_slice(b" ");
        to.put_slice(root.as_bytes());
        to.put_slice(target.as_bytes());
        to.put_slice(b" HTTP/1.1\r\n");
        for (name, value) in request.headers() {
            write(to, name, value);
        }
        to.put_slice(b"\r\n");
    });
}

/// A request on its way, and the wait for its answer.
struct Exchange<'a> {
    link: &'a Rc<Link>,
    /// Nothing once all is sent, or nobody takes it any more.
    sending: Option<Sending<Body>>,
    /// Why nobody does: whoever takes no more says why with the answer, or without.
    unsent: Option<Error>,
}

impl Exchange<'_> {
    /// The head of the answer, and what is still to be sent then.
    async fn wait(
        mut self,
        hear: Hear<'_>,
        bounds: Bounds,
    ) -> Result<(ResponseHead, Option<Sending<Body>>), Fault> {
        let mut count = Count::default();
        poll_fn(|cx| {
            self.poll_send(cx)?;
            if self.link.is_broken() {
                // It was over when it was looked at: whatever comes on it is no answer.
                return Poll::Ready(Err(Error::Incomplete.into()));
            }
            loop {
                match ready!(poll_answer(self.link, cx, bounds)) {
                    Ok(head) if is_interim(head.status) => tell(head, hear, &mut count)?,
                    Ok(head) => return Poll::Ready(Ok((head, self.sending.take()))),
                    Err(error) => return Poll::Ready(Err(self.unsent.take().unwrap_or(error).into())),
                }
            }
        })
        .await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let Some(sending) = &mut self.sending else {
            if self.unsent.is_none()
                && self.link.is_stalled()
                && let Poll::Ready(Err(error)) = self.link.poll_write(cx)
            {
                self.unsent = Some(error.into());
            }
            return Ok(());
        };
        let Poll::Ready(sent) = sending.poll(self.link, cx) else { return Ok(()) };
        self.sending = None;
        match sent {
            Ok(()) => self.link.with.is_sending.set(false),
            Err(Unsent::Connection(error)) => self.unsent = Some(error.into()),
            Err(Unsent::Body(error)) => return Err(error.into()),
            Err(Unsent::Length) => return Err(Fault::Length),
        }
        Ok(())
    }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

fn tell(head: ResponseHead, hear: Hear<'_>, count: &mut Count) -> Result<(), Fault> {
    let ResponseHead { status, version, headers, .. } = head;
    let interim = Interim { status, version, headers };
    if !count.add(interim.bytes()) {
        return Err(Fault::Flooded);
    }
    (hear.0)(interim);
    Ok(())
}

/// Sends the rest of a request whose answer has begun: of its body, or only what the provider has not taken so far. Whoever waited
/// for the head of the answer looks after neither from here on.
fn finish(link: &Rc<Link>, rest: Option<Sending<Body>>, drain: &Drain) {
    let (link, mut rest) = (Rc::clone(link), rest.map(Sending::alone));
    link.with.is_sending.set(true);
    drain.spawn_local("upstream body", async move {
        let sent = poll_fn(|cx| {
            if link.poll_body_end(cx) == Poll::Ready(false) {
                // The answer was given up, and the request with it: where its provider takes nothing at present, neither would
                // learn of that, and the request would stay in flight.
                return Poll::Ready(None);
            }
            let sent = match &mut rest {
                Some(sending) => sending.poll(&link, cx),
                None => link.poll_write(cx).map_err(Unsent::Connection),
            };
            sent.map(Some)
        })
        .await;
        let afterwards = link.with.afterwards.take();
        // Nobody would do anything afterwards any more, and what is kept for that keeps the connection.
        link.with.is_sending.set(false);
        match sent {
            Some(Ok(())) => {
                if let Some(afterwards) = afterwards {
                    afterwards();
                }
            }
            None => {
                link.with.is_last.set(true);
                drop(link.take());
            }
            Some(Err(error)) => {
                tracing::debug!(?error, "a request's body was not sent to its end");
                link.with.is_last.set(true);
                if !matches!(error, Unsent::Connection(_)) {
                    // At once, whoever still holds the answer.
                    drop(link.take());
                }
            }
        }
    });
}
