//! The program against real registries, providers and clients: one binary, one module per subject.

#![expect(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test is to stop it")]

mod acceptance;
mod admin;
mod announce;
mod checks;
mod cli;
mod consul;
mod contract;
mod dns;
mod docs;
mod ejecting;
mod etcd;
mod fixtures;
mod forwarding;
mod go_micro;
mod handover;
mod http;
mod http2;
mod listeners;
mod program;
mod raw;
mod run;
mod sources;
mod support;
mod telemetry;
mod threats;
mod tls;
mod traffic;
mod upstream;
mod zookeeper;
