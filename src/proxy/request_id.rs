//! The id of a request: the caller's, where it is one, else a new one.

use http::header::{Entry, HeaderMap, HeaderValue};

use super::headers::X_REQUEST_ID;

/// The longest id that is kept, in bytes: what is longer says more than which request it is, in every line of every log.
const BYTES_MAX: usize = 128;

/// The id that a request has, or else gets.
pub fn keep_or_make(headers: &mut HeaderMap, luck: impl FnOnce() -> u128) -> HeaderValue {
    match headers.entry(X_REQUEST_ID) {
        Entry::Occupied(mut given) => {
            if given.iter().count() == 1 && is_id(given.get()) {
                return given.get().clone();
            }
            let id = made(luck());
            given.insert(id.clone());
            id
        }
        Entry::Vacant(place) => place.insert(made(luck())).clone(),
    }
}

/// Whether a value is one word of visible characters, and no longer than it has to be.
fn is_id(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    (1..=BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

fn made(luck: u128) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let id: [u8; 32] = std::array::from_fn(|at| DIGITS[usize::from((luck >> (4 * at)) as u8 & 15)]);
    HeaderValue::from_bytes(&id).expect("hex digits are visible ASCII characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The id of a request that has these.
    fn id(given: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in given {
            headers.append(X_REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
        }
        let id = keep_or_make(&mut headers, || 0x1f);
        let told: Vec<&HeaderValue> = headers.get_all(X_REQUEST_ID).iter().collect();
        assert_eq!(told, [&id]);
        id.to_str().unwrap().to_owned()
    }

    #[test]
    fn an_id_is_kept_and_what_is_none_is_replaced() {
        const MADE: &str = "f1000000000000000000000000000000";
        assert_eq!(id(&[b"0af7651916cd43dd8448eb211c80319c"]), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(id(&[b"a=1;b=\"x\",/+_"]), "a=1;b=\"x\",/+_");
        assert_eq!(id(&[]), MADE);
        for none in [&[&b""[..]][..], &[b"a b"], &[b"\xe9"], &[&[b'x'; 129]], &[b"a", b"b"]] {
            assert_eq!(id(none), MADE, "{none:?}");
        }
        assert_eq!(id(&[&[b'x'; 128]]), "x".repeat(128));
    }
}
