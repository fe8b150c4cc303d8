//! The deadline of a caller in its headers: what it asks for, and what is left of it, as each attempt tells its provider.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::headers::{GRPC_TIMEOUT, MICRO_TIMEOUT};
use super::traits::Traits;

/// What may have passed of a deadline without its being told anew: less than anybody measures.
const TOLERANCE: Duration = Duration::from_millis(1);

/// The most digits that gRPC allows.
const DIGITS_MAX: u128 = 99_999_999;

/// The units of gRPC's deadlines in nanoseconds, the finest first.
const UNITS: [(char, u128); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60_000_000_000),
    ('H', 3_600_000_000_000),
];

/// The deadline that the caller gives: Go Micro's or gRPC's.
pub fn asked(headers: &HeaderMap, traits: Traits) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    if traits.has(Traits::GO_MICRO) {
        text(&MICRO_TIMEOUT).and_then(|nanos| nanos.parse().ok()).map(Duration::from_nanos)
    } else if traits.has(Traits::GRPC) {
        text(&GRPC_TIMEOUT).and_then(grpc_timeout)
    } else {
        None
    }
}

/// Puts what is left in the place of the deadline that the caller gave, if it gave one; never more than that.
pub fn tell(headers: &mut HeaderMap, traits: Traits, left: Duration) {
    let Some(given) = asked(headers, traits).filter(|given| given.saturating_sub(left) >= TOLERANCE) else {
        return;
    };
    debug_assert!(left < given);
    let (name, text) = if traits.has(Traits::GO_MICRO) {
        (MICRO_TIMEOUT, left.as_nanos().to_string())
    } else {
        (GRPC_TIMEOUT, grpc_text(left))
    };
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

/// At most eight digits and a unit, as gRPC over HTTP/2 defines it ("Requests", `Timeout`).
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_hours(number)),
        "M" => Some(Duration::from_mins(number)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// The same the other way round, in the finest unit that has room for it, never rounded up.
fn grpc_text(time: Duration) -> String {
    let nanos = time.as_nanos();
    let fitting = UNITS.iter().find(|(_, size)| nanos / size <= DIGITS_MAX);
    fitting.map_or_else(|| format!("{DIGITS_MAX}H"), |(unit, size)| format!("{}{unit}", nanos / size))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;
    use tokio::time::{Instant, sleep_until};

    use super::*;

    fn headers(name: &'static str, marker: (&'static str, &'static str), text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(text).unwrap());
        headers.insert(marker.0, HeaderValue::from_static(marker.1));
        headers
    }

    fn timed(name: &'static str, marker: (&'static str, &'static str), text: &str) -> Option<Duration> {
        let headers = headers(name, marker, text);
        asked(&headers, Traits::of(&headers))
    }

    /// A deadline is waited for without a panic, and without its being over at once when it lies far ahead.
    async fn waits(limit: Duration) -> bool {
        let mut timer = Box::pin(sleep_until(Instant::now() + limit));
        (&mut timer).now_or_never().is_none()
    }

    const MICRO: (&str, &str) = ("micro-service", "greeter");
    const GRPC: (&str, &str) = ("content-type", "application/grpc");

    #[tokio::test]
    async fn the_farthest_deadlines_can_be_waited_for() {
        for text in [u64::MAX.to_string(), i64::MAX.to_string()] {
            assert!(waits(timed("timeout", MICRO, &text).unwrap()).await, "{text}");
        }
        for unit in ["H", "M", "S"] {
            let text = format!("99999999{unit}");
            assert!(waits(timed("grpc-timeout", GRPC, &text).unwrap()).await, "{text}");
        }
        for text in ["18446744073709551616", "-1", "", "5s", "1e9"] {
            assert_eq!(timed("timeout", MICRO, text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_deadline_panics(text in "[0-9]{0,21}[HMSmun]?") {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let limits = [timed("timeout", MICRO, &text), timed("grpc-timeout", GRPC, &text)];
            for limit in limits.into_iter().flatten() {
                runtime.block_on(waits(limit));
            }
        }

        /// Never more than there is, and at most a hundred-thousandth less.
        #[test]
        fn what_is_told_is_what_is_left(nanos in any::<u64>()) {
            let left = Duration::from_nanos(nanos);
            let text = grpc_text(left);
            prop_assert!(text.len() <= 9, "{text}");
            let told = grpc_timeout(&text).unwrap();
            prop_assert!(told <= left && left - told <= left / 100_000 + Duration::from_nanos(1), "{told:?} {left:?}");
        }

        #[test]
        fn nobody_gets_more_time_than_the_caller_gave(given in any::<u64>(), left in any::<u64>()) {
            for (name, marker) in [("timeout", MICRO), ("grpc-timeout", GRPC)] {
                let given = Duration::from_nanos(given);
                let text = if name == "timeout" { given.as_nanos().to_string() } else { grpc_text(given) };
                let mut headers = headers(name, marker, &text);
                let traits = Traits::of(&headers);
                let given = asked(&headers, traits).unwrap();
                tell(&mut headers, traits, Duration::from_nanos(left));
                let told = asked(&headers, traits).unwrap();
                prop_assert!(told <= given && told < Duration::from_nanos(left).saturating_add(TOLERANCE));
            }
        }
    }

    #[test]
    fn reads_what_grpc_clients_send() {
        assert_eq!(grpc_timeout("1S"), Some(Duration::from_secs(1)));
        assert_eq!(grpc_timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "1", "123456789S", "-1S", "1s", "1é"] {
            assert_eq!(grpc_timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_left_takes_the_place_of_what_was_given() {
        let left = Duration::from_millis(700);
        for (name, marker, given, told) in [
            ("timeout", MICRO, "1000000000", "700000000"),
            ("grpc-timeout", GRPC, "1S", "700000u"),
            ("timeout", MICRO, "700500000", "700500000"),
            ("timeout", MICRO, "500000000", "500000000"),
            ("timeout", MICRO, "soon", "soon"),
            ("timeout", ("accept", "*/*"), "1000000000", "1000000000"),
        ] {
            let mut headers = headers(name, marker, given);
            let traits = Traits::of(&headers);
            tell(&mut headers, traits, left);
            assert_eq!(headers[name], told, "{name}");
        }
        let mut none = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(GRPC.1))]);
        let traits = Traits::of(&none);
        tell(&mut none, traits, left);
        assert_eq!(none.len(), 1, "a caller that gives no deadline has none");
    }

    #[test]
    fn a_go_micro_deadline_is_in_nanoseconds() {
        let mut headers = HeaderMap::new();
        headers.insert(MICRO_TIMEOUT, HeaderValue::from_static("5000000000"));
        assert_eq!(
            asked(&headers, Traits::of(&headers)),
            None,
            "an ordinary request may carry a header of that name"
        );
        headers.insert("micro-service", HeaderValue::from_static("greeter"));
        assert_eq!(asked(&headers, Traits::of(&headers)), Some(Duration::from_secs(5)));
    }
}
