//! What is explained is what is done.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::*;
use crate::balance::{Choice, Policy};
use crate::clock::Moment;
use crate::proxy::layer::bed::Bed;
use crate::route::{HeaderPattern, Key, Matcher, Naming, Part, Rewrite, Rules, Source, Split, Table};

fn question(url: &str, draw: u64) -> Question {
    Question {
        method: Method::GET,
        url: url.parse().unwrap(),
        headers: HeaderMap::new(),
        client: None,
        bound: None,
        trusted: true,
        draw: Some(draw),
    }
}

/// A bed whose requests for `svc` are balanced so.
fn bed(policy: Policy) -> (Bed, Claim) {
    let bed = Bed::new();
    let claim = Claim::on("svc".parse().unwrap(), policy);
    let rules = Rules { key: Some(Arc::new(Key { sources: vec![Source::Path] })), ..Rules::default() };
    let naming = Naming { choice: Choice::from(policy), rules: Arc::new(rules), ..Naming::default() };
    bed.worker.shared.table.store(Arc::new(Table::new(Vec::new(), naming)));
    (bed, claim)
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_where_it_was_explained_to_go_by_every_policy() {
    for policy in Policy::ALL {
        let (bed, claim) = bed(policy);
        let shared = &bed.worker.shared;
        let bound = bed.worker.directory.claimed(&claim, &shared.catalog, &shared.metrics).unwrap();
        let endpoints = bed.list_at(&bound, &[1, 2, 3, 4, 5]);
        let explainer = Explainer::new(Arc::clone(shared));
        endpoints[3].memory.fail_to_connect(shared.clock.now(), 0.5);
        let mut held = std::collections::VecDeque::new();
        let mut seen = std::collections::BTreeSet::new();
        for draw in 0..60_u64 {
            let url = format!("http://svc/{}", draw % 17);
            let told = explainer.explain(&question(&url, draw));
            let again = explainer.explain(&question(&url, draw));
            assert_eq!(told.picked, again.picked, "{policy}: to explain changes nothing");

            bed.worker.with_luck(|rng| *rng = SmallRng::seed_from_u64(draw));
            let key = Key { sources: vec![Source::Path] };
            let message = message(&question(&url, draw));
            let sought = Sought {
                bound: &bound,
                failover: &[],
                tried: &[],
                elsewhere: false,
                key: key.hash(&route::keyed(&message, &bed.client)),
                wish: None,
                telling: None,
            };
            let (picked, _) = sought.pick(&bed.worker, shared.clock.now()).unwrap();
            assert_eq!(told.picked, Some(picked.memory.address.to_string()), "{policy} with {draw}");
            seen.insert(told.picked);
            held.push_back(picked.memory.begin());
            if held.len() > 7 {
                held.pop_front();
            }
        }
        assert!(seen.len() >= 3, "{policy}: {seen:?}");
    }
}

#[tokio::test]
async fn who_is_out_is_told_with_the_reason() {
    let (bed, claim) = bed(Policy::RoundRobin);
    let shared = &bed.worker.shared;
    let bound = bed.worker.directory.claimed(&claim, &shared.catalog, &shared.metrics).unwrap();
    let endpoints = bed.list_at(&bound, &[1, 2]);
    endpoints[0].memory.fail_to_connect(Moment::START, 0.5);
    let told = Explainer::new(Arc::clone(shared)).explain(&question("http://svc/a?b", 1));
    assert_eq!((told.via.as_deref(), told.service.as_deref()), (Some("host"), Some("svc")));
    assert_eq!((told.policy.as_deref(), told.key_of.as_deref()), (Some("round-robin"), Some("path")));
    assert_eq!((told.method.as_str(), told.path.as_str()), ("GET", "/a"));
    assert_eq!(told.candidates.len(), 2);
    assert_eq!(told.candidates[0].state, "unreachable");
    assert!(told.candidates[0].why_not.is_some() && told.candidates[1].why_not.is_none());
    assert!(told.is_followed && told.choices.last().unwrap().course.len() > 1, "{told:?}");
    assert!(told.retries.unwrap().contains("GET may be repeated"));
    assert_eq!(endpoints.iter().map(|endpoint| endpoint.memory.attempts()).sum::<u64>(), 0);
}

#[tokio::test]
async fn routes_are_told_in_order_with_what_they_miss() {
    let bed = Bed::new();
    let claim = |name: &str| Claim::on(name.parse().unwrap(), Policy::RoundRobin);
    let route = |name: &str, matcher, rules| crate::route::Route {
        name: name.into(),
        matcher,
        claim: claim(name),
        rewrite: Rewrite::default(),
        rules: Arc::new(rules),
    };
    let path = |path: &str| Matcher { path: Some(path.parse().unwrap()), ..Matcher::default() };
    let header = HeaderPattern { name: "x-beta".parse().unwrap(), value: Some("yes".parse().unwrap()) };
    let split = Split::new(vec![Part::new(claim("a"), 1.0), Part::new(claim("b"), 1.0)]);
    let routes = vec![
        route("users", path("/users"), Rules::default()),
        route("beta", Matcher { headers: vec![header], ..Matcher::default() }, Rules::default()),
        route("all", Matcher::default(), Rules { split: split.map(Arc::new), ..Rules::default() }),
        route("never", Matcher::default(), Rules::default()),
    ];
    bed.worker.shared.table.store(Arc::new(Table::new(routes, Naming::default())));
    let explainer = Explainer::new(Arc::clone(&bed.worker.shared));
    let told = explainer.explain(&question("http://localhost/orders", 3));
    let routes: Vec<_> =
        told.routes.iter().map(|route| (route.name.as_str(), route.why_not.as_deref())).collect();
    assert_eq!(
        routes,
        [
            ("users", Some("its path is not under /users")),
            ("beta", Some("it has no header x-beta: yes")),
            ("all", None)
        ]
    );
    assert_eq!((told.route.as_deref(), told.is_followed), (Some("all"), false));
    assert!(["a", "b"].contains(&told.part.as_deref().unwrap()));
    assert_eq!(told.nothing.unwrap().reason, "not_listed");
    assert!(bed.worker.shared.catalog.known().is_empty(), "nothing is followed for it");
    let parts = (0..40).map(|draw| explainer.explain(&question("http://localhost/", draw)).part);
    assert_eq!(parts.collect::<std::collections::BTreeSet<_>>().len(), 2, "the draw decides");
    let refused = explainer.explain(&question("ftp://svc/", 1));
    assert_eq!(refused.refused.unwrap().reason, "bad_request");
}

#[tokio::test]
async fn what_is_not_remembered_is_told_why() {
    let bed = Bed::new();
    let forgotten = Explainer::new(Arc::clone(&bed.worker.shared)).past("x").unwrap_err();
    assert_eq!(forgotten.why, "no request is remembered: explain.remember is 0");
    assert_eq!(forgotten.cure, "raise explain.remember");
}
