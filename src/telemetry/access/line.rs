//! A line of the access log, spelled as text or JSON.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use serde::{Serialize, Serializer};

use super::fields::{Field, Item, What};
use crate::provider::Address;
use crate::telemetry::LineFormat;
use crate::telemetry::peer::Peer;

/// What is written of a request that has ended.
#[derive(Clone, Debug, Serialize)]
pub struct AccessLine<'a> {
    /// When its head was read.
    #[serde(serialize_with = "as_rfc3339")]
    pub at: SystemTime,
    /// Who asked.
    pub client: Peer,
    /// The method.
    pub method: &'a str,
    /// The target as it was asked for, without scheme and authority, and without the query where that is not wanted.
    pub target: &'a str,
    /// The authority it was asked of.
    pub host: Option<&'a str>,
    /// The service that was found.
    pub service: Option<&'a str>,
    /// The service that took its place, since nothing of it was available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<&'a str>,
    /// By what it was found: the word of the rule, or the name of the route.
    pub via: Option<&'a str>,
    /// The part of the route's split that it went to.
    pub part: Option<&'a str>,
    /// The endpoint of the last attempt.
    #[serde(serialize_with = "as_text")]
    pub endpoint: Option<&'a Address>,
    /// The status of the answer; 0 when none was given.
    pub status: u16,
    /// Why this proxy made the answer itself or broke it off.
    pub reason: Option<&'static str>,
    /// What was done to it on purpose.
    pub fault: Option<&'static str>,
    /// How many endpoints were tried.
    pub attempts: u8,
    /// From its head to the end of the answer.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    pub duration: Duration,
    /// From its head to the first byte of the answer.
    #[serde(rename = "first_byte_ms", serialize_with = "as_optional_millis")]
    pub first_byte: Option<Duration>,
    /// Bytes of the answer's body.
    pub bytes_sent: u64,
    /// Bytes of the request's body.
    pub bytes_received: u64,
    /// The `X-Request-Id` of the request.
    pub request_id: Option<&'a str>,
    /// The id of its trace in hex digits, where it is traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<&'a str>,
    /// Headers of the request, as the log took them.
    #[serde(skip)]
    pub request_headers: &'a [Option<HeaderValue>],
    /// Headers of the answer, as the log took them.
    #[serde(skip)]
    pub response_headers: &'a [Option<HeaderValue>],
}

/// What stands in one place.
enum Value<'a> {
    Nothing,
    Text(&'a str),
    Spelled(String),
    Whole(u64),
    Millis(f64),
}

impl<'a> AccessLine<'a> {
    /// Writes the line with its end.
    pub(super) fn write(&self, format: LineFormat, items: &[Item], out: &mut Vec<u8>) -> io::Result<()> {
        match (format, items.is_empty()) {
            (LineFormat::Text, true) => self.write_text(out)?,
            (LineFormat::Json, true) => serde_json::to_writer(&mut *out, self)?,
            (LineFormat::Text, false) => self.write_items_as_text(items, out)?,
            (LineFormat::Json, false) => self.write_items_as_json(items, out)?,
        }
        out.write_all(b"\n")
    }

    /// `when client method target service endpoint status reason`, `-` for what is not there, then `name=value`.
    fn write_text(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let at = humantime::format_rfc3339_millis(self.at);
        write!(out, "{at} {} {} {} ", self.client, Plain(Some(self.method)), Plain(Some(self.target)))?;
        write!(out, "{} ", Plain(self.service))?;
        match self.endpoint {
            Some(endpoint) => write!(out, "{endpoint}")?,
            None => write!(out, "-")?,
        }
        write!(out, " {} {}", self.status, self.reason.unwrap_or("-"))?;
        write!(out, " attempts={} duration_ms={}", self.attempts, millis(self.duration))?;
        if let Some(first_byte) = self.first_byte {
            write!(out, " first_byte_ms={}", millis(first_byte))?;
        }
        write!(out, " sent={} received={}", self.bytes_sent, self.bytes_received)?;
        for (name, value) in [
            ("failover", self.failover),
            ("host", self.host),
            ("via", self.via),
            ("part", self.part),
            ("fault", self.fault),
            ("id", self.request_id),
            ("trace", self.trace_id),
        ] {
            if value.is_some() {
                write!(out, " {name}={}", Plain(value))?;
            }
        }
        Ok(())
    }

    /// `name=value` for each item, `-` for what is not there.
    fn write_items_as_text(&self, items: &[Item], out: &mut Vec<u8>) -> io::Result<()> {
        for (place, item) in items.iter().enumerate() {
            let before = if place == 0 { "" } else { " " };
            write!(out, "{before}{}=", item.name)?;
            match self.value(place, item) {
                Value::Nothing => write!(out, "-")?,
                Value::Text(text) => write!(out, "{}", Plain(Some(text)))?,
                Value::Spelled(text) => write!(out, "{}", Plain(Some(&text)))?,
                Value::Whole(number) => write!(out, "{number}")?,
                Value::Millis(number) => write!(out, "{number}")?,
            }
        }
        Ok(())
    }

    fn write_items_as_json(&self, items: &[Item], out: &mut Vec<u8>) -> io::Result<()> {
        for (place, item) in items.iter().enumerate() {
            out.push(if place == 0 { b'{' } else { b',' });
            serde_json::to_writer(&mut *out, &item.name)?;
            out.push(b':');
            match self.value(place, item) {
                Value::Nothing => out.extend_from_slice(b"null"),
                Value::Text(text) => serde_json::to_writer(&mut *out, text)?,
                Value::Spelled(text) => serde_json::to_writer(&mut *out, &text)?,
                Value::Whole(number) => write!(out, "{number}")?,
                Value::Millis(number) => serde_json::to_writer(&mut *out, &number)?,
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn value<'l>(&'l self, place: usize, item: &'l Item) -> Value<'l> {
        let header = |headers: &'l [Option<HeaderValue>]| match headers.get(place).and_then(Option::as_ref) {
            None => Value::Nothing,
            Some(value) => match value.to_str() {
                Ok(text) => Value::Text(text),
                Err(_) => Value::Spelled(String::from_utf8_lossy(value.as_bytes()).into_owned()),
            },
        };
        match &item.what {
            What::Field(field) => self.field(*field),
            What::RequestHeader(_) => header(self.request_headers),
            What::ResponseHeader(_) => header(self.response_headers),
            What::Text(text) => Value::Text(text),
        }
    }

    fn field(&self, field: Field) -> Value<'a> {
        let text = |text: Option<&'a str>| text.map_or(Value::Nothing, Value::Text);
        match field {
            Field::At => Value::Spelled(humantime::format_rfc3339_millis(self.at).to_string()),
            Field::Client => Value::Spelled(self.client.to_string()),
            Field::Method => Value::Text(self.method),
            Field::Target => Value::Text(self.target),
            Field::Host => text(self.host),
            Field::Service => text(self.service),
            Field::Failover => text(self.failover),
            Field::Via => text(self.via),
            Field::Part => text(self.part),
            Field::Endpoint => {
                self.endpoint.map_or(Value::Nothing, |endpoint| Value::Spelled(endpoint.to_string()))
            }
            Field::Status => Value::Whole(self.status.into()),
            Field::Reason => text(self.reason),
            Field::Fault => text(self.fault),
            Field::Attempts => Value::Whole(self.attempts.into()),
            Field::Duration => Value::Millis(millis(self.duration)),
            Field::FirstByte => {
                self.first_byte.map_or(Value::Nothing, |first_byte| Value::Millis(millis(first_byte)))
            }
            Field::BytesSent => Value::Whole(self.bytes_sent),
            Field::BytesReceived => Value::Whole(self.bytes_received),
            Field::RequestId => text(self.request_id),
            Field::TraceId => text(self.trace_id),
        }
    }
}

/// A text as one word: as it is, or quoted when that would not be one.
struct Plain<'a>(Option<&'a str>);

impl std::fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(text) = self.0 else { return f.write_str("-") };
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        if plain { f.write_str(text) } else { write!(f, "{text:?}") }
    }
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn as_rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*at))
}

fn as_text<S: Serializer>(endpoint: &Option<&Address>, serializer: S) -> Result<S::Ok, S::Error> {
    match endpoint {
        Some(endpoint) => serializer.collect_str(endpoint),
        None => serializer.serialize_none(),
    }
}

fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(millis(*duration))
}

fn as_optional_millis<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}
