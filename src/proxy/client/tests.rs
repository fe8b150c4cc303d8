//! Tests of when a client connection is told what.

use tokio::time::advance;

use super::*;
use crate::clock::Clock;
use crate::drain::Drain;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{self, Dialler};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn client() -> (Rc<Client>, Rc<Tick>, Settings) {
    let tick = Rc::new(Tick::new(Clock::start()));
    let dialler = Dialler::new(upstream::Settings::default(), Drain::new(), Metrics::new());
    let private = Pools::lasting(dialler, Rc::clone(&tick));
    let peer = Peer::At(([127, 0, 0, 1], 1).into());
    let origin = Origin { peer, is_secure: false, bound: None, trusted: true, refuse_cross_site: false };
    let client = Client::new(origin, private, Rc::clone(&tick));
    (client, tick, Settings::default())
}

async fn pass(tick: &Tick, time: Duration) {
    advance(time).await;
    tick.advance();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_alone_says_how_long_an_answer_may_take() {
    let (client, tick, settings) = client();
    client.heard();
    client.begin_request();
    let awaited = client.await_answer();
    pass(&tick, settings.stream_idle_timeout * 3).await;
    assert_eq!(client.due(&settings, false), None, "the provider is still thinking");
    drop(awaited);
    pass(&tick, settings.stream_idle_timeout - SECOND).await;
    assert_eq!(client.due(&settings, false), None);
    pass(&tick, SECOND).await;
    assert_eq!(client.due(&settings, false), Some(Order::Close), "the body stalls");
    client.moved();
    assert_eq!(client.due(&settings, false), None);
    assert_eq!(client.due(&settings, true), Some(Order::Drain));
}

#[tokio::test(start_paused = true)]
async fn a_head_has_its_time_and_an_idle_connection_its_own() {
    let (client, tick, settings) = client();
    client.heard();
    pass(&tick, settings.header_timeout - SECOND).await;
    client.heard();
    assert_eq!(client.due(&settings, false), None);
    pass(&tick, SECOND).await;
    assert_eq!(client.due(&settings, false), Some(Order::Timeout), "later bytes do not give it more");
    client.begin_request();
    client.end_request();
    pass(&tick, settings.client_idle_timeout - 2 * SECOND).await;
    assert_eq!(client.due(&settings, false), None);
    pass(&tick, 2 * SECOND).await;
    assert_eq!(client.due(&settings, false), Some(Order::Close));
}

#[tokio::test(start_paused = true)]
async fn raw_bytes_are_no_request_and_may_pause_for_long() {
    let (client, tick, settings) = client();
    client.set_raw();
    let awaited = client.await_answer();
    client.heard();
    pass(&tick, settings.raw_idle_timeout).await;
    assert_eq!(client.due(&settings, true), None, "a provider is sought, which has limits of its own");
    drop(awaited);
    pass(&tick, settings.raw_idle_timeout - SECOND).await;
    assert_eq!(client.due(&settings, true), None, "a drain waits for it");
    client.moved();
    pass(&tick, settings.raw_idle_timeout - SECOND).await;
    assert_eq!(client.due(&settings, false), None);
    pass(&tick, SECOND).await;
    assert_eq!(client.due(&settings, false), Some(Order::Close));
}

#[tokio::test(start_paused = true)]
async fn a_ping_between_requests_is_no_late_head() {
    let (client, tick, settings) = client();
    client.heard();
    client.set_http2();
    client.heard();
    client.begin_request();
    client.end_request();
    client.heard();
    pass(&tick, settings.header_timeout * 2).await;
    assert_eq!(client.due(&settings, false), None);
    pass(&tick, settings.client_idle_timeout).await;
    assert_eq!(client.due(&settings, false), Some(Order::Close));
}

#[tokio::test(start_paused = true)]
async fn a_go_micro_connection_outlives_the_pool_of_its_client() {
    let (client, tick, settings) = client();
    client.set_go_micro();
    pass(&tick, settings.go_micro_keep - SECOND).await;
    assert_eq!(client.due(&settings, true), None, "not even a drain ends it");
    pass(&tick, SECOND).await;
    assert_eq!(client.due(&settings, false), Some(Order::Close));
}

#[tokio::test(start_paused = true)]
async fn a_drain_leaves_a_go_micro_connection_open_after_the_call_in_flight() {
    let (client, tick, settings) = client();
    client.set_go_micro();
    client.begin_request();
    pass(&tick, settings.go_micro_keep - SECOND).await;
    assert_eq!(client.due(&settings, true), None, "its client may still use it");
    pass(&tick, SECOND).await;
    assert_eq!(client.due(&settings, true), Some(Order::Drain));
    assert_eq!(client.due(&settings, false), None);
}

#[tokio::test(start_paused = true)]
async fn an_old_go_micro_connection_in_use_is_kept() {
    let (client, tick, settings) = client();
    client.set_go_micro();
    pass(&tick, settings.go_micro_keep + SECOND).await;
    client.moved();
    assert_eq!(client.due(&settings, false), None);
    pass(&tick, GO_MICRO_IDLE).await;
    assert_eq!(client.due(&settings, false), Some(Order::Close));
}
