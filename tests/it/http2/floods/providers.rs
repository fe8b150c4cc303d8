//! Providers that flood: what the program itself comes to hold, and whether other services are served meanwhile.

use super::*;
use crate::support::provider::Script;

/// Makes what is said in a round, on the stream of a request.
type Make = Box<dyn FnMut(u32, u32) -> Vec<u8> + Send>;

/// Answers a request with a flood; how it went on for.
async fn flood_back(
    provider: &Script,
    make: impl FnMut(u32, u32) -> Vec<u8> + Send + 'static,
    limit: Duration,
) -> (u32, usize, Duration) {
    let mut frames = Frames::begin(provider.accept().await, 100).await;
    let (stream, mut make) = (frames.asked().await, make);
    let (mut from, to) = frames.stream.into_split();
    // What comes is taken, so that nothing is held up on that account.
    let taking = tokio::spawn(async move { tokio::io::copy(&mut from, &mut tokio::io::sink()).await });
    let poured = pour(to, move |round| make(stream, round), limit).await;
    taking.abort();
    poured
}

/// What providers flood with.
fn floods() -> Vec<(&'static str, Make)> {
    let head = |stream: u32, round: u32| {
        if round == 0 { frame(HEADERS, END_HEADERS, stream, [0x88]) } else { Vec::new() }
    };
    vec![
        (
            "1xx",
            Box::new(|stream, _| {
                frame(HEADERS, END_HEADERS, stream, fields(&[(":status", "100")])).repeat(1000)
            }),
        ),
        ("PING", Box::new(|_, _| frame(PING, 0, 0, [0; 8]).repeat(1000))),
        ("SETTINGS", Box::new(|_, _| frame(SETTINGS, 0, 0, setting(4, 65_535)).repeat(1000))),
        ("RST_STREAM", Box::new(|stream, _| reset(stream, Code::CANCEL).repeat(1000))),
        ("WINDOW_UPDATE", Box::new(|_, _| frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]).repeat(1000))),
        (
            "empty DATA",
            Box::new(move |stream, round| {
                [head(stream, round), frame(DATA, 0, stream, []).repeat(1000)].concat()
            }),
        ),
        (
            "DATA of a byte",
            Box::new(move |stream, round| {
                [head(stream, round), frame(DATA, 0, stream, "x").repeat(1000)].concat()
            }),
        ),
        (
            "CONTINUATION",
            Box::new(|stream, round| {
                let first = if round == 0 { frame(HEADERS, 0, stream, [0x88]) } else { Vec::new() };
                [first, frame(CONTINUATION, 0, stream, []).repeat(100)].concat()
            }),
        ),
        (
            "fields without end",
            Box::new(|stream, round| {
                let piece = fields(&[("x", "a".repeat(16_000))]);
                if round == 0 {
                    frame(HEADERS, 0, stream, [0x88])
                } else {
                    frame(CONTINUATION, 0, stream, piece)
                }
            }),
        ),
    ]
}

/// What the library would take for as long as it comes.
const COSTS_TIME_ALONE: [&str; 4] = ["PING", "SETTINGS", "RST_STREAM", "WINDOW_UPDATE"];

/// The program with a provider of `bad` that speaks HTTP/2, and one of `svc`.
async fn begin(bad: &Script, good: &Light) -> (Program, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (file, config) = (folder.path().join("providers.toml"), folder.path().join("wayside.toml"));
    let lists = format!(
        "[services]\nbad = [{{ address = \"{}\", protocol = \"h2c\" }}]\nsvc = [{{ address = \"{}\" }}]\n",
        bad.address(),
        good.address
    );
    std::fs::write(&file, lists).unwrap();
    let text = format!(
        "workers = 1\n[registry]\nurl = \"file:{}\"\n[retries]\nmax = 0\n[services.health]\neject = false\n",
        file.display()
    );
    std::fs::write(&config, text).unwrap();
    (Program::run(&["--config", config.to_str().unwrap()]).await, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_that_flood_harm_no_other() {
    let (bad, good) = (Script::start().await, Light::start().await);
    let (mut program, _folder) = begin(&bad, &good).await;
    let address = program.listeners()[0];
    for (what, make) in floods() {
        let mut other = Client::connect(address).await;
        for _ in 0..50 {
            assert_eq!(other.get("svc", "/").await.status(), 200);
        }
        let before = program.resident();
        let limit = either(Duration::from_secs(1), Duration::from_secs(10));
        let asking = tokio::spawn(async move {
            Client::connect(address).await.try_get("bad", "/").await.map(|answer| answer.status())
        });
        let flooding = flood_back(&bad, make, limit);
        tokio::pin!(flooding);
        let (mut most, mut slowest) = (before, Duration::ZERO);
        let (rounds, said, took) = loop {
            let asked = Instant::now();
            tokio::select! {
                poured = &mut flooding => break poured,
                answer = other.get("svc", "/") => assert_eq!(answer.status(), 200),
            }
            slowest = slowest.max(asked.elapsed());
            most = most.max(program.resident());
        };
        let told = tokio::time::timeout(Duration::from_secs(20), asking)
            .await
            .expect("it is told something")
            .unwrap();
        let grown = most.saturating_sub(before);
        println!(
            "a provider's {what}: {rounds} rounds, {:.1} MB, {took:?}; {:.1} MiB more at most; others {slowest:?} at most; its client heard {told:?}",
            said as f64 / 1e6,
            grown as f64 / 1048576.0,
        );
        assert!(grown < GROWTH_MAX, "{what}: it grew by {grown} bytes");
        assert!(slowest < Duration::from_secs(2), "{what}: another client waited for {slowest:?}");
        assert!(program.is_alive());
        if COSTS_TIME_ALONE.contains(&what) {
            assert!(took < limit, "{what}: it went on for {took:?}");
        }
    }
}
