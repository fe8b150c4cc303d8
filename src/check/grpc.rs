//! gRPC's own health check: one call of `grpc.health.v1.Health/Check`.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::exchange::{Answer, Extent, Version, exchange};
use super::{Asked, Reason, Unwell};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// What an answer's status says where the call succeeded.
const OK: u32 = 0;
/// What it says of a service that it does not know.
const NOT_FOUND: u32 = 5;
/// What it says where there is no such method.
const UNIMPLEMENTED: u32 = 12;
/// The field of both messages (`service` of the question, `status` of the answer), and how it is written.
const FIELD: u8 = 1 << 3;
const BYTES: u8 = 2;

/// Asks for a service, or for the program as a whole. Who does not know the question is well, as gRPC's own clients have it:
/// it answers gRPC.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    asked: &Asked<'_>,
    service: &str,
    stream: S,
) -> Result<(), Unwell> {
    let address = asked.address;
    let headers = [
        (CONTENT_TYPE.as_str(), HeaderValue::from_static("application/grpc")),
        ("te", HeaderValue::from_static("trailers")),
    ];
    let question = question(service);
    let answer =
        exchange(asked, Version::Http2, (Method::POST, PATH), &headers, question, Extent::Whole, stream)
            .await?;
    let unwell = |reason, said: String| Err(Unwell::new(reason, format!("{address} {said}")));
    let of = if service.is_empty() { String::new() } else { format!(" of {service:?}") };
    match (answer.status, code(&answer)) {
        (StatusCode::OK, Some(OK)) => match said(&answer.body) {
            Some(1) => Ok(()),
            Some(status) => {
                let word = word(status);
                unwell(Reason::NotServing, format!("answered {word} to the health check{of}"))
            }
            None => unwell(Reason::Broken, "sent no whole answer to the health check".to_owned()),
        },
        (StatusCode::OK, Some(UNIMPLEMENTED)) => {
            tracing::debug!(%address, "there is no grpc.health.v1.Health, and it counts as well since it answers");
            Ok(())
        }
        (StatusCode::OK, Some(NOT_FOUND)) => {
            unwell(Reason::NotServing, format!("does not know the health{of}"))
        }
        (StatusCode::OK, Some(code)) => {
            unwell(Reason::Error, format!("answered gRPC status {code} to the health check{of}"))
        }
        (StatusCode::OK, None) => {
            unwell(Reason::Broken, "answered the health check, but not as gRPC".to_owned())
        }
        (status, _) => unwell(Reason::Status, format!("answered {status} to the health check")),
    }
}

/// The message that asks for a service, with the five bytes that gRPC has before each.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(FIELD | BYTES);
        put_number(&mut message, service.len());
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.unsplit(message);
    framed.freeze()
}

/// A number as Protocol Buffers write it: seven bits at a time, the lowest first.
fn put_number(to: &mut BytesMut, mut number: usize) {
    while number >= 0x80 {
        to.put_u8(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    to.put_u8(u8::try_from(number).unwrap_or_default());
}

/// The status in an answer's message: 0 where it says none. `None` where that is no message.
fn said(body: &[u8]) -> Option<u64> {
    let (prefix, message) = body.split_at_checked(5)?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    if prefix[0] != 0 || message.len() != usize::try_from(length).ok()? {
        return None;
    }
    let mut rest = message;
    let mut status = 0;
    while !rest.is_empty() {
        let key = take_number(&mut rest)?;
        match (key & 7, key == u64::from(FIELD)) {
            (0, true) => status = take_number(&mut rest)?,
            // Fields that later versions may add.
            (0, false) => drop(take_number(&mut rest)?),
            (1, _) => rest = rest.get(8..)?,
            (2, _) => {
                let length = usize::try_from(take_number(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            (5, _) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn take_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The gRPC status of an answer, which is in its head where it has no message.
fn code(answer: &Answer) -> Option<u32> {
    let status = answer.trailers.get("grpc-status").or_else(|| answer.headers.get("grpc-status"))?;
    status.to_str().ok()?.parse().ok()
}

fn word(status: u64) -> String {
    match status {
        0 => "UNKNOWN".to_owned(),
        2 => "NOT_SERVING".to_owned(),
        3 => "SERVICE_UNKNOWN".to_owned(),
        other => format!("status {other}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_question_is_a_message_with_its_length_before_it() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("a.B")[..], b"\0\0\0\0\x05\x0a\x03a.B");
        let long = question(&"x".repeat(300));
        assert_eq!(&long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn the_status_is_found_among_what_else_is_said() {
        assert_eq!(said(b"\0\0\0\0\x02\x08\x01"), Some(1));
        assert_eq!(said(b"\0\0\0\0\x00"), Some(0), "what is usual is left out");
        assert_eq!(said(b"\0\0\0\0\x0a\x12\x02hi\x18\x80\x01\x08\x02\x08"), None, "cut off");
        assert_eq!(said(b"\0\0\0\0\x09\x12\x02hi\x18\x80\x01\x08\x02"), Some(2));
        for no_message in [&b""[..], b"\0\0\0\0", b"\x01\0\0\0\x02\x08\x01", b"\0\0\0\0\x02\x08"] {
            assert_eq!(said(no_message), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut framed = vec![0, 0, 0, 0, u8::try_from(body.len()).unwrap()];
            framed.extend(&body);
            let _ = (said(&body), said(&framed));
        }

        #[test]
        fn a_number_is_read_as_it_was_written(number in any::<u32>()) {
            let mut written = BytesMut::new();
            put_number(&mut written, number as usize);
            let mut rest = &written[..];
            prop_assert_eq!((take_number(&mut rest), rest.len()), (Some(number.into()), 0));
        }
    }
}
