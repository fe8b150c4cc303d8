//! What was said by an answer that was a failure, so that an operator can be told.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// No answer said anything.
    Nothing,
    /// A status of HTTP.
    Status(u16),
    /// A status of gRPC.
    GrpcStatus(u16),
    /// The code of a Go Micro error.
    MicroError(u16),
    /// There was no answer in time.
    Late,
    /// The connection broke before an answer, or what came is none.
    Broken,
    /// No connection came about.
    Unreachable,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Status(status) => write!(f, "{status}"),
            Self::GrpcStatus(code) => write!(f, "grpc-status {code}"),
            Self::MicroError(code) => write!(f, "Micro-Error {code}"),
            Self::Late => f.write_str("no answer in time"),
            Self::Broken => f.write_str("broken off"),
            Self::Unreachable => f.write_str("no connection"),
        }
    }
}

/// What was said last, as an atomic.
#[derive(Debug, Default)]
pub(super) struct Last(AtomicU32);

impl Last {
    pub(super) fn set(&self, said: Said) {
        let (kind, code) = match said {
            Said::Nothing => (0, 0),
            Said::Status(status) => (1, status),
            Said::GrpcStatus(code) => (2, code),
            Said::MicroError(code) => (3, code),
            Said::Late => (4, 0),
            Said::Broken => (5, 0),
            Said::Unreachable => (6, 0),
        };
        self.0.store(kind << 16 | u32::from(code), Ordering::Relaxed);
    }

    pub(super) fn said(&self) -> Said {
        let bits = self.0.load(Ordering::Relaxed);
        let code = (bits & 0xffff) as u16;
        match bits >> 16 {
            1 => Said::Status(code),
            2 => Said::GrpcStatus(code),
            3 => Said::MicroError(code),
            4 => Said::Late,
            5 => Said::Broken,
            6 => Said::Unreachable,
            _ => Said::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_kept_as_it_was_said() {
        let last = Last::default();
        let code = u16::MAX;
        for said in [
            Said::Nothing,
            Said::Status(code),
            Said::GrpcStatus(14),
            Said::MicroError(500),
            Said::Late,
            Said::Broken,
            Said::Unreachable,
        ] {
            last.set(said);
            assert_eq!(last.said(), said);
        }
    }
}
