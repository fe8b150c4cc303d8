//! The layers of the stack, one idea each; their order and its reasons stand in [`super::stack`].

pub mod admit;
#[cfg(test)]
mod bed;
pub mod deadline;
pub mod fault;
pub mod forward;
mod line;
pub mod mirror;
pub mod observe;
pub mod rate;
pub mod report;
pub mod rescue;
pub mod retry;
pub mod route;
pub mod select;
pub mod sticky;

use std::pin::Pin;
use std::task::{Context, Poll};

/// A layer's answer to come; it stays on its worker.
pub type Answer<T, E> = Pin<Box<dyn Future<Output = Result<T, E>>>>;

/// Layers are always ready: capacity is answered at once, by an error.
fn always_ready<E>(_: &Context<'_>) -> Poll<Result<(), E>> {
    Poll::Ready(Ok(()))
}
