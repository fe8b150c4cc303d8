//! Announcing in etcd: a record with a lease, kept alive, restored, changed in place, and withdrawn.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use wayside::provider::Provider;
use wayside::registry::RegistryError;
use wayside::registry::announcer::{Announcement, Announcer as _, Standing};

use super::*;

const KEY: &str = "/micro/registry/greeter/greeter-1";

/// An announcer at work, tried again for ever when its registry fails.
struct Announcing {
    wanted: watch::Sender<Arc<BTreeMap<Arc<str>, Arc<Announcement>>>>,
    standings: watch::Receiver<Arc<BTreeMap<Arc<str>, Standing>>>,
    task: JoinHandle<RegistryError>,
}

impl Announcing {
    fn start(settings: etcd::Settings, announcements: &[(&str, Announcement)]) -> Self {
        let (wanted, receiver) = watch::channel(named(announcements));
        let (sender, standings) = watch::channel(Arc::default());
        let task = tokio::spawn(async move {
            let announcer = etcd::announcer(settings);
            loop {
                match announcer.announce(receiver.clone(), &sender).await {
                    RegistryError::Abandoned => return RegistryError::Abandoned,
                    RegistryError::Unreachable { .. } | RegistryError::Refused { .. } => {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        Self { wanted, standings, task }
    }

    fn want(&self, announcements: &[(&str, Announcement)]) {
        self.wanted.send_replace(named(announcements));
    }

    fn standing(&self, name: &str) -> Option<Standing> {
        self.standings.borrow().get(name).cloned()
    }

    fn announced(&self, name: &str) -> Option<String> {
        match self.standing(name)? {
            Standing::Announced { record } => Some(record),
            Standing::Refused { .. } => None,
        }
    }
}

fn named(announcements: &[(&str, Announcement)]) -> Arc<BTreeMap<Arc<str>, Arc<Announcement>>> {
    let named =
        |(name, announcement): &(&str, Announcement)| ((*name).into(), Arc::new(announcement.clone()));
    Arc::new(announcements.iter().map(named).collect())
}

fn greeter(id: &str, port: u16, seconds: u64) -> Announcement {
    Announcement {
        service: "greeter".parse().unwrap(),
        provider: Provider::new(id, format!("10.0.0.1:{port}").parse().unwrap()),
        service_metadata: BTreeMap::new(),
        endpoints: Vec::new(),
        ttl: Duration::from_secs(seconds),
        since: SystemTime::UNIX_EPOCH,
    }
}

fn settings(etcd: &Etcd) -> etcd::Settings {
    format!("//{}", etcd.address()).parse().unwrap()
}

/// The last list, as ids and ports.
fn listed(watching: &Watching) -> Option<Vec<(String, u16)>> {
    let providers = watching.providers("greeter")?;
    let mut listed: Vec<_> =
        providers.iter().map(|provider| (provider.id.to_string(), provider.address.port())).collect();
    listed.sort();
    Some(listed)
}

fn has(watching: &Watching, expected: &[(&str, u16)]) -> Option<()> {
    let listed = listed(watching)?;
    let listed: Vec<(&str, u16)> = listed.iter().map(|(id, port)| (id.as_str(), *port)).collect();
    (listed == expected).then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_announced_kept_alive_changed_in_place_and_withdrawn() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let watching = watch(&etcd, "", &["greeter"]);
    eventually(SOON, "there is nobody", || watching.is_absent("greeter")).await;
    let announcing = Announcing::start(settings(&etcd), &[("one", greeter("greeter-1", 80, 2))]);
    let record = eventually(SOON, "it is announced", || announcing.announced("one")).await;
    assert_eq!(record, KEY);
    eventually(SOON, "and listed", || has(&watching, &[("greeter-1", 80)])).await;
    let tenure = watching.providers("greeter").unwrap()[0].tenure;
    assert!(matches!(tenure, Tenure::Leased(_)), "{tenure:?}");

    let count = watching.count();
    let begin = Instant::now();
    eventually(SOON, "several lives", || (begin.elapsed() > Duration::from_secs(7)).then_some(())).await;
    assert_eq!(watching.count(), count, "it was there all the time, and written once");

    let two = ("two", greeter("greeter-2", 82, 60));
    announcing.want(&[("one", greeter("greeter-1", 81, 2)), two.clone()]);
    eventually(SOON, "it moved", || has(&watching, &[("greeter-1", 81), ("greeter-2", 82)])).await;
    announcing.want(&[("one", greeter("greeter-9", 81, 2)), two.clone()]);
    eventually(SOON, "its id changed", || has(&watching, &[("greeter-2", 82), ("greeter-9", 81)])).await;
    let lists = watching.lists_since(count, "greeter");
    assert!(lists.iter().all(|list| list.view != View::Absent), "it was never gone on the way");

    announcing.want(&[two]);
    eventually(SOON, "one is withdrawn", || has(&watching, &[("greeter-2", 82)])).await;
    eventually(SOON, "and said to be", || announcing.standing("one").is_none().then_some(())).await;
    let begin = Instant::now();
    drop(announcing.wanted);
    let error = announcing.task.await.unwrap();
    assert!(matches!(error, RegistryError::Abandoned), "{error:?}");
    assert_eq!(writer.get("/micro/registry/greeter/greeter-2").await, None, "withdrawn before it ended");
    assert!(begin.elapsed() < SOON, "and not by its lease");
    assert!(announcing.standings.borrow().is_empty());
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_somebody_deleted_and_one_whose_lease_was_lost_are_restored() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let announcing = Announcing::start(settings(&etcd), &[("one", greeter("greeter-1", 80, 60))]);
    eventually(SOON, "it is announced", || announcing.announced("one")).await;
    let watching = watch(&etcd, "", &["greeter"]);
    for what in ["the record", "the lease"] {
        eventually(SOON, "it is listed", || has(&watching, &[("greeter-1", 80)])).await;
        let (_, lease) = writer.get(KEY).await.unwrap();
        let count = watching.count();
        let begin = Instant::now();
        match what {
            "the record" => writer.delete(KEY).await,
            _ => drop(writer.client.lease_revoke(lease).await.unwrap()),
        }
        eventually(SOON, what, || (watching.lists_since(count, "greeter").len() == 2).then_some(())).await;
        println!("etcd: {what} was restored after {:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(5), "{what}: {:?}", begin.elapsed());
        assert!(has(&watching, &[("greeter-1", 80)]).is_some());
        eventually(SOON, "and said to be there", || announcing.announced("one")).await;
        assert_ne!(writer.get(KEY).await.unwrap().1, lease, "with another lease");
    }
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_announced_anew_when_the_server_is_back() {
    let mut etcd = Etcd::start().await;
    let announcing = Announcing::start(settings(&etcd), &[("one", greeter("greeter-1", 80, 2))]);
    eventually(SOON, "it is announced", || announcing.announced("one")).await;
    etcd.kill();
    eventually(SOON, "nobody knows", || announcing.standing("one").is_none().then_some(())).await;
    etcd.run();
    eventually(SOON, "it is announced anew", || announcing.announced("one")).await;
    let watching = watch(&etcd, "", &["greeter"]);
    eventually(SOON, "it is listed", || has(&watching, &[("greeter-1", 80)])).await;
    let begin = Instant::now();
    eventually(SOON, "the first lease ends", || (begin.elapsed() > Duration::from_secs(7)).then_some(()))
        .await;
    let gone = watching.lists_since(0, "greeter").iter().any(|list| list.view == View::Absent);
    assert!(!gone, "the record was not of the first lease any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_format_asks_for_a_number_the_lease_gives_it() {
    let etcd = Etcd::start().await;
    let settings = format!("//{}?format=nerve&prefix=/nerve", etcd.address()).parse().unwrap();
    let announcing = Announcing::start(settings, &[("one", greeter("i-1", 80, 2))]);
    let record = eventually(SOON, "it is announced", || announcing.announced("one")).await;
    let (_, number) = record.rsplit_once("/i-1_").unwrap();
    assert!(number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit()), "{record}");
    let watching = watch(&etcd, "format=nerve&prefix=/nerve", &["greeter"]);
    let providers = eventually(SOON, "it is listed", || watching.providers("greeter")).await;
    assert_eq!((providers.len(), &*providers[0].record), (1, record.as_str()));
    announcing.want(&[("one", greeter("i-1", 81, 2))]);
    eventually(SOON, "it moved, under another number", || {
        let providers = watching.providers("greeter")?;
        (providers.len() == 1 && providers[0].address.to_string() == "10.0.0.1:81").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_successor_announces_is_not_withdrawn_with_us() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let first = Announcing::start(settings(&etcd), &[("one", greeter("greeter-1", 80, 60))]);
    eventually(SOON, "it is announced", || first.announced("one")).await;
    let second = Announcing::start(settings(&etcd), &[("one", greeter("greeter-1", 80, 60))]);
    eventually(SOON, "its successor too", || second.announced("one")).await;
    let (_, lease) = writer.get(KEY).await.unwrap();
    drop(first.wanted);
    first.task.await.unwrap();
    assert_eq!(writer.get(KEY).await.unwrap().1, lease, "the record stands");
    drop(second.wanted);
    second.task.await.unwrap();
    assert_eq!(writer.get(KEY).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_announced_is_refused_with_its_cause_and_holds_up_nothing() {
    let etcd = Etcd::start_with(&["--bcrypt-cost", "4"]).await;
    let mut writer = secure::with_users(&etcd).await;
    let key = "/micro/registry/greeter/";
    let permission = etcd_client::Permission::read_write(key).with_prefix();
    writer.client.role_grant_permission("reader", permission).await.unwrap();
    let scott = settings(&etcd).with_auth("scott:tiger".parse().unwrap());
    let other = Announcement { service: "private".parse().unwrap(), ..greeter("p", 80, 60) };
    let nameless = greeter("..", 80, 60);
    let announcements = [("good", greeter("greeter-1", 80, 60)), ("other", other), ("nameless", nameless)];
    let announcing = Announcing::start(scott, &announcements);
    eventually(SOON, "the good one is announced", || announcing.announced("good")).await;
    for (name, cause) in [("other", "/micro/registry/private/p may not be written"), ("nameless", "\"..\"")] {
        match eventually(SOON, name, || announcing.standing(name)).await {
            Standing::Refused { cause: told } => assert!(told.contains(cause), "{told}"),
            Standing::Announced { record } => panic!("{record}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_a_full_database_does_not_take_ends_no_other() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let one = ("one", greeter("greeter-1", 80, 60));
    let announcing = Announcing::start(settings(&etcd), std::slice::from_ref(&one));
    eventually(SOON, "it is announced", || announcing.announced("one")).await;
    let before = writer.get(KEY).await;
    let (set, full) = (etcd_client::AlarmAction::Activate, etcd_client::AlarmType::Nospace);
    writer.client.alarm(set, full, None).await.unwrap();
    announcing.want(&[one, ("two", greeter("greeter-2", 81, 60))]);
    match eventually(SOON, "it is decided", || announcing.standing("two")).await {
        Standing::Refused { cause } => assert!(cause.contains("no room left; compact"), "{cause}"),
        Standing::Announced { record } => panic!("{record}"),
    }
    assert!(announcing.announced("one").is_some(), "it is kept alive");
    assert_eq!(writer.get(KEY).await, before, "as it was");
}
