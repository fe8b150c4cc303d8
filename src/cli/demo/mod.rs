//! `wayside demo`: a registry, three providers and the proxy in one process, and what to type next.

mod control;
mod fleet;
mod greeter;
#[cfg(test)]
mod tests;
