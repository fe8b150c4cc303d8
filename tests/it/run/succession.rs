//! Succession: a process that takes the place of another one that runs, and what becomes of requests, announcements and experience.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;

use super::Place;
use crate::support::client::Raw;
use crate::support::patience::at_last;
use crate::support::polite::Polite;
use crate::support::program::{ANY, Program, get, request, text, whole};
use crate::support::provider::Echo;
use crate::support::staffed::{Staffed, Work};
use crate::support::zookeeper::ZooKeeper;

/// One process after the other at the same place, under load from twelve connections; in between the first reads its file again, and
/// at last the last one is told to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_processes_take_each_others_place() {
    let echo = Echo::start().await;
    let registry = format!("[registry]\nurl = \"fixed:greeter={}\"\n", echo.address());
    let place = Place::with(&registry);
    let mut running = place.run().await;
    let clients = Polite::start(running.listeners()[0], "greeter", 12);
    clients.answers(100).await;
    place.write(&format!("{registry}[timeouts]\nrequest = \"20s\"\n"));
    running.signal("HUP");
    running.logs("-> \"20s\"").await;
    clients.answers(100).await;
    for _ in 0..3 {
        let successor = place.run().await;
        assert_eq!((successor.listeners(), successor.admin()), (running.listeners(), running.admin()));
        assert!(running.ended().await.success(), "{}", running.log());
        assert!(running.log().contains("another process takes over"), "{}", running.log());
        assert!(!running.log().contains("dropped"), "{}", running.log());
        clients.answers(100).await;
        running = successor;
    }
    clients.leave();
    running.signal("TERM");
    assert!(running.ended().await.success(), "{}", running.log());
    let (answered, connections) = clients.finish().await;
    println!(
        "{answered} requests on {connections} connections of 12 clients, through a reload, three successions and a stop"
    );
    assert!(connections >= 12 * 4, "every connection ended with its process: {connections}");
    assert!(!place.socket().exists(), "the last one removed it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_go_micro_connection_outlives_the_succession() {
    let echo = Echo::start().await;
    let place = Place::with(&format!(
        "drain_timeout = \"1s\"\n[registry]\nurl = \"fixed:greeter={}\"\n[timeouts]\ngo_micro_keep = \"6s\"\n",
        echo.address()
    ));
    let mut first = place.run().await;
    let mut client = Raw::connect(first.listeners()[0]).await;
    let call = "HEAD / HTTP/1.1\r\nhost: greeter\r\nmicro-id: 1\r\nmicro-service: greeter\r\n\r\n";
    let answered = async |client: &mut Raw| {
        client.say(call).await;
        let head = client.hear_head().await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200") && !head.contains("connection: close"), "{head}");
    };
    answered(&mut client).await;
    // One whose connection stays open, as that of a scrape does, or of a program that registers again and again.
    let mut operator = Raw::connect(first.admin()).await;
    operator.say("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    operator.hear_until("ok\n").await;
    let _second = place.run().await;
    first.logs("stopping: draining").await;
    assert_eq!(operator.hear_all().await, "", "from now on the other one is to be asked");
    // Its client's pool has it for longer than everything else is drained.
    answered(&mut client).await;
    assert!(first.is_alive());
    client.hear_all().await;
    assert!(first.ended().await.success());
    assert!(!first.log().contains("dropped"), "{}", first.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_fails_leaves_everything_as_it_was() {
    let echo = Echo::start().await;
    let registry = format!("[registry]\nurl = \"fixed:greeter={}\"\n", echo.address());
    let place = Place::with(&registry);
    let mut first = place.run().await;
    let address = first.listeners()[0];
    let clients = Polite::start(address, "greeter", 2);

    // One that cannot have another address.
    let taken = std::net::TcpListener::bind(ANY).unwrap();
    let file = place.file();
    let taken = taken.local_addr().unwrap().to_string();
    let arguments =
        ["run", "--listen", ANY, "--listen", &taken, "--admin", ANY, "--config", file.to_str().unwrap()];
    let (code, _, complaint) = whole(&arguments, &[]);
    assert_eq!(code, 1, "{complaint}");
    assert!(complaint.contains(&taken), "{complaint}");
    first.logs("this one serves on").await;
    clients.answers(20).await;

    // One whose registry does not answer, and which is told to stop while it waits.
    let socket = place.socket();
    let other = Place::with("");
    let nobody = "[registry]\nurl = \"zookeeper://127.0.0.1:1\"\n[[service]]\nname = \"greeter\"\n";
    std::fs::write(other.file(), format!("succession = \"{}\"\n{nobody}", socket.display())).unwrap();
    let file = other.file();
    let arguments = ["run", "--listen", ANY, "--admin", ANY, "--config", file.to_str().unwrap()];
    let mut second = Program::launch(&arguments, &[]);
    second.logs("taking over").await;
    clients.answers(20).await;
    second.signal("TERM");
    assert_eq!(second.ended().await.code(), Some(1), "{}", second.log());
    assert!(second.log().contains("told to stop"), "{}", second.log());
    clients.answers(20).await;

    // A third one finds everything in its place.
    let third = place.run().await;
    assert!(first.ended().await.success(), "{}", first.log());
    clients.answers(20).await;
    assert_eq!(third.listeners(), [address]);
    clients.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_disk_is_no_reason_to_take_over() {
    let (mut zookeeper, echo, store) =
        (ZooKeeper::start().await, Echo::start().await, tempfile::tempdir().unwrap());
    let place = Place::with(&format!(
        "[registry]\nurl = \"zookeeper://{}\"\n[store]\nfolder = \"{}\"\n[[service]]\nname = \"greeter\"\n",
        zookeeper.addresses(),
        store.path().display()
    ));
    let record =
        format!("{{\"name\":\"greeter\",\"nodes\":[{{\"id\":\"g-1\",\"address\":\"{}\"}}]}}", echo.address());
    zookeeper.writer().await.put("/micro-registry/greeter/g-1", record).await;
    let mut first = place.run().await;
    at_last("it is written", async || first.metric("wayside_store_writes_total", "").await >= 1.0).await;
    zookeeper.server().pause();
    let file = place.file();
    let arguments = ["run", "--listen", ANY, "--admin", ANY, "--config", file.to_str().unwrap()];
    let mut second = Program::launch(&arguments, &[]);
    second.logs("last known providers are at hand").await;
    second.logs("the registry does not answer").await;
    assert!(first.is_alive() && !first.log().contains("another process takes over"), "{}", first.log());
    second.signal("TERM");
    assert_eq!(second.ended().await.code(), Some(1), "{}", second.log());
    zookeeper.server().resume();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announcements_go_over_without_a_gap() {
    let (zookeeper, echo) = (ZooKeeper::start().await, Echo::start().await);
    let place = Place::with(&format!(
        "[registry]\nurl = \"zookeeper://{}\"\n[[announce]]\nservice = \"greeter\"\naddress = \"{}\"\n",
        zookeeper.addresses(),
        echo.address()
    ));
    let first = place.run().await;
    let body =
        format!("{{\"name\":\"asked\",\"nodes\":[{{\"id\":\"a-1\",\"address\":\"{}\"}}]}}", echo.address());
    let answer = request(first.admin(), "POST", "/registry", &body).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    let announced = async |program: &Program| {
        let told = program.ask_json("/announcements").await;
        let announcements = told["announcements"].as_array().unwrap();
        announcements.iter().filter(|one| one["state"] == "announced").count() == 2
    };
    at_last("both are announced", async || announced(&first).await).await;
    let writer = zookeeper.writer().await;
    let records = writer.client.list_children("/micro-registry/greeter").await.unwrap();
    let paths = [format!("/micro-registry/greeter/{}", records[0]), "/micro-registry/asked/a-1".to_owned()];

    let (looks, missed, over) =
        (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let looking = tokio::spawn({
        let (looks, missed, over) = (Arc::clone(&looks), Arc::clone(&missed), Arc::clone(&over));
        let (paths, writer) = (paths.clone(), zookeeper.writer().await);
        async move {
            while !over.load(Ordering::Relaxed) {
                for path in &paths {
                    let is_there = writer.client.check_stat(path).await.unwrap().is_some();
                    missed.fetch_add(usize::from(!is_there), Ordering::Relaxed);
                }
                looks.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let mut running = first;
    for _ in 0..2 {
        let successor = place.run().await;
        assert!(running.ended().await.success(), "{}", running.log());
        assert!(!running.log().contains("cannot be announced"), "{}", running.log());
        running = successor;
    }
    at_last("both are announced by the last", async || announced(&running).await).await;
    over.store(true, Ordering::Relaxed);
    looking.await.unwrap();
    println!(
        "{} looks at two records, {} found one missing",
        looks.load(Ordering::Relaxed),
        missed.load(Ordering::Relaxed)
    );
    assert_eq!(missed.load(Ordering::Relaxed), 0);
    assert_eq!(
        writer.client.list_children("/micro-registry/greeter").await.unwrap(),
        records,
        "under the same id"
    );
    running.signal("TERM");
    assert!(running.ended().await.success());
    for path in &paths {
        assert!(writer.client.check_stat(path).await.unwrap().is_none(), "the last one withdraws {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_announced_no_more_is_withdrawn_by_the_predecessor() {
    let (folder, echo) = (tempfile::tempdir().unwrap(), Echo::start().await);
    let registry = format!("[registry]\nurl = \"file:{}\"\n", folder.path().display());
    let announce =
        |service: &str| format!("[[announce]]\nservice = \"{service}\"\naddress = \"{}\"\n", echo.address());
    let place = Place::with(&format!("{registry}{}{}", announce("kept"), announce("gone")));
    let mut first = place.run().await;
    let listed = |service: &str| {
        let files = std::fs::read_dir(folder.path())
            .unwrap()
            .filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok());
        let documents = files.filter_map(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        documents.flat_map(|it| it["services"][service].as_array().cloned().unwrap_or_default()).count()
    };
    at_last("both are announced", async || (listed("kept"), listed("gone")) == (1, 1)).await;
    place.write(&format!("{registry}{}", announce("kept")));
    let second = place.run().await;
    assert!(first.ended().await.success(), "{}", first.log());
    // What the first had is left with a lock that is free, and removed by the second.
    at_last("one is announced", async || (listed("kept"), listed("gone")) == (1, 0)).await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_out_stays_out_though_nothing_is_on_disk() {
    let work = || Work::of(Duration::ZERO);
    let (failing, well) = (Staffed::start(work()).await, Staffed::start(work()).await);
    failing.says(500);
    let place = Place::with(&format!(
        "[registry]\nurl = \"fixed:greeter={},{}\"\n[services.health]\npause = \"50s\"\n",
        failing.address, well.address
    ));
    let first = place.run().await;
    let ejected = async |program: &Program| program.metric("wayside_endpoints", "state=\"ejected\"").await;
    while ejected(&first).await == 0.0 {
        get_greeter(&first).await;
    }
    let second = place.run().await;
    let before = failing.requests();
    for _ in 0..10 {
        assert_eq!(get_greeter(&second).await, StatusCode::OK);
    }
    assert_eq!((ejected(&second).await, failing.requests()), (1.0, before), "{}", second.log());
}

async fn get_greeter(program: &Program) -> StatusCode {
    let mut client = crate::support::client::Client::connect(program.listeners()[0]).await;
    client.get("greeter", "/").await.status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_of_a_unix_socket_goes_over_and_ends_with_the_last() {
    let echo = Echo::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("greeter.sock");
    let place = Place::with(&format!(
        "[registry]\nurl = \"fixed:greeter={}\"\n[admin]\naddress = \"{ANY}\"\n[[listener]]\naddress = \"unix:{}\"\nservice = \"greeter\"\n",
        echo.address(),
        path.display()
    ));
    let file = place.file();
    let run = async || {
        let program = Program::launch(&["run", "--config", file.to_str().unwrap()], &[]);
        program.logs("operators are answered").await;
        program
    };
    let answered = async || {
        let mut client = Raw::over(tokio::net::UnixStream::connect(&path).await.unwrap());
        client.say("GET / HTTP/1.1\r\nhost: greeter\r\nconnection: close\r\n\r\n").await;
        let heard = client.hear_all().await;
        assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    };
    let mut first = run().await;
    answered().await;
    let mut second = run().await;
    assert!(first.ended().await.success(), "{}", first.log());
    answered().await;
    assert_eq!(get(second.admin(), "/healthz").await.status(), StatusCode::OK);
    second.signal("TERM");
    assert!(second.ended().await.success());
    assert!(!path.exists() && !place.socket().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_answers_for_a_successor_that_is_not_ready() {
    // Whoever is asked while another one gets ready is the one that serves.
    let echo = Echo::start().await;
    let place = Place::with(&format!("[registry]\nurl = \"fixed:greeter={}\"\n", echo.address()));
    let first = place.run().await;
    let over = Arc::<AtomicBool>::default();
    let asking = tokio::spawn({
        let (over, admin) = (Arc::clone(&over), first.admin());
        async move {
            let mut asked = 0;
            while !over.load(Ordering::Relaxed) {
                let ready = get(admin, "/readyz").await;
                assert_eq!(ready.status(), StatusCode::OK, "{}", text(&ready));
                asked += 1;
            }
            asked
        }
    });
    let second = place.run().await;
    at_last("the first drains", async || first.log().contains("draining")).await;
    assert_eq!(second.ask("/readyz").await.status(), StatusCode::OK);
    over.store(true, Ordering::Relaxed);
    let asked = asking.await.unwrap();
    println!("{asked} times ready");
}
