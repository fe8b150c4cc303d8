//! Where spans are sent, and of which requests.

use super::decimal::Decimal;
use super::reader::Section;
use super::resolve::{COUNT, SOME_TIME};
use super::value::{List, Number, Parsed, TEXTS, Word, parsed, text};
use crate::telemetry::traces::{Auth, Endpoint, IS_BUILT, Protocol, Settings, Spelling};

const ENDPOINT: Parsed<Endpoint> = parsed("the URL of a collector", "http://127.0.0.1:4318");
/// What is never shown again, so that it need not be written either.
const AUTH: Parsed<Auth> = Parsed::new(
    "credentials",
    "Bearer abc",
    |text| text.parse().map_err(|error: crate::telemetry::traces::AuthError| error.to_string()),
    |_| String::new(),
);
const PROTOCOL: Word<Protocol> = Word(&Protocol::ALL, |protocol| protocol.as_str());
const SPELLING: Word<Spelling> = Word(&Spelling::ALL, |spelling| spelling.as_str());

pub(super) fn tracing(section: &mut Section<'_>) -> Settings {
    let default = Settings::default();
    let endpoint = section.optional("endpoint", &ENDPOINT, "none; nothing is traced");
    if endpoint.is_some() && !IS_BUILT {
        section.wrong(
            "endpoint",
            "this program was built without what sends spans; leave [tracing] out, or build it with --features otlp",
        );
    }
    Settings {
        endpoint,
        protocol: section.get("protocol", &PROTOCOL, default.protocol),
        auth: section.secret("auth", &AUTH, "none"),
        sample: section.get("sample", &Decimal(0.0..=1.0), default.sample),
        propagation: section.get("propagation", &List(SPELLING), default.propagation),
        service_name: section.get(
            "service_name",
            &text("what this proxy is called in traces", "wayside"),
            default.service_name,
        ),
        attributes: section.get("attributes", &TEXTS, default.attributes),
        queue: section.get("queue", &Number(COUNT), default.queue),
        timeout: section.get("timeout", &SOME_TIME, default.timeout),
    }
}
