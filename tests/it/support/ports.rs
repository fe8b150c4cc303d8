//! Ports for servers that are killed and started again: none that the system gives to outgoing connections meanwhile.

use std::net::TcpListener;

use rand::RngExt as _;

/// Where the system's own choice of ports begins, unless it says otherwise.
const USUAL_FIRST: u16 = 32_768;
/// Below this, well-known servers listen.
const LEAST: u16 = 10_000;

/// Ports that nobody listens on now, and that no outgoing connection takes later.
pub(crate) fn free<const COUNT: usize>() -> [u16; COUNT] {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(USUAL_FIRST);
    let most = if first > LEAST + 1000 { first } else { u16::MAX };
    let sockets: [TcpListener; COUNT] = std::array::from_fn(|_| {
        loop {
            let port = rand::rng().random_range(LEAST..most);
            if let Ok(socket) = TcpListener::bind(("127.0.0.1", port)) {
                return socket;
            }
        }
    });
    sockets.map(|socket| socket.local_addr().unwrap().port())
}
