//! The layers of the stack, one idea each; their order and its reasons stand in [`super::stack`].

pub mod admit;
#[cfg(test)]
pub(super) mod bed;
pub mod deadline;
pub mod fault;
pub mod forward;
pub mod line;
pub mod middleware;
pub mod mirror;
pub mod observe;
pub mod rate;
pub mod report;
pub mod rescue;
pub mod retry;
pub mod route;
pub mod select;
pub mod sticky;
