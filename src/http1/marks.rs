//! What the fields of a head say of its message and of its connection, noted while they are read.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, HeaderValue, TE, TRANSFER_ENCODING};

/// What was noted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// Lines of `Content-Length`.
    pub(super) lengths: usize,
    /// What the first one says, if that is a number.
    pub(super) length: Option<u64>,
    /// Lines of `Transfer-Encoding`.
    pub(super) codings: usize,
    /// Whether the first one says `chunked` and nothing else.
    pub(super) is_chunked: bool,
    /// Whether the connection is to end behind this message, or to go on.
    pub(super) closes: bool,
    pub(super) keeps: bool,
    /// Whether the body is held back until it is asked for.
    pub(super) expects: bool,
    /// Whether trailers are taken.
    pub(super) takes_trailers: bool,
}

impl Marks {
    pub(super) fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        match *name {
            CONTENT_LENGTH => {
                if self.lengths == 0 {
                    self.length = number(value.as_bytes());
                }
                self.lengths += 1;
            }
            TRANSFER_ENCODING => {
                self.is_chunked =
                    self.codings == 0 && value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
                self.codings += 1;
            }
            CONNECTION => {
                self.closes |= lists(value, b"close");
                self.keeps |= lists(value, b"keep-alive");
            }
            EXPECT => self.expects = value.as_bytes().eq_ignore_ascii_case(b"100-continue"),
            TE => self.takes_trailers |= lists(value, b"trailers"),
            _ => {}
        }
    }

    /// Whether the connection goes on behind a message of this version (RFC 9112, 9.3).
    pub(super) const fn go_on(&self, is_new: bool) -> bool {
        !self.closes && (is_new || self.keeps)
    }
}

/// Whether a list has this option.
fn lists(value: &HeaderValue, option: &[u8]) -> bool {
    let mut options = value.as_bytes().split(|byte| *byte == b',');
    options.any(|said| said.trim_ascii().eq_ignore_ascii_case(option))
}

/// The longest that a body may say to be: a number that other readers can take, too, whatever they add to it.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// Digits as a number.
fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
    (number <= LENGTH_MAX).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(fields: &[(HeaderName, &'static str)]) -> Marks {
        let mut marks = Marks::default();
        for (name, value) in fields {
            marks.note(name, &HeaderValue::from_static(value));
        }
        marks
    }

    #[test]
    fn lists_are_searched_over_all_their_lines() {
        let both = marks(&[(CONNECTION, "x, Keep-Alive"), (CONNECTION, " CLOSE ,y")]);
        assert!(both.keeps && both.closes && !both.go_on(true));
        assert!(marks(&[(CONNECTION, "keep-alive")]).go_on(false));
        assert!(!marks(&[(CONNECTION, "clos")]).closes && !marks(&[]).go_on(false) && marks(&[]).go_on(true));
        assert!(marks(&[(TE, "gzip, Trailers")]).takes_trailers);
    }

    #[test]
    fn a_length_is_digits_alone() {
        for (length, number) in [("5", Some(5)), ("005", Some(5)), ("+5", None), ("", None), ("5, 5", None)] {
            assert_eq!(marks(&[(CONTENT_LENGTH, length)]).length, number, "{length}");
        }
        assert_eq!(marks(&[(CONTENT_LENGTH, "9223372036854775807")]).length, Some(LENGTH_MAX));
        for beyond in ["9223372036854775808", "18446744073709551616"] {
            assert_eq!(marks(&[(CONTENT_LENGTH, beyond)]).length, None);
        }
    }
}
