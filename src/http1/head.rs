//! The head of a message (RFC 9112, 2.1): where it ends, and how large it may be.

use memchr::memchr_iter;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all of it.
    pub bytes: usize,
    /// Its fields.
    pub fields: usize,
    /// Whether an empty line before it is one only with both CR and LF.
    pub strict: bool,
}

/// How long the head is that these bytes begin with, if all of it came; what stands before `from` was searched before.
pub(super) fn length(bytes: &[u8], from: usize) -> Option<usize> {
    // The end may have begun before.
    let from = from.saturating_sub(b"\n\r".len());
    memchr_iter(b'\n', &bytes[from..]).find_map(|at| match &bytes[from + at + 1..] {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_comes() {
        for head in ["HTTP/1.1 200 OK\r\na: b\r\n\r\n", "HTTP/1.1 200 OK\na: b\n\n", "a\n\r\n"] {
            let all = format!("{head}a\r\n\r\n");
            for seen in 0..head.len() {
                assert_eq!(length(&head.as_bytes()[..seen], 0), None);
                assert_eq!(length(all.as_bytes(), seen), Some(head.len()), "{head:?} from {seen}");
            }
        }
    }
}
