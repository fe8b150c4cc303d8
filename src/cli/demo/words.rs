//! What the demo says at its start: what runs, where, and what to type next.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::control::KEYS;
use super::fleet::SERVICE;

/// Where everything is.
pub(super) struct Places {
    pub(super) requests: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) control: SocketAddr,
    /// The file that announces the providers.
    pub(super) registry: PathBuf,
    /// Whether the user can type into this terminal.
    pub(super) has_keys: bool,
}

/// An address as a program on this machine would ask it.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [requests, admin, control] = [self.requests, self.admin, self.control].map(reached);
        let registry = self.registry.display();
        write!(
            f,
            "
Wayside runs, and three providers of the service {SERVICE:?} with it, all in this process.

    requests   http://{requests}/{SERVICE}/…
    page       http://{admin}/   for a browser: what Wayside knows at this moment
    control    http://{control}/   lets providers come and go
    registry   {registry}   announces them; followed for changes

Type in another terminal. Ask a few times; one provider after the other answers:

    curl http://{requests}/{SERVICE}/hello

Let a provider die without a word, and ask again: the others answer, and no request fails.

    curl -X POST http://{control}/kill

Bring it back; let another one come, and one go; see who is there:

    curl -X POST http://{control}/revive
    curl -X POST http://{control}/add
    curl -X POST http://{control}/remove
    curl http://{control}/

See what Wayside knows, and what it counted:

    curl http://{admin}/services/{SERVICE}
    curl -s http://{admin}/metrics | grep wayside_requests_total

"
        )?;
        if self.has_keys {
            writeln!(f, "Or type here: {KEYS}.")?;
        }
        writeln!(f, "Ctrl-C ends it. What follows is the log, as `wayside run` would write it.")
    }
}
