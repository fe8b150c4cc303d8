//! The date of an answer (RFC 9110, 6.6.1), made once a second.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut as _, BytesMut};

/// Bytes of a date as HTTP writes it.
const LENGTH: usize = 29;

thread_local! {
    /// The second that was written last, and how.
    static LAST: Cell<(u64, [u8; LENGTH])> = const { Cell::new((0, [b' '; LENGTH])) };
}

/// Writes the time that it is.
pub(super) fn write(to: &mut BytesMut) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (second, mut text) = LAST.get();
    if second != now {
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
        text.iter_mut().zip(date.bytes()).for_each(|(to, byte)| *to = byte);
        LAST.set((now, text));
    }
    to.put_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_http_has_it() {
        let mut to = BytesMut::new();
        write(&mut to);
        let date = httpdate::parse_http_date(std::str::from_utf8(&to).unwrap()).unwrap();
        assert!(SystemTime::now().duration_since(date).unwrap() < Duration::from_secs(60));
    }
}
