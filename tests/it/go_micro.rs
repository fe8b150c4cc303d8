//! The front door of Go Micro: what real clients and servers of v1.18 and v2.9 said to each other, said through the proxy.

mod calls;
mod connections;
mod errors;
mod streams;

use std::path::PathBuf;
use std::sync::Arc;

use wayside::app::Running;
use wayside::provider::{Address, Protocol};

use crate::support::mucp::{Message, Server};
use crate::support::proxy::{config, start};
use crate::support::registry::Told;

/// What the proxy adds to a request on its way.
const ADDED: [&str; 5] = ["via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"];

/// Captured bytes: `v1.18-ok.conn1`, `c2s` or `s2c`.
fn captured(name: &str, direction: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mucp");
    std::fs::read(folder.join(format!("{name}.{direction}"))).unwrap()
}

/// A proxy, and the registry it follows, which knows these MUCP servers of one service.
fn fronted(service: &str, servers: &[Address]) -> (Running, Arc<Told>) {
    let registry = Told::new();
    registry.tell(service, Protocol::Mucp, servers);
    (start(config(), registry.clone()), registry)
}

/// A server, and a proxy in front of it.
async fn served() -> (Server, Running) {
    let server = Server::start("greeter").await;
    let (proxy, _) = fronted("greeter", &[server.address()]);
    (server, proxy)
}

/// Demands that a message came through: every field as it was, none but the allowed ones added, the same body.
fn assert_passed(came: &Message, sent: &Message, added: &[&str], context: &str) {
    assert_eq!(came.start, sent.start, "{context}");
    assert_eq!(came.body, sent.body, "{context}");
    let nanos = |message: &Message| message.header("timeout").map(|nanos| nanos.parse::<u64>().unwrap());
    assert!(nanos(came).is_none_or(|left| Some(left) <= nanos(sent)), "{context}: nobody has more time");
    for header in sent.headers.iter().filter(|(name, _)| name != "timeout") {
        assert!(came.headers.contains(header), "{context}: {header:?} is missing in {came:?}");
    }
    for header in came.headers.iter().filter(|(name, _)| name != "timeout") {
        assert!(
            sent.headers.contains(header) || added.contains(&&*header.0),
            "{context}: {header:?} came from nowhere"
        );
    }
}
