//! Picks from what was written down of a snapshot are those that were made from it.

use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::*;
use crate::balance::{Ask, Choice, LoadBound, Notes, Policy, Wish};
use crate::endpoint::Memory;

const NOW: Moment = Moment::from_millis(100_000);

/// What was done to one endpoint, and what it announces.
#[derive(Clone, Copy, Debug)]
struct Way {
    weight: u32,
    zone: u8,
    in_flight: u8,
    took_ms: u16,
    out: bool,
    due: bool,
}

fn endpoint(group: &Arc<Group>, number: u8, way: Way) -> Endpoint {
    let mut provider = Provider::new(format!("p{number}"), format!("10.0.0.{number}:80").parse().unwrap());
    provider.weight = Weight::from_hundredths(way.weight);
    provider.zone = Some(Arc::from(["a", "b"][usize::from(way.zone % 2)]));
    let memory = Memory::among(Arc::clone(group), u64::from(number), provider.address.clone());
    let memory = Arc::new(memory);
    if way.took_ms > 0 {
        memory.latency.recall(Duration::from_millis(way.took_ms.into()), Duration::ZERO, NOW);
    }
    if way.out {
        memory.fail_to_connect(if way.due { Moment::START } else { NOW }, 0.5);
    }
    // Held for ever: what is in flight stays so.
    (0..way.in_flight).for_each(|_| std::mem::forget(memory.begin()));
    Endpoint::new(Arc::new(provider), memory)
}

fn ways() -> impl Strategy<Value = Vec<Way>> {
    let way = (0_u32..400, any::<u8>(), 0_u8..5, 0_u16..400, prop::bool::weighted(0.3), any::<bool>());
    let way = way.prop_map(|(weight, zone, in_flight, took_ms, out, due)| Way {
        weight,
        zone,
        in_flight,
        took_ms,
        out,
        due,
    });
    prop::collection::vec(way, 1..12)
}

proptest! {
    // Each makes tables of Maglev again and again.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_draw_leads_to_the_same_endpoint_by_every_policy(
        ways in ways(),
        draws in prop::collection::vec((any::<u64>(), any::<Option<u64>>()), 1..6),
        has_zones in any::<bool>(),
        is_bound in any::<bool>(),
        wishes in any::<bool>(),
    ) {
        for policy in Policy::ALL {
            let load_bound = LoadBound::from_hundredths(125).filter(|_| is_bound);
            let claim = Claim::on("svc".parse().unwrap(), Choice { load_bound, ..policy.into() });
            let group = Arc::new(Group::of(claim.service.clone()));
            let endpoints: Vec<_> = (1..).zip(&ways).map(|(number, way)| endpoint(&group, number, *way)).collect();
            let zone = has_zones.then(|| Arc::from("a"));
            let members = Members {
                layout: Arc::new(Layout { zone, ..Layout::default() }),
                ..Members::of(endpoints.into())
            };
            let rng = &mut rng::for_worker(1, 1);
            let snapshot = Snapshot::new(&members, &claim, &Snapshot::not_listed(), NOW, rng);
            for (draw, key) in &draws {
                let wish = wishes.then(|| Wish::only("10.0.0.1:80"));
                let scene = snapshot.scene(&claim, NOW);
                let mut notes = Notes::default();
                let mut rng = SmallRng::seed_from_u64(*draw);
                let mut ask = Ask { key: *key, wish: wish.as_ref(), notes: Some(&mut notes), ..Ask::new(NOW, &mut rng) };
                let picked = snapshot.pick(&mut ask).map(|endpoint| endpoint.memory.number);
                let detour = ask.detour;

                let text = serde_json::to_string(&SceneDocument::from(&scene)).unwrap();
                let document: SceneDocument = serde_json::from_str(&text).unwrap();
                let later = Moment::from_millis(777_777);
                let copy = Scene::try_from(&document).unwrap().snapshot(later);
                let mut again = Notes::again(notes.tickets.clone(), notes.room);
                let mut rng = SmallRng::seed_from_u64(*draw);
                let mut ask =
                    Ask { key: *key, wish: wish.as_ref(), notes: Some(&mut again), ..Ask::new(later, &mut rng) };
                let repeated = copy.pick(&mut ask).map(|endpoint| endpoint.memory.number);
                let same_detour = ask.detour == detour;
                prop_assert_eq!(repeated, picked, "{} with {:x}", policy, draw);
                prop_assert!(same_detour);
                prop_assert_eq!(&again.steps, &notes.steps);
                // The scene alone says as much while nobody else picks.
                let mut rng = SmallRng::seed_from_u64(*draw);
                let mut ask = Ask { key: *key, wish: wish.as_ref(), ..Ask::new(NOW, &mut rng) };
                let alone = scene.snapshot(NOW).pick(&mut ask).map(|endpoint| endpoint.memory.number);
                prop_assert_eq!(alone, picked, "{} from the scene alone", policy);
            }
        }
    }
}

#[test]
fn a_pick_from_a_copy_changes_nothing() {
    let way = Way { weight: 100, zone: 0, in_flight: 1, took_ms: 0, out: true, due: true };
    let claim = Claim::on("svc".parse().unwrap(), Policy::RoundRobin);
    let endpoints: Vec<_> = (1..4).map(|number| endpoint(&Arc::default(), number, way)).collect();
    let members = Members::of(endpoints.clone().into());
    let rng = &mut rng::for_worker(1, 1);
    let snapshot = Snapshot::new(&members, &claim, &Snapshot::not_listed(), NOW, rng);
    let seen = || -> Vec<_> { endpoints.iter().map(|it| it.memory.seen(&snapshot.care, NOW)).collect() };
    let (before, ticket) = (seen(), snapshot.tiers.list[0].balancer.ticket());
    for draw in 0..100 {
        let mut rng = SmallRng::seed_from_u64(draw);
        snapshot.scene(&claim, NOW).snapshot(NOW).pick(&mut Ask::new(NOW, &mut rng)).unwrap();
    }
    assert_eq!((seen(), snapshot.tiers.list[0].balancer.ticket()), (before, ticket));
    assert_eq!(snapshot.take_first_pick(), None);
}

#[test]
fn what_is_no_scene_is_refused() {
    let snapshot = Snapshot::not_listed();
    let scene = snapshot.scene(&Claim::on("svc".parse().unwrap(), Policy::Random), NOW);
    let text = serde_json::to_string(&SceneDocument::from(&scene)).unwrap();
    let text = text.replace("\"random\"", "\"fair\"");
    let error = Scene::try_from(&serde_json::from_str::<SceneDocument>(&text).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "\"fair\" is no policy");
}
