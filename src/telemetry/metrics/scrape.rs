//! A scrape read back: what people are shown of the requests to each service.

use std::collections::BTreeMap;

use super::name::prefixed;

/// The reason of a request whose client went away before its answer had ended, as the end of a stream may be: nobody's failure.
const CLIENT_GONE: &str = "client_gone";

/// What a scrape says of the process and of the requests to each service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape {
    /// The version that runs; empty where it is not told.
    pub version: String,
    /// When the process started, in seconds since 1970; 0 where it is not told.
    pub started: f64,
    /// The requests to each service since then, by its name. Those that led to none are those of the service without a name.
    pub services: BTreeMap<String, Traffic>,
}

/// Requests that have ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// All of them.
    pub requests: f64,
    /// Those that were answered with a failure of the server, by the provider or by this proxy, those it refused, and those that
    /// the provider broke off.
    pub failed: f64,
    /// How many took no longer than so many seconds, by rising bounds of which the last is infinite.
    pub within: Vec<(f64, f64)>,
}

impl Scrape {
    /// Reads the text format. What is not known is passed over, as a newer or older program may tell other things.
    pub fn parse(text: &str) -> Self {
        let names = ["requests_total", "request_duration_seconds_bucket", "build_info"].map(prefixed);
        let mut scrape = Self::default();
        for line in text.lines() {
            let Some((series, value)) = line.split_once(' ').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            if series == "process_start_time_seconds" {
                scrape.started = value.trim().parse().unwrap_or_default();
            }
            let Some(at) = names.iter().position(|name| is_series_of(name, line)) else { continue };
            let Some((labels, rest)) = labels(&line[names[at].len()..]) else { continue };
            // A time stamp may follow, and an exemplar.
            let value =
                rest.split_whitespace().next().and_then(|value| value.parse().ok()).unwrap_or_default();
            match at {
                0 => scrape.traffic(&labels).count(&labels, value),
                1 => scrape.traffic(&labels).time(&labels, value),
                _ => scrape.version = labels.get("version").cloned().unwrap_or_default(),
            }
        }
        scrape
    }

    fn traffic(&mut self, labels: &Labels) -> &mut Traffic {
        self.services.entry(labels.get("service").cloned().unwrap_or_default()).or_default()
    }

    /// What came to a service since an earlier scrape; all of it, where another process was asked then.
    pub fn since(&self, earlier: &Self, service: &str) -> Traffic {
        let now = self.services.get(service).cloned().unwrap_or_default();
        match earlier.services.get(service).filter(|_| earlier.is_of(self)) {
            Some(before) => now.since(before),
            None => now,
        }
    }

    /// Whether both are of one process.
    pub fn is_of(&self, other: &Self) -> bool {
        (self.started - other.started).abs() < 0.5
    }
}

fn is_series_of(name: &str, line: &str) -> bool {
    line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))
}

type Labels = BTreeMap<String, String>;

/// The labels that a text begins with, in braces, and what follows them.
fn labels(text: &str) -> Option<(Labels, &str)> {
    let mut rest = text.strip_prefix('{')?;
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = quoted.char_indices();
        let end = loop {
            match letters.next()? {
                (end, '"') => break end,
                (_, '\\') => match letters.next()?.1 {
                    'n' => value.push('\n'),
                    letter => value.push(letter),
                },
                (_, letter) => value.push(letter),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = &quoted[end + 1..];
    }
}

impl Traffic {
    fn count(&mut self, labels: &Labels, value: f64) {
        self.requests += value;
        let label = |name: &str| labels.get(name).map_or("", String::as_str);
        if label("class") == "5xx" || !matches!(label("reason"), "" | CLIENT_GONE) {
            self.failed += value;
        }
    }

    fn time(&mut self, labels: &Labels, value: f64) {
        if let Some(bound) = labels.get("le").and_then(|bound| bound.replace("+Inf", "inf").parse().ok()) {
            self.within.push((bound, value));
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        let before = |bound: f64| {
            let same = earlier.within.iter().find(|(other, _)| other.total_cmp(&bound).is_eq());
            same.map_or(0.0, |(_, count)| *count)
        };
        Self {
            requests: (self.requests - earlier.requests).max(0.0),
            failed: (self.failed - earlier.failed).max(0.0),
            within: self
                .within
                .iter()
                .map(|(bound, count)| (*bound, (count - before(*bound)).max(0.0)))
                .collect(),
        }
    }

    /// The share that failed; none without requests.
    pub fn failed_share(&self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.failed / self.requests)
    }

    /// About the seconds within which this share of them ended, as Prometheus' `histogram_quantile` has it; infinite beyond the
    /// highest bound, none without requests.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let (_, all) = *self.within.last()?;
        let rank = all * share;
        let at = self.within.iter().position(|(_, count)| *count >= rank).filter(|_| all > 0.0)?;
        let (bound, count) = self.within[at];
        let (lower, below) = if at == 0 { (0.0, 0.0) } else { self.within[at - 1] };
        if bound.is_infinite() || count <= below {
            return Some(bound);
        }
        Some(lower + (bound - lower) * (rank - below) / (count - below))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Metrics;
    use super::*;

    #[test]
    fn a_scrape_of_our_own_is_read_back() {
        let metrics = Metrics::new();
        let recorder = metrics.recorder(&"greeter".parse().unwrap());
        let scraped = || Scrape::parse(&metrics.render(&[]));
        for _ in 0..98 {
            recorder.record(200, None, Duration::from_millis(3));
        }
        recorder.record(503, None, Duration::from_millis(40));
        recorder.record(404, Some("no_route"), Duration::from_millis(40));
        recorder.flush();
        let first = scraped();
        assert_eq!(first.version, env!("CARGO_PKG_VERSION"));
        assert!(first.started > 1.0e9 || cfg!(not(target_os = "linux")), "{}", first.started);
        let traffic = &first.services["greeter"];
        assert_eq!((traffic.requests, traffic.failed), (100.0, 2.0));
        assert_eq!(traffic.failed_share(), Some(0.02));
        let within = |share: f64| traffic.quantile(share).unwrap();
        assert!(within(0.5) > 0.0025 && within(0.5) < 0.005, "{}", within(0.5));
        assert!(within(0.99) > 0.025 && within(0.99) < 0.05, "{}", within(0.99));

        for _ in 0..10 {
            recorder.record(200, None, Duration::from_mins(2));
        }
        recorder.flush();
        let since = scraped().since(&first, "greeter");
        assert_eq!((since.requests, since.failed, since.quantile(0.5)), (10.0, 0.0, Some(f64::INFINITY)));
        let nothing = first.since(&first, "greeter");
        assert_eq!((nothing.requests, nothing.quantile(0.5), nothing.failed_share()), (0.0, None, None));
        // Another process counts anew.
        let other = Scrape { started: 5.0, ..first.clone() };
        assert_eq!(first.since(&other, "greeter").requests, 100.0);
        assert_eq!(first.since(&other, "nobody"), Traffic::default());
    }

    #[test]
    fn a_client_that_goes_away_is_no_failure() {
        let metrics = Metrics::new();
        let recorder = metrics.recorder(&"greeter".parse().unwrap());
        for (status, reason) in
            [(200, CLIENT_GONE), (499, CLIENT_GONE), (503, CLIENT_GONE), (200, "body_broken")]
        {
            recorder.record(status, Some(reason), Duration::from_millis(3));
        }
        recorder.flush();
        let traffic = &Scrape::parse(&metrics.render(&[])).services["greeter"];
        assert_eq!((traffic.requests, traffic.failed), (4.0, 2.0));
    }

    #[test]
    fn labels_are_told_from_what_they_hold() {
        let (labels, rest) = labels(r#"{a="x\"}\\\n",b="",} 1 # {id="7"} 2"#).unwrap();
        assert_eq!(
            (labels["a"].as_str(), labels["b"].as_str(), rest),
            ("x\"}\\\n", "", r#" 1 # {id="7"} 2"#)
        );
        for broken in ["", "{", "{a", "{a=\"", "{a=\"x", "{a=\"x\\"] {
            assert!(super::labels(broken).is_none(), "{broken}");
        }
        assert_eq!(Scrape::parse("\n#\n# TYPE\nx\nx{ 1\n"), Scrape::default());
    }
}
