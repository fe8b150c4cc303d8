//! What operators see: metrics read by a real Prometheus, rules and dashboard that are held against the names there are, the
//! access log while it is rotated, and spans as a collector takes them.

mod access;
mod prometheus;
mod rules;
mod traces;
