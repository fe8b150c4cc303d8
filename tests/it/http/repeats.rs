//! What is sent again over real connections: bodies, deadlines, attempts, and what becomes of it all when the client goes.

use std::time::Duration;

use wayside::telemetry::metrics::{HedgeResult, RetryCause};

use super::{Played, get, line, status};
use crate::support::client::Raw;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::Script;
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy";

/// A proxy whose service has two providers, each played by the test. Which of them is asked first is left to chance.
struct Pair {
    proxy: wayside::app::Running,
    providers: [Script; 2],
}

impl Pair {
    async fn with(sections: &str) -> Self {
        let providers = [Script::start().await, Script::start().await];
        let addresses = [providers[0].address(), providers[1].address()];
        let proxy = start(config_with(sections), Told::with("svc", &addresses));
        Self { proxy, providers }
    }

    async fn client(&self) -> Raw {
        Raw::connect(self.proxy.listeners[0]).await
    }

    /// The next connection to either.
    async fn accept(&self) -> Raw {
        let [one, other] = &self.providers;
        tokio::select! {
            stream = one.accept() => stream.into(),
            stream = other.accept() => stream.into(),
        }
    }

    async fn settled(&self) {
        let idle = || {
            let loads = super::endpoint_loads(&self.proxy);
            (self.proxy.metrics.proxy.requests_in_flight.get() == 0 && loads == 0).then_some(())
        };
        eventually(PATIENCE, "everything in flight ends", idle).await;
    }
}

fn put(framing: &str) -> String {
    format!("PUT /x HTTP/1.1\r\nhost: svc\r\n{framing}\r\n\r\n")
}

#[tokio::test]
async fn a_body_that_broke_off_half_way_is_sent_again_from_its_beginning() {
    for (framing, first, second, end) in [
        ("content-length: 10", "hello", "world", "world"),
        ("transfer-encoding: chunked", "5\r\nhello\r\n", "5\r\nworld\r\n0\r\n\r\n", "0\r\n\r\n"),
    ] {
        let played = Played::start().await;
        let mut client = played.client().await;
        client.say(put(framing) + first).await;
        let mut provider = Raw::from(played.provider.accept().await);
        assert_eq!(line(&provider.hear_until(first).await, "x-wayside-attempt"), None);
        drop(provider);
        let mut provider = Raw::from(played.provider.accept().await);
        let mut heard = provider.hear_until(first).await;
        assert_eq!(line(&heard, "x-wayside-attempt"), Some("2"));
        client.say(second).await;
        heard += &provider.hear_until(end).await;
        assert!(heard.ends_with(&format!("{first}{second}")), "{heard}");
        provider.say(OK).await;
        client.hear_until("ok").await;
        // The connection is as good as before: all of the body was read.
        client.say(get("connection: close\r\n")).await;
        provider.hear_head().await;
        provider.say(OK).await;
        client.hear_all().await;
        played.settled().await;
    }
}

#[tokio::test]
async fn an_early_answer_that_is_tried_elsewhere_ends_the_first_body_unfinished() {
    let pair = Pair::with("[retries]\nstatuses = [503]").await;
    let mut client = pair.client().await;
    client.say(put("transfer-encoding: chunked") + "5\r\nhello\r\n").await;
    let mut first = pair.accept().await;
    first.hear_until("hello\r\n").await;
    first.say(BUSY).await;
    let mut second = pair.accept().await;
    second.hear_until("hello\r\n").await;
    assert!(!first.hear_all().await.contains("0\r\n\r\n"), "a body cut short must not pass for a whole one");
    client.say("5\r\nworld\r\n0\r\n\r\n").await;
    second.hear_until("world\r\n0\r\n\r\n").await;
    second.say(OK).await;
    assert_eq!(status(&client.hear_until("ok").await), 200);
    assert_eq!(pair.proxy.metrics.proxy.retries_total.of(RetryCause::Answer).get(), 1);
}

#[tokio::test]
async fn an_early_answer_is_passed_on_whole_where_nobody_else_is() {
    let played = Played::with(config_with("[retries]\nstatuses = [503]")).await;
    let mut client = played.client().await;
    client.say(put("content-length: 10") + "hello").await;
    let mut provider = Raw::from(played.provider.accept().await);
    provider.hear_until("hello").await;
    provider.say("HTTP/1.1 503 Busy\r\nretry-after: 60\r\ncontent-length: 4\r\n\r\nbusy").await;
    assert_eq!(status(&client.hear_until("busy").await), 503);
}

#[tokio::test]
async fn a_large_body_streams_though_it_could_have_been_kept_in_part() {
    let pair = Pair::with("[retries]\nstatuses = [503]\nbody_bytes = \"1KiB\"").await;
    let mut client = pair.client().await;
    client.say(put("content-length: 100000")).await;
    let mut provider = pair.accept().await;
    provider.hear_head().await;
    for _ in 0..100 {
        client.say([b'x'; 1000]).await;
        let mut heard = 0;
        while heard < 1000 {
            heard += provider.hear_some().await.len();
        }
    }
    provider.say(BUSY).await;
    assert_eq!(status(&client.hear_until("busy").await), 503, "it could not be sent again");
    assert_eq!(pair.proxy.metrics.proxy.retries_total.get(), 0);
}

#[tokio::test]
async fn each_attempt_is_told_what_is_left_of_the_deadline() {
    let pair = Pair::with("[[service]]\nname = \"svc\"\nidempotent = true").await;
    let mut client = pair.client().await;
    let call = "POST / HTTP/1.1\r\nhost: svc\r\nmicro-service: svc\r\ntimeout: 9000000000\r\ncontent-length: 0\r\n\r\n";
    client.say(call).await;
    let mut provider = pair.accept().await;
    let first = provider.hear_head().await;
    drop(provider);
    let mut provider = pair.accept().await;
    let second = provider.hear_head().await;
    let left = |heard: &str| line(heard, "timeout").unwrap().parse::<u64>().unwrap();
    assert!(left(&first) <= 9_000_000_000 && left(&second) <= left(&first), "{first}{second}");
    assert!(left(&second) > 1_000_000_000, "{second}");
    assert_eq!(line(&second, "x-wayside-attempt"), Some("2"));
    provider.say(OK).await;
    client.hear_until("ok").await;
}

#[tokio::test]
async fn whoever_goes_away_takes_the_attempt_the_pause_and_the_hedge_along() {
    // An attempt under way.
    let pair = Pair::with("").await;
    let mut client = pair.client().await;
    client.say(get("")).await;
    let mut provider = pair.accept().await;
    provider.hear_head().await;
    drop(client);
    provider.hear_all().await;
    pair.settled().await;

    // A pause, which would last for a minute.
    let pair = Pair::with(
        "[retries]\nstatuses = [503]\nback_off = \"1m\"\nback_off_max = \"1m\"\n[timeouts]\nrequest = \"10m\"",
    )
    .await;
    let mut client = pair.client().await;
    client.say(get("")).await;
    let mut provider = pair.accept().await;
    provider.hear_head().await;
    provider.say(BUSY).await;
    let failed = || (super::endpoint_loads(&pair.proxy) == 1).then_some(());
    eventually(PATIENCE, "the answer is held until there is a better one", failed).await;
    drop(client);
    pair.settled().await;
    assert_eq!(pair.proxy.metrics.proxy.requests_abandoned_total.get(), 1);

    // Both of two attempts.
    let pair = Pair::with("[[service]]\nname = \"svc\"\nhedge = \"20ms\"").await;
    let mut client = pair.client().await;
    client.say(get("")).await;
    let (mut first, mut second) = (pair.accept().await, pair.accept().await);
    first.hear_head().await;
    second.hear_head().await;
    drop(client);
    first.hear_all().await;
    second.hear_all().await;
    pair.settled().await;
}

#[tokio::test]
async fn the_loser_of_two_is_cut_off_and_nothing_is_held_against_it() {
    let pair = Pair::with("[[service]]\nname = \"svc\"\nhedge = \"20ms\"").await;
    let mut client = pair.client().await;
    client.say(get("")).await;
    let mut first = pair.accept().await;
    first.hear_head().await;
    let mut second = pair.accept().await;
    assert_eq!(line(&second.hear_head().await, "x-wayside-attempt"), Some("2"));
    second.say(OK).await;
    client.hear_until("ok").await;
    first.hear_all().await;
    assert_eq!(pair.proxy.metrics.proxy.hedges_total.of(HedgeResult::Won).get(), 1);
    let services = pair.proxy.catalog.services();
    let failures: u64 = services[0].endpoints.iter().map(|endpoint| endpoint.failures).sum();
    assert_eq!(failures, 0);
    pair.settled().await;
}

#[tokio::test]
async fn an_exhausted_budget_is_told_in_the_answer() {
    let config = config_with("[retries]\nbudget_percent = 0\nbudget_per_second = 0");
    let proxy = start(config, Told::with("svc", &[super::nobody(), super::nobody()]));
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(get("connection: close\r\n")).await;
    let heard = client.hear_all().await;
    assert_eq!(status(&heard), 502);
    assert!(
        heard.contains("attempts: 1; not tried again: the retry budget of this service is used up"),
        "{heard}"
    );
    assert_eq!(proxy.metrics.proxy.retry_budget_exhausted_total.get(), 1);
}

#[tokio::test]
async fn an_answer_with_a_pause_is_passed_on_where_nobody_else_is() {
    let played = Played::with(config_with("[retries]\nstatuses = [503]")).await;
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 60\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy";
    let begun = std::time::Instant::now();
    let heard = played.answered(&get("connection: close\r\n"), busy).await;
    assert_eq!((status(&heard), line(&heard, "retry-after")), (503, Some("60")));
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waits for a minute");
}
