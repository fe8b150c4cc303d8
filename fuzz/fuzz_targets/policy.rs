//! Looks for paths that are made into what is no path or leads up, and for values of headers that no header can have.
#![no_main]

use http::HeaderValue;
use http::uri::PathAndQuery;
use libfuzzer_sys::fuzz_target;
use wayside::route::template::{Facts, Template, Way};
use wayside::route::{Rewriting, leads_up};

fuzz_target!(|input: &str| {
    let mut lines = input.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (pattern, with, path) = (next(), next(), next());
    match Rewriting::new(pattern, with) {
        Ok(rewriting) => rewrite(&rewriting, path),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let (template, said, provider) = (next(), next(), next());
    let said = HeaderValue::from_bytes(said.as_bytes()).ok();
    for way in [Way::Request, Way::Response] {
        let template = match Template::parse(template, way) {
            Ok(template) => template,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        let facts = Facts {
            client: None,
            service: provider,
            route: Some("route-1"),
            request_id: said.as_ref(),
            host: said.as_ref(),
            provider: Some(provider),
            address: None,
        };
        assert!(template.fill(&facts).as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~')), "{template:?}");
    }
});

/// Makes a path into another, as the parser of requests lets it come.
fn rewrite(rewriting: &Rewriting, path: &str) {
    let Ok(path) = path.parse::<PathAndQuery>() else { return };
    match rewriting.apply(path.path()) {
        Ok(Some(made)) => {
            assert!(made.starts_with('/') && !made.starts_with("//") && !leads_up(&made), "{made:?} of {path}");
            let target = made.parse::<PathAndQuery>();
            assert_eq!(target.ok().as_ref().map(PathAndQuery::path), Some(&*made), "{path}");
        }
        Ok(None) => {}
        Err(error) => assert!(error.to_string().contains("; "), "{error}"),
    }
}
