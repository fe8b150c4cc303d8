//! DNS as a registry, against a server that the test steers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::ResponseCode;
use wayside::provider::Protocol;
use wayside::registry::format::Reason;
use wayside::registry::{Registry, View, kinds};

use crate::support::dns::{Answer, DnsServer, at, srv};
use crate::support::patience::eventually;
use crate::support::watching::Watching;

/// What a server that answers needs for anything, many times over.
const SOON: Duration = Duration::from_secs(10);

fn watch(dns: &DnsServer, options: &str, services: &[&str]) -> Watching {
    let url = format!("dns://{}?{options}&max_ttl=1s&timeout=300ms", dns.address);
    let registry: Arc<dyn Registry> = url.parse::<kinds::Settings>().unwrap().open();
    Watching::start(registry, services)
}

const NAME: &str = "name=_http._tcp.{service}.test";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_come_change_and_go() {
    let dns = DnsServer::start().await;
    let name = "_http._tcp.web.test";
    let watching = watch(&dns, NAME, &["web"]);
    eventually(SOON, "there is no such name", || watching.is_absent("web")).await;
    let one = vec![srv(name, 1, 10, 80, "a.test"), srv(name, 1, 30, 81, "b.test")];
    dns.answer(name, Answer::Records(one, 60));
    dns.answer("a.test", Answer::Records(vec![at("a.test", "10.0.0.1"), at("a.test", "::1")], 60));
    dns.answer("b.test", Answer::Records(vec![at("b.test", "2001:db8::2")], 60));
    let ids = ["10.0.0.1:80", "[2001:db8::2]:81"];
    eventually(SOON, "IPv4 where there is any, else IPv6", || watching.has("web", &ids)).await;
    let providers = watching.providers("web").unwrap();
    let said: Vec<(u32, &str)> =
        providers.iter().map(|p| (p.weight.hundredths(), p.metadata["target"].as_str())).collect();
    assert_eq!(said, [(1000, "a.test"), (3000, "b.test")]);

    dns.answer("b.test", Answer::Records(vec![at("b.test", "10.0.0.3"), at("b.test", "10.0.0.2")], 60));
    let ids = ["10.0.0.1:80", "10.0.0.2:81", "10.0.0.3:81"];
    eventually(SOON, "a target moves, and has two addresses", || watching.has("web", &ids)).await;
    dns.answer(name, Answer::Records(Vec::new(), 1));
    eventually(SOON, "a name without records is there without providers", || watching.has("web", &[])).await;
    dns.forget(name);
    eventually(SOON, "a name that is gone is absent", || watching.is_absent("web")).await;
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_best_priority_is_used_and_an_answer_may_bring_addresses() {
    let dns = DnsServer::start().await;
    let name = "_http._tcp.web.test";
    let records = vec![
        srv(name, 2, 0, 82, "spare.test"),
        srv(name, 1, 0, 81, "main.test"),
        at("main.test", "10.0.0.1"),
        at("spare.test", "10.0.0.2"),
    ];
    dns.answer(name, Answer::Records(records, 1));
    let watching = watch(&dns, NAME, &["web"]);
    eventually(SOON, "the better one is used", || watching.has("web", &["10.0.0.1:81"])).await;
    let View::Present { skipped, .. } = watching.listing("web").unwrap().view else { panic!("absent") };
    assert_eq!((skipped.len(), skipped[0].reason), (1, Reason::Filtered));
    assert_eq!(skipped[0].detail, "a better priority than 2 exists");
    assert_eq!(watching.listing("web").unwrap().reads, 1);
    assert_eq!(dns.asked("main.test"), 0, "what came beside is not asked for");

    let records = vec![
        srv(name, 2, 0, 82, "spare.test"),
        srv(name, 1, 0, 81, "gone.test"),
        at("spare.test", "10.0.0.2"),
    ];
    dns.answer(name, Answer::Records(records, 1));
    eventually(SOON, "the next one stands in", || watching.has("web", &["10.0.0.2:82"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_with_a_port_and_a_protocol() {
    let dns = DnsServer::start().await;
    dns.answer("web.test", Answer::Records(vec![at("web.test", "10.0.0.2"), at("web.test", "10.0.0.1")], 1));
    let options = "name={service}.test&port=8080&protocol=h2c&tls=true";
    let watching = watch(&dns, options, &["Web", "not..a.name"]);
    eventually(SOON, "all addresses are providers", || {
        watching.has("Web", &["10.0.0.1:8080", "10.0.0.2:8080"])
    })
    .await;
    let first = watching.providers("Web").unwrap().remove(0);
    assert_eq!((first.protocol, first.secure), (Protocol::H2c, true));
    eventually(SOON, "what can be no name is none", || watching.is_absent("not..a.name")).await;
    let count = watching.count();
    let asked = dns.asked("web.test");
    dns.answer("web.test", Answer::Records(vec![at("web.test", "10.0.0.1"), at("web.test", "10.0.0.2")], 1));
    eventually(SOON, "it is asked for again", || (dns.asked("web.test") > asked + 2).then_some(())).await;
    assert_eq!(watching.count(), count, "another order is no change");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_a_datagram_is_read_over_tcp() {
    let dns = DnsServer::start().await;
    let all: Vec<String> = (1..=100).map(|last| format!("10.0.0.{last}")).collect();
    let records = all.iter().map(|ip| at("web.test", ip)).collect();
    dns.answer("web.test", Answer::Records(records, 1));
    let watching = watch(&dns, "name={service}.test&port=80", &["web"]);
    eventually(SOON, "all are listed", || (watching.providers("web")?.len() == 100).then_some(())).await;
    assert!(dns.asked_over_tcp() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_believed_as_long_as_it_says_and_not_longer_than_is_allowed() {
    let dns = DnsServer::start().await;
    for (name, ttl) in [("short.test", 1), ("long.test", 4), ("zero.test", 0)] {
        dns.answer(name, Answer::Records(vec![at(name, "10.0.0.1")], ttl));
    }
    let url = format!("dns://{}?name={{service}}.test&port=80&max_ttl=1h", dns.address);
    let registry = url.parse::<kinds::Settings>().unwrap().open();
    let begun = Instant::now();
    let _watching = Watching::start(registry, &["short", "long", "zero"]);
    eventually(SOON * 2, "the long one is asked for again", || (dns.asked("long.test") > 1).then_some(()))
        .await;
    assert!(begun.elapsed() >= Duration::from_secs(4));
    // One at first, and one after each second or a little more.
    for name in ["short.test", "zero.test"] {
        let most = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
        assert!((3..=most).contains(&dns.asked(name)), "{name} was asked for {} times", dns.asked(name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_service_that_fails_takes_nothing_away_from_it_or_others() {
    let dns = DnsServer::start().await;
    for name in ["web.test", "api.test"] {
        dns.answer(name, Answer::Records(vec![at(name, "10.0.0.1")], 1));
    }
    let watching = watch(&dns, "name={service}.test&port=80", &["web", "api"]);
    for service in ["web", "api"] {
        eventually(SOON, "it is listed", || watching.has(service, &["10.0.0.1:80"])).await;
    }
    let count = watching.count();
    for failure in
        [Answer::Code(ResponseCode::ServFail), Answer::Code(ResponseCode::Refused), Answer::Silence]
    {
        dns.answer("web.test", failure);
        let asked = dns.asked("web.test");
        let others = dns.asked("api.test");
        eventually(SOON * 2, "the one was asked for", || (dns.asked("web.test") > asked).then_some(())).await;
        eventually(SOON * 2, "the other goes on", || (dns.asked("api.test") > others + 2).then_some(()))
            .await;
    }
    dns.answer("api.test", Answer::Records(vec![at("api.test", "10.0.0.2")], 1));
    eventually(SOON, "its changes are seen", || watching.has("api", &["10.0.0.2:80"])).await;
    assert!(watching.lists_since(count, "web").is_empty());
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_not_answered_keeps_its_addresses() {
    let dns = DnsServer::start().await;
    let name = "_http._tcp.web.test";
    let both = vec![srv(name, 1, 1, 80, "a.test"), srv(name, 1, 1, 80, "b.test")];
    dns.answer(name, Answer::Records(both.clone(), 1));
    dns.answer("a.test", Answer::Records(vec![at("a.test", "10.0.0.1")], 1));
    dns.answer("b.test", Answer::Records(vec![at("b.test", "10.0.0.2")], 1));
    let watching = watch(&dns, NAME, &["web"]);
    eventually(SOON, "both are listed", || watching.has("web", &["10.0.0.1:80", "10.0.0.2:80"])).await;
    dns.answer("b.test", Answer::Code(ResponseCode::ServFail));
    dns.answer("a.test", Answer::Records(vec![at("a.test", "10.0.0.3")], 1));
    eventually(SOON, "the one moves, the other stays", || {
        watching.has("web", &["10.0.0.2:80", "10.0.0.3:80"])
    })
    .await;
    dns.forget("b.test");
    eventually(SOON, "what has no address is out", || watching.has("web", &["10.0.0.3:80"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_no_server_answers_or_all_fails_the_watch_ends_and_nothing_is_lost() {
    let dns = DnsServer::start().await;
    let here = Answer::Records(vec![at("web.test", "10.0.0.1")], 1);
    dns.answer("web.test", here.clone());
    let watching = watch(&dns, "name={service}.test&port=80", &["web", "nobody"]);
    eventually(SOON, "it is listed", || watching.has("web", &["10.0.0.1:80"])).await;
    let count = watching.count();
    dns.silence(true);
    let failure = eventually(SOON * 2, "silence ends the watch", || watching.failures().pop()).await;
    assert!(failure.starts_with(&format!("no DNS server answers of dns://{}", dns.address)), "{failure}");
    assert!(watching.lists_since(count, "web").is_empty(), "no silence takes a provider away");
    dns.answer("web.test", Answer::Records(vec![at("web.test", "10.0.0.2")], 1));
    dns.silence(false);
    eventually(SOON, "what changed meanwhile is seen", || watching.has("web", &["10.0.0.2:80"])).await;

    watching.want(&["web"]);
    dns.answer("web.test", Answer::Code(ResponseCode::ServFail));
    let before = watching.failures().len();
    let failure = eventually(SOON * 2, "when none can be had, the watch ends", || {
        watching.failures().get(before).cloned()
    })
    .await;
    assert!(failure.contains("tell of no service, last of web"), "{failure}");
    dns.answer("web.test", here);
    eventually(SOON, "it recovers", || watching.has("web", &["10.0.0.1:80"])).await;
}
