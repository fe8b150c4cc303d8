//! Following: what a registry says, and how soon and for how long it counts.

use super::*;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn a_first_change_shows_at_once_and_a_burst_together_at_a_fixed_deadline() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1]).await;
    bed.pass(millis(500)).await;
    bed.list("greeter", &[1, 2]).await;
    assert_eq!((ports(&greeter), bed.swaps()), (vec![1, 2], 2), "without any time passing");
    for more in 3..=6 {
        bed.pass(millis(10)).await;
        bed.list("greeter", &(1..=more).collect::<Vec<_>>()).await;
    }
    bed.pass(millis(9)).await;
    assert_eq!(ports(&greeter), [1, 2], "49 ms after the first");
    bed.pass(millis(2)).await;
    assert_eq!((ports(&greeter), bed.swaps()), (vec![1, 2, 3, 4, 5, 6], 3), "51 ms after it");
    bed.list("greeter", &[1]).await;
    assert_eq!(bed.swaps(), 3, "still no quiet moment");
    bed.pass(millis(50)).await;
    assert_eq!(bed.swaps(), 4);
}

#[tokio::test(start_paused = true)]
async fn steady_change_puts_nothing_off_for_ever() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    for round in 0..100_u16 {
        bed.list("greeter", &[round + 1]).await;
        let shown = ports(&greeter)[0];
        assert!(round + 1 - shown <= 5, "{shown} in round {round}");
        bed.pass(millis(10)).await;
    }
    assert!((15..=25).contains(&bed.swaps()), "{} swaps in a second", bed.swaps());
}

#[tokio::test(start_paused = true)]
async fn one_service_does_not_hold_up_another() {
    let bed = Bed::new(Settings::default()).await;
    let (one, two) = (bed.subscribe("one"), bed.subscribe("two"));
    bed.list("one", &[1]).await;
    bed.list("one", &[1, 2]).await;
    bed.list("two", &[3]).await;
    assert_eq!((ports(&one), ports(&two)), (vec![1], vec![3]));
}

#[tokio::test(start_paused = true)]
async fn an_equal_list_costs_no_swap() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1, 2]).await;
    let before = greeter.snapshot().load_full();
    bed.pass(millis(100)).await;
    bed.list("greeter", &[2, 1]).await;
    assert!(Arc::ptr_eq(&before, &greeter.snapshot().load_full()));
    assert_eq!(bed.swaps(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_makes_stale_and_never_empty() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.catalog.declare(&claim("greeter")).unwrap();
    bed.say(connected()).await;
    bed.list("greeter", &[1, 2]).await;
    assert_eq!(greeter.freshness(), Freshness::Live);
    bed.list("greeter", &[1, 2, 3]).await;
    bed.step(Step::Fail("reading greeter")).await;
    assert_eq!(ports(&greeter), [1, 2, 3], "what was said before the failure counts");
    let Freshness::Stale { cause, .. } = greeter.freshness() else { panic!("not stale") };
    assert_eq!(&*cause, "reading greeter: it is gone");
    let status = bed.catalog.registries().remove(0);
    assert_eq!((status.kind, status.state, status.cause.as_deref()), ("script", "down", Some(&*cause)));
    assert_eq!(bed.metrics.catalog.registry("script").up.get(), 0);
    bed.pass(Duration::from_hours(24)).await;
    assert_eq!(ports(&greeter), [1, 2, 3]);
    bed.say(connected()).await;
    assert!(matches!(greeter.freshness(), Freshness::Stale { .. }), "until it is listed again");
    bed.list("greeter", &[1, 2, 3]).await;
    assert_eq!(greeter.freshness(), Freshness::Live);
    assert_eq!(bed.catalog.registries().remove(0).state, "up");
    bed.say(Report::Disconnected { cause: "no heartbeat".to_owned() }).await;
    assert!(matches!(greeter.freshness(), Freshness::Stale { .. }));
    assert_eq!(
        (ports(&greeter).len(), bed.metrics.catalog.registry("script").disconnects_total.get()),
        (3, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_five_seconds_and_begin_anew_after_a_connection() {
    let bed = Bed::new(Settings::default()).await;
    for _ in 0..200 {
        bed.step(Step::Fail("connecting")).await;
        bed.pass(Duration::from_secs(6)).await;
    }
    // Each watch fails when its step comes; without waiting for steps, pauses follow each other.
    for _ in 0..400 {
        bed.steps.send(Step::Fail("connecting")).unwrap();
    }
    bed.begun.lock().clear();
    bed.pass(Duration::from_mins(40)).await;
    let begun = bed.begun.lock().clone();
    let pauses: Vec<Duration> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.len() > 390);
    assert!(pauses.iter().all(|pause| *pause <= millis(5_002)), "{:?}", pauses.iter().max());
    let mean = pauses.iter().sum::<Duration>() / u32::try_from(pauses.len()).unwrap();
    assert!((millis(2_200)..millis(2_800)).contains(&mean), "full jitter has half the cap as mean: {mean:?}");
    let mut pauses = Vec::new();
    for _ in 0..50 {
        bed.say(connected()).await;
        bed.pass(Duration::from_secs(10)).await;
        bed.begun.lock().clear();
        bed.step(Step::Fail("reading")).await;
        let failed = Instant::now();
        bed.pass(millis(1_002)).await;
        pauses.push(bed.begun.lock()[0] - failed);
    }
    let mean = pauses.iter().sum::<Duration>() / 50;
    assert!((millis(350)..millis(650)).contains(&mean), "a fleet comes back over a second: {mean:?}");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_was_never_there_is_tried_again_at_once() {
    let bed = Bed::new(Settings::default()).await;
    bed.step(Step::Fail("connecting")).await;
    bed.pass(millis(102)).await;
    assert_eq!(bed.begun.lock().len(), 2, "the first pause is at most 0.1 s");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_healed_is_counted() {
    let bed = Bed::new(Settings::default()).await;
    let _greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1]).await;
    assert_eq!(bed.metrics.catalog.registry("script").healed_total.get(), 0);
    let Report::Listed(listing) = listed("greeter", View::Absent) else { unreachable!() };
    bed.say(Report::Listed(Listing { healed: true, ..listing })).await;
    assert_eq!(bed.metrics.catalog.registry("script").healed_total.get(), 1, "even while it is held back");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_panics_is_watched_again() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1]).await;
    bed.step(Step::Panic).await;
    assert!(matches!(greeter.freshness(), Freshness::Stale { .. }));
    bed.pass(millis(200)).await;
    bed.list("greeter", &[1, 2]).await;
    assert_eq!((ports(&greeter), greeter.freshness()), (vec![1, 2], Freshness::Live));
}

#[tokio::test(start_paused = true)]
async fn a_first_list_is_waited_for() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    let timeout = Duration::from_secs(2);
    let begin = Instant::now();
    assert!(!greeter.listed(timeout).await);
    assert_eq!(begin.elapsed().as_secs(), 2, "nothing came");
    let (listed, ()) = tokio::join!(greeter.listed(timeout), async {
        bed.pass(millis(500)).await;
        bed.list("greeter", &[1]).await;
    });
    assert!(listed && ports(&greeter) == [1] && begin.elapsed() < millis(2_600));
    bed.absent("nobody").await;
    let nobody = bed.subscribe("nobody");
    let (listed, ()) = tokio::join!(nobody.listed(timeout), bed.absent("nobody"));
    assert!(listed, "absent is an answer too");
    assert_eq!(nobody.freshness(), Freshness::Absent);
    let late = bed.subscribe("late");
    let begin = Instant::now();
    let (listed, ()) = tokio::join!(late.listed(timeout), bed.step(Step::Fail("connecting")));
    assert!(!listed && begin.elapsed() < millis(10), "a registry that is down is not waited for");
    assert_eq!(late.freshness(), Freshness::Pending);
    assert!(!late.listed(timeout).await && begin.elapsed() < millis(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_list_is_never_taken_for_the_end_of_hope() {
    let bed = Bed::new(Settings::default()).await;
    // So many that taking them over takes a while.
    let providers: Vec<_> = (1..500).map(provider).collect();
    for number in 0..50 {
        let name = format!("service-{number}");
        let service = bed.subscribe(&name);
        let view = View::Present { providers: providers.clone(), skipped: Vec::new() };
        let say = async { bed.steps.send(Step::Say(super::listed(&name, view))).unwrap() };
        // The test's own thread waits, and another takes the list over.
        let (listed, ()) = tokio::join!(service.listed(Duration::from_secs(10)), say);
        assert!(listed, "{name} was listed");
    }
}

#[tokio::test(start_paused = true)]
async fn absence_is_said_by_the_registry_alone() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1]).await;
    let memory = Arc::clone(&greeter.snapshot().load().endpoints[0].memory);
    bed.pass(millis(100)).await;
    bed.absent("greeter").await;
    let snapshot = greeter.snapshot().load_full();
    assert!(snapshot.absent && snapshot.endpoints.is_empty() && memory.is_retired());
    assert_eq!(greeter.freshness(), Freshness::Absent);
    bed.step(Step::Fail("reading")).await;
    assert!(greeter.snapshot().load().absent, "known to be absent when last heard of");
    bed.pass(Duration::from_secs(1)).await;
    bed.list("greeter", &[]).await;
    let snapshot = greeter.snapshot().load_full();
    assert!(!snapshot.absent && snapshot.listed && snapshot.endpoints.is_empty());
}

#[tokio::test(start_paused = true)]
async fn stale_data_is_warned_of_once_in_an_outage() {
    let bed = Bed::new(Settings::default()).await;
    let _greeter = bed.catalog.declare(&claim("greeter")).unwrap();
    bed.list("greeter", &[1]).await;
    let warned = || bed.catalog.state.lock().standings[0].warned;
    bed.step(Step::Fail("reading")).await;
    bed.pass(Duration::from_secs(299)).await;
    assert!(!warned());
    bed.pass(Duration::from_secs(2)).await;
    assert!(warned());
    bed.list("greeter", &[1]).await;
    bed.pass(Duration::from_secs(2)).await;
    assert!(!warned(), "the next outage is warned of again");
}

#[tokio::test(start_paused = true)]
async fn a_bad_record_is_counted_once_until_it_changes() {
    let bed = Bed::new(Settings::default()).await;
    let _greeter = bed.subscribe("greeter");
    let say = async |detail: &str| {
        let record = "/greeter/x".to_owned();
        let skipped = vec![Skipped { record, reason: Reason::Malformed, detail: detail.to_owned() }];
        let mut twin = Provider::clone(&provider(1));
        twin.id = "other".into();
        let providers = vec![provider(1), Arc::new(twin)];
        bed.say(listed("greeter", View::Present { providers, skipped })).await;
        bed.pass(millis(100)).await;
    };
    let counted = |reason: Reason| bed.metrics.catalog.skipped(reason.as_str()).get();
    say("bad").await;
    say("bad").await;
    assert_eq!((counted(Reason::Malformed), counted(Reason::Duplicate)), (1, 1));
    say("worse").await;
    assert_eq!((counted(Reason::Malformed), counted(Reason::Duplicate)), (2, 1));
    let status = bed.catalog.service("greeter").unwrap();
    assert_eq!((status.endpoints.len(), status.skipped_count), (1, 2));
    assert_eq!(
        status.skipped[1].detail,
        "10.0.0.1:1 is announced by the newer record \"other\" too, which is used instead"
    );
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_its_drain_begins() {
    let bed = Bed::new(Settings::default()).await;
    assert_eq!(bed.drain.tasks(), 1);
    bed.drain.begin();
    bed.run().await;
    assert_eq!((bed.drain.tasks(), bed.drain.panics()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_the_registry_does_not_tell_of_is_stale_and_no_other() {
    let bed = Bed::new(Settings::default()).await;
    let (greeter, users) = (bed.subscribe("greeter"), bed.subscribe("users"));
    bed.list("greeter", &[1]).await;
    bed.list("users", &[2]).await;
    let service = "greeter".parse().unwrap();
    bed.say(Report::Unheard { service, cause: "the token is not good for it".to_owned() }).await;
    let state = |name: &str| bed.catalog.service(name).unwrap().freshness;
    assert_eq!((state("greeter").state, state("users").state), ("stale", "live"));
    assert_eq!(state("greeter").cause.as_deref(), Some("the token is not good for it"));
    assert_eq!((ports(&greeter), ports(&users)), (vec![1], vec![2]));
    bed.list("greeter", &[1]).await;
    bed.pass(millis(100)).await;
    assert_eq!(state("greeter").state, "live");
}
