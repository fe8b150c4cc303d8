//! Where connections go: by the policy, past who cannot be reached or breaks off, to another service where nobody is left.

use std::io;
use std::slice::from_ref;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use wayside::app::Running;
use wayside::provider::{Address, Protocol};

use super::{
    assert_ended, assert_turned_away, at_rest, config, connect, dead, in_flight, metric, pair, port_told,
    proxy, reset,
};
use crate::support::patience::{PATIENCE, at_last};
use crate::support::provider::Script;
use crate::support::proxy::start;
use crate::support::registry::Told;

/// A provider that tells its port to everybody who connects, and ends.
struct Teller {
    address: Address,
    port: u16,
    _task: JoinSet<()>,
}

impl Teller {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(address.port().to_string().as_bytes()).await.unwrap();
            }
        });
        Self { address: address.into(), port: address.port(), _task: task }
    }
}

async fn ports(proxy: &Running, count: usize) -> Vec<Option<u16>> {
    let mut ports = Vec::new();
    for _ in 0..count {
        ports.push(port_told(proxy.listeners[0]).await);
    }
    ports
}

#[tokio::test]
async fn open_connections_are_spread_and_counted_as_in_flight() {
    for policy in ["round-robin", "least-request"] {
        let providers = [Script::start().await, Script::start().await, Script::start().await];
        let addresses = providers.each_ref().map(Script::address);
        let (proxy, _registry) = proxy(&format!("[services]\npolicy = \"{policy}\""), &addresses);
        let mut open = Vec::new();
        for count in 1..=12 {
            open.push(connect(&proxy).await);
            at_last("it is open", async || in_flight(&proxy).iter().sum::<u32>() == count).await;
        }
        let spread = in_flight(&proxy);
        assert!(spread.iter().all(|count| (3..=5).contains(count)), "{policy}: {spread:?}");
        drop(open);
        // What is closed on one side ends when the provider closes too.
        drop(providers);
        at_rest(&proxy).await;
        assert_eq!(in_flight(&proxy), [0, 0, 0]);
    }
}

#[tokio::test]
async fn who_cannot_be_reached_is_passed_by_and_left_alone() {
    let (alive, dead) = (Teller::start().await, [dead().await, dead().await]);
    let [first, second] = dead;
    let (proxy, _registry) = proxy("", &[first, alive.address.clone(), second]);
    assert_eq!(ports(&proxy, 12).await, [Some(alive.port); 12]);
    let service = proxy.catalog.service("svc").unwrap();
    let unreachable = service.endpoints.iter().filter(|endpoint| endpoint.state == "unreachable").count();
    assert_eq!(unreachable, 2);
    assert!(metric(&proxy, "wayside_retries_total{cause=\"unreachable\"}") >= 1.0);
    at_rest(&proxy).await;
    assert_ended(&proxy, "", 12.0).await;
}

#[tokio::test]
async fn where_all_are_dead_the_client_is_told_at_once() {
    let (proxy, _registry) = proxy("", &[dead().await, dead().await, dead().await]);
    let begun = Instant::now();
    for _ in 0..5 {
        assert_turned_away(proxy.listeners[0]).await;
    }
    assert!(begun.elapsed() < PATIENCE / 4, "{:?}", begun.elapsed());
    at_rest(&proxy).await;
    assert_ended(&proxy, "connection_refused", 5.0).await;
}

#[tokio::test]
async fn a_service_that_nobody_knows_has_no_connection() {
    let (proxy, registry) = proxy("", &[]);
    assert_turned_away(proxy.listeners[0]).await;
    assert_ended(&proxy, "no_provider", 1.0).await;
    let teller = Teller::start().await;
    registry.tell("svc", Protocol::Tcp, from_ref(&teller.address));
    at_last("it is passed on", async || port_told(proxy.listeners[0]).await == Some(teller.port)).await;
}

#[tokio::test]
async fn who_breaks_off_before_a_word_is_ejected() {
    let alive = Teller::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broken: Address = listener.local_addr().unwrap().into();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let mut stream = listener.accept().await.unwrap().0;
            // A reset before the connection has come about would be another failure.
            let _ = stream.read_u8().await;
            reset(stream);
        }
    });
    let health =
        "[services.health]\nfailures_in_a_row = 3\nsuccess_percent = 0\npause = \"10m\"\npause_max = \"1h\"";
    let (proxy, _registry) = proxy(health, &[alive.address.clone(), broken.clone()]);
    let state = || {
        let service = proxy.catalog.service("svc").unwrap();
        let found = service.endpoints.into_iter().find(|endpoint| endpoint.address == broken.to_string());
        found.map(|endpoint| endpoint.state)
    };
    at_last("it is ejected", async || {
        let mut client = connect(&proxy).await;
        let _ = client.write_all(b"a").await;
        let _ = client.read_to_end(&mut Vec::new()).await;
        state() == Some("ejected")
    })
    .await;
    assert_eq!(ports(&proxy, 6).await, [Some(alive.port); 6]);
}

#[tokio::test]
async fn who_ends_in_good_order_without_a_word_is_well() {
    let provider = Script::start().await;
    let health = "[services.health]\nfailures_in_a_row = 1";
    let (proxy, _registry) = proxy(health, &[provider.address()]);
    for _ in 0..5 {
        let mut client = connect(&proxy).await;
        client.write_all(b"a line for the log").await.unwrap();
        client.shutdown().await.unwrap();
        let mut server = provider.accept().await;
        assert_eq!(super::hear_end(&mut server).await.0, "a line for the log");
        drop(server);
        assert!(super::hear_end(&mut client).await.1.is_ok());
    }
    at_rest(&proxy).await;
    let endpoint = &proxy.catalog.service("svc").unwrap().endpoints[0];
    assert_eq!((endpoint.attempts, endpoint.failures, endpoint.state), (5, 0, "available"));
}

#[tokio::test]
async fn a_client_stays_with_one_provider_where_the_key_says_so() {
    let tellers =
        [Teller::start().await, Teller::start().await, Teller::start().await, Teller::start().await];
    let addresses = tellers.each_ref().map(|teller| teller.address.clone());
    let (proxy, _registry) = proxy("[services]\npolicy = \"maglev\"\nkey = \"client\"", &addresses);
    let ports = ports(&proxy, 12).await;
    assert!(ports[0].is_some() && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
}

#[tokio::test]
async fn another_service_stands_in_while_nobody_can_be_reached() {
    let (near, far) = (Script::start().await, Teller::start().await);
    let address = near.address();
    let sections = "[[service]]\nname = \"svc\"\nfailover = \"nothing\"";
    let (proxy, registry) = proxy(sections, from_ref(&address));
    registry.tell("nothing", Protocol::Tcp, from_ref(&far.address));
    drop(pair(&proxy, &near).await);
    drop(near);
    at_last("the other one stands in", async || port_told(proxy.listeners[0]).await == Some(far.port)).await;
    let back = TcpListener::bind(address.to_string()).await.unwrap();
    at_last("it is tried again", async || {
        let _client = connect(&proxy).await;
        tokio::time::timeout(Duration::from_millis(20), back.accept()).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn time_runs_out_for_all_attempts_together() {
    // Its queue is full, so that the system answers nothing.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        queued.push(connected.unwrap());
        assert!(queued.len() < 10, "the queue takes any number");
    }
    let mut config = config("[timeouts]\nrequest = \"500ms\"\nconnect = \"500ms\"");
    // That of one attempt is not over before that of all.
    config.upstream.connect_timeout = PATIENCE;
    let proxy = start(config, Told::with("svc", &[address.into(), dead().await]));
    // The other one may be asked first, and then this one in what is left of the time.
    for _ in 0..3 {
        let begun = Instant::now();
        let (_, end) = super::hear_end(&mut connect(&proxy).await).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    }
    at_rest(&proxy).await;
    assert_ended(&proxy, "deadline", 3.0).await;
    let service = proxy.catalog.service("svc").unwrap();
    let silent = service.endpoints.iter().find(|it| it.address == address.to_string()).unwrap();
    assert_eq!((silent.attempts, silent.failures), (3, 3), "it had all the time there was");
}
