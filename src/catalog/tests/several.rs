//! Several registries at once: what each says, what is used of it, and what one that fails takes away, which is nothing.

use super::*;
use crate::catalog::source::Role;

const USE: Role = Role::Use;
const FALLBACK: Role = Role::Fallback;
const SHADOW: Role = Role::Shadow;

/// What a script was last told to be wanted.
type Wanting = Arc<Mutex<Option<Wanted>>>;

/// A catalog that follows scripts `a`, `b` and so on.
struct Several {
    catalog: Arc<Catalog>,
    metrics: Arc<Metrics>,
    scripts: Vec<(mpsc::UnboundedSender<Step>, Wanting)>,
    drain: Drain,
}

impl Several {
    async fn new(roles: &[Role]) -> Self {
        let metrics = Metrics::new();
        let (mut scripts, mut sources) = (Vec::new(), Vec::new());
        for (name, role) in ["a", "b", "c"].into_iter().zip(roles) {
            let (steps, queue) = mpsc::unbounded_channel();
            let wanted = Arc::default();
            let registry = Script {
                steps: tokio::sync::Mutex::new(queue),
                begun: Arc::default(),
                wanted: Arc::clone(&wanted),
            };
            sources.push(Source { name: name.into(), role: *role, registry: Arc::new(registry) });
            scripts.push((steps, wanted));
        }
        let catalog = Catalog::new(Settings::default(), sources, Arc::clone(&metrics), Clock::start(), 1);
        let drain = Drain::new();
        for number in 0..catalog.sources() {
            drain.spawn("follow", catalog.follow(number, drain.clone()));
        }
        let several = Self { catalog, metrics, scripts, drain };
        several.run().await;
        several
    }

    async fn run(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn pass(&self, millis: u64) {
        let _ = tokio::time::timeout(Duration::from_millis(millis), std::future::pending::<()>()).await;
        self.run().await;
    }

    /// What a registry says or does next; changes close together are held back, so a while has to pass.
    async fn step(&self, number: usize, step: Step) {
        self.scripts[number].0.send(step).unwrap();
        self.pass(100).await;
    }

    async fn list(&self, number: usize, ports: &[u16]) {
        let providers = ports.iter().map(|port| provider(*port)).collect();
        self.step(number, Step::Say(listed("greeter", View::Present { providers, skipped: vec![] }))).await;
    }

    async fn absent(&self, number: usize) {
        self.step(number, Step::Say(listed("greeter", View::Absent))).await;
    }

    async fn fail(&self, number: usize) {
        self.step(number, Step::Fail("reading")).await;
    }

    fn subscribe(&self) -> Arc<Subscription> {
        self.catalog.subscribe(&claim("greeter")).unwrap()
    }

    fn wanted(&self, number: usize) -> Vec<String> {
        let wanted = self.scripts[number].1.lock();
        wanted.as_ref().unwrap().borrow().iter().map(ToString::to_string).collect()
    }

    fn restrict(&self, names: &[&str]) {
        let names = names.iter().map(|name| Arc::from(*name)).collect();
        self.catalog.restrict([("greeter".parse().unwrap(), names)].into());
    }
}

impl Drop for Several {
    fn drop(&mut self) {
        self.drain.stop();
    }
}

#[tokio::test(start_paused = true)]
async fn what_two_say_is_used_together_and_one_that_fails_takes_nothing_away() {
    let both = Several::new(&[USE, USE]).await;
    let greeter = both.subscribe();
    both.list(0, &[1, 2]).await;
    assert_eq!(
        (ports(&greeter), greeter.freshness()),
        (vec![1, 2], Freshness::Live),
        "the other is not waited for"
    );
    both.list(1, &[2, 3]).await;
    assert_eq!(ports(&greeter), [1, 2, 3]);
    let memory = Arc::clone(&greeter.snapshot().load().endpoints[1].memory);
    both.fail(0).await;
    assert_eq!((ports(&greeter), greeter.freshness()), (vec![1, 2, 3], Freshness::Live));
    let states: Vec<_> = both.catalog.registries().iter().map(|registry| registry.state).collect();
    assert_eq!(states, ["down", "up"]);
    let up = |name| both.metrics.catalog.registry(name).up.get();
    assert_eq!((up("a"), up("b")), (0, 1));
    both.list(1, &[3]).await;
    assert_eq!(ports(&greeter), [1, 2, 3], "what the first said last still counts");
    both.fail(1).await;
    assert!(matches!(greeter.freshness(), Freshness::Stale { .. }));
    both.absent(0).await;
    assert_eq!(ports(&greeter), [3], "only a registry's own word takes away what it said");
    both.list(1, &[2, 3]).await;
    assert_eq!(greeter.freshness(), Freshness::Live);
    assert!(!Arc::ptr_eq(&memory, &greeter.snapshot().load().endpoints[0].memory), "gone in between");
    both.absent(1).await;
    assert_eq!(greeter.freshness(), Freshness::Absent, "now that both say so");
}

#[tokio::test(start_paused = true)]
async fn who_moves_from_one_registry_to_the_other_keeps_its_memory() {
    let both = Several::new(&[USE, USE]).await;
    let greeter = both.subscribe();
    both.list(0, &[1, 2]).await;
    let memory = Arc::clone(&greeter.snapshot().load().endpoints[0].memory);
    both.list(1, &[1]).await;
    both.list(0, &[2]).await;
    both.list(1, &[1, 2]).await;
    both.absent(0).await;
    assert_eq!((ports(&greeter), greeter.freshness()), (vec![1, 2], Freshness::Live));
    assert!(Arc::ptr_eq(&memory, &greeter.snapshot().load().endpoints[0].memory));
    let status = serde_json::to_value(both.catalog.service("greeter").unwrap()).unwrap();
    assert_eq!(status["endpoints"][0]["registries"], serde_json::json!(["b"]));
    assert_eq!(status["registries"][0]["freshness"]["state"], "absent");
    assert_eq!(
        (&status["registries"][1]["used"], &status["registries"][1]["providers"]),
        (&true.into(), &2.into())
    );
    assert!(status["revision"].is_null(), "a number of one registry says nothing of the list of both");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_serves_while_no_other_knows_a_provider() {
    let two = Several::new(&[USE, FALLBACK]).await;
    let greeter = two.subscribe();
    two.list(1, &[9]).await;
    assert_eq!(greeter.freshness(), Freshness::Pending, "the first is to speak first");
    two.absent(0).await;
    assert_eq!((ports(&greeter), greeter.freshness()), (vec![9], Freshness::Live));
    two.list(0, &[1]).await;
    assert_eq!(ports(&greeter), [1]);
    two.fail(0).await;
    assert_eq!(ports(&greeter), [1], "not to answer is not to be empty");
    assert!(matches!(greeter.freshness(), Freshness::Stale { .. }));
    two.list(0, &[]).await;
    assert_eq!((ports(&greeter), greeter.freshness()), (vec![9], Freshness::Live));
    two.list(1, &[8, 9]).await;
    assert_eq!(ports(&greeter), [8, 9]);
    two.list(1, &[]).await;
    assert_eq!((ports(&greeter), greeter.freshness()), (vec![], Freshness::Live));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_serves_while_the_first_was_never_reached_or_says_nothing() {
    let two = Several::new(&[USE, FALLBACK]).await;
    let greeter = two.subscribe();
    two.list(1, &[9]).await;
    two.fail(0).await;
    assert_eq!((ports(&greeter), greeter.freshness()), (vec![9], Freshness::Live));
    two.list(0, &[1]).await;
    assert_eq!(ports(&greeter), [1]);

    let silent = Several::new(&[USE, FALLBACK]).await;
    let greeter = silent.subscribe();
    let timeout = Settings::default().first_list_timeout;
    let (listed, ()) = tokio::join!(greeter.listed(timeout), silent.list(1, &[9]));
    assert!(listed && ports(&greeter) == [9], "a request that waits is answered in time");
}

#[tokio::test(start_paused = true)]
async fn a_shadow_is_compared_and_never_used() {
    let two = Several::new(&[USE, SHADOW]).await;
    let greeter = two.subscribe();
    let shadows = || two.catalog.known()[0].shadows.clone();
    two.list(1, &[2, 3, 4]).await;
    assert_eq!((greeter.freshness(), shadows()), (Freshness::Pending, vec![]), "nothing to compare with");
    two.list(0, &[1, 2]).await;
    assert_eq!((ports(&greeter), shadows()), (vec![1, 2], vec![("b".into(), 3)]));
    let status = serde_json::to_value(two.catalog.service("greeter").unwrap()).unwrap();
    let expected = serde_json::json!({
        "count": 3, "only_used": ["10.0.0.1:1"], "only_shadow": ["10.0.0.1:3", "10.0.0.1:4"], "different": [],
    });
    assert_eq!(status["registries"][1]["differences"], expected);
    assert_eq!(status["endpoints"][1]["registries"], serde_json::json!(["a", "b"]));
    two.list(1, &[1, 2]).await;
    assert_eq!(shadows(), [("b".into(), 0)]);
    two.list(0, &[]).await;
    assert_eq!((ports(&greeter), shadows()), (vec![], vec![("b".into(), 2)]));
    two.fail(0).await;
    assert!(ports(&greeter).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_first_list_is_waited_for_only_while_somebody_may_have_it() {
    let both = Several::new(&[USE, USE]).await;
    let greeter = both.subscribe();
    both.absent(0).await;
    let begin = Instant::now();
    assert!(!greeter.listed(Duration::from_secs(5)).await);
    assert_eq!(begin.elapsed().as_secs(), 5, "the second may know it");
    both.fail(1).await;
    let begin = Instant::now();
    assert!(!greeter.listed(Duration::from_secs(5)).await && begin.elapsed().is_zero(), "nobody else will");
    assert_eq!(greeter.freshness(), Freshness::Pending, "one never spoke, so nothing says that it is absent");
    let (listed, ()) = tokio::join!(greeter.listed(Duration::from_secs(5)), async {
        both.step(1, Step::Say(connected())).await;
        both.list(1, &[1]).await;
    });
    assert!(!listed && ports(&greeter) == [1]);
}

#[tokio::test(start_paused = true)]
async fn a_service_may_be_restricted_to_some() {
    let both = Several::new(&[USE, USE]).await;
    both.restrict(&["b"]);
    let greeter = both.subscribe();
    both.catalog.subscribe(&claim("users")).unwrap();
    assert_eq!(
        (both.wanted(0), both.wanted(1)),
        (vec!["users".to_owned()], vec!["greeter".to_owned(), "users".to_owned()])
    );
    both.list(0, &[1]).await;
    assert_eq!(greeter.freshness(), Freshness::Pending, "it was not asked");
    both.list(1, &[2]).await;
    assert_eq!((ports(&greeter), greeter.freshness()), (vec![2], Freshness::Live));
    both.restrict(&["a"]);
    assert_eq!((both.wanted(0).len(), both.wanted(1)), (2, vec!["users".to_owned()]));
    assert_eq!(ports(&greeter), [2], "until the other has spoken");
    both.list(0, &[1]).await;
    assert_eq!(ports(&greeter), [1]);
    both.catalog.restrict(Restrictions::new());
    both.list(1, &[2]).await;
    assert_eq!(ports(&greeter), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_service_is_given_up_only_while_all_who_know_it_answer() {
    let both = Several::new(&[USE, USE]).await;
    let greeter = both.subscribe();
    both.list(0, &[1]).await;
    both.absent(1).await;
    both.fail(0).await;
    both.pass(3_600_000).await;
    assert!(!greeter.is_closed(), "who knows it does not answer");
    both.step(0, Step::Say(connected())).await;
    both.fail(1).await;
    both.pass(2_000).await;
    assert!(greeter.is_closed(), "who does not know it need not answer");
}

#[tokio::test(start_paused = true)]
async fn each_registry_is_warned_of_by_itself() {
    let both = Several::new(&[USE, USE]).await;
    let _greeter = both.subscribe();
    both.list(0, &[1]).await;
    both.list(1, &[1]).await;
    both.fail(1).await;
    both.pass(301_000).await;
    let state = both.catalog.state.lock();
    assert_eq!((state.standings[0].warned, state.standings[1].warned), (false, true));
}
