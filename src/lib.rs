//! Wayside: a client-side load-balancing sidecar proxy.

pub mod balance;
pub mod catalog;
pub mod clock;
pub mod drain;
pub mod endpoint;
pub mod provider;
pub mod proxy;
pub mod registry;
pub mod route;
pub mod telemetry;
pub mod upstream;
