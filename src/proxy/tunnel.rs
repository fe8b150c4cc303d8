//! A tunnel to a provider, asked for by CONNECT where a route or service lets it: raw bytes both ways (RFC 9110, 9.3.6).

use std::rc::Rc;

use http::Response;

use super::request::{Attempt, Failure, Returned};
use super::takeover::{Hold, Takeover};
use super::worker::Worker;
use crate::body::Body;
use crate::upstream::SendCause;

/// Connects to the provider, and hands both sides over to raw bytes behind the answer. The connection is in clear text even where
/// the provider's record asks for TLS: that is between the client and the provider, as whatever else they say is.
///
/// # Errors
/// While no connection comes about; the request can be tried elsewhere then.
pub async fn open(attempt: Attempt, worker: &Rc<Worker>) -> Result<Response<Body>, Failure<Returned>> {
    let Attempt { message, client, record, endpoint, guard, .. } = attempt;
    let upstream = match worker.shared.dialler.connect_through(&endpoint.provider).await {
        Ok(upstream) => upstream,
        Err(cause) => {
            let again = Some(Returned { message: Some(message), elsewhere: true, never_arrived: true });
            return Err(Failure { error: SendCause::from(cause).into(), again });
        }
    };
    endpoint.memory.reached();
    let within = record.tunnel.take().zip(record.stream().cloned());
    let takeover = Takeover::Tunnel { upstream, hold: Hold { guard, record, answer: Body::empty() } };
    match within {
        Some((within, stream)) => takeover.begin_within(within, stream, worker),
        None => {
            client.takeover.replace(Some(takeover));
        }
    }
    Ok(Response::new(Body::empty()))
}
