//! What a client connection is told, and when.

use tokio::time::advance;

use super::due::GO_MICRO_IDLE;
use super::*;
use crate::clock::Clock;
use crate::proxy::Settings;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn client() -> (Rc<Client>, Rc<Tick>, Settings) {
    let tick = Rc::new(Tick::new(Clock::start()));
    let peer = Peer::At(([127, 0, 0, 1], 1).into());
    let origin = Origin { peer, is_secure: false, bound: None, trusted: true, refuse_cross_site: false };
    let client = Client::new(origin, Rc::clone(&tick));
    (client, tick, Settings::default())
}

#[test]
fn addresses_are_written_as_they_are_everywhere() {
    for ip in ["0.0.0.0", "127.0.0.1", "10.20.3.40", "255.255.255.255", "::1", "2001:db8::a:1"] {
        assert_eq!(written(ip.parse().unwrap()), ip);
    }
}

async fn pass(tick: &Tick, time: Duration) {
    advance(time).await;
    tick.advance();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_alone_says_how_long_an_answer_may_take() {
    let (client, tick, settings) = client();
    client.heard(b"G");
    client.begin_request();
    let awaited = client.await_answer(None);
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
async fn an_empty_line_behind_a_body_is_no_head() {
    let (client, tick, settings) = client();
    client.heard(b"G");
    client.begin_request();
    client.end_request();
    client.heard(b"\r\n");
    pass(&tick, settings.header_timeout * 2).await;
    assert_eq!(client.due(&settings, false), None);
}

#[tokio::test(start_paused = true)]
async fn a_head_has_its_time_and_an_idle_connection_its_own() {
    let (client, tick, settings) = client();
    client.heard(b"G");
    pass(&tick, settings.header_timeout - SECOND).await;
    client.heard(b"G");
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
async fn a_head_behind_an_answer_that_is_not_taken_is_not_late() {
    let (client, tick, settings) = client();
    client.begin_request();
    client.set_writing(true);
    client.end_request();
    client.heard(b"G");
    pass(&tick, settings.header_timeout).await;
    assert_eq!(client.due(&settings, false), None, "nothing could be said but within the answer");
    client.set_writing(false);
    assert_eq!(client.due(&settings, false), Some(Order::Timeout));
}

#[tokio::test(start_paused = true)]
async fn raw_bytes_are_no_request_and_may_pause_for_long() {
    let (client, tick, settings) = client();
    client.set_raw();
    let awaited = client.await_answer(None);
    client.heard(b"x");
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

/// A frame with an empty payload, or a payload of zeros.
fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
    [&[0, 0, length, kind, flags, 0, 0, 0, 1][..], &vec![0; usize::from(length)]].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

#[tokio::test(start_paused = true)]
async fn a_ping_between_requests_is_no_late_head() {
    let (client, tick, settings) = client();
    client.heard(b"P");
    client.begin_http2(PREFACE);
    client.heard(&frame(SETTINGS, 0, 6));
    client.begin_request();
    client.end_request();
    client.heard(&frame(PING, 0, 8));
    pass(&tick, settings.header_timeout * 2).await;
    assert_eq!(client.due(&settings, false), None);
    pass(&tick, settings.client_idle_timeout).await;
    assert_eq!(client.due(&settings, false), Some(Order::Close));
    client.tell(Order::Close);
    client.heard(&frame(PING, 1, 8));
    assert_eq!(client.due(&settings, false), Some(Order::Close), "until it is closed");
}

#[tokio::test(start_paused = true)]
async fn the_first_word_of_http2_and_the_head_of_a_request_have_their_time() {
    for (said, is_late) in [
        (vec![], true),
        (frame(SETTINGS, 0, 6)[..8].to_vec(), true),
        (frame(SETTINGS, 0, 6), false),
        ([frame(SETTINGS, 0, 6), frame(HEADERS, 0, 3)].concat(), true),
        ([frame(SETTINGS, 0, 6), frame(HEADERS, END_HEADERS, 3)[..10].to_vec()].concat(), true),
        ([frame(SETTINGS, 0, 6), frame(HEADERS, END_HEADERS, 3)].concat(), false),
        ([frame(SETTINGS, 0, 6), frame(HEADERS, 0, 3), frame(CONTINUATION, 0, 3)].concat(), true),
        ([frame(SETTINGS, 0, 6), frame(HEADERS, 0, 3), frame(CONTINUATION, END_HEADERS, 0)].concat(), false),
    ] {
        let (client, tick, settings) = client();
        client.begin_http2(PREFACE);
        client.heard(&said);
        // A request that is in flight already gives the next one no more time.
        client.begin_request();
        let _stream = client.open_stream();
        pass(&tick, settings.header_timeout).await;
        assert_eq!(client.due(&settings, false) == Some(Order::Timeout), is_late, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_client_whose_bytes_never_end_with_a_head_is_not_late() {
    let (client, tick, settings) = client();
    client.begin_http2(&[PREFACE, &frame(SETTINGS, 0, 0)].concat());
    let head = frame(HEADERS, END_HEADERS, 20);
    client.heard(&head[..10]);
    for _ in 0..3 {
        pass(&tick, settings.header_timeout - SECOND).await;
        client.heard(&[&head[10..], &head[..10]].concat());
        assert_eq!(client.due(&settings, false), None);
    }
    pass(&tick, settings.header_timeout).await;
    assert_eq!(client.due(&settings, false), Some(Order::Timeout), "the last one does not go on");
}

#[tokio::test(start_paused = true)]
async fn each_request_of_an_http2_connection_stalls_by_itself() {
    let (client, tick, settings) = client();
    client.begin_http2(&[PREFACE, &frame(SETTINGS, 0, 0)].concat());
    let mut streams = Vec::new();
    for _ in 0..3 {
        client.begin_request();
        streams.push(client.open_stream());
    }
    let awaited = client.await_answer(Some(Rc::clone(&streams[1])));
    let mut given_up = |at: usize| streams[at].pulse.is_stopped(&Context::from_waker(Waker::noop()));
    pass(&tick, settings.stream_idle_timeout - SECOND).await;
    streams[0].pulse.beat();
    pass(&tick, SECOND).await;
    client.heard(&frame(PING, 0, 8));
    assert_eq!(client.due(&settings, false), None, "the connection goes on");
    assert_eq!([0, 1, 2].map(&mut given_up), [false, false, true]);
    drop(awaited);
    pass(&tick, settings.stream_idle_timeout).await;
    client.due(&settings, false);
    assert_eq!([0, 1].map(&mut given_up), [true, true]);
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

#[tokio::test(start_paused = true)]
async fn who_takes_back_far_more_than_can_be_in_flight_is_closed() {
    let (client, tick, settings) = client();
    client.begin_http2(&[PREFACE, &frame(SETTINGS, 0, 0)].concat());
    let cx = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        for _ in 0..TAKEN_BACK_MAX {
            client.take_back();
        }
        pass(&tick, SECOND).await;
        assert_eq!((client.take_order(&cx), client.due(&settings, false)), (None, None));
    }
    for _ in 0..=TAKEN_BACK_MAX {
        client.take_back();
    }
    assert_eq!(client.take_order(&cx), Some(Order::Timeout));
}
