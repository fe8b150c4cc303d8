//! What leaves it open what a client meant, and how it is told.

/// What makes it doubtful what a client sent, so that another reader of the same bytes might see something else in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A line that ends in LF alone. RFC 9112, 2.2 lets it pass; others count it as part of the line.
    BareLf,
    /// A CR within a line (RFC 9112, 2.2).
    BareCr,
    /// `Content-Length` more than once, be it the same (RFC 9112, 6.3).
    Lengths,
    /// A `Content-Length` that is no number (RFC 9112, 6.3).
    Length,
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112, 6.1).
    LengthAndCoding,
    /// A `Transfer-Encoding` that is anything but `chunked`, once (RFC 9112, 6.1).
    Coding,
    /// A fragment in the target, which is none of its parts (RFC 9112, 3.2) and would be dropped in silence.
    Fragment,
    /// A chunk that is not as RFC 9112, 7.1 has it.
    Chunk,
}

impl Doubt {
    /// What is wrong, and what to send instead.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::BareLf => "a line of the request ends without CR; end each with CR LF",
            Self::BareCr => "a CR stands alone in the request; end each line with CR LF",
            Self::Lengths => "more than one Content-Length; send one",
            Self::Length => "a Content-Length that is no number of bytes; send digits alone",
            Self::LengthAndCoding => "Content-Length and Transfer-Encoding together; send one of them",
            Self::Coding => "a transfer coding that is not understood; send chunked, or a length",
            Self::Fragment => "a fragment in the request target; leave it out, from # on",
            Self::Chunk => "a chunk of the body is malformed",
        }
    }
}
