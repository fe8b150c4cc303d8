//! The whole program as a process: what a user types, reads, and sees end.

mod access;
mod admin;
mod broken;
mod check;
mod config;
mod demo;
mod descriptors;
mod ending;
mod explain;
mod flags;
mod pieces;
mod reloading;
