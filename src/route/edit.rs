//! An edit: what is taken out of the headers of a message, set in them and added to them, as the configuration says.

use http::{HeaderMap, HeaderName};

use super::template::{Facts, Template};

/// What is changed in the headers of a message, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// What is taken out.
    pub remove: Vec<Removal>,
    /// What takes the place of all that was there under its name.
    pub set: Vec<(HeaderName, Template)>,
    /// What comes behind whatever is there under its name.
    pub add: Vec<(HeaderName, Template)>,
}

/// What is taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// All fields of this name.
    Named(HeaderName),
    /// All fields whose name begins so, but for those that are not the configuration's to change.
    Prefixed(Box<str>),
}

/// Why a header is not the configuration's to change, and what to write instead; `None` of all others. The name in lower case.
pub fn not_to_be_changed(name: &str) -> Option<&'static str> {
    Some(match name {
        "host" => "write rewrite_host",
        "x-wayside-mirror" | "x-wayside-attempt" => "this proxy tells others by it; leave it out",
        "via" => "by it a request that comes back is known; leave it out",
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "te"
        | "upgrade"
        | "http2-settings"
        | "proxy-authorization"
        | "proxy-authenticate" => {
            "it concerns one connection, and each side has one of its own; leave it out"
        }
        "content-length" | "transfer-encoding" | "trailer" | "expect" => {
            "by it the end of a message is found; leave it out"
        }
        name if name.starts_with(':') => "it is no header; write rewrite_path, or rewrite_host",
        _ => return None,
    })
}

impl Edit {
    /// Whether it changes anything.
    pub const fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Changes the headers of a message.
    pub fn apply(&self, headers: &mut HeaderMap, facts: &Facts<'_>) {
        for removal in &self.remove {
            match removal {
                Removal::Named(name) => {
                    headers.remove(name);
                }
                Removal::Prefixed(prefix) => {
                    let goes = |name: &&HeaderName| {
                        name.as_str().starts_with(&**prefix) && not_to_be_changed(name.as_str()).is_none()
                    };
                    let named: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
                    for name in named {
                        headers.remove(name);
                    }
                }
            }
        }
        for (name, value) in &self.set {
            headers.insert(name, value.fill(facts));
        }
        for (name, value) in &self.add {
            headers.append(name, value.fill(facts));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::route::template::Way;

    fn name(name: &'static str) -> HeaderName {
        HeaderName::from_static(name)
    }

    #[test]
    fn fields_are_removed_then_set_then_added() {
        let value = |text| Template::parse(text, Way::Request).unwrap();
        let edit = Edit {
            remove: vec![
                Removal::Named(name("x-gone")),
                Removal::Prefixed("x-internal-".into()),
                Removal::Prefixed("c".into()),
            ],
            set: vec![(name("x-team"), value("a")), (name("x-gone"), value("back"))],
            add: vec![(name("x-team"), value("b")), (name("x-many"), value("{client}"))],
        };
        let mut headers = HeaderMap::new();
        for (field, value) in [
            ("x-gone", "1"),
            ("x-internal-a", "1"),
            ("x-internal-b", "2"),
            ("x-internal", "stays"),
            ("cookie", "a=b"),
            ("connection", "upgrade"),
            ("content-length", "3"),
            ("x-team", "theirs"),
            ("x-team", "theirs too"),
            ("x-many", "1"),
        ] {
            headers.append(name(field), HeaderValue::from_static(value));
        }
        let facts = Facts {
            client: "127.0.0.1".parse().ok(),
            service: "svc",
            route: None,
            request_id: None,
            host: None,
            provider: None,
            address: None,
        };
        edit.apply(&mut headers, &facts);
        let told: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                "connection: upgrade",
                "content-length: 3",
                "x-gone: back",
                "x-internal: stays",
                "x-many: 1",
                "x-many: 127.0.0.1",
                "x-team: a",
                "x-team: b"
            ]
        );
    }
}
