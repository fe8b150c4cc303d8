//! Detours: where requests go while too few of those that are to have them are well, and that operators see it.

use std::fmt::Write as _;

use super::{Changed, ask};
use crate::support::patience::at_last;
use crate::support::patient::Patient;

const CHECK: &str = "[services.check]\nkind = \"http\"\npath = \"/health\"\ninterval = \"100ms\"\n[[service]]\nname = \"a\"\n";

/// A program of zone `a` with these providers of `a`, each in its zone.
async fn started(patients: &[Patient], zones: &[&str]) -> Changed {
    let mut providers = String::new();
    for (patient, zone) in patients.iter().zip(zones) {
        write!(providers, "{{ address = \"{}\", zone = \"{zone}\" }}, ", patient.address()).unwrap();
    }
    Changed::run(&format!("zone = \"a\"\n[registry.services]\na = [{providers}]\n{CHECK}")).await
}

/// Waits until so many are unwell, and asks a few times.
async fn ask_with_unwell(it: &Changed, count: f64) {
    at_last("they are found out", async || {
        it.program.metric("wayside_endpoints", "state=\"unwell\"").await == count
    })
    .await;
    let mut client = it.client().await;
    for _ in 0..30 {
        assert_eq!(ask(&mut client, &[]).await.status(), 200);
    }
}

async fn are_told(it: &Changed, kind: &str, least: f64) {
    at_last(&format!("picks by {kind} are counted"), async || {
        it.program.metric("wayside_detours_total", &format!("kind=\"{kind}\"")).await >= least
    })
    .await;
}

#[tokio::test]
async fn in_panic_those_that_are_not_well_are_used_and_it_is_told() {
    let patients = Patient::several(3).await;
    let it = started(&patients, &["a"; 3]).await;
    for patient in &patients[1..] {
        patient.fall_ill(true);
    }
    ask_with_unwell(&it, 2.0).await;
    assert!(patients.iter().all(|patient| patient.requests() >= 5), "each has its part");
    are_told(&it, "panic", 10.0).await;
    assert_eq!(it.program.metric("wayside_detours_total", "kind=\"spill\"").await, 0.0);
}

#[tokio::test]
async fn what_a_zone_cannot_take_goes_to_the_next_and_it_is_told() {
    let patients = Patient::several(2).await;
    let it = started(&patients, &["a", "b"]).await;
    patients[0].fall_ill(true);
    ask_with_unwell(&it, 1.0).await;
    assert_eq!((patients[0].requests(), patients[1].requests()), (0, 30));
    are_told(&it, "spill", 30.0).await;
    assert_eq!(it.program.metric("wayside_detours_total", "kind=\"panic\"").await, 0.0);
}
