//! Clients and providers that flood: what the program itself comes to hold, and whether others are served meanwhile.

mod providers;

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::support::client::Client;
use crate::support::frames::{Frames, get, request};
use crate::support::light::Light;
use crate::support::patience::{PATIENCE, either};
use crate::support::program::Program;
use crate::support::wire::{
    CONTINUATION, Code, DATA, END_HEADERS, GOAWAY, HEADERS, PING, PRIORITY, SETTINGS, WHOLE, WINDOW_UPDATE,
    fields, frame, reset, setting,
};

/// What the program may come to hold beyond what it held before, whatever one client floods it with.
const GROWTH_MAX: u64 = 32 << 20;

/// How a flood ended for whoever sent it.
#[derive(Debug)]
enum End {
    /// The connection was ended with this.
    GoAway(Code),
    /// It was ended without a word that was heard.
    Ended,
    /// It was not.
    Lasted,
}

/// The program with one service of one provider.
struct Flooded {
    program: Program,
    provider: Light,
    /// Rounds, bytes and time of the last flood.
    last: (u32, usize, Duration),
}

impl Flooded {
    async fn start() -> Self {
        let provider = Light::start().await;
        let registry = format!("fixed:svc={}", provider.address);
        let program = Program::run(&["--registry", &registry, "--workers", "1"]).await;
        Self { program, provider, last: Default::default() }
    }

    /// Floods it for a while with what is made anew each time; tells how much it grew by and how long others waited at most.
    async fn flood(&mut self, what: &str, make: impl FnMut(u32) -> Vec<u8> + Send + 'static) -> End {
        let address = self.program.listeners()[0];
        let mut other = Client::connect(address).await;
        for _ in 0..50 {
            assert_eq!(other.get("svc", "/").await.status(), 200);
        }
        let (before, used) = (self.program.resident(), self.program.processor_time());
        let Frames { stream } = Frames::connect(address).await;
        let (from, to) = stream.into_split();
        let hearing = tokio::spawn(hear(from));
        let limit = either(Duration::from_secs(1), Duration::from_secs(10));
        let flooding = tokio::spawn(pour(to, make, limit));
        let (mut most, mut slowest, mut answered) = (before, Duration::ZERO, 0);
        while !flooding.is_finished() {
            let asked = Instant::now();
            assert_eq!(other.get("svc", "/").await.status(), 200);
            (slowest, answered) = (slowest.max(asked.elapsed()), answered + 1);
            most = most.max(self.program.resident());
        }
        let (rounds, said, took) = flooding.await.unwrap();
        self.last = (rounds, said, took);
        let end = tokio::time::timeout(PATIENCE, hearing).await.map_or(End::Lasted, Result::unwrap);
        let grown = most.saturating_sub(before);
        let used = self.program.processor_time().saturating_sub(used);
        println!(
            "{what}: {end:?} after {rounds} rounds, {:.1} MB, {took:?}; RSS {:.1} MiB, {:.1} MiB more at most; {used:?} of processor; {answered} of others answered meanwhile, {slowest:?} at most",
            said as f64 / 1e6,
            before as f64 / 1048576.0,
            grown as f64 / 1048576.0,
        );
        assert!(grown < GROWTH_MAX, "{what}: it grew by {grown} bytes");
        assert!(slowest < Duration::from_secs(2), "{what}: another client waited for {slowest:?}");
        assert!(self.program.is_alive());
        end
    }
}

/// Says what is made anew each time until the time is over or nothing more is taken; the rounds, the bytes, the time.
async fn pour(
    mut to: OwnedWriteHalf,
    mut make: impl FnMut(u32) -> Vec<u8>,
    limit: Duration,
) -> (u32, usize, Duration) {
    let (begun, mut rounds, mut said) = (Instant::now(), 0, 0);
    while let Some(left) = limit.checked_sub(begun.elapsed()) {
        let bytes = make(rounds);
        (rounds, said) = (rounds + 1, said + bytes.len());
        if !tokio::time::timeout(left, to.write_all(&bytes)).await.is_ok_and(|said| said.is_ok()) {
            break;
        }
    }
    (rounds, said, begun.elapsed())
}

/// What is heard last.
async fn hear(mut from: OwnedReadHalf) -> End {
    let mut head = [0; 9];
    while from.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if from.read_exact(&mut payload).await.is_err() {
            break;
        }
        let frame = crate::support::wire::Frame { kind: head[3], flags: head[4], stream: 0, payload };
        if frame.kind == GOAWAY && frame.code() != Code::NO_ERROR {
            return End::GoAway(frame.code());
        }
    }
    End::Ended
}

/// So many streams from the round of that number on.
fn streams(round: u32, count: u32) -> impl Iterator<Item = u32> {
    (round * count..(round + 1) * count).map(|number| 2 * number + 1)
}

fn calm(end: &End) -> bool {
    matches!(end, End::GoAway(Code::ENHANCE_YOUR_CALM))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_reset_at_once_cost_little() {
    let mut flooded = Flooded::start().await;
    let end = flooded
        .flood("rapid reset, a thousand at once", |round| {
            let one =
                |stream| [frame(HEADERS, WHOLE, stream, get("/x")), reset(stream, Code::CANCEL)].concat();
            streams(round, 1000).flat_map(one).collect()
        })
        .await;
    assert!(calm(&end), "{end:?}");
    let before = flooded.program.metric("wayside_upstream_dials_total", "").await;
    let asked = flooded.provider.requests();
    let end = flooded
        .flood("rapid reset, one at a time", |round| {
            let one =
                |stream| [frame(HEADERS, WHOLE, stream, get("/x")), reset(stream, Code::CANCEL)].concat();
            streams(round, 1).flat_map(one).collect()
        })
        .await;
    assert!(!matches!(end, End::Lasted), "{end:?}");
    let dials = flooded.program.metric("wayside_upstream_dials_total", "").await - before;
    println!("one at a time: {dials} dials, {} requests answered", flooded.provider.requests() - asked);
    let end = flooded
        .flood("errors that reset", |round| {
            let one =
                |stream| frame(HEADERS, WHOLE, stream, request("POST", "/x", &[("content-length", "1")]));
            streams(round, 100).flat_map(one).collect()
        })
        .await;
    assert!(calm(&end), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_end_and_bombs_of_compression_cost_little() {
    let mut flooded = Flooded::start().await;
    let end = flooded
        .flood("CONTINUATION", |round| match round {
            0 => frame(HEADERS, 0, 1, get("/x")),
            _ => (0..100).flat_map(|_| frame(CONTINUATION, 0, 1, [0; 0])).collect(),
        })
        .await;
    assert!(calm(&end), "{end:?}");
    let end = flooded
        .flood("CONTINUATION with fields", |round| {
            let piece = fields(&[("x", "a".repeat(16_000))]);
            frame(if round == 0 { HEADERS } else { CONTINUATION }, 0, 1, piece)
        })
        .await;
    assert!(matches!(end, End::GoAway(_)), "{end:?}");
    // One field of 4 kB is put into the table once, and then named a thousand times with a byte each.
    let bomb = |round: u32, names: usize| -> Vec<u8> {
        let value = vec![b'a'; 4000];
        let mut long = vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
        long.extend(value);
        streams(round, 1)
            .flat_map(|stream| {
                let fields =
                    [&get("/x")[..], if round == 0 { &long } else { &[] }, &vec![0xbe; names]].concat();
                frame(HEADERS, WHOLE, stream, fields)
            })
            .collect()
    };
    let end = flooded.flood("a bomb of HPACK", move |round| bomb(round, 10_000)).await;
    assert!(calm(&end), "{end:?}");
    let end = flooded.flood("small bombs of HPACK", move |round| bomb(round, 30)).await;
    println!("{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_carry_nothing_cost_little() {
    let mut flooded = Flooded::start().await;
    let open = |stream| frame(HEADERS, END_HEADERS, stream, request("POST", "/x", &[]));
    let begun =
        move |round: u32, frames: Vec<u8>| if round == 0 { [open(1), frames].concat() } else { frames };
    let end =
        flooded.flood("empty DATA", move |round| begun(round, frame(DATA, 0, 1, []).repeat(1000))).await;
    assert!(calm(&end), "{end:?}");
    let end =
        flooded.flood("DATA of a byte", move |round| begun(round, frame(DATA, 0, 1, "x").repeat(1000))).await;
    println!("{end:?}");
    let padded = [&[255][..], &[0; 255]].concat();
    let end = flooded
        .flood("DATA that is padding", move |round| begun(round, frame(DATA, 8, 1, &padded).repeat(200)))
        .await;
    println!("{end:?}");
    let no_length = [0, 0, 0, 0];
    let end = flooded
        .flood("fields without a name", move |round| {
            frame(HEADERS, WHOLE, 2 * round + 1, [&get("/x")[..], &no_length].concat())
        })
        .await;
    assert!(!matches!(end, End::Lasted), "{end:?}");
    for (what, one) in [
        ("PING", frame(PING, 0, 0, [0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, setting(4, 65_535))),
        (
            "SETTINGS that change the table",
            [frame(SETTINGS, 0, 0, setting(1, 0)), frame(SETTINGS, 0, 0, setting(1, 4096))].concat(),
        ),
        ("PRIORITY", frame(PRIORITY, 0, 101, [0, 0, 0, 1, 1])),
        ("WINDOW_UPDATE by one", frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])),
        ("an unknown kind", frame(0x42, 0, 0, [])),
    ] {
        let end = flooded.flood(what, move |_| one.repeat(1000)).await;
        assert!(!matches!(end, End::Lasted), "{what}: {end:?}");
        let (_, _, took) = flooded.last;
        assert!(
            took < either(Duration::from_secs(1), Duration::from_secs(10)) / 2,
            "{what}: it went on for {took:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_are_not_kept() {
    use http_body_util::Full;
    use hyper::service::service_fn;
    // Each answer is of 8 MiB.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = listener.local_addr().unwrap();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            open.spawn(async move {
                let answer = service_fn(async |request: http::Request<hyper::body::Incoming>| {
                    let bytes = if request.uri().path() == "/large" { 8 << 20 } else { 2 };
                    Ok::<_, std::convert::Infallible>(http::Response::new(Full::<bytes::Bytes>::from(
                        vec![0; bytes],
                    )))
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, answer).await;
            });
        }
    });
    let program = Program::run(&["--registry", &format!("fixed:svc={provider}"), "--workers", "1"]).await;
    let address = program.listeners()[0];
    let mut other = Client::connect(address).await;
    for _ in 0..50 {
        assert_eq!(other.get("svc", "/").await.status(), 200);
    }
    let before = program.resident();
    let streams = either(100, 250);
    let mut slow = Frames::connect(address).await;
    // As much as may be sent at all, on every stream and the connection; and nothing is read.
    let widest = (u32::MAX >> 1) - 65_535;
    slow.say(
        [frame(SETTINGS, 0, 0, setting(4, u32::MAX >> 1)), frame(WINDOW_UPDATE, 0, 0, widest.to_be_bytes())]
            .concat(),
    )
    .await;
    for number in 0..streams {
        slow.ask(2 * number + 1, "/large").await;
    }
    let (begun, mut most) = (Instant::now(), 0);
    let mut last = (0, Instant::now());
    // Until it has not grown for a while.
    while begun.elapsed() < PATIENCE && last.1.elapsed() < Duration::from_secs(1) {
        assert_eq!(other.get("svc", "/").await.status(), 200);
        most = most.max(program.resident());
        if most > last.0 + (1 << 20) {
            last = (most, Instant::now());
        }
    }
    let grown = most.saturating_sub(before);
    println!("{streams} answers of 8 MiB that nobody reads: {:.1} MiB more", grown as f64 / 1048576.0);
    // A buffer of the library's, and one piece, for each.
    assert!(grown < u64::from(streams) * (640 << 10), "{grown} bytes");
    drop(slow);
}
