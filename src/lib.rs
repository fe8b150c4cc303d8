//! Wayside: a client-side load-balancing sidecar proxy.
//!
//! It runs beside a program, follows a registry, and passes each request to a provider that is there. Two movements meet
//! in one place:
//!
//! ```text
//!                 a change, rarely                                a request, often
//!
//!   registry ──▶ catalog ──▶ balance ──▶ Snapshot ◀── pick ── proxy ◀── the program
//!      │            │                                           │
//!   format       endpoint                                    upstream ──▶ a provider
//! ```
//!
//! All thinking happens on the left, when something changes; a request only looks.
//!
//! | floor | rooms | |
//! |---|---|---|
//! | the whole | [`cli`], [`app`], [`config`] | commands; everything built, run, drained; a file becomes values |
//! | operators | [`admin`] | what they may ask |
//! | requests | [`proxy`] | from a connection to an answer |
//! | where to, how well | [`route`], [`health`] | which request goes to which service, within which limits; probes of what is in doubt |
//! | where from | [`announce`] | what a registry is told of the app |
//! | what is known | [`catalog`] | the only writer: services, subscriptions, snapshots |
//! | choosing, reaching | [`balance`], [`upstream`], [`check`] | the picker of a snapshot; connections in pools; asking one whether it is well |
//! | hearing, remembering | [`registry`], [`endpoint`] | where providers are announced; how it went with them |
//! | words and tools | [`provider`], [`body`], [`gather`], [`http1`], [`clock`], [`backoff`], [`drain`], [`telemetry`] | |
//!
//! A room uses those below it only. `ARCHITECTURE.md` in the repository has the whole story, and `tests/tidy.rs` holds
//! the code to it.

pub mod admin;
pub mod alarm;
pub mod announce;
pub mod app;
pub mod backoff;
pub mod balance;
pub mod body;
pub mod catalog;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod drain;
pub mod endpoint;
pub mod gather;
pub mod health;
pub mod http1;
pub mod provider;
pub mod proxy;
pub mod registry;
pub mod route;
pub mod telemetry;
pub mod upstream;
