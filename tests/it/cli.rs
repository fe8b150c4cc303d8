//! What people ask of a running proxy from a terminal: what they are told, and with which code it ends.

mod events;
mod offline;
mod status;
mod top;
