//! What holds for every request and every route.

use http::{HeaderMap, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;

use super::host::Host;
use super::*;
use crate::balance::Choice;

fn segment() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,2}", "[a-zA-Z0-9._~ %/-]{1,8}", "\\PC{1,4}"]
        .prop_filter("a dot segment is no name", |text| !matches!(text.as_str(), "." | ".."))
}

/// A segment in one of the many ways to write it.
fn encoded(segment: &str, everything: bool) -> String {
    if everything {
        return segment.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
    }
    percent_encode(segment.as_bytes(), NON_ALPHANUMERIC).to_string()
}

fn path_of(segments: &[String], everything: bool) -> String {
    segments.iter().fold(String::new(), |path, segment| format!("{path}/{}", encoded(segment, everything)))
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let host = prop::sample::select(vec!["a", "b", "*.a", "*.b.a", "b.a", "c.b.a", "127.0.0.1"]);
    let path = prop::option::of(prop::sample::select(vec!["/", "/a", "/a/b", "/b"]));
    let method = prop::sample::select(vec![Method::GET, Method::POST]);
    let header =
        (prop::sample::select(vec!["x-a", "x-b"]), prop::option::of(prop::sample::select(vec!["1", "2"])));
    (
        prop::collection::vec(host, 0..3),
        path,
        prop::collection::vec(method, 0..2),
        prop::collection::vec(header, 0..2),
    )
        .prop_map(|(hosts, path, methods, headers)| Matcher {
            hosts: hosts.into_iter().map(|host| host.parse().unwrap()).collect(),
            path: path.map(|path| path.parse().unwrap()),
            methods,
            headers: headers
                .into_iter()
                .map(|(name, value)| HeaderPattern {
                    name: name.parse().unwrap(),
                    value: value.map(HeaderValue::from_static),
                })
                .collect(),
        })
}

fn naming_with_suffix() -> Naming {
    Naming { host_suffix: Some("svc.local".into()), ..Naming::default() }
}

proptest! {
    #[test]
    fn nothing_a_client_sends_breaks_it(
        host in prop::option::of("\\PC{0,20}|[a-zA-Z.:\\[\\]]{0,12}(svc\\.local)?"),
        path in "\\PC{0,20}|(/[a-z.%0-9]{0,6}){0,4}",
        header in prop::option::of(prop::collection::vec(any::<u8>(), 0..8)),
        grpc in any::<bool>(),
        prefix in prop::option::of(prop::sample::select(vec!["", "/v2"])),
    ) {
        let mut headers = HeaderMap::new();
        if let Some(value) = header.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
            headers.append("micro-service", value);
        }
        if grpc {
            headers.append("content-type", HeaderValue::from_static("application/grpc+proto"));
        }
        let route = Route {
            name: "a".into(),
            matcher: Matcher { path: Some("/a".parse().unwrap()), ..Matcher::default() },
            claim: Claim::on("a".parse().unwrap(), Choice::default()),
            rewrite: Rewrite { prefix: prefix.map(Arc::from), ..Rewrite::default() },
            rules: Arc::default(),
        };
        let table = Table::new(vec![route], naming_with_suffix());
        let asked = Asked { method: &Method::GET, host: host.as_deref(), path: &path, headers: &headers, bound: None };
        match table.find(&asked) {
            Ok(found) => {
                prop_assert!(path.is_char_boundary(found.strip));
                prop_assert_eq!(found.path(&path).starts_with('/'), path.is_empty() || path.starts_with('/'));
                if let Target::Named(name) = &found.target {
                    prop_assert!(!name.is_empty());
                }
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn a_prefix_covers_its_segments_however_they_are_written(
        segments in prop::collection::vec(segment(), 1..5),
        taken in 0..5_usize,
        everything in any::<bool>(),
    ) {
        let taken = taken.min(segments.len());
        let prefix: PathPrefix = format!("{}/", path_of(&segments[..taken], false)).parse().unwrap();
        let path = path_of(&segments, everything);
        prop_assert_eq!(prefix.matched(&path), Some(path_of(&segments[..taken], everything).len()));
    }

    #[test]
    fn a_prefix_covers_no_other_segments(
        segments in prop::collection::vec(segment(), 1..4),
        other in segment(),
        at in 0..4_usize,
    ) {
        let at = at.min(segments.len() - 1);
        let prefix: PathPrefix = path_of(&segments, false).parse().unwrap();
        let mut different = segments.clone();
        different[at] = other;
        prop_assert_eq!(prefix.matched(&path_of(&different, false)).is_some(), different == segments);
        prop_assert_eq!(prefix.matched(&path_of(&segments[..at], false)), None);
    }

    #[test]
    fn every_name_can_be_said_in_the_path(service in segment(), everything in any::<bool>()) {
        let path = format!("/{}/x", encoded(&service, everything));
        let headers = HeaderMap::new();
        let asked = Asked {
            method: &Method::GET, host: Some("127.0.0.1:4140"), path: &path, headers: &headers, bound: None,
        };
        let table = Table::default();
        let found = table.find(&asked).unwrap();
        prop_assert_eq!(found.path(&path), "/x");
        let Target::Named(name) = found.target else { panic!("no route is there") };
        prop_assert_eq!(name, service);
    }

    #[test]
    fn case_port_and_suffix_of_a_host_do_not_matter(
        service in "[a-z][a-z0-9-]{0,8}(\\.[a-z]{1,4})?",
        upper in any::<bool>(),
        port in prop::option::of(any::<u16>()),
        suffixed in any::<bool>(),
    ) {
        prop_assume!(service != "localhost");
        let mut host = service.clone();
        if suffixed { host.push_str(".svc.local"); }
        if upper { host.make_ascii_uppercase(); }
        if let Some(port) = port { host = format!("{host}:{port}"); }
        let headers = HeaderMap::new();
        let asked = Asked { method: &Method::GET, host: Some(&host), path: "/", headers: &headers, bound: None };
        let table = Table::new(Vec::new(), naming_with_suffix());
        let Target::Named(name) = table.find(&asked).unwrap().target else { panic!("no route is there") };
        prop_assert_eq!(name, service);
    }

    #[test]
    fn a_matcher_that_covers_another_is_for_all_its_requests(
        wide in matcher(),
        narrow in matcher(),
        host in prop::sample::select(vec!["a", "b", "b.a", "c.b.a", "127.0.0.1", "x"]),
        path in prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/b", "/ab"]),
        method in prop::sample::select(vec![Method::GET, Method::POST]),
        sent in prop::collection::vec(
            (prop::sample::select(vec!["x-a", "x-b"]), prop::sample::select(vec!["1", "2"])), 0..3),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(name, HeaderValue::from_static(value));
        }
        let host = Host::parse(Some(host)).unwrap();
        let is_for = |matcher: &Matcher| matcher.judge(&method, host, path, &headers).is_ok();
        prop_assert!(wide.covers(&wide));
        if wide.covers(&narrow) && is_for(&narrow) {
            prop_assert!(is_for(&wide));
        }
    }
}
