//! Where a span stands: its trace, itself, and whether anybody records it.

use std::fmt;

/// The id of a trace: 16 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub u128);

/// The id of a span: 8 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub u64);

impl TraceId {
    /// That of these hex digits, 32 of them, or 16 of older tracers; `None` where they are none.
    pub fn from_hex(text: &str) -> Option<Self> {
        let is_hex = matches!(text.len(), 16 | 32) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = if is_hex { u128::from_str_radix(text, 16).ok()? } else { return None };
        (id != 0).then_some(Self(id))
    }

    /// One of these random bits.
    pub const fn random(luck: u128) -> Self {
        Self(if luck == 0 { 1 } else { luck })
    }
}

impl SpanId {
    /// That of 16 hex digits; `None` where they are none.
    pub fn from_hex(text: &str) -> Option<Self> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = if is_hex { u64::from_str_radix(text, 16).ok()? } else { return None };
        (id != 0).then_some(Self(id))
    }

    /// One of these random bits.
    pub const fn random(luck: u128) -> Self {
        let luck = luck as u64;
        Self(if luck == 0 { 1 } else { luck })
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where a span stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Its trace.
    pub trace: TraceId,
    /// Itself.
    pub span: SpanId,
    /// What it is a part of, if anything.
    pub parent: Option<SpanId>,
    /// Whether it is recorded.
    pub sampled: bool,
    /// Whether its caller wants it recorded by everybody, whatever they sample; only B3 can say so.
    pub debug: bool,
}

impl Context {
    /// A part of this one.
    pub const fn child(self, span: SpanId) -> Self {
        Self { span, parent: Some(self.span), ..self }
    }

    #[cfg(test)]
    pub(super) const fn test(trace: u128, span: u64) -> Self {
        Self { trace: TraceId(trace), span: SpanId(span), parent: None, sampled: true, debug: false }
    }
}
