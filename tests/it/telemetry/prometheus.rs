//! A real Prometheus scrapes the program while it is busy, and answers what the dashboard asks.

use std::time::Duration;

use serde_json::Value;

use crate::support::patience::eventually_asked;
use crate::support::program::{Program, get, request, text};
use crate::support::prometheus::{Prometheus, complaints};
use crate::support::provider::Echo;

/// How long Prometheus may take to start, scrape twice and answer on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A program that is asked for what there is, and for what there is not.
async fn busy(echo: &Echo) -> Program {
    let program = Program::configured(&format!(
        "[registry]\nurl = \"fixed:greeter={};gone=127.0.0.1:1\"\n\
         [[route]]\nservice = \"greeter\"\npath = \"/split\"\n[[route.split]]\nweight = 1\n\
         [services]\npolicy = \"round-robin\"\nshadow_policy = \"peak-ewma\"\n",
        echo.address()
    ))
    .await;
    let listener = program.listeners()[0];
    for path in ["/greeter/a", "/split/b", "/gone/c", "/nobody/d", "/"] {
        get(listener, path).await;
    }
    request(listener, "POST", "/greeter/e", "some body").await;
    program
}

#[tokio::test]
async fn the_checker_is_content_with_a_busy_proxy() {
    let echo = Echo::start().await;
    let program = busy(&echo).await;
    let shown = async || {
        let metrics = text(&program.ask("/metrics").await);
        (metrics.contains("class=\"2xx\"") && metrics.contains("connection_refused")).then_some(metrics)
    };
    let metrics = eventually_asked(LIMIT, "what workers counted", shown).await;
    assert_eq!(complaints(&metrics), "");
}

/// The first value of an answer.
fn value(samples: &[Value]) -> Option<f64> {
    samples.first()?["value"][1].as_str()?.parse().ok()
}

#[tokio::test]
async fn prometheus_scrapes_and_answers_what_the_dashboard_asks() {
    let echo = Echo::start().await;
    let program = busy(&echo).await;
    let configuration = format!(
        "global:\n  scrape_interval: 1s\nrule_files:\n  - {}/config/prometheus/alerts.yml\n\
         scrape_configs:\n  - job_name: wayside\n    static_configs:\n      - targets: [\"{}\"]\n",
        env!("CARGO_MANIFEST_DIR"),
        program.admin()
    );
    let prometheus = Prometheus::start(&configuration).await;
    let up = async || (value(&prometheus.query("up{job=\"wayside\"}").await) == Some(1.0)).then_some(());
    eventually_asked(LIMIT, "a scrape that succeeds", up).await;
    // Requests between scrapes, so that rates are rates.
    let rate = "sum by (service) (rate(wayside_requests_total{instance=~\".*\",service=~\"greeter\"}[1m]))";
    let rated = async || {
        get(program.listeners()[0], "/greeter/again").await;
        value(&prometheus.query(rate).await).filter(|rate| *rate > 0.0)
    };
    eventually_asked(LIMIT, "a rate of requests", rated).await;
    let p99 = "histogram_quantile(0.99, sum by (le) (rate(wayside_request_duration_seconds_bucket{service=\"greeter\"}[1m])))";
    let p99 = value(&prometheus.query(p99).await).unwrap();
    assert!(p99 > 0.0 && p99 < 60.0, "{p99}");
    let states = prometheus.query("sum by (state) (wayside_endpoints{service=\"greeter\"})").await;
    assert_eq!((states[0]["metric"]["state"].as_str(), value(&states)), (Some("available"), Some(1.0)));
    // Exemplars lead to requests: their ids are those that the provider was told.
    let found = async || {
        let series =
            prometheus.exemplars("wayside_request_duration_seconds_bucket{service=\"greeter\"}").await;
        let exemplars =
            series.iter().flat_map(|series| series["exemplars"].as_array().cloned().unwrap_or_default());
        exemplars
            .into_iter()
            .find_map(|exemplar| exemplar["labels"]["request_id"].as_str().map(str::to_owned))
    };
    let id = eventually_asked(LIMIT, "an exemplar", found).await;
    assert_eq!(id.len(), 32, "{id}");
}
