//! Cookies as requests send them (RFC 6265, 5.4): found by name, and taken out.

use http::header::{COOKIE, HeaderMap, HeaderValue};

/// Cookies of one request that are looked at; browsers keep fewer than 200 for a site.
const COOKIES_MAX: usize = 256;

/// The value of the first cookie of this name.
pub fn find<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let fields = headers.get_all(COOKIE).iter().flat_map(|field| pairs(field.as_bytes()));
    let mut named = fields.take(COOKIES_MAX).filter(|pair| is_named(pair, name));
    let pair = named.next()?;
    pair.get(name.len() + 1..)
}

/// Takes every cookie of this name out. Where there is none, nothing is changed.
pub fn take_out(headers: &mut HeaderMap, name: &str) {
    let has = |field: &HeaderValue| pairs(field.as_bytes()).any(|pair| is_named(pair, name));
    if !headers.get_all(COOKIE).iter().any(has) {
        return;
    }
    let rest = |field: &HeaderValue| {
        let kept: Vec<&[u8]> = pairs(field.as_bytes()).filter(|pair| !is_named(pair, name)).collect();
        let kept = HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok()?;
        (!kept.is_empty()).then_some(kept)
    };
    let rest: Vec<HeaderValue> = headers.get_all(COOKIE).iter().filter_map(rest).collect();
    headers.remove(COOKIE);
    for field in rest {
        headers.append(COOKIE, field);
    }
}

fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

/// Names are told apart by case, as browsers do.
fn is_named(pair: &[u8], name: &str) -> bool {
    pair.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(COOKIE, HeaderValue::from_static(field));
        }
        headers
    }

    #[test]
    fn the_first_of_a_name_is_found() {
        let sent = headers(&["a=1; bb=2;c = 3", "b=4; a=5", "d"]);
        assert_eq!(find(&sent, "a"), Some(&b"1"[..]));
        assert_eq!(find(&sent, "bb"), Some(&b"2"[..]));
        assert_eq!(find(&sent, "b"), Some(&b"4"[..]));
        for absent in ["c", "d", "A", "e", ""] {
            assert_eq!(find(&sent, absent), None, "{absent}");
        }
        assert_eq!(find(&headers(&["x=a=b"]), "x"), Some(&b"a=b"[..]));
        let many: String = (0..300).map(|number| format!("c{number}=1; ")).collect();
        let mut sent = HeaderMap::new();
        sent.append(COOKIE, many.parse().unwrap());
        assert!(find(&sent, "c200").is_some() && find(&sent, "c299").is_none());
    }

    #[test]
    fn what_is_taken_out_leaves_the_others() {
        let mut sent = headers(&["a=1; b=2; a=3", "a=4", "c=5;d=6"]);
        take_out(&mut sent, "a");
        assert_eq!(sent, headers(&["b=2", "c=5; d=6"]));
        let before = headers(&["x=1;y=2"]);
        let mut after = before.clone();
        take_out(&mut after, "z");
        assert_eq!(before, after);
    }
}
