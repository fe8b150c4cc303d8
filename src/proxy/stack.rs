//! The stack: every layer a request passes, in order, each line with its reason.

use std::convert::Infallible;
use std::rc::Rc;

use tower::ServiceBuilder;

use super::layer::admit::Admit;
use super::layer::deadline::Deadline;
use super::layer::fault::Fault;
use super::layer::forward::Forward;
use super::layer::middleware::{Serve, Wrap};
use super::layer::mirror::Mirror;
use super::layer::observe::{Arrived, Observe};
use super::layer::rate::Rate;
use super::layer::report::Report;
use super::layer::rescue::Rescue;
use super::layer::retry::Retry;
use super::layer::route::Route;
use super::layer::select::Select;
use super::layer::sticky::Sticky;
use super::worker::Worker;

/// What the stack is to its callers: it answers everything that arrives.
pub trait Stack: Serve<Arrived, Infallible> + Unpin {}

impl<S: Serve<Arrived, Infallible> + Unpin> Stack for S {}

/// Builds the stack of a worker.
///
/// The types are the order: `route` makes a `Routed` of a `Request`, `select` an `Attempt` of a `Routed`; a layer in the
/// wrong place does not compile.
pub fn stack(worker: &Rc<Worker>) -> impl Stack {
    let worker = || Rc::clone(worker);
    // What it takes to have one answered, be it a request or its copy.
    let attempts = ServiceBuilder::new()
        // Around the choice, so that a second attempt chooses again.
        .layer(Wrap(Retry { worker: worker() }))
        // The choice, made at the last moment, from the latest snapshot.
        .layer(Wrap(Select { worker: worker() }))
        // Around the attempt alone, so that its outcome is told to the endpoint that had it.
        .layer(Wrap(Report { worker: worker() }))
        // Innermost: the bytes.
        .service(Forward { worker: worker() });
    ServiceBuilder::new()
        // Outermost: what is not seen here was never there.
        .layer(Wrap(Observe { worker: worker() }))
        // Around everything that can fail, within what must see the answer the client gets.
        .layer(Wrap(Rescue { worker: worker() }))
        // First of all the question where to: every limit below belongs to the answer.
        .layer(Wrap(Route { worker: worker() }))
        // Before there is room for it: what may not pass need not wait either.
        .layer(Wrap(Rate { worker: worker() }))
        // Around all attempts: the caller's patience does not begin anew with each, nor once there is room.
        .layer(Wrap(Deadline { worker: worker() }))
        // Before any attempt; after routing, so that the refusal is counted for its service.
        .layer(Wrap(Admit { worker: worker() }))
        // Within the deadline, as if the provider were slow; around all that is done for those that pass.
        .layer(Wrap(Fault { worker: worker() }))
        // Around all attempts: what counts is who answered in the end.
        .layer(Wrap(Sticky { worker: worker() }))
        // Once for a request, however often it is tried; the last that sees it whole.
        .layer(Wrap(Mirror::new(worker(), attempts.clone())))
        .service(attempts)
}
