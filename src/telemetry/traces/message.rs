//! Spans as OTLP has them: the part of its messages that is written here (opentelemetry-proto 1.x, package trace.v1).

use std::time::{SystemTime, UNIX_EPOCH};

use prost::{Message, Oneof};

use super::span::{Kind, Span, Value};
use super::{Settings, SpanId};

/// What a collector is sent.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

/// What it answers.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<PartialSuccess>,
}

/// What it did not take of what it was sent.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<WrittenSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct WrittenSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Held", tags = "1, 3")]
    held: Option<Held>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Held {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Whole(i64),
}

/// Numbers of the enumerations of OTLP.
const KIND_SERVER: i32 = 2;
const KIND_CLIENT: i32 = 3;
const STATUS_ERROR: i32 = 2;
const FLAG_SAMPLED: u32 = 1;

/// Spans with what is said of this proxy, as one message.
pub(super) fn request(settings: &Settings, spans: &[Box<Span>]) -> ExportRequest {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { held: Some(Held::Text(value.to_owned())) }),
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut attributes = vec![
        text("service.name", &settings.service_name),
        text("telemetry.sdk.name", "wayside"),
        text("telemetry.sdk.language", "rust"),
        text("telemetry.sdk.version", version),
    ];
    attributes.extend(settings.attributes.iter().map(|(key, value)| text(key, value)));
    let scope = Some(Scope { name: "wayside".to_owned(), version: version.to_owned() });
    let scope_spans = vec![ScopeSpans { scope, spans: spans.iter().map(|span| written(span)).collect() }];
    let resource = Some(Resource { attributes });
    ExportRequest { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
}

fn written(span: &Span) -> WrittenSpan {
    let id = |id: SpanId| id.0.to_be_bytes().to_vec();
    WrittenSpan {
        trace_id: span.context.trace.0.to_be_bytes().to_vec(),
        span_id: id(span.context.span),
        trace_state: span.state.clone().unwrap_or_default(),
        parent_span_id: span.context.parent.map(id).unwrap_or_default(),
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Server => KIND_SERVER,
            Kind::Client => KIND_CLIENT,
        },
        start_time_unix_nano: nanos(span.begun),
        end_time_unix_nano: nanos(span.ended),
        attributes: span.attributes.iter().map(|(key, value)| pair(key, value)).collect(),
        status: span.failed.then_some(Status { code: STATUS_ERROR }),
        flags: FLAG_SAMPLED,
    }
}

fn pair(key: &str, value: &Value) -> KeyValue {
    let held = match value {
        Value::Text(text) => Held::Text(text.clone().into_owned()),
        Value::Whole(number) => Held::Whole(*number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { held: Some(held) }) }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
