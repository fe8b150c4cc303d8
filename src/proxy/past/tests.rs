//! What is remembered, how much of it, and how it is found again.

use super::*;
use crate::balance::{Notes, Policy};
use crate::catalog::{Claim, Snapshot};
use crate::clock::Moment;
use crate::proxy::telling::Picked;

fn memoir(id: &str, at: u64) -> Memoir {
    Memoir {
        id: HeaderValue::from_str(id).unwrap(),
        why: "sampled",
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(at),
        asked: None,
        via: None,
        route: None,
        service: None,
        part: None,
        status: 200,
        reason: None,
        took: Duration::ZERO,
        attempts: Vec::new(),
        picks: Vec::new(),
    }
}

#[test]
fn the_oldest_are_forgotten() {
    let pasts = Pasts::new(Remembering { most: 4, ..Remembering::default() }, 2);
    for at in 0..10 {
        pasts.keep(usize::try_from(at).unwrap() % 2, memoir(&format!("id-{at}"), at));
    }
    assert_eq!(pasts.count(), 4);
    assert!(pasts.find("id-5").is_none() && pasts.find("id-6").is_some() && pasts.find("id-9").is_some());
    pasts.keep(0, memoir("id-9", 20));
    assert_eq!(pasts.find("id-9").unwrap().at, SystemTime::UNIX_EPOCH + Duration::from_secs(20), "the last");
}

#[test]
fn the_sample_is_as_large_as_was_asked_for() {
    let gap = |percent, luck| {
        let sample = Share::percent(percent);
        Pasts::new(Remembering { sample, ..Remembering::default() }, 1).gap(luck)
    };
    assert_eq!([0.0, 0.5, 0.999_999].map(|luck| gap(100.0, luck)), [Some(0); 3], "all");
    assert_eq!([gap(1.0, 0.0), gap(1.0, 0.5), gap(1.0, 0.999_999)], [Some(0), Some(99), Some(198)]);
    assert_eq!(gap(0.0, 0.5), None);
    assert_eq!(Pasts::new(Remembering { most: 0, ..Remembering::default() }, 1).gap(0.5), None);
}

#[test]
fn only_who_went_to_the_same_again_met_a_stale_connection() {
    let unknown = |second: &str| {
        let last = |number, address: &str| {
            Attempted::last(number, address.parse().unwrap(), &"svc".parse().unwrap())
        };
        let attempts = vec![last(1, "127.0.0.1:1"), last(2, second)];
        let told = MemoirDocument::from(&Memoir { why: "retried", attempts, ..memoir("a", 0) });
        told.attempts[1].unknown.clone().unwrap()
    };
    assert!(unknown("127.0.0.1:1").contains("stale"));
    assert!(unknown("127.0.0.1:2").contains("not in the sample"), "a second one beside the first");
}

#[test]
fn what_failed_or_was_slow_is_remembered() {
    let pasts = Pasts::new(Remembering::default(), 1);
    let (quick, slow) = (Duration::from_millis(999), Duration::from_secs(1));
    assert_eq!(pasts.cares_for(200, false, quick), None);
    assert_eq!(pasts.cares_for(404, false, quick), None, "that is an answer");
    assert_eq!(pasts.cares_for(502, false, quick), Some("failed"));
    assert_eq!(pasts.cares_for(200, true, quick), Some("failed"), "its body broke off");
    assert_eq!(pasts.cares_for(200, false, slow), Some("slow"));
    let off = Pasts::new(Remembering { most: 0, ..Remembering::default() }, 1);
    assert_eq!(off.cares_for(502, true, slow), None);
}

#[test]
fn what_has_no_scene_is_not_given_up_for_what_has_one() {
    let with_scene = |id| {
        let claim = Claim::on("greeter".parse().unwrap(), Policy::Random);
        let made = Made {
            draw: 0,
            key: None,
            wish: None,
            tried: Vec::new(),
            is_trial: false,
            scene: Ok(Snapshot::not_listed().scene(&claim, Moment::from_millis(0))),
            notes: Notes::default(),
            detour: None,
            picked: Picked::NoTrial,
        };
        Memoir { picks: vec![made], ..memoir(id, 0) }
    };
    let one = with_scene("scene").scenes_bytes();
    let mut ring = Ring::default();
    ring.push(with_scene("scene-1"), 10, 2 * one);
    ring.push(memoir("failed", 0), 10, 2 * one);
    ring.push(with_scene("scene-2"), 10, 2 * one);
    ring.push(with_scene("scene-3"), 10, 2 * one);
    let ids = |ring: &Ring| {
        ring.memoirs.iter().map(|memoir| memoir.id.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (ids(&ring), ring.bytes),
        (vec!["failed".into(), "scene-2".into(), "scene-3".into()], 2 * one)
    );
    ring.push(with_scene("scene-4"), 10, one / 2);
    assert_eq!((ids(&ring), ring.bytes), (vec!["failed".into(), "scene-4".into()], one), "the new one stays");
    ring.push(memoir("more", 0), 2, one);
    ring.push(memoir("most", 0), 2, one);
    assert_eq!((ids(&ring), ring.bytes), (vec!["more".into(), "most".into()], 0));
}

#[test]
fn what_a_client_writes_at_length_is_not_kept_at_length() {
    let path = format!("/{}", "x".repeat(30_000));
    let request = Request::get(path.as_str()).header("host", "h".repeat(ASKED_MAX)).body(()).unwrap();
    let asked = Past::sampled(&request).asked.unwrap();
    assert_eq!(asked.host.unwrap().len(), ASKED_MAX, "that is all of it");
    assert_eq!((asked.path.chars().count(), asked.path.chars().next_back()), (ASKED_MAX + 1, Some('…')));
}

#[test]
fn a_method_is_not_kept_at_length_either() {
    let method = "M".repeat(10_000);
    let request = Request::builder().method(&*method).body(()).unwrap();
    assert_eq!(Past::sampled(&request).asked.unwrap().method.as_str(), &method[..METHOD_MAX]);
    let request = Request::builder().method(Method::DELETE).body(()).unwrap();
    assert_eq!(Past::sampled(&request).asked.unwrap().method, Method::DELETE);
}
