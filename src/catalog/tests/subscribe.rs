//! Subscribing: who shares what, who is dropped when, and who gives way when there is no room.

use super::*;
use crate::balance::Ask;
use crate::catalog::subset::Subset;

fn room_for(services_max: usize) -> Settings {
    Settings { services_max, ..Settings::default() }
}

#[tokio::test(start_paused = true)]
async fn the_registry_is_asked_for_what_is_subscribed() {
    let bed = Bed::new(Settings::default()).await;
    let first = bed.subscribe("greeter");
    assert!(Arc::ptr_eq(&first, &bed.subscribe("greeter")), "one claim is one subscription");
    bed.catalog.declare(&claim("users")).unwrap();
    assert_eq!(bed.names_wanted(), ["greeter", "users"]);
    assert_eq!(bed.catalog.declared_pending(), ["users".parse().unwrap()]);
    bed.list("users", &[1]).await;
    assert!(bed.catalog.declared_pending().is_empty());
    bed.list("stranger", &[1]).await;
    assert!(bed.catalog.service("stranger").is_none(), "nobody asked");
    assert_eq!(bed.metrics.catalog.services.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn claims_on_one_service_share_providers_and_memories() {
    let bed = Bed::new(Settings::default()).await;
    let all = bed.subscribe("greeter");
    let say = async |versions: &[&str]| {
        let one = |(port, version): (u16, &&str)| {
            let mut provider = Provider::clone(&provider(port));
            provider.version = (*version).into();
            Arc::new(provider)
        };
        let providers = (1..).zip(versions).map(one).collect();
        bed.say(listed("greeter", View::Present { providers, skipped: Vec::new() })).await;
        bed.pass(Duration::from_millis(100)).await;
    };
    say(&["v1", "v2", "v2"]).await;
    let mut second = claim("greeter");
    second.subset = Subset { version: Some("v2".into()), ..Subset::default() };
    let second = bed.catalog.subscribe(&second).unwrap();
    assert_eq!((ports(&all), ports(&second)), (vec![1, 2, 3], vec![2, 3]), "built at once");
    let (every, some) = (all.snapshot().load_full(), second.snapshot().load_full());
    assert!(Arc::ptr_eq(&every.endpoints[1].memory, &some.endpoints[0].memory));
    assert_eq!((some.known, bed.names_wanted().len()), (3, 1));
    say(&["v2", "v2", "v2"]).await;
    let now = second.snapshot().load_full();
    assert_eq!(ports(&second), [1, 2, 3]);
    assert!(Arc::ptr_eq(&now.endpoints[0].memory, &every.endpoints[0].memory), "memory survives the change");
    assert!(Arc::ptr_eq(&now.endpoints[1].memory, &every.endpoints[1].memory));
}

#[tokio::test(start_paused = true)]
async fn providers_that_http_cannot_reach_are_known_but_never_picked() {
    let bed = Bed::new(Settings::default()).await;
    let all = bed.subscribe("orders");
    let say = async |protocols: &[Protocol]| {
        let one = |(port, protocol): (u16, &Protocol)| {
            Arc::new(Provider { protocol: *protocol, ..Provider::clone(&provider(port)) })
        };
        let providers = (1..).zip(protocols).map(one).collect();
        bed.say(listed("orders", View::Present { providers, skipped: Vec::new() })).await;
        bed.pass(Duration::from_millis(100)).await;
    };
    let told = || {
        let snapshot = all.snapshot().load();
        (snapshot.known, snapshot.out_of_reach)
    };
    say(&[Protocol::Tcp, Protocol::H2c, Protocol::Tcp]).await;
    assert_eq!((ports(&all), told()), (vec![2], (3, 2)));
    say(&[Protocol::Tcp, Protocol::Tcp, Protocol::Tcp]).await;
    assert_eq!((ports(&all), told()), (vec![], (3, 3)));
    let why =
        all.snapshot().load().pick(&mut Ask::new(bed.catalog.clock.now(), &mut rng::for_worker(1, 1))).err();
    assert_eq!(why, Some(NoEndpoint::OutOfReach));
    let mut second = claim("orders");
    second.subset = Subset { version: Some("v9".into()), ..Subset::default() };
    let second = bed.catalog.subscribe(&second).unwrap();
    assert_eq!(second.snapshot().load().out_of_reach, 0, "the claim wants none of them anyway");
    let shown = bed.catalog.service("orders").unwrap().endpoints;
    assert_eq!(shown.iter().map(|endpoint| endpoint.protocol).collect::<Vec<_>>(), ["tcp"; 3]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_dropped() {
    let bed = Bed::new(Settings::default()).await;
    let (idle, used) = (bed.subscribe("idle"), bed.subscribe("used"));
    let (absent, pending) = (bed.subscribe("absent"), bed.subscribe("pending"));
    let declared = bed.catalog.declare(&claim("declared")).unwrap();
    for service in ["idle", "used", "declared"] {
        bed.list(service, &[1]).await;
    }
    bed.absent("absent").await;
    let memory = Arc::clone(&idle.snapshot().load().endpoints[0].memory);
    let minutes = async |minutes: u64| {
        for _ in 0..minutes {
            used.touch(bed.catalog.clock.now());
            bed.pass(Duration::from_mins(1)).await;
        }
        bed.pass(Duration::from_secs(2)).await;
    };
    minutes(1).await;
    assert!(absent.is_closed() && pending.is_closed() && !idle.is_closed());
    minutes(8).await;
    assert!(!idle.is_closed());
    minutes(1).await;
    assert!(idle.is_closed() && memory.is_retired());
    assert!(!used.is_closed() && !declared.is_closed());
    assert_eq!(bed.names_wanted(), ["declared", "used"]);
    assert!(!Arc::ptr_eq(&idle, &bed.subscribe("idle")), "it can be subscribed anew");
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_no_more_is_dropped_once_nobody_asks_for_it() {
    let bed = Bed::new(room_for(1)).await;
    let mut second = claim("before");
    second.choice.policy = Policy::Random;
    let first = bed.catalog.declare(&claim("before")).unwrap();
    let second = bed.catalog.declare(&second).unwrap();
    bed.list("before", &[1]).await;
    bed.catalog.declare_no_others(&[claim("before")]);
    bed.pass(Duration::from_mins(11)).await;
    assert!(second.is_closed() && !first.is_closed());
    bed.catalog.declare_no_others(&[claim("after")]);
    assert!(bed.catalog.declare(&claim("after")).is_ok(), "what nobody asked for gives way");
    assert!(first.is_closed());
    assert_eq!(bed.names_wanted(), ["after"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_known_is_dropped_while_it_could_not_be_learnt_again() {
    let bed = Bed::new(room_for(1)).await;
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1]).await;
    bed.step(Step::Fail("reading")).await;
    bed.pass(Duration::from_hours(1)).await;
    assert!(!greeter.is_closed() && bed.catalog.subscribe(&claim("other")).is_err());
    bed.say(connected()).await;
    bed.pass(Duration::from_secs(2)).await;
    assert!(greeter.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_dropped_without_its_service() {
    let bed = Bed::new(Settings::default()).await;
    let declared = bed.catalog.declare(&claim("greeter")).unwrap();
    let mut other = claim("greeter");
    other.choice.policy = Policy::Random;
    let other = bed.catalog.subscribe(&other).unwrap();
    bed.list("greeter", &[1]).await;
    bed.pass(Duration::from_mins(11)).await;
    assert!(other.is_closed() && !declared.is_closed());
    let endpoint = declared.snapshot().load().endpoints[0].clone();
    assert!(!endpoint.memory.is_retired());
    assert_eq!(bed.catalog.service("greeter").unwrap().claims.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_room_absent_then_idle_ones_give_way() {
    let bed = Bed::new(room_for(3)).await;
    bed.catalog.declare(&claim("declared")).unwrap();
    let (live, absent) = (bed.subscribe("live"), bed.subscribe("absent"));
    bed.list("live", &[1]).await;
    bed.absent("absent").await;
    let next = bed.subscribe("next");
    assert!(absent.is_closed() && !live.is_closed());
    let error = bed.catalog.subscribe(&claim("more")).unwrap_err();
    assert_eq!(error, SubscribeError::TooMany { max: 3 }, "all are in use, or waited for");
    assert_eq!(error.to_string(), "3 services are in use, as many as catalog.services_max allows");
    bed.list("next", &[2]).await;
    bed.pass(Duration::from_secs(61)).await;
    next.touch(bed.catalog.clock.now());
    bed.subscribe("more");
    assert!(live.is_closed() && !next.is_closed(), "idle for a minute");
    assert_eq!(bed.names_wanted(), ["declared", "more", "next"]);
    assert_eq!(bed.metrics.catalog.subscriptions_refused_total.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_room_those_never_listed_give_way_once_nobody_waits() {
    let bed = Bed::new(room_for(1)).await;
    let pending = bed.subscribe("pending");
    assert!(bed.catalog.subscribe(&claim("other")).is_err());
    bed.pass(Duration::from_secs(3)).await;
    bed.subscribe("other");
    assert!(pending.is_closed());
    assert!(!pending.listed(Duration::from_secs(1)).await, "a dropped claim is not waited for");
}

#[tokio::test(start_paused = true)]
async fn without_demand_only_what_is_declared_is_known() {
    let bed = Bed::new(Settings { on_demand: false, ..Settings::default() }).await;
    bed.catalog.declare(&claim("greeter")).unwrap();
    assert_eq!(bed.catalog.subscribe(&claim("users")).unwrap_err(), SubscribeError::NotDeclared);
    assert!(bed.catalog.subscribe(&claim("greeter")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_no_more_is_followed_as_others_are_or_not_at_all() {
    for on_demand in [true, false] {
        let bed = Bed::new(Settings { on_demand, ..Settings::default() }).await;
        let [greeter, users] = ["greeter", "users"].map(|name| bed.catalog.declare(&claim(name)).unwrap());
        bed.list("greeter", &[1]).await;
        bed.list("users", &[2]).await;
        bed.catalog.declare_no_others(&[claim("users")]);
        bed.catalog.end_undeclared();
        assert_eq!(greeter.is_closed(), !on_demand);
        assert_eq!(bed.catalog.subscribe(&claim("greeter")).is_ok(), on_demand);
        bed.pass(Duration::from_mins(11)).await;
        assert!(greeter.is_closed() && !users.is_closed());
        assert_eq!(bed.names_wanted(), ["users"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_otherwise_is_declared_meanwhile() {
    let bed = Bed::new(Settings { on_demand: false, ..Settings::default() }).await;
    let mut other = claim("greeter");
    other.choice.policy = Policy::Random;
    let before = bed.catalog.declare(&claim("greeter")).unwrap();
    bed.list("greeter", &[1]).await;
    bed.catalog.declare_no_others(std::slice::from_ref(&other));
    assert!(bed.catalog.subscribe(&claim("greeter")).is_ok(), "the table in force still names it");
    let after = bed.catalog.declare(&other).unwrap();
    bed.catalog.declare_no_others(&[other]);
    bed.pass(Duration::from_mins(11)).await;
    assert!(before.is_closed() && !after.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_order_goes_on_where_it_stood_when_providers_change() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1, 2, 3, 4]).await;
    let mut rng = rng::for_worker(0, 0);
    let mut pick = || {
        let snapshot = greeter.snapshot().load();
        snapshot.pick(&mut Ask::new(Moment::START, &mut rng)).unwrap().provider.address.port()
    };
    while pick() != 2 {}
    bed.pass(Duration::from_millis(100)).await;
    bed.list("greeter", &[1, 3, 4, 5]).await;
    assert_eq!([pick(), pick(), pick(), pick(), pick()], [3, 4, 5, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_new_record_at_an_address_is_a_new_chance() {
    let bed = Bed::new(Settings::default()).await;
    let greeter = bed.subscribe("greeter");
    bed.list("greeter", &[1]).await;
    let memory = Arc::clone(&greeter.snapshot().load().endpoints[0].memory);
    memory.fail_to_connect(bed.catalog.clock.now(), 0.5);
    bed.pass(Duration::from_millis(100)).await;
    let mut restarted = Provider::clone(&provider(1));
    restarted.id = "p1-restarted".into();
    let view = View::Present { providers: vec![Arc::new(restarted)], skipped: Vec::new() };
    bed.say(listed("greeter", view)).await;
    let endpoint = greeter.snapshot().load().endpoints[0].clone();
    assert!(Arc::ptr_eq(&endpoint.memory, &memory) && endpoint.is_available());
}

#[tokio::test(start_paused = true)]
async fn status_tells_it_all_in_plain_values() {
    let bed = Bed::new(Settings::default()).await;
    bed.catalog.declare(&claim("greeter")).unwrap();
    bed.subscribe("absent");
    bed.list("greeter", &[1, 2]).await;
    bed.absent("absent").await;
    let services = serde_json::to_value(bed.catalog.services()).unwrap();
    assert_eq!(services[0]["freshness"]["state"], "absent");
    assert_eq!(services[1]["name"], "greeter");
    assert_eq!(services[1]["revision"], 7);
    assert_eq!(services[1]["claims"][0]["policy"], "round-robin");
    assert_eq!(services[1]["endpoints"][1]["address"], "10.0.0.1:2");
    assert_eq!(services[1]["endpoints"][1]["state"], "available");
    let known = bed.catalog.known();
    assert_eq!((known.len(), known[1].endpoints.len()), (2, 2));
    let wanted: BTreeSet<String> = bed.names_wanted().into_iter().collect();
    assert_eq!(wanted.len(), 2);
}
