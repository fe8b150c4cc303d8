//! Servers that die, hang, forget and come back.

use super::*;
use crate::support::gate::Gate;

/// What a server that was away needs to be back, many times over.
const LATER: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_is_set_again_after_each_reconnect() {
    let mut zookeeper = ZooKeeper::start().await;
    announce(&zookeeper.writer().await, "greeter", "a", "10.0.0.1:80").await;
    // Long enough for the same session to find the server again.
    let watching = watch(&zookeeper, "session_timeout=40s&connection_timeout=15s", &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    let mut ids = vec!["a"];
    for id in ["b", "c", "d"] {
        let count = watching.count();
        zookeeper.server().kill();
        eventually(SOON, "the loss is reported", || watching.disconnected_since(count)).await;
        zookeeper.server().start();
        zookeeper.server().ready().await;
        eventually(LATER, "the return is reported", || watching.connected_since(count)).await;
        eventually(SOON, "the service is listed anew", || watching.lists_since(count, "greeter").pop()).await;
        // What follows a reconnect is over then: only a watch can tell of the next change.
        let quiet = || (watching.quiet() >= Duration::from_millis(500)).then_some(());
        eventually(SOON, "nothing more is reported", quiet).await;
        let writer = zookeeper.writer().await;
        let count = watching.count();
        announce(&writer, "greeter", id, "10.0.0.2:80").await;
        ids.push(id);
        eventually(SOON, "the event comes, long before the audit", || watching.has("greeter", &ids)).await;
        assert_eq!(watching.lists_since(count, "greeter")[0].reads, 1);
    }
    assert_eq!(watching.failures(), [""; 0], "the session was to live on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_while_the_server_was_dead_is_seen_and_nothing_is_emptied() {
    let mut zookeeper = ZooKeeper::start().await;
    let watching = {
        let writer = zookeeper.writer().await;
        announce(&writer, "greeter", "a", "10.0.0.1:80").await;
        announce(&writer, "greeter", "b", "10.0.0.2:80").await;
        watch(&zookeeper, "session_timeout=4s&connection_timeout=1s", &["greeter", "absent"])
    };
    eventually(SOON, "both are listed", || watching.has("greeter", &["a", "b"])).await;
    let count = watching.count();
    zookeeper.server().kill();
    eventually(LATER, "the watch ends", || (!watching.failures().is_empty()).then_some(())).await;
    // On another port, so that the changes are made before the watch can see the server.
    let public = zookeeper.server().move_to(None);
    zookeeper.server().start();
    zookeeper.server().ready().await;
    let writer = zookeeper.writer().await;
    writer.delete("/micro-registry/greeter/a").await;
    announce(&writer, "greeter", "c", "10.0.0.3:80").await;
    announce(&writer, "absent", "d", "10.0.0.4:80").await;
    drop(writer);
    zookeeper.server().kill();
    assert!(
        watching.lists_since(count, "greeter").is_empty(),
        "nothing is said of a service while nobody knows"
    );
    zookeeper.server().move_to(Some(public));
    zookeeper.server().start();
    zookeeper.server().ready().await;
    eventually(LATER, "the changes are seen", || watching.has("greeter", &["b", "c"])).await;
    eventually(LATER, "the new service is seen", || watching.has("absent", &["d"])).await;
    assert_eq!(watching.lists_since(count, "greeter").len(), 1, "one list, and never an empty one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_beyond_the_session_is_left_and_found_again() {
    let mut zookeeper = ZooKeeper::start().await;
    announce(&zookeeper.writer().await, "greeter", "a", "10.0.0.1:80").await;
    let watching = watch(&zookeeper, "session_timeout=3s&connection_timeout=1s", &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    let count = watching.count();
    zookeeper.server().pause();
    eventually(SOON, "the hang is noticed", || watching.disconnected_since(count)).await;
    eventually(SOON, "new sessions are tried and fail", || (watching.failures().len() >= 3).then_some(()))
        .await;
    assert!(
        watching.lists_since(count, "greeter").is_empty(),
        "nothing is said of a service while nobody knows"
    );
    zookeeper.server().resume();
    announce(&zookeeper.writer().await, "greeter", "b", "10.0.0.2:80").await;
    eventually(LATER, "it is found again", || watching.has("greeter", &["a", "b"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_session_ends_the_watch_and_the_next_one_works() {
    let zookeeper = ZooKeeper::start().await;
    announce(&zookeeper.writer().await, "greeter", "a", "10.0.0.1:80").await;
    let gate = Gate::open(zookeeper.addresses()).await;
    let url = format!("zookeeper://{}?session_timeout=6s&connection_timeout=3s", gate.address);
    let watching = Watching::start(registry(&url), &["greeter", "other"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    let count = watching.count();
    gate.freeze(true);
    let server = &zookeeper.servers[0];
    let expired = || (server.number("zk_global_sessions") == 0).then_some(());
    eventually(LATER, "the server gives the session up, and the writer has closed its own", expired).await;
    gate.freeze(false);
    eventually(LATER, "the watch ends", || (!watching.failures().is_empty()).then_some(())).await;
    assert!(watching.failures()[0].contains("the session expired"), "{:?}", watching.failures());
    eventually(LATER, "the next one lists it", || watching.lists_since(count, "greeter").pop()).await;
    announce(&zookeeper.writer().await, "greeter", "b", "10.0.0.2:80").await;
    eventually(SOON, "and follows it", || watching.has("greeter", &["a", "b"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_data_is_followed_all_the_same() {
    let mut zookeeper = ZooKeeper::start().await;
    announce(&zookeeper.writer().await, "greeter", "a", "10.0.0.1:80").await;
    let watching = watch(&zookeeper, "session_timeout=4s&connection_timeout=1s", &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    zookeeper.server().kill();
    zookeeper.server().forget();
    zookeeper.server().start();
    // It refuses clients that have seen more than it has, so only a new session gets there.
    eventually(LATER, "the registry itself says that the service is gone", || watching.is_absent("greeter"))
        .await;
    announce(&zookeeper.writer().await, "greeter", "b", "10.0.0.2:80").await;
    eventually(SOON, "and that it came", || watching.has("greeter", &["b"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_not_there_yet_is_found_when_it_comes() {
    let mut zookeeper = ZooKeeper::start().await;
    announce(&zookeeper.writer().await, "greeter", "a", "10.0.0.1:80").await;
    zookeeper.server().kill();
    let watching = watch(&zookeeper, "", &["greeter"]);
    eventually(SOON, "it is tried again and again", || (watching.failures().len() >= 3).then_some(())).await;
    let failure = watching.failures()[0].clone();
    assert!(failure.contains(&zookeeper.addresses()), "{failure}");
    assert_eq!(watching.count(), 0);
    zookeeper.server().start();
    eventually(LATER, "it is found", || watching.has("greeter", &["a"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ensemble_that_loses_its_leader_is_followed_on() {
    let mut zookeeper = ZooKeeper::start_ensemble().await;
    let writer = zookeeper.writer().await;
    announce(&writer, "greeter", "a", "10.0.0.1:80").await;
    let watching = watch(&zookeeper, "", &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    let count = watching.count();
    let leader = eventually(LATER, "there is a leader", || zookeeper.leader()).await;
    zookeeper.servers[leader].kill();
    eventually(LATER, "there is another", || zookeeper.leader()).await;
    let writer = zookeeper.writer().await;
    announce(&writer, "greeter", "b", "10.0.0.2:80").await;
    eventually(LATER, "the change is seen", || watching.has("greeter", &["a", "b"])).await;
    zookeeper.servers[leader].start();
    zookeeper.servers[leader].ready().await;
    writer.delete("/micro-registry/greeter/a").await;
    eventually(LATER, "and the next", || watching.has("greeter", &["b"])).await;
    let emptied = watching.lists_since(count, "greeter").into_iter().filter(|listing| match &listing.view {
        View::Present { providers, .. } => providers.is_empty(),
        View::Absent => true,
    });
    assert_eq!(emptied.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_is_spread_after_a_reconnect_and_a_first_list_never_waits() {
    let mut zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    announce(&writer, "greeter", "a", "10.0.0.1:80").await;
    announce(&writer, "late", "l", "10.0.0.2:80").await;
    drop(writer);
    let options = "session_timeout=40s&connection_timeout=15s&spread=60s";
    let fleet: Vec<Watching> = (0..8).map(|_| watch(&zookeeper, options, &["greeter"])).collect();
    let all = |is: &dyn Fn(&Watching) -> Option<()>| fleet.iter().all(|one| is(one).is_some()).then_some(());
    eventually(SOON, "all have listed it", || all(&|one| one.has("greeter", &["a"]))).await;
    let counts: Vec<usize> = fleet.iter().map(Watching::count).collect();
    zookeeper.server().kill();
    zookeeper.server().start();
    let is_back = |(one, count): (&Watching, &usize)| one.connected_since(*count).is_some();
    eventually(LATER, "all are back", || fleet.iter().zip(&counts).all(is_back).then_some(())).await;
    fleet.iter().for_each(|one| one.want(&["greeter", "late"]));
    eventually(SOON, "a first list is there at once", || all(&|one| one.has("late", &["l"]))).await;
    let listed_anew =
        fleet.iter().zip(&counts).filter(|(one, count)| !one.lists_since(**count, "greeter").is_empty());
    // Each by itself would be in one of hundreds of cases.
    assert!(listed_anew.count() < fleet.len(), "what is known is to be read at some time within a minute");
}
