//! The whole program as a process: what a user types, reads, and sees end.

mod access;
mod admin;
mod check;
mod demo;
mod descriptors;
mod ending;
mod explain;
mod flags;
mod reloading;
