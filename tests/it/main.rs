//! The whole program, against real servers and stand-ins.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a test is to stop it")]

mod support;

mod zookeeper;
