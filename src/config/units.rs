//! Values with a unit: sizes and durations.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use super::file::{Entry, Node};
use super::value::{Problems, Shape, quoted};

/// Durations as they are written, as an editor can tell.
const TIMES: &str = "^( *[0-9]+ *(ns|nsec|us|usec|ms|msec|s|sec|second|seconds|m|min|minute|minutes|h|hr|hour|hours|d|day|days|w|week|weeks|M|month|months|y|year|years))+ *$|^0$";

/// The units of bytes, greatest first.
const BYTE_UNITS: [(&str, usize); 3] = [("MiB", 1024 * 1024), ("KiB", 1024), ("B", 1)];

/// A number of bytes in a range, plain or with a unit.
pub(super) struct Bytes(pub(super) RangeInclusive<usize>);

/// A duration in a range.
pub(super) struct Time(pub(super) RangeInclusive<Duration>);

impl Bytes {
    fn shown(bytes: usize) -> String {
        let fitting = BYTE_UNITS.iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
        fitting.map_or_else(|| "0B".to_owned(), |(unit, size)| format!("{}{unit}", bytes / size))
    }

    fn parse(text: &str) -> Option<usize> {
        let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let (_, size) = BYTE_UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        number.parse::<usize>().ok()?.checked_mul(*size)
    }
}

impl Shape for Bytes {
    type Out = usize;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<usize> {
        let number = entry.node.as_integer().and_then(|number| usize::try_from(number).ok());
        let bytes = number.or_else(|| entry.node.as_text().and_then(Self::parse));
        let shown = entry.node.shown();
        let range = format!("from {} to {}", Self::shown(*self.0.start()), Self::shown(*self.0.end()));
        match bytes {
            Some(bytes) if self.0.contains(&bytes) => return Some(bytes),
            Some(_) => problems.push((entry.place, format!("{shown} is out of range; write a size {range}"))),
            None => problems.push((
                entry.place,
                format!("{shown} is no size; write a number with B, KiB or MiB, such as \"64KiB\", {range}"),
            )),
        }
        None
    }

    fn write(&self, value: &usize) -> String {
        quoted(&Self::shown(*value))
    }

    fn schema(&self) -> Value {
        let (least, most) = (self.0.start(), self.0.end());
        json!({ "anyOf": [
            { "type": "integer", "minimum": least, "maximum": most },
            { "type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB)$", "examples": ["64KiB"] },
        ] })
    }
}

impl Time {
    /// A duration as people write it: `1m30s`.
    pub(super) fn shown(time: Duration) -> String {
        let nanos = time.as_nanos();
        let parts = [
            (nanos / 3_600_000_000_000, "h"),
            (nanos / 60_000_000_000 % 60, "m"),
            (nanos / 1_000_000_000 % 60, "s"),
            (nanos / 1_000_000 % 1000, "ms"),
            (nanos / 1000 % 1000, "us"),
            (nanos % 1000, "ns"),
        ];
        let shown: String = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, unit)| format!("{count}{unit}"))
            .collect();
        if shown.is_empty() { "0s".to_owned() } else { shown }
    }
}

impl Shape for Time {
    type Out = Duration;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Duration> {
        let shown = entry.node.shown();
        let range = || format!("from {} to {}", Self::shown(*self.0.start()), Self::shown(*self.0.end()));
        let message = match &entry.node {
            Node::Text(text) => match humantime::parse_duration(text) {
                Ok(time) if self.0.contains(&time) => return Some(time),
                Ok(_) => format!("{shown} is out of range; write a duration {}", range()),
                Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
                    format!("{shown} has no unit; write \"{text}s\" for seconds, or \"{text}ms\"")
                }
                Err(_) => format!("{shown} is no duration; write one such as \"250ms\", \"10s\" or \"5m\""),
            },
            Node::Integer(_) | Node::Fraction(_) => {
                format!("{shown} has no unit; write \"{shown}s\" for seconds, with the quotes")
            }
            Node::Flag(_) | Node::Date(_) | Node::List(_) | Node::Table(_) => {
                format!("{shown} is no duration; write one such as \"250ms\", \"10s\" or \"5m\"")
            }
        };
        problems.push((entry.place, message));
        None
    }

    fn write(&self, value: &Duration) -> String {
        quoted(&Self::shown(*value))
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": TIMES, "examples": ["250ms", "10s", "1h30m"] })
    }
}
