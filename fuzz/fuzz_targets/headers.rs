//! Looks for headers that break what reads them, or that pass on what ends at the proxy.
#![no_main]

use std::time::Duration;

use http::header::{CONNECTION, HeaderMap, TE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use wayside::proxy::fuzzed;
use wayside::route::{cookie, overrides};

/// The name of a cookie, and some of names that begin alike.
const COOKIE: &str = "wayside";

fuzz_target!(|input: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let (asked, told) = fuzzed::deadlines(&headers, Duration::from_millis(7));
    assert_eq!(asked.is_some(), told.is_some());
    if let (Some(asked), Some(told)) = (asked, told) {
        assert!(told <= asked, "{told:?} of {asked:?}");
    }
    for status in [200, 404, 429, 500, 503] {
        fuzzed::judge(StatusCode::from_u16(status).expect("it is one"), &headers);
    }
    let mut without = headers.clone();
    cookie::take_out(&mut without, COOKIE);
    assert_eq!(cookie::find(&without, COOKIE), None);
    if let Err(error) = overrides::asked(&headers) {
        assert!(!error.to_string().is_empty());
    }
    overrides::take_out(&mut without);
    assert!(matches!(overrides::asked(&without), Ok(None)));
    if let Some(passed) = fuzzed::passed_on(&headers) {
        assert!(!passed.contains_key(CONNECTION) && !passed.contains_key(TRANSFER_ENCODING), "{passed:?}");
        assert!(passed.get_all(TE).iter().all(|value| value == "trailers"), "{passed:?}");
        // What a sender says of its connection ends here (RFC 9110, section 7.6.1).
        for options in headers.get_all(CONNECTION) {
            for option in options.as_bytes().split(|byte| *byte == b',') {
                let Ok(name) = HeaderName::from_bytes(option.trim_ascii()) else { continue };
                let is_ours = name == TE || name == "x-wayside-attempt";
                let is_grpc = name == "grpc-previous-rpc-attempts";
                // What a sender must not say of these is passed over.
                let is_ours = is_ours || fuzzed::is_end_to_end(&name);
                assert!(is_ours || is_grpc || !passed.contains_key(&name), "{name} in {passed:?}");
            }
        }
    }
});
