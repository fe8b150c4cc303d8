//! Telemetry: what operators see of a running proxy: metrics, the log, and the access log.

pub mod access;
mod format;
pub mod history;
pub mod log;
pub mod metrics;
pub mod peer;

pub use format::{LineFormat, UnknownLineFormat};
