//! What a client hears whose bytes are no request, so that no layer can answer them.

use http::StatusCode;

use crate::http1::{Doubt, Refusal};

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

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(doubt) => Self::Malformed(doubt),
            Refusal::TargetTooLong => Self::TargetTooLong,
            Refusal::HeadTooLarge => Self::HeadTooLarge,
        }
    }
}

impl Refused {
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
