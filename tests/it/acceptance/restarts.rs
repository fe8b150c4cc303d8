//! The program through restarts of its ZooKeepers and ends of its sessions, again and again: nothing is missed, and nothing grows.

use std::time::Instant;

use super::*;
use crate::support::expiry::end_session;
use crate::support::gate::Gate;
use crate::support::program::Program;
use crate::support::zookeeper::ZooKeeper;

/// The round after which memory is to stay as it is.
const SETTLED: usize = 10;

/// The program, and how it was found after each round.
struct Rounds {
    program: Program,
    /// Bytes of memory after each round.
    resident: Vec<u64>,
    /// Processor time in an idle second after each round.
    idle: Vec<Duration>,
}

impl Rounds {
    /// The program, following `greeter` in the registry at a URL.
    async fn begin(url: &str) -> Self {
        let arguments = ["--registry", url, "--workers", "2", "--service", "greeter"];
        Self { program: Program::run(&arguments).await, resident: Vec::new(), idle: Vec::new() }
    }

    /// Waits until these are the providers known, and vouched for.
    async fn shows(&self, expected: &BTreeSet<String>) {
        let (begin, mut looks) = (Instant::now(), tokio::time::interval(Duration::from_millis(20)));
        loop {
            looks.tick().await;
            let service = self.program.ask_json("/services/greeter").await;
            let address = |endpoint: &serde_json::Value| endpoint["address"].as_str().unwrap().to_owned();
            let known: BTreeSet<String> =
                service["endpoints"].as_array().into_iter().flatten().map(address).collect();
            if known == *expected && service["freshness"]["state"] == "live" {
                return;
            }
            assert!(begin.elapsed() < LATER, "{known:?} instead of {expected:?}: {}", self.program.log());
        }
    }

    /// What an idle second costs once a round is over, and what it left behind.
    async fn rest(&mut self) {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        for _ in 0..2 {
            seconds.tick().await;
        }
        let before = self.program.processor_time();
        seconds.tick().await;
        self.idle.push(self.program.processor_time() - before);
        self.resident.push(self.program.resident());
    }

    /// What was measured, held to what was promised.
    fn end(self, what: &str) {
        let count = self.resident.len();
        let settled = self.resident[(SETTLED - 1).min(count - 1)];
        let last = self.resident[count - 1];
        let most = self.idle.iter().max().unwrap();
        let mean = self.idle.iter().sum::<Duration>() / u32::try_from(count).unwrap();
        println!(
            "{what}, {count} times: {} KiB after the first, {} after the {SETTLED}th, {} after the last; \
             an idle second took {mean:?} of processor time, {most:?} at most",
            self.resident[0] / 1024,
            settled / 1024,
            last / 1024
        );
        assert!(last * 10 <= settled * 11, "memory grows: {:?}", self.resident);
        assert!(mean < Duration::from_millis(either(200, 50)), "not idle: {:?}", self.idle);
        assert!(self.program.logged("panic").is_empty(), "{:?}", self.program.logged("panic"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_seen_through_rolling_restarts() {
    let mut zookeeper = ZooKeeper::start_ensemble().await;
    let writer = zookeeper.writer().await;
    announce(&writer, "standing", "10.0.0.1:80").await;
    drop(writer);
    let mut expected = BTreeSet::from(["10.0.0.1:80".to_owned()]);
    let mut rounds = Rounds::begin(&format!("zookeeper://{}", zookeeper.addresses())).await;
    rounds.shows(&expected).await;
    for round in 0..either(1, 50) {
        for server in 0..3 {
            zookeeper.servers[server].kill();
            let there_is_a_leader = || zookeeper.leader();
            eventually(LATER, "there is a leader", there_is_a_leader).await;
            let away = zookeeper.writer().await;
            if server == 1 {
                away.delete(&path("moving-0")).await;
                expected.remove(&format!("10.1.{round}.0:80"));
            }
            let address = format!("10.1.{round}.{server}:80");
            announce(&away, &format!("moving-{server}"), &address).await;
            expected
                .retain(|other| !(other.starts_with("10.1.") && other.ends_with(&format!(".{server}:80"))));
            expected.insert(address);
            drop(away);
            zookeeper.servers[server].start();
            zookeeper.servers[server].ready().await;
        }
        rounds.shows(&expected).await;
        let watches = || zookeeper.servers.iter().map(|server| server.watches()).sum::<i64>();
        eventually(SOON, "there is one watch", || (watches() == 1).then_some(())).await;
        rounds.rest().await;
    }
    rounds.end("a rolling restart of three");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_seen_through_ends_of_sessions() {
    let zookeeper = ZooKeeper::start().await;
    let gate = Gate::open(zookeeper.addresses()).await;
    let writer = zookeeper.writer().await;
    announce(&writer, "standing", "10.0.0.1:80").await;
    let mut rounds = Rounds::begin(&format!("zookeeper://{}", gate.address)).await;
    rounds.shows(&BTreeSet::from(["10.0.0.1:80".to_owned()])).await;
    for round in 0..either(3, 50) {
        let (number, password) = gate.session().unwrap();
        // Frozen, so that its owner does not take it back before it is closed.
        gate.freeze(true);
        end_session(&zookeeper.addresses(), number, &password).await;
        gate.freeze(false);
        let moved = format!("10.1.0.{round}:80");
        announce(&writer, "moving", &moved).await;
        rounds.shows(&BTreeSet::from(["10.0.0.1:80".to_owned(), moved])).await;
        assert_ne!(gate.session().unwrap().0, number, "the session lives on");
        let server = &zookeeper.servers[0];
        eventually(SOON, "there is one watch", || (server.watches() == 1).then_some(())).await;
        rounds.rest().await;
    }
    rounds.end("the session ended");
}
