//! The program against real registries, providers and clients: one binary, one module per subject.

mod forwarding;
mod support;
mod zookeeper;
