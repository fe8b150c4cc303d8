//! HTTP/1: how its messages are written on a connection and read from one (RFC 9112), by whichever side.
//!
//! Whoever has a connection drives it: nothing here is a task of its own. While a connection idles it has no buffer.

mod answer;
mod chunks;
mod connection;
mod date;
mod decoder;
mod doubt;
mod error;
mod fields;
mod head;
mod marks;
mod outbox;
mod piece;
mod pipe;
mod reading;
mod received;
mod reply;
mod request;
mod rewound;
mod sending;
mod together;
mod transport;

pub use answer::{Reason, ResponseHead, begin_answer, poll_answer};
pub use connection::Connection;
pub use doubt::Doubt;
pub use error::Error;
pub use fields::write;
pub use head::Bounds;
pub use piece::PIECE;
pub use pipe::Pipe;
pub use received::Received;
pub use reply::Asked;
pub use request::{Came, Refusal, RequestHead, Seen, begin_request, poll_request, take_body};
pub use rewound::{Duplex, Rewound};
pub use sending::{Form, Pass, Sending, Unsent};
pub use together::write_together;
pub use transport::Transport;
