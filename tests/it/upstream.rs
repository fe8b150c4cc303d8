//! Connections to providers, and room for requests: what is kept, what is made anew, and who waits.

mod admission;
mod http2;
mod idling;
mod lines;
