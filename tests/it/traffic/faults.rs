//! Faults made on purpose: they strike whom they are meant for, and everybody can see that they are no accident.

use std::time::{Duration, Instant};

use super::{Changed, ask, provider, registry};
use crate::support::program::get;
use crate::support::provider::Echo;

#[tokio::test]
async fn a_game_day_strikes_whom_it_is_for_and_is_seen_by_operators() {
    let echo = Echo::start().await;
    let quiet = registry(&[("a", &[provider(&echo, "")])]) + "[access_log]\nenabled = true\n";
    let route = |fault: &str| format!("{quiet}[[route]]\nname = \"day\"\nservice = \"a\"\n{fault}\n");
    let changed = Changed::run(&route("fault = { abort = 503, headers = { x-game-day = true } }")).await;
    let warning = changed.program.logs("requests are disturbed on purpose").await;
    assert!(warning.contains("day") && warning.contains("100% are answered with 503"), "{warning}");
    let mut client = changed.client().await;
    assert_eq!(ask(&mut client, &[]).await.status(), 200);
    let struck = ask(&mut client, &[("x-game-day", "1")]).await;
    assert_eq!(struck.status(), 503);
    assert!(String::from_utf8_lossy(struck.body()).contains("a fault that the configuration asks for"));
    let line = changed.program.says("fault=abort").await;
    assert!(line.contains(" 503 fault_abort "), "{line}");
    let admin = changed.program.admin();
    let shown = get(admin, "/config").await;
    assert!(String::from_utf8_lossy(shown.body()).contains("[route.fault]\n"));

    changed.change(&route("fault = { delay = \"300ms\" }\nrequest_timeout = \"200ms\"")).await;
    changed.program.logs("100% are delayed by 300ms").await;
    assert_eq!(ask(&mut client, &[]).await.status(), 504, "a delay counts against the deadline");
    super::write(&changed.file, &route("fault = { delay = \"300ms\" }"));
    changed.program.logs("- request_timeout = \"200ms\"").await;
    let begun = Instant::now();
    assert_eq!(ask(&mut client, &[]).await.status(), 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let metrics = get(admin, "/metrics").await;
    let metrics = String::from_utf8_lossy(metrics.body());
    for line in [
        "wayside_faults_injected_total{fault=\"abort\"} 1",
        "wayside_faults_injected_total{fault=\"delay\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
}
