//! Balancers: how one of several providers is chosen.

mod kinds;

pub use kinds::Policy;
