//! A span: what took so long, as a part of what.

use std::borrow::Cow;
use std::time::SystemTime;

use super::context::Context;

/// A span that has ended, or will.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Where it stands.
    pub context: Context,
    /// Which side of a call it is.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
    /// When it began.
    pub begun: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What is known of it, by the names of OpenTelemetry's semantic conventions where they have one.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether it failed.
    pub failed: bool,
    /// What `tracestate` said of its trace.
    pub state: Option<String>,
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one that answers.
    Server,
    /// The one that asks.
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A whole number.
    Whole(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl Span {
    /// One that begins, and has no end but its beginning yet.
    pub fn new(context: Context, kind: Kind, name: impl Into<String>, begun: SystemTime) -> Self {
        Self {
            context,
            kind,
            name: name.into(),
            begun,
            ended: begun,
            attributes: Vec::with_capacity(16),
            failed: false,
            state: None,
        }
    }

    /// Adds what is known of it.
    pub fn say(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push((name, value.into()));
    }

    /// Adds it where it is known.
    pub fn say_if(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        self.attributes.extend(value.map(|value| (name, value.into())));
    }
}
