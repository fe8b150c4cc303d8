//! The program against real registries, providers and clients: one binary, one module per subject.

mod support;

mod zookeeper;
