//! TLS towards providers: spoken where the record says so, believed where there is reason to, and never given up for clear text.

mod broken;
mod refused;
mod rotated;
mod sessions;
mod spoken;
mod terms;
mod whole;

use bytes::Bytes;
use http::Response;
use wayside::app::Running;
use wayside::config::Overrides;
use wayside::provider::{Address, Protocol};
use wayside::proxy::ListenerSettings;

use crate::support::certificates::{Authority, Files};
use crate::support::client::Client;
use crate::support::provider::Echo;
use crate::support::proxy::{config_with, loopback, start, start_with};
use crate::support::registry::Told;

/// A proxy that believes one authority, with one service, `svc`, of providers that are reached over TLS.
struct Believer {
    proxy: Running,
    registry: std::sync::Arc<Told>,
    client: Client,
    _files: Files,
}

impl Believer {
    async fn new(authority: &Authority, protocol: Protocol, addresses: &[Address]) -> Self {
        Self::with(authority, "", protocol, addresses).await
    }

    /// With these further lines of `[upstream.tls]`.
    async fn with(authority: &Authority, lines: &str, protocol: Protocol, addresses: &[Address]) -> Self {
        let files = Files::new();
        let ca = files.write("ca.pem", &authority.pem);
        let registry = Told::new();
        registry.tell_secure("svc", protocol, addresses);
        let config =
            config_with(&format!("[timeouts]\nconnect = \"5s\"\n[upstream.tls]\nca = {ca:?}\n{lines}"));
        let proxy = start(config, registry.clone());
        let client = Client::connect(proxy.listeners[0]).await;
        Self { proxy, registry, client, _files: files }
    }

    async fn get(&mut self) -> Response<Bytes> {
        self.client.get("svc", "/").await
    }
}

/// A proxy with these services, each with one provider that is reached over TLS, and with this in its file.
fn several(services: &[(&str, &Echo)], sections: &str) -> Running {
    let line = |(service, echo): &(&str, &Echo)| {
        format!("{service} = [{{ address = \"{}\", tls = true }}]\n", echo.address())
    };
    let lines: String = services.iter().map(line).collect();
    let text = format!("[registry.services]\n{lines}[timeouts]\nconnect = \"5s\"\n{sections}");
    let mut config = wayside::config::read(None, &text, &Overrides::default())
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.listeners = vec![ListenerSettings::at(loopback())];
    (config.admin, config.workers) = (None, 1);
    let sources = config.open_sources();
    start_with(config, sources)
}

/// Asserts that an answer tells of a failure of TLS with this provider of `svc` in this way, by this word, for this cause.
fn assert_refused(
    response: &Response<Bytes>,
    address: &Address,
    proxy_status: &str,
    reason: &str,
    cause: &str,
) {
    let status = response.headers()["proxy-status"].to_str().unwrap();
    let body = String::from_utf8_lossy(response.body());
    assert_eq!(response.status(), 502, "{body}");
    assert!(status.contains(&format!("error={proxy_status}; next-hop=\"{address}\"")), "{status}: {body}");
    assert!(status.ends_with(&format!("; details=\"{reason}\"")), "{status}: {body}");
    let named = format!("cannot speak TLS with {address} (svc-{}): ", address.port());
    assert!(body.contains(&named), "{named:?} in {body}");
    assert!(body.contains(cause), "{cause:?} in {body}");
}
