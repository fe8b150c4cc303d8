//! The stack: every layer a request passes, in order, each line with its reason.

use std::convert::Infallible;
use std::rc::Rc;

use http::Response;
use tower::{Service, ServiceBuilder};

use super::layer::Answer;
use super::layer::admit::AdmitLayer;
use super::layer::deadline::DeadlineLayer;
use super::layer::fault::FaultLayer;
use super::layer::forward::Forward;
use super::layer::mirror::MirrorLayer;
use super::layer::observe::{Arrived, ObserveLayer};
use super::layer::rate::RateLayer;
use super::layer::report::ReportLayer;
use super::layer::rescue::RescueLayer;
use super::layer::retry::RetryLayer;
use super::layer::route::RouteLayer;
use super::layer::select::SelectLayer;
use super::layer::sticky::StickyLayer;
use super::worker::Worker;
use crate::body::Body;

/// What the stack is to its callers: it answers everything that arrives.
pub trait Stack:
    Service<
        Arrived,
        Response = Response<Body>,
        Error = Infallible,
        Future = Answer<Response<Body>, Infallible>,
    > + Clone
    + Unpin
    + 'static
{
}

impl<S> Stack for S where
    S: Service<
            Arrived,
            Response = Response<Body>,
            Error = Infallible,
            Future = Answer<Response<Body>, Infallible>,
        > + Clone
        + Unpin
        + 'static
{
}

/// Builds the stack of a worker.
///
/// The types are the order: `route` makes a `Routed` of a `Request`, `select` an `Attempt` of a `Routed`; a layer in the
/// wrong place does not compile.
pub fn stack(worker: &Rc<Worker>) -> impl Stack {
    let worker = || Rc::clone(worker);
    // What it takes to have one answered, be it a request or its copy.
    let attempts = ServiceBuilder::new()
        // Around the choice, so that a second attempt chooses again.
        .layer(RetryLayer { worker: worker() })
        // The choice, made at the last moment, from the latest snapshot.
        .layer(SelectLayer { worker: worker() })
        // Around the attempt alone, so that its outcome is told to the endpoint that had it.
        .layer(ReportLayer { worker: worker() })
        // Innermost: the bytes.
        .service(Forward { worker: worker() });
    ServiceBuilder::new()
        // Outermost: what is not seen here was never there.
        .layer(ObserveLayer { worker: worker() })
        // Around everything that can fail, within what must see the answer the client gets.
        .layer(RescueLayer { worker: worker() })
        // First of all the question where to: every limit below belongs to the answer.
        .layer(RouteLayer { worker: worker() })
        // Before there is room for it: what may not pass need not wait either.
        .layer(RateLayer { worker: worker() })
        // Around all attempts: the caller's patience does not begin anew with each, nor once there is room.
        .layer(DeadlineLayer)
        // Before any attempt; after routing, so that the refusal is counted for its service.
        .layer(AdmitLayer { worker: worker() })
        // Within the deadline, as if the provider were slow; around all that is done for those that pass.
        .layer(FaultLayer { worker: worker() })
        // Around all attempts: what counts is who answered in the end.
        .layer(StickyLayer { worker: worker() })
        // Once for a request, however often it is tried; the last that sees it whole.
        .layer(MirrorLayer::new(worker(), attempts.clone()))
        .service(attempts)
}
