//! Announcing: in real registries, by the program, and by programs that ask it to.

mod files;
mod lease;
mod program;
mod registry_api;
mod zookeeper;
