//! What is exposed: names, values, and that those who read it are content.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use super::*;

fn metrics() -> (Arc<Metrics>, Vec<ServiceSample>) {
    let metrics = Metrics::new();
    let recorder = metrics.recorder(&"greeter".parse().unwrap());
    recorder.record(200, None, Duration::from_millis(3));
    recorder.record(503, Some("connect_failed"), Duration::from_millis(9));
    recorder.detour("spill");
    recorder.flush();
    metrics.recorder_without_service().record(404, Some("no_route"), Duration::ZERO);
    let raw = metrics.raw.begin(&"greeter".parse().unwrap());
    raw.received.inc_by(3);
    metrics.raw.end(&"greeter".parse().unwrap(), "idle");
    metrics.traffic.split("api", "greeter[version=2]").inc();
    metrics.traffic.mirrored(&"greeter".parse().unwrap(), Mirrored::TooLarge).inc();
    metrics.traffic.fault("delay").inc();
    metrics.catalog.skipped("malformed").inc();
    metrics.proxy.ejections("in_a_row").inc();
    metrics.proxy.upstream_tls_failures("tls_expired").inc();
    metrics.catalog.removals("withdrawn").inc();
    metrics.catalog.probes("well").inc();
    metrics.catalog.checks("well").inc();
    metrics.config.reloaded(Reloaded::Changed);
    metrics.config.set_certificates(&[certificate("127.0.0.1:443")]);
    metrics.proxy.openings.tls("clear_text").inc();
    metrics.proxy.openings.proxy_header("missing").inc();
    metrics.announce.changed("announced").inc();
    metrics.announce.set_announced(&BTreeMap::from([("own".parse().unwrap(), 1)]));
    metrics.catalog.registry("zookeeper").up.set(1);
    metrics.catalog.change_to_swap_seconds.observe(0.0004);
    metrics.watch_dropped_lines("access", || 7);
    let endpoint = EndpointSample {
        address: "10.0.0.1:80".parse().unwrap(),
        state: "reachable",
        attempts: 5,
        failures: 1,
        in_flight: 2,
    };
    let service = "greeter".parse().unwrap();
    let sample = ServiceSample {
        service,
        stale: Duration::from_secs(4),
        words: vec![
            ("zookeeper".into(), Some(77), Duration::from_secs(3)),
            ("dns".into(), None, Duration::ZERO),
        ],
        changed: Some(Duration::from_secs(9)),
        endpoints: vec![endpoint],
        shadows: vec![("etcd".into(), 3)],
        policies: vec![shadow(), shadow()],
    };
    (metrics, vec![sample])
}

fn certificate(of: &str) -> CertificateEnd {
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    CertificateEnd { shown_to: "client", of: of.to_owned(), end }
}

fn shadow() -> ShadowSample {
    ShadowSample {
        policies: ["round-robin", "peak-ewma"],
        choices: [3, 4],
        in_flight: [5, 6],
        latency_us: [7_000, 2_000_000],
        chosen: vec![("10.0.0.1:80".parse().unwrap(), 7)],
    }
}

/// The names and types of all that is ever exposed, without values: what dashboards and alerts are built on.
#[test]
fn names_are_stable() {
    let (metrics, services) = metrics();
    let text = metrics.render(&services);
    let types = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter(|line| !line.starts_with("process_"));
    insta::assert_snapshot!(types.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_scrape_shows_what_was_recorded() {
    let (metrics, services) = metrics();
    let text = metrics.render(&services);
    for line in [
        "wayside_requests_total{class=\"2xx\",reason=\"\",service=\"greeter\"} 1",
        "wayside_requests_total{class=\"5xx\",reason=\"connect_failed\",service=\"greeter\"} 1",
        "wayside_requests_total{class=\"4xx\",reason=\"no_route\",service=\"\"} 1",
        "wayside_request_duration_seconds_count{service=\"greeter\"} 2",
        "wayside_request_duration_seconds_bucket{service=\"greeter\",le=\"0.005\"} 1",
        "wayside_detours_total{kind=\"spill\",service=\"greeter\"} 1",
        "wayside_raw_connections_open{service=\"greeter\"} 1",
        "wayside_raw_connections_total{reason=\"idle\",service=\"greeter\"} 1",
        "wayside_raw_bytes_total{direction=\"received\",service=\"greeter\"} 3",
        "wayside_ejections_total{cause=\"in_a_row\"} 1",
        "wayside_tls_failures_total{cause=\"clear_text\"} 1",
        "wayside_proxy_header_failures_total{cause=\"missing\"} 1",
        "wayside_announced{service=\"own\"} 1",
        "wayside_announcement_changes_total{change=\"announced\"} 1",
        "wayside_registry_records_skipped_total{reason=\"malformed\"} 1",
        "wayside_endpoints{service=\"greeter\",state=\"reachable\"} 1",
        "wayside_endpoint_attempts_total{service=\"greeter\",endpoint=\"10.0.0.1:80\"} 5",
        "wayside_endpoint_failures_total{service=\"greeter\",endpoint=\"10.0.0.1:80\"} 1",
        "wayside_endpoint_attempts_in_flight{service=\"greeter\",endpoint=\"10.0.0.1:80\"} 2",
        // Two claims on one service are told together.
        "wayside_shadow_policy_choices_total{service=\"greeter\",policy=\"round-robin\",shadow=\"peak-ewma\",choice=\"different\"} 8",
        "wayside_shadow_policy_endpoint_choices_total{service=\"greeter\",policy=\"round-robin\",shadow=\"peak-ewma\",endpoint=\"10.0.0.1:80\"} 14",
        "wayside_shadow_policy_in_flight_total{service=\"greeter\",policy=\"round-robin\",shadow=\"peak-ewma\",of=\"made\"} 10",
        "wayside_shadow_policy_latency_seconds_total{service=\"greeter\",policy=\"round-robin\",shadow=\"peak-ewma\",of=\"shadow\"} 4",
        "wayside_service_stale_seconds{service=\"greeter\"} 4",
        "wayside_service_revision{registry=\"zookeeper\",service=\"greeter\"} 77",
        "wayside_service_registry_stale_seconds{registry=\"zookeeper\",service=\"greeter\"} 3",
        "wayside_service_registry_stale_seconds{registry=\"dns\",service=\"greeter\"} 0",
        "wayside_service_unchanged_seconds{service=\"greeter\"} 9",
        "wayside_registry_up{registry=\"zookeeper\"} 1",
        "wayside_shadow_differences{registry=\"etcd\",service=\"greeter\"} 3",
        "wayside_log_lines_dropped_total{log=\"access\"} 7",
        "wayside_config_reloads_total{result=\"changed\"} 1",
        "wayside_config_good 1",
        "wayside_certificate_end_timestamp_seconds{of=\"127.0.0.1:443\",shown_to=\"client\"} 1900000000",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn what_left_takes_its_series_along() {
    let (metrics, services) = metrics();
    assert!(metrics.render(&services).contains("10.0.0.1:80"));
    let service = "greeter".parse().unwrap();
    metrics.forget(&service);
    let text = metrics.render(&[]);
    let is_of_it = |line: &str| line.contains("\"greeter\"") || line.contains("10.0.0.1:80");
    assert!(!text.lines().any(is_of_it), "{text}");
}

#[test]
fn what_ends_after_its_service_was_forgotten_leaves_nothing() {
    let metrics = Metrics::new();
    let service = "greeter".parse().unwrap();
    let (recorder, slow) = (metrics.recorder(&service), Duration::from_secs(1));
    let exemplar = || Some(Exemplar { request_id: Some("a".to_owned()), trace_id: None });
    recorder.note_slowest(slow, exemplar());
    metrics.forget(&service);
    recorder.record(200, None, slow);
    recorder.detour("spill");
    drop(recorder);
    assert!(metrics.totals().is_empty());
    let text = metrics.render(&[]);
    assert!(!text.contains("\"greeter\""), "{text}");
    // Whoever follows it again begins anew.
    let recorder = metrics.recorder(&service);
    assert!(!metrics.render_open(&[]).contains(" # {"));
    recorder.record(200, None, slow);
    recorder.note_slowest(slow, exemplar());
    drop(recorder);
    assert_eq!(metrics.totals()[0].1.requests, 1);
    assert!(metrics.render_open(&[]).contains(" # {request_id=\"a\"}"));
}

/// The checker that ships with Prometheus has nothing to say.
#[test]
fn the_prometheus_checker_is_content() {
    let (metrics, services) = metrics();
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool =
        promtool.unwrap_or_else(|error| panic!("cannot run promtool: {error}; run tests/servers.sh"));
    promtool.stdin.take().unwrap().write_all(metrics.render(&services).as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Every name there is, be it in use yet or not, is in the tests above, and so in the list of names.
#[test]
fn no_name_is_left_out() {
    let (metrics, services) = metrics();
    let text = metrics.render(&services);
    for name in metrics.names.iter() {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} has no sample in these tests");
    }
}

/// `docs/metrics.md` has one row for each, in order, with what is said at each scrape.
#[test]
fn every_metric_is_documented() {
    let (metrics, services) = metrics();
    let families = metrics.gather(&services);
    let own = families.iter().filter(|family| family.name().starts_with("wayside_"));
    let rows: Vec<String> = own
        .map(|family| {
            let labels = family.get_metric()[0].get_label().iter().map(|label| format!("`{}`", label.name()));
            let kind = format!("{:?}", family.get_field_type()).to_lowercase();
            let labels = labels.collect::<Vec<_>>().join(", ");
            format!("| `{}` | {kind} | {labels} | {} |", family.name(), family.help())
        })
        .collect();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let told: Vec<&str> = page.lines().filter(|line| line.starts_with("| `wayside_")).collect();
    assert!(told == rows, "the table of docs/metrics.md is to be\n{}", rows.join("\n"));
}

#[test]
fn a_certificate_that_is_gone_takes_its_series_along() {
    let metrics = Metrics::new();
    let of = || {
        let text = metrics.render(&[]);
        let lines = text.lines().filter(|line| line.starts_with("wayside_certificate_end"));
        lines.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    metrics.config.set_certificates(&[certificate("a"), certificate("b")]);
    assert_eq!(of(), ["a", "b"]);
    metrics.config.set_certificates(&[certificate("b")]);
    assert_eq!(of(), ["b"]);
}

#[test]
fn what_a_log_lost_is_not_forgotten_when_another_takes_its_place() {
    let metrics = Metrics::new();
    metrics.watch_dropped_lines("access_log", || 3);
    metrics.watch_dropped_lines("access_log", || 4);
    assert!(metrics.render(&[]).contains("wayside_log_lines_dropped_total{log=\"access_log\"} 7\n"));
}

#[test]
fn open_metrics_tell_of_the_slowest() {
    let (metrics, services) = metrics();
    let recorder = metrics.recorder(&"greeter".parse().unwrap());
    let slow = Duration::from_millis(700);
    assert!(recorder.is_slowest(slow));
    let exemplar = Exemplar { request_id: Some("a\"b".to_owned()), trace_id: None };
    recorder.note_slowest(slow, Some(exemplar));
    assert!(!recorder.is_slowest(slow), "only what is slower");
    recorder.record(200, None, slow);
    recorder.flush();
    assert!(recorder.is_slowest(Duration::from_millis(1)), "each second anew");
    let text = metrics.render_open(&services);
    for line in [
        "# TYPE wayside_requests counter",
        "wayside_requests_total{class=\"2xx\",reason=\"\",service=\"greeter\"} 2",
        "# TYPE wayside_request_duration_seconds histogram",
        "wayside_request_duration_seconds_bucket{service=\"greeter\",le=\"+Inf\"} 3",
        "# TYPE wayside_endpoints gauge",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    let bucket = "wayside_request_duration_seconds_bucket{service=\"greeter\",le=\"1.0\"} 3 # {request_id=\"a\\\"b\"} 0.7 ";
    assert_eq!(text.matches(" # {").count(), 1);
    assert!(text.contains(bucket), "{text}");
    assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1);
    metrics.forget(&"greeter".parse().unwrap());
    assert!(!metrics.render_open(&[]).contains("request_id"));
}
