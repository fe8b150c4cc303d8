//! What is remembered, how much of it, and how it is found again.

use super::*;

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
