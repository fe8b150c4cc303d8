//! What the tests stand on.

pub(crate) mod gate;
pub(crate) mod patience;
pub(crate) mod watching;
pub(crate) mod zookeeper;
