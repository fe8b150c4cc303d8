//! Metrics as OpenMetrics 1.0 has them, which differs from the older text format in little: the names of counters, numbers,
//! exemplars, and that an end is said.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::exemplars::{Buckets, Placed};

/// Metrics in order; those of the histogram of this name with an exemplar in each bucket that has one.
pub(super) fn render(
    families: &[MetricFamily],
    histogram: &str,
    exemplars: &BTreeMap<String, Buckets>,
) -> String {
    let mut text = Text::default();
    for family in families {
        let kind = family.get_field_type();
        // The name of a counter is that of its samples without what all of these end in.
        let name = match kind {
            MetricType::COUNTER => family.name().strip_suffix("_total").unwrap_or(family.name()),
            MetricType::GAUGE | MetricType::HISTOGRAM | MetricType::SUMMARY | MetricType::UNTYPED => {
                family.name()
            }
        };
        let word = match kind {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            // There are none here.
            MetricType::SUMMARY | MetricType::UNTYPED => continue,
        };
        text.line(format_args!("# HELP {name} {}", escaped(family.help())));
        text.line(format_args!("# TYPE {name} {word}"));
        for metric in family.get_metric() {
            match kind {
                MetricType::COUNTER => {
                    text.sample(name, "_total", metric, None, metric.get_counter().get_value(), None);
                }
                MetricType::GAUGE => {
                    text.sample(name, "", metric, None, metric.get_gauge().get_value(), None);
                }
                MetricType::HISTOGRAM => {
                    let exemplars = (name == histogram).then(|| exemplars.get(service(metric))).flatten();
                    text.histogram(name, metric, exemplars);
                }
                MetricType::SUMMARY | MetricType::UNTYPED => {}
            }
        }
    }
    text.0.push_str("# EOF\n");
    text.0
}

fn service(metric: &Metric) -> &str {
    metric.get_label().iter().find(|label| label.name() == "service").map_or("", LabelPair::value)
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{line}");
    }

    fn histogram(&mut self, name: &str, metric: &Metric, exemplars: Option<&Buckets>) {
        let histogram = metric.get_histogram();
        let count = super::sample::number(histogram.get_sample_count());
        let exemplar = |place: usize| exemplars.and_then(|buckets| buckets.get(place)?.as_ref());
        let bounded = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
        let mut place = 0;
        for bucket in bounded {
            let (bound, below) = (bucket.upper_bound(), super::sample::number(bucket.cumulative_count()));
            self.sample(name, "_bucket", metric, Some(&shown(bound)), below, exemplar(place));
            place += 1;
        }
        self.sample(name, "_bucket", metric, Some("+Inf"), count, exemplar(place));
        self.sample(name, "_sum", metric, None, histogram.get_sample_sum(), None);
        self.sample(name, "_count", metric, None, count, None);
    }

    fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        metric: &Metric,
        bound: Option<&str>,
        value: f64,
        exemplar: Option<&Placed>,
    ) {
        let of = metric.get_label().iter().map(|label| (label.name(), label.value()));
        let labels = braced(of.chain(bound.map(|bound| ("le", bound))));
        let _ = write!(self.0, "{name}{suffix}{labels} {value}");
        if let Some(Placed { exemplar, seconds, at }) = exemplar {
            let labels = braced(exemplar.labels().into_iter());
            let labels = if labels.is_empty() { "{}" } else { &labels };
            let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let _ = write!(self.0, " # {labels} {seconds} {at:.3}");
        }
        self.0.push('\n');
    }
}

fn braced<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

/// A bound as it is to be written: with a point.
fn shown(bound: f64) -> String {
    format!("{bound:?}")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}
