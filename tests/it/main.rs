//! The program against real registries, providers and clients: one binary, one module per subject.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a test is to stop it")]

mod forwarding;
mod go_micro;
mod support;
mod zookeeper;
