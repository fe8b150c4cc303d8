//! Faults made on purpose, for users' game days: requests that are delayed, or answered with an error.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::{HeaderPattern, Share};

/// What is done to requests of a route on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How long some are held up, and how many of them.
    pub delay: Option<(Duration, Share)>,
    /// With which status some are answered, and how many of them.
    pub abort: Option<(StatusCode, Share)>,
    /// Only to requests with all of these headers.
    pub headers: Vec<HeaderPattern>,
}

impl Fault {
    /// Whether it concerns requests with these headers.
    pub fn concerns(&self, headers: &HeaderMap) -> bool {
        self.headers.iter().all(|pattern| pattern.matches(headers))
    }

    /// How long a request is held up; `luck` is from 0 up to but not including 1.
    pub fn delay(&self, luck: f64) -> Option<Duration> {
        self.delay.filter(|(_, share)| share.has(luck)).map(|(delay, _)| delay)
    }

    /// With which status a request is answered; `luck` is from 0 up to but not including 1.
    pub fn abort(&self, luck: f64) -> Option<StatusCode> {
        self.abort.filter(|(_, share)| share.has(luck)).map(|(status, _)| status)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn luck_and_headers_say_whom_it_strikes() {
        let name = HeaderName::from_static("x-game-day");
        let fault = Fault {
            delay: Some((Duration::from_secs(1), Share::percent(5.0))),
            abort: Some((StatusCode::SERVICE_UNAVAILABLE, Share::percent(1.0))),
            headers: vec![HeaderPattern { name: name.clone(), value: Some(HeaderValue::from_static("yes")) }],
        };
        let struck = |luck| (fault.delay(luck).is_some(), fault.abort(luck).is_some());
        assert_eq!((struck(0.0), struck(0.01), struck(0.05)), ((true, true), (true, false), (false, false)));
        assert!(!fault.concerns(&HeaderMap::new()));
        let with = |value| HeaderMap::from_iter([(name.clone(), HeaderValue::from_static(value))]);
        assert!(fault.concerns(&with("yes")) && !fault.concerns(&with("no")));
    }
}
