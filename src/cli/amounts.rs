//! How times, rates and shares are spelt for people: short, and with a unit.

use std::time::Duration;

/// How long, in the largest unit of which there are two.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The same of milliseconds.
pub(super) fn span_ms(ms: u64) -> String {
    span(Duration::from_millis(ms))
}

/// So many in a second.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        rate if rate <= 0.0 => "0".to_owned(),
        rate if rate < 0.1 => "<0.1".to_owned(),
        rate if rate < 9.95 => format!("{rate:.1}"),
        rate if rate < 99_999.5 => format!("{rate:.0}"),
        rate if rate < 9_999_500.0 => format!("{:.0}k", rate / 1e3),
        rate => format!("{:.0}M", rate / 1e6),
    }
}

/// A share of all; `-` where there is nothing to share.
pub(super) fn share(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        Some(share) if share <= 0.0 => "0".to_owned(),
        Some(share) if share < 0.001 => "<0.1%".to_owned(),
        Some(share) if share < 0.0995 => format!("{:.1}%", share * 100.0),
        // Not all of them is never said to be all.
        Some(share) if share < 1.0 => format!("{:.0}%", (share * 100.0).min(99.0)),
        Some(_) => "100%".to_owned(),
    }
}

/// How long something took, in seconds; `-` where nothing was.
pub(super) fn latency(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    match seconds * 1e3 {
        ms if ms.is_infinite() => ">60 s".to_owned(),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 9950.0 => format!("{:.1} s", ms / 1e3),
        ms => format!("{:.0} s", ms / 1e3),
    }
}

/// One thing or several, such as `1 provider` and `2 providers`.
pub(super) fn count(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short_and_have_a_unit() {
        let spans =
            [0, 119, 120, 7199, 7200, 172_799, 172_800].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]);
        let rates = [0.0, 0.04, 0.1, 9.94, 9.96, 12_345.4, 123_456.0, 12_345_678.0].map(rate);
        assert_eq!(rates, ["0", "<0.1", "0.1", "9.9", "10", "12345", "123k", "12M"]);
        let shares = [0.0, 0.0001, 0.001, 0.0994, 0.1, 0.5, 0.9999, 1.0].map(|part| share(Some(part)));
        assert_eq!(shares, ["0", "<0.1%", "0.1%", "9.9%", "10%", "50%", "99%", "100%"]);
        let latencies =
            [0.0, 0.00123, 0.00994, 0.01, 0.999, 1.0, 9.94, 12.0, f64::INFINITY].map(|s| latency(Some(s)));
        assert_eq!(
            latencies,
            ["0.0 ms", "1.2 ms", "9.9 ms", "10 ms", "999 ms", "1.0 s", "9.9 s", "12 s", ">60 s"]
        );
        assert_eq!((share(None), latency(None)), ("-".to_owned(), "-".to_owned()));
        assert_eq!((count(1, "record"), count(0, "record")), ("1 record".to_owned(), "0 records".to_owned()));
    }
}
