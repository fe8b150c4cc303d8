//! Bodies on streams of HTTP/2 (RFC 9113, 8.1), and the raw bytes that take their place behind an answer to CONNECT (8.5).

mod raw;
mod received;
mod sending;

pub use raw::Raw;
pub use received::Received;
pub use sending::{Carries, Sending, Unsent};
