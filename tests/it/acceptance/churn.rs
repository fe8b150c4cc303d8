//! Providers that come, go and are killed under full load.

use std::collections::VecDeque;

use super::*;
use crate::support::light::Process;
use crate::support::load::Load;
use crate::support::zookeeper::ZooKeeper;

/// How often a provider is announced or withdrawn.
const BEAT: Duration = Duration::from_millis(200);
/// Every so many beats one is killed.
const KILL_EVERY: usize = 5;
/// Providers that live, about.
const ALIVE: usize = 5;

/// Providers announced in ZooKeeper, each a process of its own.
struct Fleet {
    writer: Writer,
    /// Those that live, the oldest first, by id.
    alive: VecDeque<(String, Process)>,
    /// Withdrawn at the last beat: stopped at the next one, as by somebody who first withdraws and then stops.
    leaving: Option<Process>,
    /// Killed, and still announced.
    dead: Vec<String>,
    announced: usize,
    withdrawn: usize,
    killed: usize,
}

impl Fleet {
    async fn add(&mut self) {
        let id = format!("greeter-{:04}", self.announced);
        let provider = Process::start().await;
        announce(&self.writer, &id, provider.address).await;
        self.alive.push_back((id, provider));
        self.announced += 1;
    }

    async fn withdraw(&mut self) {
        let (id, provider) = self.alive.pop_front().unwrap();
        self.writer.delete(&path(&id)).await;
        self.leaving = Some(provider);
        self.withdrawn += 1;
    }

    /// Kills one from the middle. Its record stays for a second, as an ephemeral node does, or for good.
    async fn kill(&mut self) {
        if self.killed % 2 == 1
            && let Some(id) = self.dead.pop()
        {
            self.writer.delete(&path(&id)).await;
        }
        let (id, provider) = self.alive.remove(self.alive.len() / 2).unwrap();
        provider.kill().await;
        self.dead.push(id);
        self.killed += 1;
    }

    async fn beat(&mut self, number: usize) {
        if let Some(provider) = self.leaving.take() {
            provider.kill().await;
        }
        if number % KILL_EVERY == KILL_EVERY - 1 {
            self.kill().await;
        } else if self.alive.len() > ALIVE {
            self.withdraw().await;
        } else {
            self.add().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_providers_come_go_and_are_killed() {
    let zookeeper = ZooKeeper::start().await;
    let mut fleet = Fleet {
        writer: zookeeper.writer().await,
        alive: VecDeque::new(),
        leaving: None,
        dead: Vec::new(),
        announced: 0,
        withdrawn: 0,
        killed: 0,
    };
    for _ in 0..ALIVE {
        fleet.add().await;
    }
    let running = proxy(&format!("zookeeper://{}", zookeeper.addresses()), "");
    let subscription = claim_on_greeter(&running).await;
    let load = Load::start(running.listeners[0], "greeter", CLIENTS, None);
    load.goes_on().await;
    let mut beats = tokio::time::interval(BEAT);
    for number in 0..either(25, 300) {
        beats.tick().await;
        fleet.beat(number).await;
    }
    load.goes_on().await;
    let tally = load.finish().await;
    let Fleet { alive, dead, announced, withdrawn, killed, .. } = &fleet;
    println!(
        "churn: {announced} announced, {withdrawn} withdrawn, {killed} killed, {} of them left announced",
        dead.len()
    );
    println!("churn: {} requests were sent again", running.metrics.proxy.retries_total.get());
    tally.none_failed("churn");
    assert!(tally.answered > 1000 && *killed >= 5);
    assert!(running.metrics.proxy.retries_total.get() > 0, "no request met a killed provider");
    let expected = || (addresses(&subscription).len() == alive.len() + dead.len()).then_some(());
    eventually(SOON, "what is known at the end is what is announced", expected).await;
}
