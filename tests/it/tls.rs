//! TLS towards providers: spoken where the record says so, believed where there is reason to, and never given up for clear text.

mod refused;
mod spoken;
mod whole;

use bytes::Bytes;
use http::Response;
use wayside::app::Running;
use wayside::provider::{Address, Protocol};

use crate::support::certificates::{Authority, Files};
use crate::support::client::Client;
use crate::support::proxy::{config_with, start};
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

/// Asserts that an answer tells of a failure of TLS in this way, for this cause.
fn assert_refused(response: &Response<Bytes>, proxy_status: &str, cause: &str) {
    let status = response.headers()["proxy-status"].to_str().unwrap();
    let body = String::from_utf8_lossy(response.body());
    assert_eq!(response.status(), 502, "{body}");
    assert!(status.ends_with(&format!("error={proxy_status}; details=\"tls\"")), "{status}: {body}");
    assert!(body.contains(cause), "{cause:?} in {body}");
}
