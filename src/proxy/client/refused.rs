//! What a client hears whose bytes are no request, so that no layer can answer them.

use http::StatusCode;

use super::framing::Doubt;

/// Why the bytes of a client are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// They are not as HTTP/1 is written; for this reason, if it is known.
    Malformed(Option<Doubt>),
    /// The target is longer than a head may be.
    TargetTooLong,
    /// The head is larger than it may be, or has more fields.
    HeadTooLarge,
    /// The head took too long.
    Late,
}

impl Refused {
    /// Why the library refuses a request, by what it is about to say of its own; and what was seen of the request. Nothing where it
    /// is about to say something else.
    pub(super) fn by(said: &[u8], doubt: Option<Doubt>, in_target: bool) -> Option<Self> {
        match said.strip_prefix(b"HTTP/1.")?.get(1..6)? {
            b" 400 " => Some(Self::Malformed(doubt)),
            b" 414 " => Some(Self::TargetTooLong),
            b" 431 " => Some(if in_target { Self::TargetTooLong } else { Self::HeadTooLarge }),
            _ => None,
        }
    }

    /// The status it is answered with.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// One word for it, in the answer and in metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed(_) => "bad_request",
            Self::TargetTooLong => "uri_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::Late => "head_timeout",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Malformed(Some(doubt)) => doubt.sentence(),
            Self::Malformed(None) => {
                "this is no request as HTTP/1 has it; look at its first line, its fields, and what stands in them"
            }
            Self::TargetTooLong => {
                "the request target is too long; uri_bytes under [limits] says how long it may be"
            }
            Self::HeadTooLarge => {
                "the head of the request is too large or has too many fields; header_bytes and headers under [limits] say \
                 how large it may be"
            }
            Self::Late => {
                "the head of the request took too long; header under [timeouts] says how long it may take"
            }
        }
    }

    /// The answer, the last of its connection.
    pub fn answer(self) -> Vec<u8> {
        let (status, reason, sentence) = (self.status(), self.reason(), self.sentence());
        // A line feed behind it, as behind all that this proxy says.
        let length = sentence.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n\
             proxy-status: wayside; error=http_request_error; details=\"{reason}\"\r\n\
             content-length: {length}\r\n\r\n{sentence}\n"
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_library_says_of_its_own_is_a_refusal() {
        let by = |said: &str, in_target| Refused::by(said.as_bytes(), Some(Doubt::BareCr), in_target);
        assert_eq!(by("HTTP/1.1 400 Bad Request\r\n", false), Some(Refused::Malformed(Some(Doubt::BareCr))));
        assert_eq!(by("HTTP/1.0 431 ", true), Some(Refused::TargetTooLong));
        assert_eq!(by("HTTP/1.1 431 Request Header Fields", false), Some(Refused::HeadTooLarge));
        for other in ["HTTP/1.1 200 OK", "HTTP/1.1 100 Continue", "HTTP/1.1 400", "HTTP", ""] {
            assert_eq!(by(other, false), None, "{other}");
        }
    }

    #[test]
    fn an_answer_says_what_it_is_and_where_it_ends() {
        let answer = String::from_utf8(Refused::Late.answer()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 408 Request Timeout\r\n") && head.contains("details=\"head_timeout\"")
        );
        assert!(
            head.ends_with(&format!("content-length: {}", body.len())) && body.ends_with('\n'),
            "{answer}"
        );
    }
}
