//! Telemetry: what the proxy tells about itself.

pub mod metrics;
