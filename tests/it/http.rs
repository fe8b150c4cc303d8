//! HTTP/1.1 as RFC 9110 and 9112 have it: the whole program between a client and a provider that are played byte by byte.

mod bodies;
mod corpus;
mod errors;
mod headers;
mod interim;
mod limits;
mod malformed;
mod races;
mod repeats;
mod semantics;
mod streaming;
mod timeouts;
mod tunnel;
mod untouched;

use wayside::app::Running;
use wayside::config::Config;
use wayside::provider::Address;

use crate::support::client::Raw;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::Script;
use crate::support::proxy::{config, start};
use crate::support::registry::Told;

/// A proxy with one service, `svc`, of one provider, which the test plays.
struct Played {
    proxy: Running,
    provider: Script,
}

impl Played {
    async fn start() -> Self {
        Self::with(config()).await
    }

    async fn with(config: Config) -> Self {
        let provider = Script::start().await;
        let proxy = start(config, Told::with("svc", &[provider.address()]));
        Self { proxy, provider }
    }

    async fn client(&self) -> Raw {
        Raw::connect(self.proxy.listeners[0]).await
    }

    /// A client that has sent this, and the provider's side once the head of it has come, with what came.
    async fn asked(&self, request: &str) -> (Raw, Raw, String) {
        let mut client = self.client().await;
        client.say(request).await;
        let mut provider = Raw::from(self.provider.accept().await);
        let heard = provider.hear_head().await;
        (client, provider, heard)
    }

    /// What a client hears to a request that the provider answers so and then ends its connection, up to the end of the
    /// client's, for which the request has to ask.
    async fn answered(&self, request: &str, answer: &str) -> String {
        let (mut client, mut provider, _) = self.asked(request).await;
        provider.say(answer).await;
        drop(provider);
        client.hear_all().await
    }

    /// Waits until nothing is in flight any more, on any account.
    async fn settled(&self) {
        let idle = || {
            let loads = endpoint_loads(&self.proxy);
            (self.proxy.metrics.proxy.requests_in_flight.get() == 0 && loads == 0).then_some(())
        };
        eventually(PATIENCE, "everything in flight ends", idle).await;
    }
}

/// Attempts in flight at all endpoints.
fn endpoint_loads(proxy: &Running) -> u32 {
    let services = proxy.catalog.services();
    services.iter().flat_map(|service| &service.endpoints).map(|endpoint| endpoint.in_flight).sum()
}

/// An address of loopback on which nobody listens.
fn nobody() -> Address {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().into()
}

/// A GET of the service with these further header lines, each ended.
fn get(lines: &str) -> String {
    format!("GET /x HTTP/1.1\r\nhost: svc\r\n{lines}\r\n")
}

/// The next answer, whole, by the length that it tells.
async fn hear_answer(client: &mut Raw) -> String {
    let mut heard = client.hear_head().await;
    let length = line(&heard, "content-length").map_or(0, |digits| digits.parse().unwrap());
    while body(&heard).len() < length {
        heard += &client.hear_some().await;
    }
    heard
}

/// The status of an answer.
fn status(heard: &str) -> u16 {
    heard.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no answer: {heard:?}"))
}

/// The value of a header line, if there is one.
fn line<'a>(heard: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = heard.split_once("\r\n\r\n")?;
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// What comes after the head.
fn body(heard: &str) -> &str {
    heard.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
