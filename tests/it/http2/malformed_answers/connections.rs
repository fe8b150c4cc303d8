//! Frames: their form, their order, the state of their stream (RFC 9113, 3 to 6).

use super::*;
use crate::support::wire::{
    ACK, CONTINUATION, GOAWAY, PADDED, PING, PRIORITY, PUSH_PROMISE, RESET, SETTINGS, WINDOW_UPDATE, setting,
};

/// Frames that carry a message.
fn forms() -> Vec<Case> {
    vec![
        case(
            "4.1",
            "an unknown kind",
            all(|stream| vec![frame(0x16, 0xff, 0, "abc"), ended(stream)]),
            Heard::Whole(200),
        ),
        case("4.2", "a frame that is too large", |stream| frame(DATA, 0, stream, vec![0; 16_385]), NONE),
        case(
            "4.3",
            "fields that cannot be decompressed",
            |stream| frame(HEADERS, WHOLE, stream, [0x80]),
            NONE,
        ),
        case(
            "4.3",
            "an index beyond the tables",
            |stream| frame(HEADERS, WHOLE, stream, [0x88, 0xff, 0x80, 0x10]),
            NONE,
        ),
        case("5.1", "DATA before HEADERS", |stream| frame(DATA, END_STREAM, stream, "abc"), NONE),
        case("5.1", "DATA on an idle stream", |stream| frame(DATA, END_STREAM, stream + 100, "abc"), NONE),
        case("5.1", "HEADERS on an idle stream", |stream| frame(HEADERS, WHOLE, stream + 100, [0x88]), NONE),
        case("5.1", "a stream of the provider's own", |_| frame(HEADERS, WHOLE, 2, [0x88]), NONE),
        case(
            "5.1",
            "DATA behind the end",
            all(|stream| vec![ended(stream), frame(DATA, END_STREAM, stream, "abc")]),
            Heard::Whole(200),
        ),
        case("6.1", "DATA on stream 0", |_| frame(DATA, 0, 0, "abc"), NONE),
        case(
            "6.1",
            "more padding than DATA",
            all(|stream| vec![ok(stream), frame(DATA, PADDED | END_STREAM, stream, [9, 0])]),
            Heard::Broken,
        ),
        case(
            "6.1",
            "padded DATA",
            all(|stream| vec![ok(stream), frame(DATA, PADDED | END_STREAM, stream, [2, b'a', 0, 0])]),
            Heard::Whole(200),
        ),
        case(
            "6.1",
            "empty DATA",
            all(|stream| vec![ok(stream), frame(DATA, 0, stream, ""), frame(DATA, END_STREAM, stream, "")]),
            Heard::Whole(200),
        ),
        case("6.2", "HEADERS on stream 0", |_| frame(HEADERS, WHOLE, 0, [0x88]), NONE),
        case(
            "6.2",
            "another frame among fields",
            all(|stream| vec![frame(HEADERS, 0, stream, [0x88]), frame(PING, 0, 0, [0; 8])]),
            NONE,
        ),
        case("6.3", "PRIORITY of 4 bytes", |stream| frame(PRIORITY, 0, stream, [0; 4]), NONE),
        case("6.4", "RST_STREAM on stream 0", |_| frame(RESET, 0, 0, [0; 4]), NONE),
        case("6.4", "RST_STREAM of 3 bytes", |stream| frame(RESET, 0, stream, [0; 3]), NONE),
    ]
}

/// Frames that do not, and those out of place.
fn orders() -> Vec<Case> {
    vec![
        case("6.5", "SETTINGS on a stream", |stream| frame(SETTINGS, 0, stream, []), NONE),
        case("6.5", "SETTINGS of 5 bytes", |_| frame(SETTINGS, 0, 0, [0; 5]), NONE),
        case(
            "6.5",
            "SETTINGS that acknowledge and say more",
            |_| frame(SETTINGS, ACK, 0, setting(3, 1)),
            NONE,
        ),
        case("6.5.2", "a window that is too large", |_| frame(SETTINGS, 0, 0, setting(4, 1 << 31)), NONE),
        case("6.5.2", "frames that are too small", |_| frame(SETTINGS, 0, 0, setting(5, 1)), NONE),
        case(
            "6.6",
            "PUSH_PROMISE, which was not allowed",
            |stream| frame(PUSH_PROMISE, END_HEADERS, stream, [0, 0, 0, 2, 0x82]),
            NONE,
        ),
        case("6.7", "PING of 7 bytes", |_| frame(PING, 0, 0, [0; 7]), NONE),
        case("6.7", "PING on a stream", |stream| frame(PING, 0, stream, [0; 8]), NONE),
        case("6.8", "GOAWAY on a stream", |stream| frame(GOAWAY, 0, stream, [0; 8]), NONE),
        case("6.9", "WINDOW_UPDATE by nothing", |_| frame(WINDOW_UPDATE, 0, 0, [0; 4]), NONE),
        case(
            "6.9.1",
            "too large a window",
            |_| frame(WINDOW_UPDATE, 0, 0, (u32::MAX >> 1).to_be_bytes()),
            NONE,
        ),
        case(
            "6.10",
            "CONTINUATION of nothing",
            |stream| frame(CONTINUATION, END_HEADERS, stream, [0x88]),
            NONE,
        ),
        case("3.4", "HTTP/1.1", |_| b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(), NONE),
    ]
}

#[tokio::test]
async fn frames_of_providers_have_their_form_and_order() {
    check([forms(), orders()].into_iter().flatten().collect()).await;
}
