//! Looks for requests that no route can bear: hosts, paths, methods and headers of all kinds.
#![no_main]

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use wayside::config::{Overrides, read};
use wayside::route::{Asked, Table};

const CONFIGURATION: &str = r#"
[registry]
url = "zookeeper://127.0.0.1:1"
[naming]
host_suffix = "svc.local"
[[route]]
service = "a"
path = "/api/"
replace_prefix = "/v2/"
[[route]]
service = "b"
hosts = ["*.example.org", "b.internal"]
[[route]]
service = "c"
methods = "POST"
headers = { x-stage = "canary", x-any = true }
"#;

thread_local! {
    static TABLE: Arc<Table> = read(None, CONFIGURATION, &Overrides::default()).expect("it is good").routes;
}

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut next = || lines.next().map(String::from_utf8_lossy);
    let (method, host, path) = (next().unwrap_or_default(), next(), next().unwrap_or_default());
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    // As the parser of requests lets it come.
    let Ok(uri) = path.parse::<http::Uri>() else { return };
    let mut headers = HeaderMap::new();
    while let Some(line) = next() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value.trim())) {
            headers.append(name, value);
        }
    }
    let asked = Asked { method: &method, host: host.as_deref(), path: uri.path(), headers: &headers, bound: None };
    TABLE.with(|table| match table.find(&asked) {
        Ok(found) => {
            let path = found.path(uri.path());
            assert!(path.starts_with('/') || path == uri.path(), "{path:?} of {uri}");
            assert!(path.parse::<http::uri::PathAndQuery>().is_ok(), "{path:?} of {uri}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    });
});
