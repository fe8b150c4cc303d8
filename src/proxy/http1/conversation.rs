//! What is said on an HTTP/1 connection: a request, its answer, the next request, and how that comes to its end.

use std::convert::Infallible;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};

use super::Entrance;
use crate::body::{Body, Incoming};
use crate::http1::{
    Asked, Bounds, Came, Connection, Form, RequestHead, Sending, Unsent, begin_request, poll_request,
    take_body,
};
use crate::proxy::Settings;
use crate::proxy::client::{Client, ClientStream, Order, Refused, Watch};
use crate::proxy::layer::middleware::Answer;
use crate::proxy::stack::Stack;

/// How HTTP/1 on a connection came to its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    /// As HTTP has it.
    Done,
    /// The client went away, or an answer broke off.
    Broken,
    /// What came is no request, or took too long to become one.
    Refused(Refused),
    /// The client speaks HTTP/2.
    Http2,
    /// Its bytes go elsewhere from now on.
    TakenOver,
    /// It was told to close.
    Closed,
}

/// A connection, and where on it its client and this proxy are.
pub(super) struct Conversation<S> {
    connection: Rc<Connection<ClientStream>>,
    entrance: Entrance<S>,
    client: Rc<Client>,
    bounds: Bounds,
    place: Place,
    /// Whether no further request is taken.
    is_last: bool,
    /// Whether nothing was said yet.
    is_first: bool,
}

impl<S> Drop for Conversation<S> {
    /// What is dropped in the middle of an answer, as when the time of a drain is over, must not end as if nothing were missing: to an
    /// old client the end of the connection is that of the answer. Nothing is left to end where its stream goes on elsewhere.
    fn drop(&mut self) {
        self.place = Place::Listening;
        if (self.client.is_writing() || self.client.is_cut())
            && let Some((stream, _)) = self.connection.take()
        {
            stream.abort();
        }
    }
}

enum Place {
    /// A request is waited for.
    Listening,
    /// Its answer is.
    Asking(Answer<Infallible>, Asked),
    /// That is being written.
    Answering(Sending<Body>),
    /// The rest of the request is waited for.
    Finishing,
}

impl<S: Stack> Conversation<S> {
    /// Nothing was said.
    pub(super) fn new(
        stream: ClientStream,
        entrance: Entrance<S>,
        client: Rc<Client>,
        settings: &Settings,
    ) -> Self {
        let connection = Rc::new(Connection::new(stream, ()));
        let bounds = Bounds { bytes: settings.header_bytes_max, fields: settings.headers_max, strict: true };
        let place = Place::Listening;
        Self { connection, entrance, client, bounds, place, is_last: false, is_first: true }
    }

    /// What goes on with the connection: its stream, from which what was read ahead is read again. The request in flight ends.
    pub(super) fn into_parts(mut self) -> Option<(Entrance<S>, ClientStream)> {
        self.place = Place::Listening;
        let (stream, early) = self.connection.take()?;
        Some((self.entrance.clone(), stream.rewound(early)))
    }

    /// Goes on until the end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        match self.client.take_order(cx) {
            Some(Order::Drain) if self.is_idle() => return Poll::Ready(Ended::Done),
            Some(Order::Drain) => self.is_last = true,
            Some(Order::Timeout) => return Poll::Ready(Ended::Refused(Refused::Late)),
            Some(Order::Close) => return Poll::Ready(Ended::Closed),
            None => {}
        }
        if matches!(self.place, Place::Listening | Place::Finishing) && self.connection.is_stalled() {
            // It was to leave together with what others have to say, and was not taken.
            let written = self.connection.poll_write(cx);
            self.client.set_writing(written.is_pending());
            if ready!(written).is_err() {
                return Poll::Ready(Ended::Broken);
            }
        }
        loop {
            let ended = match &mut self.place {
                Place::Listening => ready!(self.listen(cx)),
                Place::Asking(..) => ready!(self.ask(cx)),
                Place::Answering(_) => ready!(self.answer(cx)),
                Place::Finishing => ready!(self.finish(cx)),
            };
            if let Some(ended) = ended {
                return Poll::Ready(ended);
            }
        }
    }

    /// Ready once the client has gone away. As long as the runtime does not know of its connection, that is not looked for: an answer
    /// that comes at once is there before.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.client.watch() != Watch::Now && self.connection.look(ClientStream::is_fresh) == Some(true) {
            self.client.ask_for_watch();
            return Poll::Pending;
        }
        self.connection.poll_gone(cx)
    }

    fn is_idle(&self) -> bool {
        matches!(self.place, Place::Listening) && !self.connection.has_more() && !self.connection.is_stalled()
    }

    fn listen(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended>> {
        let came = match ready!(poll_request(&self.connection, cx, self.bounds, self.is_first)) {
            Ok(came) => came,
            Err(error) => {
                tracing::debug!(client = %self.client.peer, %error, "a client connection ended");
                return Poll::Ready(Some(Ended::Broken));
            }
        };
        self.is_first = false;
        Poll::Ready(match came {
            Came::End => Some(Ended::Done),
            Came::Refused(refusal) => Some(Ended::Refused(refusal.into())),
            Came::Http2(preface) => {
                self.connection.give_back(preface);
                Some(Ended::Http2)
            }
            Came::Request(head) => {
                self.begin(head);
                None
            }
        })
    }

    fn begin(&mut self, mut head: Box<RequestHead>) {
        self.client.seen.set(head.seen);
        let mut asked = Asked::by(&head);
        asked.keeps &= !self.is_last;
        let incoming = match take_body(&self.connection, &mut head) {
            Some(whole) => Incoming::Whole(whole),
            None => Incoming::Http1(begin_request(&self.connection, &mut head)),
        };
        let mut message = Request::new(incoming);
        let RequestHead { method, uri, version, headers, .. } = *head;
        *message.method_mut() = method;
        *message.uri_mut() = uri;
        *message.version_mut() = version;
        *message.headers_mut() = headers;
        self.place = Place::Asking(self.entrance.call(message), asked);
    }

    fn ask(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended>> {
        let Place::Asking(answer, asked) = &mut self.place else { return Poll::Ready(None) };
        let polled = answer.as_mut().poll(cx);
        self.client.take_interim(|interim| self.connection.write(|to| to.extend_from_slice(interim)));
        match polled {
            Poll::Ready(Ok(response)) => {
                let mut asked = *asked;
                asked.keeps &= !self.is_last && !self.connection.is_broken();
                self.begin_answer(response, asked);
                Poll::Ready(None)
            }
            Poll::Pending if matches!(self.connection.poll_write(cx), Poll::Ready(Err(_))) => {
                Poll::Ready(Some(Ended::Broken))
            }
            Poll::Pending if self.is_taken_over() => Poll::Ready(Some(Ended::TakenOver)),
            Poll::Pending => self.poll_gone(cx).map(|()| Some(Ended::Broken)),
        }
    }

    /// Whether the connection is to be taken at once, rather than when HTTP is done with it.
    fn is_taken_over(&self) -> bool {
        self.client.takeover.borrow().as_ref().is_some_and(|takeover| takeover.is_due())
    }

    fn begin_answer(&mut self, response: Response<Body>, mut asked: Asked) {
        // From here on an interim answer would be part of this one. Who was not asked may still send, or not.
        asked.keeps &= !self.connection.ask_no_more();
        let mut form = Form::Empty;
        self.connection.write(|to| {
            let keeps;
            (form, keeps) = asked.write(&response, to);
            self.is_last |= !keeps;
        });
        self.client.set_writing(true);
        let sending = Sending::of_answer(response.into_body(), form, !self.is_last);
        self.place = Place::Answering(sending.passing(Body::PASS).absorbing(Body::absorb));
    }

    fn answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended>> {
        let Place::Answering(sending) = &mut self.place else { return Poll::Ready(None) };
        match sending.poll(&self.connection, cx) {
            Poll::Ready(Ok(())) => {
                self.client.set_writing(false);
                self.place = Place::Finishing;
                Poll::Ready(None)
            }
            Poll::Ready(Err(unsent)) => {
                if !matches!(unsent, Unsent::Connection(_)) {
                    self.client.set_writing(false);
                }
                tracing::debug!(client = %self.client.peer, ?unsent, "an answer broke off");
                Poll::Ready(Some(Ended::Broken))
            }
            Poll::Pending => self.poll_gone(cx).map(|()| Some(Ended::Broken)),
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended>> {
        if self.client.takeover.borrow().is_some() {
            return self.leave(cx, Ended::TakenOver);
        }
        let is_over = ready!(self.connection.poll_body_end(cx));
        if self.is_last || !is_over {
            return self.leave(cx, Ended::Done);
        }
        if self.connection.has_more() {
            // It began to come while another request was in flight.
            self.client.begin_head();
        }
        self.place = Place::Listening;
        Poll::Ready(None)
    }

    /// Ends once all is written, be it that it was to leave with what others have to say: nobody sees to it from here.
    fn leave(&self, cx: &mut Context<'_>, ended: Ended) -> Poll<Option<Ended>> {
        let written = self.connection.poll_write(cx);
        self.client.set_writing(written.is_pending());
        let ended = if ready!(written).is_ok() { ended } else { Ended::Broken };
        Poll::Ready(Some(ended))
    }
}
