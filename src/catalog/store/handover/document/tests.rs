//! What is written of endpoints, and that nothing else is read.

use proptest::prelude::*;

use super::*;
use crate::endpoint::{Checking, Ejected, EjectionState, Ghost, Grounds, Unreachable};

fn legacy() -> Legacy {
    let seconds = Duration::from_secs;
    let ill = Remembered {
        answered: Some(seconds(4)),
        latency: Some(Duration::from_micros(12_345)),
        unreachable: Some(Unreachable { failures: 3, pause: seconds(2), failing: seconds(9) }),
        ejected: Some(Ejected {
            state: EjectionState {
                grounds: Grounds::Rate { failures: 7, attempts: 9 },
                times: 2,
                pause: seconds(1),
            },
            whole: seconds(2),
        }),
        ramp: Some(8),
        ghost: Some(Ghost::Stranger),
        check: Some(Checking {
            unwell: Some(seconds(7)),
            last: seconds(1),
            in_a_row: 2,
            cause: Some("10.0.0.1:80 answered 500 to GET /health\n".into()),
        }),
    };
    let endpoints = [
        ("10.0.0.1:80".parse().unwrap(), ("a".into(), ill)),
        ("10.0.0.2:80".parse().unwrap(), ("b".into(), Remembered::default())),
    ];
    let written = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    Legacy { written, services: [("greeter".parse().unwrap(), endpoints.into())].into() }
}

#[test]
fn what_is_written_is_read() {
    let text = encode(&legacy());
    assert_eq!(decode(text.as_bytes()), Ok(legacy()));
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_not_as_it_was_written_is_not_read() {
    let good = encode(&legacy());
    let other = good.replacen("wayside-handover 1", "wayside-handover 2", 1);
    let version = Unsealed::OtherVersion { found: "2".to_owned(), read: 1 };
    assert_eq!(decode(other.as_bytes()), Err(version.into()));
    assert_eq!(decode(b"wayside-store 1 00000000\n"), Err(Unsealed::Foreign.into()));
    for cut in 0..good.len() {
        assert!(decode(&good.as_bytes()[..cut]).is_err(), "cut off after {cut}");
    }
    assert_eq!(decode(&vec![b' '; BYTES_MAX + 1]), Err(LegacyError::TooLarge));
    for (body, line) in [
        ("", 2),
        ("{}\n", 2),
        ("{\"written_ms\":-1}\n", 2),
        ("{\"written_ms\":1}\n{}\n", 3),
        ("{\"written_ms\":1}\n{\"service\":\"a b\",\"endpoints\":[]}\n", 3),
        ("{\"written_ms\":1}\n{\"service\":\"a\",\"endpoints\":[{\"address\":\"x\",\"id\":\"\"}]}\n", 3),
    ] {
        let error = decode(seal(MAGIC, VERSION, body).as_bytes()).unwrap_err();
        assert!(matches!(error, LegacyError::Malformed { line: found, .. } if found == line), "{error}");
    }
}

proptest! {
    #[test]
    fn no_byte_can_be_another_one(index in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let good = encode(&legacy());
        let mut bytes = good.into_bytes();
        let index = index.index(bytes.len());
        prop_assume!(bytes[index] != byte);
        bytes[index] = byte;
        prop_assert!(decode(&bytes).is_err() || decode(&bytes) == Ok(legacy()));
    }

    #[test]
    fn nothing_under_a_good_seal_makes_it_panic(body in ".*") {
        let _ = decode(seal(MAGIC, VERSION, &body).as_bytes());
        let numbers = format!("{{\"written_ms\":{}}}\n{body}", u64::MAX);
        let _ = decode(seal(MAGIC, VERSION, &numbers).as_bytes());
    }
}
