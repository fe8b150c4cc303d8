//! Whom a request comes from and what it asked for, told to its provider: `X-Forwarded-*`, and `Forwarded` (RFC 7239).

use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use super::client::Client;
use super::traits::Traits;
use super::worker::Pseudonym;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// In which fields it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// In none.
    None,
    /// In `X-Forwarded-For`, `-Proto` and `-Host`.
    Usual,
    /// In `Forwarded`.
    Standard,
    /// In both.
    Both,
}

impl Forwarding {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::None, Self::Usual, Self::Standard, Self::Both];

    const fn is_usual(self) -> bool {
        matches!(self, Self::Usual | Self::Both)
    }

    const fn is_standard(self) -> bool {
        matches!(self, Self::Standard | Self::Both)
    }
}

/// Tells in a request whom it comes from and what host it `asked` for, behind what is told there already. What a client says that
/// is not trusted is taken out first: it could claim to be anybody.
pub fn tell(
    headers: &mut HeaderMap,
    traits: Traits,
    how: Forwarding,
    client: &Client,
    asked: Option<&HeaderValue>,
    own: &Pseudonym,
) {
    let mut told = traits;
    if !client.trusted {
        take_out_claims(headers);
        told = Traits::default();
    }
    if how.is_usual() {
        add_usual(headers, told, client, asked);
    }
    if how.is_standard()
        && let Ok(element) = HeaderValue::from_bytes(&element(client, asked, own))
    {
        let chain = if told.has(Traits::FORWARDED) { chained(headers, &FORWARDED, &element) } else { None };
        headers.insert(FORWARDED, chain.unwrap_or(element));
    }
}

/// Takes out whatever could be taken for the word of a proxy on whom a request comes from.
fn take_out_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Whether a field is `Forwarded`, `X-Real-IP` or one of `X-Forwarded-*`, or is one to programs that get their headers as variables:
/// to them an underscore is a dash (RFC 3875, 4.1.18).
fn is_claim(name: &HeaderName) -> bool {
    let is_like = |(byte, of): (&u8, &u8)| byte == of || (*byte == b'_' && *of == b'-');
    let name = name.as_str().as_bytes();
    let begins_with = |with: &[u8]| name.len() >= with.len() && name.iter().zip(with).all(is_like);
    let is = |of: &[u8]| name.len() == of.len() && begins_with(of);
    begins_with(b"x-forwarded-") || is(b"forwarded") || is(b"x-forwarded") || is(b"x-real-ip")
}

fn add_usual(headers: &mut HeaderMap, told: Traits, client: &Client, asked: Option<&HeaderValue>) {
    // Of a client without an IP address nothing is made up: what it says of others stays.
    if let Some(own) = &client.forwarded_for {
        let chain =
            if told.has(Traits::FORWARDED_FOR) { chained(headers, &X_FORWARDED_FOR, own) } else { None };
        headers.insert(X_FORWARDED_FOR, chain.unwrap_or_else(|| own.clone()));
    }
    if !told.has(Traits::FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(client.scheme()));
    }
    if !told.has(Traits::FORWARDED_HOST)
        && let Some(host) = asked.cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// All that a list says already, in however many fields, and one item behind it.
fn chained(headers: &HeaderMap, name: &HeaderName, last: &HeaderValue) -> Option<HeaderValue> {
    let before = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    // Some take an empty item for an address.
    let all = before.filter(|value| !value.trim_ascii().is_empty()).chain([last.as_bytes()]);
    HeaderValue::from_bytes(&all.collect::<Vec<_>>().join(&b", "[..])).ok()
}

/// One element of `Forwarded` (RFC 7239, section 4). This proxy hides its address behind the name that it has in `Via`
/// (section 6.3): that tells one from another, and nobody how the network is laid out.
fn element(client: &Client, asked: Option<&HeaderValue>, own: &Pseudonym) -> Vec<u8> {
    let node = match client.peer.ip() {
        Some(IpAddr::V4(ip)) => ip.to_string(),
        // These stand in brackets, and the brackets in quotes (section 6).
        Some(IpAddr::V6(ip)) => format!("\"[{ip}]\""),
        None => "unknown".to_owned(),
    };
    let mut element = format!("for={node};by=_{}", own.name).into_bytes();
    if let Some(host) = asked {
        element.extend_from_slice(b";host=");
        quote(&mut element, host.as_bytes());
    }
    element.extend_from_slice(b";proto=");
    element.extend_from_slice(client.scheme().as_bytes());
    element
}

/// Writes a value as it is where it is a token, else in quotes (RFC 9110, 5.6.2 and 5.6.4).
fn quote(out: &mut Vec<u8>, value: &[u8]) {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if !value.is_empty() && value.iter().all(is_token) {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// Whether whoever is nearest to the user was spoken with over TLS, by what stands in the headers once that is told.
pub fn came_securely(headers: &HeaderMap, client: &Client) -> bool {
    let nearest = headers.get(X_FORWARDED_PROTO).and_then(|proto| proto.to_str().ok()?.split(',').next());
    nearest.map_or(client.scheme(), str::trim).eq_ignore_ascii_case("https")
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::{Clock, Tick};
    use crate::proxy::client::Origin;
    use crate::telemetry::peer::Peer;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn client(address: &str, trusted: bool) -> Rc<Client> {
        let tick = Rc::new(Tick::new(Clock::start()));
        let peer = address.parse().map_or(Peer::Unix, Peer::At);
        let origin = Origin { peer, is_secure: false, bound: None, trusted, refuse_cross_site: false };
        Client::new(origin, tick)
    }

    /// What these fields become, each line as `name: value`.
    fn told(
        how: Forwarding,
        client: &Client,
        asked: &[u8],
        fields: &[(&'static str, &'static str)],
    ) -> Vec<String> {
        let mut headers = map(fields);
        let traits = Traits::of(&headers);
        let asked = HeaderValue::from_bytes(asked).unwrap();
        tell(&mut headers, traits, how, client, Some(&asked), &Pseudonym::random(7));
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        headers.iter().map(line).collect()
    }

    /// What a quoted string or token says.
    fn unquoted(text: &[u8]) -> Vec<u8> {
        let Some(quoted) = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
            return text.to_vec();
        };
        let mut said = Vec::new();
        let mut bytes = quoted.iter();
        while let Some(byte) = bytes.next() {
            assert_ne!(*byte, b'"', "it ends early");
            said.push(if *byte == b'\\' { *bytes.next().unwrap() } else { *byte });
        }
        said
    }

    #[test]
    fn whoever_came_without_an_address_is_no_hop_that_could_be_named() {
        let unix = client("unix", true);
        assert_eq!(
            told(Forwarding::Usual, &unix, b"greeter", &[("x-forwarded-for", "10.1.1.1")]),
            ["x-forwarded-for: 10.1.1.1", "x-forwarded-proto: http", "x-forwarded-host: greeter"]
        );
        let told = told(Forwarding::Standard, &unix, b"greeter", &[]);
        assert!(told[0].starts_with("forwarded: for=unknown;by=_wayside-"), "{told:?}");
    }

    proptest! {
        #[test]
        fn whatever_is_quoted_is_read_as_it_was(value in proptest::collection::vec(any::<u8>(), 0..20)) {
            prop_assume!(HeaderValue::from_bytes(&value).is_ok());
            let mut out = Vec::new();
            quote(&mut out, &value);
            prop_assert!(HeaderValue::from_bytes(&out).is_ok());
            prop_assert_eq!(unquoted(&out), value);
        }
    }

    const BEFORE: [(&str, &str); 6] = [
        ("x-forwarded-for", "10.1.1.1"),
        ("x-forwarded-for", "10.2.2.2, 10.3.3.3"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "theirs"),
        ("forwarded", "for=10.1.1.1"),
        ("forwarded", "for=\"[2001:db8::1]\";proto=https, for=unknown"),
    ];

    #[tokio::test]
    async fn what_is_told_comes_behind_what_was_told() {
        let client = client("127.0.0.1:1", true);
        assert_eq!(
            told(Forwarding::Both, &client, b"svc", &BEFORE),
            [
                "x-forwarded-for: 10.1.1.1, 10.2.2.2, 10.3.3.3, 127.0.0.1",
                "x-forwarded-proto: https",
                "x-forwarded-host: theirs",
                "forwarded: for=10.1.1.1, for=\"[2001:db8::1]\";proto=https, for=unknown, \
                 for=127.0.0.1;by=_wayside-00000007;host=svc;proto=http",
            ]
        );
        assert_eq!(
            told(Forwarding::Usual, &client, b"svc", &[("x-forwarded-for", "")])[0],
            "x-forwarded-for: 127.0.0.1"
        );
        let kept = told(Forwarding::Usual, &client, b"svc", &[("forwarded", "for=a")]);
        assert_eq!(kept[0], "forwarded: for=a", "what is not ours is passed on");
        assert_eq!(told(Forwarding::None, &client, b"svc", &BEFORE).len(), BEFORE.len());
        assert_eq!(told(Forwarding::None, &client, b"svc", &[("x-real-ip", "10.1.1.1")]).len(), 1);
    }

    #[tokio::test]
    async fn odd_hosts_and_ipv6_are_quoted() {
        let client = client("[2001:db8::7]:1", true);
        for (asked, host) in [
            (&b"svc:80"[..], "\"svc:80\""),
            (b"[::1]:80", "\"[::1]:80\""),
            (b"a\"b\\c", "\"a\\\"b\\\\c\""),
            (b"", "\"\""),
            (b"greeter.svc_x", "greeter.svc_x"),
        ] {
            assert_eq!(
                told(Forwarding::Standard, &client, asked, &[]),
                [format!("forwarded: for=\"[2001:db8::7]\";by=_wayside-00000007;host={host};proto=http")]
            );
        }
    }

    #[tokio::test]
    async fn who_is_not_trusted_is_not_believed() {
        let client = client("10.9.9.9:1", false);
        assert_eq!(
            told(Forwarding::Both, &client, b"svc", &BEFORE),
            [
                "x-forwarded-for: 10.9.9.9",
                "x-forwarded-proto: http",
                "x-forwarded-host: svc",
                "forwarded: for=10.9.9.9;by=_wayside-00000007;host=svc;proto=http",
            ]
        );
        assert_eq!(told(Forwarding::None, &client, b"svc", &BEFORE), [""; 0]);
        assert_eq!(told(Forwarding::Usual, &client, b"svc", &[("forwarded", "for=a")]).len(), 3);
        let claims = [
            ("x-forwarded-port", "443"),
            ("x-forwarded-prefix", "/admin"),
            ("x-forwarded-server", "a"),
            ("x-forwarded", "for=a"),
            ("x-real-ip", "10.1.1.1"),
            ("x_forwarded_for", "10.1.1.1"),
            ("x_real-ip", "10.1.1.1"),
        ];
        assert_eq!(told(Forwarding::None, &client, b"svc", &claims), [""; 0]);
        let others = [("x-forwardedx", "a"), ("x-real-ips", "b"), ("xx-forwarded-for", "c")];
        assert_eq!(told(Forwarding::None, &client, b"svc", &others).len(), 3);
    }

    #[tokio::test]
    async fn whoever_is_nearest_to_the_user_says_how_it_came() {
        let client = client("127.0.0.1:1", true);
        assert!(came_securely(&map(&[("x-forwarded-proto", "HTTPS, http")]), &client));
        assert!(!came_securely(&map(&[("x-forwarded-proto", "http, https")]), &client));
        assert!(!came_securely(&map(&[]), &client));
    }
}
