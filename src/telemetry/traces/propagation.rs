//! How messages tell of the trace that they are a part of: W3C Trace Context and B3, as one header or several.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::context::{Context, SpanId, TraceId};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT_SPAN_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// One way to tell of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `traceparent` (W3C Trace Context, 3.2).
    W3c,
    /// `b3`, all in one.
    B3,
    /// `X-B3-TraceId` and its like.
    B3Multi,
}

impl Spelling {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::W3c, Self::B3, Self::B3Multi];

    /// The word for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::W3c => "w3c",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
        }
    }
}

/// The ways in which somebody is told of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Propagation(u8);

impl Propagation {
    const fn bit(spelling: Spelling) -> u8 {
        match spelling {
            Spelling::W3c => 1,
            Spelling::B3 => 2,
            Spelling::B3Multi => 4,
        }
    }

    /// Both these and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, spelling: Spelling) -> bool {
        self.0 & Self::bit(spelling) != 0
    }
}

impl FromIterator<Spelling> for Propagation {
    fn from_iter<I: IntoIterator<Item = Spelling>>(spellings: I) -> Self {
        Self(spellings.into_iter().fold(0, |bits, spelling| bits | Self::bit(spelling)))
    }
}

/// What a message told of its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Came {
    /// The trace, and the span of the caller in it; none where one is to begin.
    pub caller: Option<(TraceId, SpanId)>,
    /// Whether it is recorded; `None` where the caller leaves that open.
    pub sampled: Option<bool>,
    /// Whether the caller wants it recorded in any case.
    pub debug: bool,
    /// The ways in which it was told.
    pub ways: Propagation,
}

/// What a message tells of its trace. Where several ways say different things the one of W3C holds, then `b3`.
pub fn came(headers: &HeaderMap) -> Came {
    type Read = fn(&HeaderMap) -> Option<Came>;
    let has = |name: &HeaderName| headers.contains_key(name);
    let all: [(Spelling, bool, Read); 3] = [
        (Spelling::W3c, has(&TRACEPARENT), of_traceparent),
        (Spelling::B3, has(&B3), of_b3),
        (Spelling::B3Multi, has(&B3_TRACE_ID) || has(&B3_SAMPLED) || has(&B3_FLAGS), of_b3_multi),
    ];
    let ways = all.iter().filter(|(_, is_there, _)| *is_there).map(|(spelling, ..)| *spelling).collect();
    let told = all.iter().filter(|(_, is_there, _)| *is_there).find_map(|(.., read)| read(headers));
    Came { ways, ..told.unwrap_or_default() }
}

/// Tells of a span in a message that is sent on its behalf, in these ways. What else is said of the trace stays; what the
/// caller said of a trace that could not be understood does not.
pub fn tell(context: &Context, came: &Came, ways: Propagation, headers: &mut HeaderMap) {
    if ways.has(Spelling::W3c) {
        let value = format!("00-{}-{}-0{}", context.trace, context.span, u8::from(context.sampled));
        put(headers, TRACEPARENT, &value);
        if came.caller.is_none() {
            // It belongs to what is not continued (W3C Trace Context, 3.4).
            headers.remove(TRACESTATE);
        }
    }
    let trace = short(context.trace);
    if ways.has(Spelling::B3) {
        let sampled = if context.debug {
            "d"
        } else if context.sampled {
            "1"
        } else {
            "0"
        };
        let parent = context.parent.map(|parent| format!("-{parent}")).unwrap_or_default();
        put(headers, B3, &format!("{trace}-{}-{sampled}{parent}", context.span));
    }
    if ways.has(Spelling::B3Multi) {
        put(headers, B3_TRACE_ID, &trace);
        put(headers, B3_SPAN_ID, &context.span.to_string());
        match context.parent {
            Some(parent) => put(headers, B3_PARENT_SPAN_ID, &parent.to_string()),
            None => drop(headers.remove(B3_PARENT_SPAN_ID)),
        }
        if context.debug {
            // It says that it is sampled, too.
            put(headers, B3_FLAGS, "1");
            headers.remove(B3_SAMPLED);
        } else {
            put(headers, B3_SAMPLED, if context.sampled { "1" } else { "0" });
            headers.remove(B3_FLAGS);
        }
    }
}

/// A trace id as B3 has it: 16 digits where the first 16 are zero, for tracers that know no longer ones.
fn short(trace: TraceId) -> String {
    let text = trace.to_string();
    text.strip_prefix("0000000000000000").map_or_else(|| text.clone(), str::to_owned)
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("hex digits and dashes are visible ASCII characters");
    headers.insert(name, value);
}

/// The value of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first.trim())
}

fn of_traceparent(headers: &HeaderMap) -> Option<Came> {
    let text = only(headers, &TRACEPARENT)?;
    let is_lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_version =
        version.len() == 2 && version.bytes().all(|byte| byte.is_ascii_hexdigit()) && version != "ff";
    // Later versions may have more behind what this one has.
    let has_end = version != "00" || parts.next().is_none();
    if !(is_lower && is_version && has_end && trace.len() == 32 && flags.len() == 2) {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    let caller = Some((TraceId::from_hex(trace)?, SpanId::from_hex(span)?));
    Some(Came { caller, sampled: Some(flags & 1 == 1), ..Came::default() })
}

fn of_b3(headers: &HeaderMap) -> Option<Came> {
    let text = only(headers, &B3)?;
    if let Some(came) = decision(text) {
        return Some(came);
    }
    let mut parts = text.split('-');
    let caller = Some((TraceId::from_hex(parts.next()?)?, SpanId::from_hex(parts.next()?)?));
    match parts.next() {
        None => Some(Came { caller, ..Came::default() }),
        Some(word) => Some(Came { caller, ..decision(word)? }),
    }
}

fn of_b3_multi(headers: &HeaderMap) -> Option<Came> {
    let decided = if only(headers, &B3_FLAGS) == Some("1") {
        decision("d")
    } else {
        only(headers, &B3_SAMPLED).and_then(decision)
    };
    let trace = only(headers, &B3_TRACE_ID).and_then(TraceId::from_hex);
    let caller = trace.zip(only(headers, &B3_SPAN_ID).and_then(SpanId::from_hex));
    (caller.is_some() || decided.is_some()).then(|| Came { caller, ..decided.unwrap_or_default() })
}

/// What B3 says of sampling. Old tracers have words for it.
fn decision(word: &str) -> Option<Came> {
    let (sampled, debug) = match word {
        "0" | "false" => (false, false),
        "1" | "true" => (true, false),
        "d" => (true, true),
        _ => return None,
    };
    Some(Came { sampled: Some(sampled), debug, ..Came::default() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn caller() -> Option<(TraceId, SpanId)> {
        Some((TraceId::from_hex(TRACE)?, SpanId::from_hex(SPAN)?))
    }

    fn ways(spellings: &[Spelling]) -> Propagation {
        spellings.iter().copied().collect()
    }

    #[test]
    fn each_way_is_understood() {
        use Spelling::{B3, B3Multi, W3c};
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let (b3, b3_parent, b3_open) = (
            format!("{TRACE}-{SPAN}-1"),
            format!("{TRACE}-{SPAN}-d-05e3ac9a4f6e3b90"),
            format!("{TRACE}-{SPAN}"),
        );
        let multi = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
        for (fields, expected, sampled, debug, way) in [
            (vec![("traceparent", &*w3c)], caller(), Some(true), false, W3c),
            (vec![("b3", &*b3)], caller(), Some(true), false, B3),
            (vec![("b3", &*b3_parent)], caller(), Some(true), true, B3),
            (vec![("b3", &*b3_open)], caller(), None, false, B3),
            (vec![("b3", "0")], None, Some(false), false, B3),
            (multi.to_vec(), caller(), None, false, B3Multi),
            ([&multi[..], &[("x-b3-sampled", "0")]].concat(), caller(), Some(false), false, B3Multi),
            ([&multi[..], &[("x-b3-sampled", "true")]].concat(), caller(), Some(true), false, B3Multi),
            ([&multi[..], &[("x-b3-flags", "1")]].concat(), caller(), Some(true), true, B3Multi),
            (vec![("x-b3-sampled", "1")], None, Some(true), false, B3Multi),
        ] {
            let expected = Came { caller: expected, sampled, debug, ways: ways(&[way]) };
            assert_eq!(came(&headers(&fields)), expected, "{fields:?}");
        }
        assert_eq!(came(&headers(&[("accept", "*/*")])), Came::default());
        let both = came(&headers(&[("b3", "0"), ("traceparent", &w3c)]));
        assert_eq!((both.sampled, both.ways), (Some(true), ways(&[W3c, B3])), "W3C holds");
    }

    #[test]
    fn what_is_malformed_begins_a_new_trace() {
        let zeros = format!("00-{}-{SPAN}-01", "0".repeat(32));
        for bad in [
            "",
            "00",
            &format!("00-{TRACE}-{SPAN}"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{}-{SPAN}-01", &TRACE[..16]),
            &format!("00-{TRACE}-{SPAN}-zz"),
            &zeros,
        ] {
            let came = came(&headers(&[("traceparent", bad)]));
            assert_eq!(came, Came { ways: ways(&[Spelling::W3c]), ..Came::default() }, "{bad}");
        }
        let one = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(came(&headers(&[("traceparent", &one), ("traceparent", &one)])).caller, None, "twice");
        let later = came(&headers(&[("traceparent", &format!("cc-{TRACE}-{SPAN}-01-what-comes"))]));
        assert_eq!(later.caller, caller(), "later versions may say more");
        for bad in ["x", "-", TRACE, &format!("{TRACE}-{SPAN}-maybe")] {
            assert_eq!(came(&headers(&[("b3", bad)])).caller, None, "{bad}");
        }
    }

    #[test]
    fn what_is_told_is_understood_the_same() {
        let trace = TraceId::from_hex(TRACE).unwrap();
        for trace in [trace, TraceId(7)] {
            for (sampled, debug) in [(false, false), (true, false), (true, true)] {
                for spelling in Spelling::ALL {
                    let span = SpanId(0x12);
                    let context = Context { trace, span, parent: Some(SpanId(3)), sampled, debug };
                    let mut told = headers(&[("x-b3-flags", "1"), ("tracestate", "a=b")]);
                    tell(&context, &Came::default(), ways(&[spelling]), &mut told);
                    if spelling != Spelling::B3Multi {
                        told.remove("x-b3-flags");
                    }
                    let came = came(&told);
                    assert_eq!(
                        (came.caller, came.sampled),
                        (Some((trace, span)), Some(sampled)),
                        "{spelling:?}"
                    );
                    assert_eq!(came.debug, debug && spelling != Spelling::W3c);
                    assert_eq!(told.contains_key("tracestate"), spelling != Spelling::W3c);
                }
            }
        }
    }

    #[test]
    fn a_short_id_stays_short() {
        let mut told = HeaderMap::new();
        let context = Context::test(0xabc, 1);
        tell(&context, &Came::default(), ways(&Spelling::ALL), &mut told);
        assert_eq!(told["x-b3-traceid"], "0000000000000abc");
        assert_eq!(told["b3"], "0000000000000abc-0000000000000001-1");
        assert_eq!(told["traceparent"], "00-00000000000000000000000000000abc-0000000000000001-01");
    }

    proptest! {
        #[test]
        fn nothing_panics(w3c in "[ -~]{0,70}", b3 in "[-0-9a-fd]{0,70}", id in "[0-9a-g]{0,33}") {
            came(&headers(&[("traceparent", &w3c), ("b3", &b3), ("x-b3-traceid", &id), ("x-b3-spanid", &id)]));
        }
    }
}
