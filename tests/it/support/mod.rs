//! What the tests stand on: real servers, a registry they steer, providers they script, and waiting for what is to come.

pub(crate) mod announcing;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod consul;
pub(crate) mod dns;
pub(crate) mod etcd;
pub(crate) mod expiry;
pub(crate) mod fickle;
pub(crate) mod frames;
pub(crate) mod gate;
pub(crate) mod light;
pub(crate) mod load;
pub(crate) mod modelled;
pub(crate) mod mucp;
pub(crate) mod patience;
pub(crate) mod patient;
pub(crate) mod ports;
pub(crate) mod program;
pub(crate) mod provider;
pub(crate) mod proxy;
pub(crate) mod registry;
pub(crate) mod staffed;
pub(crate) mod steady;
pub(crate) mod watching;
pub(crate) mod way;
pub(crate) mod zookeeper;
