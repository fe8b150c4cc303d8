//! Announcing, with an announcer that a test plays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::*;
use crate::check::CheckKind;
use crate::registry::announcer::{Announcer, Standing, Standings, ToAnnounce};
use crate::registry::{RegistryError, Watch};

/// An announcer that does at once what it is told, until it is told to fail.
#[derive(Debug, Default)]
struct Played {
    /// What lies in its registry: the ids, with the address of each.
    records: Mutex<BTreeMap<String, String>>,
    /// When it was begun.
    begun: Mutex<Vec<Instant>>,
    /// Whether it fails, or panics, as soon as it is begun.
    fails: Mutex<Option<&'static str>>,
    /// Ends a run that goes well.
    stop: Notify,
}

impl Played {
    async fn run(&self, mut wanted: ToAnnounce, standings: &Standings) -> RegistryError {
        self.begun.lock().push(Instant::now());
        let failure =
            |why: &str| RegistryError::Unreachable { doing: why.to_owned(), source: "by the test".into() };
        match *self.fails.lock() {
            Some("panics") => panic!("as the test wants it"),
            Some(why) => return failure(why),
            None => {}
        }
        self.records.lock().clear();
        loop {
            let is_over = wanted.has_changed().is_err();
            let now = if is_over { Arc::default() } else { Arc::clone(&wanted.borrow_and_update()) };
            let (mut records, mut told) = (BTreeMap::new(), BTreeMap::new());
            for (key, one) in &*now {
                let id = one.provider.id.to_string();
                let standing = match id.as_str() {
                    "refused" => Standing::Refused { cause: "it is not liked".to_owned() },
                    _ => Standing::Announced { record: format!("/records/{id}") },
                };
                records.insert(id, one.provider.address.to_string());
                told.insert(Arc::clone(key), standing);
            }
            *self.records.lock() = records;
            standings.send_replace(Arc::new(told));
            if is_over {
                return RegistryError::Abandoned;
            }
            tokio::select! {
                _ = wanted.changed() => {}
                () = self.stop.notified() => return failure("it was stopped"),
            }
        }
    }

    fn ids(&self) -> Vec<String> {
        self.records.lock().keys().cloned().collect()
    }
}

impl Announcer for Played {
    fn kind(&self) -> &'static str {
        "played"
    }

    fn location(&self) -> String {
        "in this test".to_owned()
    }

    fn announce<'a>(&'a self, wanted: ToAnnounce, standings: &'a Standings) -> Watch<'a> {
        Box::pin(self.run(wanted, standings))
    }
}

/// Announcements that run, with the announcer of their only target.
struct Running {
    all: Arc<Announcements>,
    played: Arc<Played>,
}

fn running() -> Running {
    let (metrics, clock) = (Metrics::new(), Clock::start());
    let all = Announcements::new(metrics, clock);
    tokio::spawn(Arc::clone(&all).run());
    Running { all, played: Arc::default() }
}

impl Running {
    fn target(&self) -> Target {
        Target { name: Arc::from(""), announcer: Arc::clone(&self.played) as Arc<dyn Announcer> }
    }

    fn withdraw(&self, id: &str) -> Result<bool, Refusal> {
        self.all.withdraw(&"greeter".parse().unwrap(), id, &self.target())
    }

    fn wish(&self, id: Option<&str>) -> Wish {
        let address = Advertised::As("10.0.0.5:80".parse().unwrap());
        let target =
            Target { name: Arc::from(""), announcer: Arc::clone(&self.played) as Arc<dyn Announcer> };
        let check = Check { kind: CheckKind::None, ..Check::default() };
        Wish { id: id.map(Arc::from), check, ..Wish::new("greeter".parse().unwrap(), address, target) }
    }

    /// How an announcement stands once that is settled.
    async fn settled(&self, id: &str) -> Status {
        self.all.settled(&format!("greeter/{id}"), Duration::from_secs(60)).await.expect("it is known")
    }

    /// Waits until these lie in the registry.
    async fn has(&self, ids: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.played.ids() != ids {
            assert!(Instant::now() < deadline, "{:?} instead of {ids:?}", self.played.ids());
            passed(Duration::from_millis(10)).await;
        }
    }

    fn counted(&self) -> String {
        let text = self.all.metrics.render(&[]);
        text.lines()
            .filter(|line| line.starts_with("wayside_announce"))
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

/// Lets the paused clock go on by so much, with all that happens meanwhile.
async fn passed(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wished_for_is_announced_counted_and_withdrawn_at_the_end() {
    let it = running();
    it.all.configure(&[it.wish(Some("a")), it.wish(Some("refused"))]);
    let status = it.settled("a").await;
    assert_eq!((status.state, status.record.as_deref()), ("announced", Some("/records/a")));
    let refused = it.settled("refused").await;
    assert_eq!((refused.state, refused.cause.as_deref()), ("refused", Some("it is not liked")));
    it.all.ask(it.wish(Some("b")), None).unwrap();
    assert_eq!(it.settled("b").await.origin, "request");
    assert!(it.counted().contains("wayside_announced{service=\"greeter\"} 2\n"), "{}", it.counted());

    assert!(it.all.close(Duration::from_secs(5)).await);
    assert_eq!(it.played.ids(), [""; 0]);
    let counted = it.counted();
    for line in [
        "wayside_announcement_changes_total{change=\"announced\"} 2\n",
        "wayside_announcement_changes_total{change=\"refused\"} 1\n",
        "wayside_announcement_changes_total{change=\"withdrawn\"} 2\n",
    ] {
        assert!(counted.contains(line), "{line} in {counted}");
    }
    assert!(!counted.contains("wayside_announced{"), "{counted}");
    assert_eq!(it.all.ask(it.wish(Some("c")), None), Err(Refusal::Stopping));
}

#[tokio::test(start_paused = true)]
async fn an_announcer_that_fails_or_panics_is_begun_again_after_longer_pauses() {
    for (how, cause) in [
        ("cannot reach it", "cannot reach it: by the test"),
        ("panics", "the registry's client panicked; please report this"),
    ] {
        let it = running();
        *it.played.fails.lock() = Some(how);
        it.all.configure(&[it.wish(Some("a"))]);
        let status = it.settled("a").await;
        assert_eq!((status.state, status.cause.as_deref()), ("waiting", Some(cause)));
        passed(Duration::from_secs(120)).await;
        let begun = it.played.begun.lock().clone();
        let pauses: Vec<Duration> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.len() > 20, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(5_002)), "{pauses:?}");
        *it.played.fails.lock() = None;
        it.has(&["a"]).await;
        assert_eq!(it.settled("a").await.state, "announced");
        // One that worked and fails is told of as well.
        let runs = it.played.begun.lock().len();
        it.played.stop.notify_one();
        passed(Duration::from_secs(6)).await;
        assert_eq!(it.played.begun.lock().len(), runs + 1);
        it.has(&["a"]).await;
        assert!(it.counted().contains("change=\"lost\"} 1"), "{}", it.counted());
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_does_not_answer_does_not_hold_up_the_end() {
    let it = running();
    *it.played.fails.lock() = Some("cannot reach it");
    it.all.configure(&[it.wish(Some("a"))]);
    passed(Duration::from_secs(60)).await;
    let runs = it.played.begun.lock().len();
    let closed = Instant::now();
    assert!(!it.all.close(Duration::from_secs(5)).await, "nobody knows whether it is withdrawn");
    assert_eq!((closed.elapsed(), it.played.begun.lock().len()), (Duration::ZERO, runs + 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_reload_does_not_change_stays_the_same_value() {
    let it = running();
    let moved =
        |wish: &Wish| Wish { address: Advertised::As("10.0.0.6:80".parse().unwrap()), ..wish.clone() };
    let (nameless, named) = (it.wish(None), it.wish(Some("a")));
    it.all.configure(&[nameless.clone(), named.clone()]);
    it.settled("a").await;
    let ids = || it.all.status().into_iter().map(|status| status.id).collect::<Vec<_>>();
    let before = ids();
    assert!(before[0] == "a" && before[1].starts_with("greeter-"), "{before:?}");
    it.all.configure(&[named.clone(), nameless.clone()]);
    assert_eq!(ids(), before);
    // One without an id that moves, or gets a sibling, keeps the id it was given.
    it.all.configure(&[moved(&nameless), nameless.clone(), named]);
    assert!(before.iter().all(|id| ids().contains(id)) && ids().len() == 3, "{:?}", ids());
    it.all.configure(&[moved(&nameless)]);
    assert_eq!(ids().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_without_an_id_that_moves_takes_nobody_elses() {
    // Which of two ids comes first is up to chance.
    for _ in 0..16 {
        let it = running();
        let at = |host: &str| Wish { address: Advertised::As(host.parse().unwrap()), ..it.wish(None) };
        let (moves, stays) = (at("10.0.0.6:80"), at("10.0.0.5:80"));
        let of = |address: &str| {
            let all = it.all.status();
            all.into_iter().find(|one| one.address.as_deref() == Some(address)).map(|one| one.id)
        };
        it.all.configure(&[moves, stays.clone()]);
        passed(Duration::from_secs(1)).await;
        let before = of("10.0.0.5:80");
        it.all.configure(&[at("10.0.0.7:80"), stays]);
        assert!(before.is_some() && of("10.0.0.5:80") == before, "it is as it was, and known to be");
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_may_ask_again_but_not_against_the_configuration() {
    let it = running();
    it.all.configure(&[it.wish(Some("a"))]);
    let configured = Refusal::Configured { service: "greeter".to_owned(), id: "a".to_owned() };
    assert_eq!(it.all.ask(it.wish(Some("a")), None), Err(configured.clone()));
    assert_eq!(it.withdraw("a"), Err(configured));
    let lasts = Some(Duration::from_secs(10));
    it.all.ask(it.wish(Some("b")), lasts).unwrap();
    it.has(&["a", "b"]).await;
    passed(Duration::from_secs(9)).await;
    it.all.ask(it.wish(Some("b")), lasts).unwrap();
    passed(Duration::from_secs(9)).await;
    assert_eq!(it.played.ids(), ["a", "b"]);
    passed(Duration::from_secs(2)).await;
    it.has(&["a"]).await;
    // A reload takes nothing from programs.
    it.all.ask(it.wish(Some("c")), None).unwrap();
    it.all.configure(&[]);
    it.has(&["c"]).await;
    assert_eq!(it.withdraw("c"), Ok(true));
    assert!(it.all.gone(&"greeter".parse().unwrap(), "c", &it.target(), Duration::from_secs(1)).await);
    assert_eq!(it.withdraw("c"), Ok(false));
}

#[tokio::test(start_paused = true)]
async fn what_programs_ask_of_the_process_before_counts_to_the_last() {
    let (before, it) = (running(), running());
    let lasts = Some(Duration::from_secs(10));
    before.all.ask(before.wish(Some("kept")), lasts).unwrap();
    before.all.ask(before.wish(Some("gone")), None).unwrap();
    before.has(&["gone", "kept"]).await;
    it.all.inherit(before.all.bequests(), Some(&it.target()));
    it.has(&["gone", "kept"]).await;
    passed(Duration::from_secs(8)).await;
    before.all.ask(before.wish(Some("kept")), lasts).unwrap();
    before.all.ask(before.wish(Some("new")), None).unwrap();
    assert_eq!(before.withdraw("gone"), Ok(true));
    it.all.catch_up(&before.all.bequests(), &it.target());
    passed(Duration::from_secs(8)).await;
    it.has(&["kept", "new"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_is_over_is_held_against_nothing_that_comes_later() {
    let it = running();
    *it.played.fails.lock() = Some("cannot reach it");
    it.all.ask(it.wish(Some("a")), None).unwrap();
    assert_eq!(it.settled("a").await.state, "waiting");
    assert_eq!(it.withdraw("a"), Ok(true));
    *it.played.fails.lock() = None;
    passed(Duration::from_secs(60)).await;
    let down = it.all.book.lock().desks[0].down.lock().clone();
    assert_eq!(down, None, "nobody would be told why the next one waits by what is long over");
}

#[tokio::test(start_paused = true)]
async fn what_starts_later_is_asked_later() {
    let it = running();
    let begun = Instant::now();
    it.all.configure(&[Wish { start_delay: Duration::from_secs(30), ..it.wish(Some("a")) }]);
    let status = it.all.settled("greeter/a", Duration::from_secs(20)).await.unwrap();
    assert_eq!((status.state, status.is_well), ("withheld", None));
    it.settled("a").await;
    assert!(begun.elapsed() >= Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(it.played.ids(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_not_found_withholds_and_says_why() {
    let it = running();
    let address = Advertised::Port { port: 80, interface: Some("no-such-interface".to_owned()) };
    it.all.configure(&[Wish { address, ..it.wish(Some("a")) }]);
    passed(Duration::from_secs(1)).await;
    let status = it.all.status().remove(0);
    assert_eq!((status.state, status.address), ("withheld", None));
    assert!(status.cause.unwrap().starts_with("there is no interface no-such-interface"));
}
