//! Telemetry: what operators see of a running proxy: metrics, the log, and the access log.

pub mod access;
pub mod build;
mod format;
pub mod history;
pub mod log;
pub mod metrics;
pub mod peer;
pub mod traces;

pub use format::{LineFormat, UnknownLineFormat};
