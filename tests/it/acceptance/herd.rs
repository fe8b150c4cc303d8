//! What a fleet of sidecars asks of one ZooKeeper: for each change, when it comes back, and when nothing happens.

use std::time::Instant;

use tokio::time::MissedTickBehavior;
use wayside::registry::kinds;

use super::*;
use crate::support::watching::Watching;
use crate::support::zookeeper::{Server, ZooKeeper};

/// Services that each sidecar follows, and providers of each.
const SERVICES: [&str; 5] = ["greeter", "users", "orders", "stock", "prices"];
const PROVIDERS: usize = 10;
/// The fleet for which the cost is computed.
const FLEET: f64 = 10_000.0;
/// How often the server's count is looked at.
const SAMPLE: Duration = Duration::from_millis(100);

/// Sidecars, as far as discovery goes: each with a session of its own.
struct Herd {
    sidecars: Vec<Watching>,
}

impl Herd {
    async fn gather(zookeeper: &ZooKeeper, count: usize, spread: &str) -> Self {
        // The session survives a restart of the server.
        let url = format!("zookeeper://{}?spread={spread}", zookeeper.addresses());
        let registry = url.parse::<kinds::Settings>().unwrap().open();
        let sidecars = (0..count).map(|_| Watching::start(Arc::clone(&registry), &SERVICES)).collect();
        let herd = Self { sidecars };
        let all = |sidecar: &Watching| SERVICES.iter().all(|service| sidecar.listing(service).is_some());
        eventually(LATER, "all are listed", || herd.sidecars.iter().all(all).then_some(())).await;
        herd
    }

    /// Waits until every sidecar knows a provider of `greeter` at this address.
    async fn knows(&self, address: &str) {
        let knows = |sidecar: &Watching| {
            let providers = sidecar.providers("greeter").unwrap();
            providers.iter().any(|provider| provider.address.to_string() == address)
        };
        eventually(LATER, address, || self.sidecars.iter().all(knows).then_some(())).await;
    }

    fn counts(&self) -> Vec<usize> {
        self.sidecars.iter().map(Watching::count).collect()
    }

    /// Whether every sidecar has listed every service since.
    fn listed_since(&self, counts: &[usize]) -> bool {
        self.sidecars.iter().zip(counts).all(|(sidecar, count)| {
            SERVICES.iter().all(|service| !sidecar.lists_since(*count, service).is_empty())
        })
    }

    fn per_sidecar(&self, requests: i64) -> f64 {
        requests as f64 / self.sidecars.len() as f64
    }
}

/// What a server has received, less what this count asked for itself.
struct Count<'a> {
    server: &'a Server,
    asked: i64,
}

impl Count<'_> {
    fn now(&mut self) -> i64 {
        let received = self.server.number("zk_packets_received") - self.asked;
        self.asked += 1;
        received
    }
}

/// What it cost.
struct Cost {
    spread: &'static str,
    per_change: f64,
    per_change_in_a_burst: f64,
    per_idle_minute: f64,
    per_restart: f64,
    /// Requests of the fleet in the busiest tenth of a second after the restart.
    peak: i64,
    sidecars: usize,
}

async fn change(writer: &Writer, number: usize) -> String {
    let address = format!("10.8.{}.{}:80", number / 200, number % 200);
    announce(writer, "moving", &address).await;
    address
}

/// Requests in some seconds, a minute of them.
async fn idle(count: &mut Count<'_>, seconds: u64) -> i64 {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    let before = count.now();
    for _ in 0..seconds {
        ticks.tick().await;
    }
    (count.now() - before) * 60 / i64::try_from(seconds).unwrap()
}

/// Makes changes: so many, so far apart. Gives the readings they led to, and all requests meanwhile, signs of life included.
async fn changes(
    (herd, writer, count): (&Herd, &Writer, &mut Count<'_>),
    (first, changes, apart): (usize, usize, Duration),
) -> (i64, i64) {
    let (counts, before) = (herd.counts(), count.now());
    let mut beat = tokio::time::interval(apart);
    let mut last = String::new();
    for number in first..first + changes {
        beat.tick().await;
        last = change(writer, number).await;
    }
    herd.knows(&last).await;
    let readings =
        herd.sidecars.iter().zip(counts).map(|(sidecar, count)| sidecar.lists_since(count, "greeter"));
    // Each is one request, for all records that changed.
    let readings: usize = readings.map(|lists| lists.len()).sum();
    (i64::try_from(readings).unwrap(), count.now() - before - i64::try_from(changes).unwrap())
}

/// Restarts the server: requests until all is listed anew and still, and in the busiest tenth of a second.
async fn restart(herd: &Herd, zookeeper: &mut ZooKeeper) -> (i64, i64) {
    let counts = herd.counts();
    zookeeper.server().kill();
    zookeeper.server().start();
    zookeeper.server().ready().await;
    let server = &zookeeper.servers[0];
    let mut samples = tokio::time::interval(SAMPLE);
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // It counts from its start; its answers before were to the test.
    let mut count = Count { server, asked: 0 };
    let (begin, mut last, mut peak) = (Instant::now(), 0, 0);
    let mut before = begin;
    loop {
        samples.tick().await;
        let now = count.now();
        // A look that comes late sees what came in a longer time.
        let late = before.elapsed().max(SAMPLE).as_secs_f64() / SAMPLE.as_secs_f64();
        peak = peak.max(((now - last) as f64 / late) as i64);
        (last, before) = (now, Instant::now());
        if herd.listed_since(&counts) {
            return (now, peak);
        }
        assert!(begin.elapsed() < LATER, "not all are listed anew");
    }
}

async fn cost(sidecars: usize, spread: &'static str) -> Cost {
    let mut zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    for service in SERVICES {
        for number in 0..PROVIDERS {
            let record = record(&format!("p{number}"), &format!("10.0.0.{number}:80"));
            writer.put(&format!("/micro-registry/{service}/p{number}"), record).await;
        }
    }
    let herd = Herd::gather(&zookeeper, sidecars, spread).await;
    let mut count = Count { server: &zookeeper.servers[0], asked: 1 };
    let idle_minute = idle(&mut count, either(4, 60)).await;
    let apart = (0, either(4, 20), Duration::from_millis(500));
    let (single, asked) = changes((&herd, &writer, &mut count), apart).await;
    // Whatever is asked puts off a sign of life.
    let seconds = 1 + apart.1 as i64 / 2;
    assert!(asked <= single + idle_minute * seconds / 60 * 2, "{asked} requests for {single} readings");
    let burst_of = (20, either(100, 500), Duration::from_millis(20));
    let (burst, _) = changes((&herd, &writer, &mut count), burst_of).await;
    drop(writer);
    let (requests, peak) = restart(&herd, &mut zookeeper).await;
    Cost {
        spread,
        per_change: herd.per_sidecar(single) / apart.1 as f64,
        per_change_in_a_burst: herd.per_sidecar(burst) / burst_of.1 as f64,
        per_idle_minute: herd.per_sidecar(idle_minute),
        per_restart: herd.per_sidecar(requests),
        peak,
        sidecars,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_load_of_a_fleet_is_bounded() {
    let sidecars = either(40, 200);
    let mut costs = Vec::new();
    for spread in ["0s", "1s", "5s"] {
        costs.push(cost(sidecars, spread).await);
    }
    assert!(costs[1].peak < costs[0].peak, "{} and {}", costs[1].peak, costs[0].peak);
    let number = SERVICES.len();
    println!(
        "{sidecars} sidecars, {number} services of {PROVIDERS} providers each; requests of one sidecar:"
    );
    println!(
        "{:>6} {:>10} {:>16} {:>12} {:>8} {:>22} {:>28}",
        "spread",
        "a change",
        "one of 50 a s",
        "idle minute",
        "restart",
        "peak of all in 100 ms",
        "of 10,000: idle/s, peak/s"
    );
    for Cost { spread, per_change, per_change_in_a_burst, per_idle_minute, per_restart, peak, sidecars } in
        &costs
    {
        println!(
            "{spread:>6} {per_change:>10.2} {per_change_in_a_burst:>16.3} {per_idle_minute:>12.1} {per_restart:>8.1} \
             {peak:>22} {:>14.0} {:>13.0}",
            FLEET * per_idle_minute / 60.0,
            FLEET * (*peak as f64) * 10.0 / *sidecars as f64,
        );
        assert!(*per_change < 1.5, "{per_change} requests for a change");
        assert!(*per_change_in_a_burst < 0.3, "{per_change_in_a_burst} requests for one change of many");
        // A sign of life about every second, so that a silent server is noticed within two.
        assert!(*per_idle_minute < 90.0, "{per_idle_minute} requests in an idle minute");
        assert!(*per_restart < 10.0 + 5.0 * number as f64, "{per_restart} requests after a restart");
    }
}
