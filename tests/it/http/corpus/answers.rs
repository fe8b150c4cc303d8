//! Malformed and ambiguous answers: what of them reaches the client, and whether whoever asks next gets its own.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Case, cases, hear, read_answers, say};
use crate::support::proxy::{config, start};
use crate::support::registry::Told;
use crate::support::strict::{Kind, read};

/// What is asked of the provider that is answered by the case; all else it answers well.
const CASE: &str = "/case";

/// What a provider says to the next request for [`CASE`], in pieces of which size, and whether it ends the connection there.
type Says = Arc<Mutex<(Vec<u8>, usize, bool)>>;

async fn serve(mut stream: TcpStream, says: Says) {
    stream.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    loop {
        while let Ok(Some((request, length))) = read(&bytes, Kind::Forwarded) {
            bytes.drain(..length);
            let target = &request.first[1];
            let (answer, piece, ends) = if target == CASE {
                says.lock().clone()
            } else {
                let length = target.len();
                (
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{target}").into_bytes(),
                    usize::MAX,
                    false,
                )
            };
            say(&mut stream, &answer, piece).await;
            if ends {
                let _ = stream.shutdown().await;
                // Closed with something unread, it would be reset, and the answer lost.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                return;
            }
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
}

fn request(method: &str, target: &str, version: &str, lines: &str) -> String {
    format!("{method} {target} {version}\r\nhost: svc\r\n{lines}\r\n")
}

/// Plays one case, and holds what the client heard against its verdict.
async fn run(case: &Case, piece: usize, proxy: SocketAddr, says: &Says) -> &'static str {
    let name = case.name;
    let mut words = case.verdict.split('/');
    let verdict = words.next().unwrap();
    let options: Vec<&str> = words.collect();
    let has = |option: &str| options.contains(&option);
    *says.lock() = (case.bytes.clone(), piece, has("close"));
    // Not repeated by anybody, whatever comes of it.
    let method = if has("head") { "HEAD" } else { "POST" };
    let version = if has("old") { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut client = TcpStream::connect(proxy).await.unwrap();
    say(&mut client, request(method, CASE, version, "x-wayside-repeat: no\r\n").as_bytes(), usize::MAX).await;
    if !has("old") {
        say(&mut client, request("GET", "/behind", version, "connection: close\r\n").as_bytes(), usize::MAX)
            .await;
    }
    let mut heard = Vec::new();
    let read = tokio::time::timeout(super::LIMIT, client.read_to_end(&mut heard)).await;
    let was_reset =
        read.unwrap_or_else(|_| panic!("{name} hangs: {:?}", String::from_utf8_lossy(&heard))).is_err();
    let shown = String::from_utf8_lossy(&heard);
    let (answers, is_cut) = read_answers(&heard, &[method.to_owned()], name);
    let final_ones: Vec<_> = answers.iter().filter(|answer| answer.status() >= 200).collect();
    assert!(!has("old") || final_ones.len() == answers.len(), "{name}: an old client knows none: {shown:?}");
    let told = if verdict == "broken" {
        assert!(final_ones.len() <= 1 && (is_cut || was_reset), "{name} looks whole: {shown:?}");
        // Its head was sound, and says that it is an answer; a reset takes with it what is not read yet.
        assert!(was_reset || heard.starts_with(b"HTTP/1."), "{name} was not even begun");
        "broken off"
    } else {
        assert!(!is_cut, "{name}: {shown:?}");
        assert_eq!(final_ones.len(), if has("old") { 1 } else { 2 }, "{name}: {shown:?}");
        let (status, body) = verdict.split_once(':').unwrap_or((verdict, ""));
        assert_eq!(final_ones[0].status().to_string(), status, "{name}: {shown:?}");
        if let Some(behind) = final_ones.get(1) {
            assert_eq!((behind.status(), &behind.body[..]), (200, &b"/behind"[..]), "{name}: {shown:?}");
        }
        if verdict == "502" {
            assert!(final_ones[0].header("proxy-status").is_some(), "{name}: {shown:?}");
            "refused"
        } else {
            assert_eq!(String::from_utf8_lossy(&final_ones[0].body), body, "{name}: {shown:?}");
            for hop in ["keep-alive", "upgrade", "te", "x-a", "transfer-encoding"] {
                let chunked = hop == "transfer-encoding" && final_ones[0].header(hop) == Some("chunked");
                assert!(chunked || final_ones[0].header(hop).is_none(), "{name}: {hop} reached the client");
            }
            "passed"
        }
    };
    // Whoever comes next gets its own answer.
    let mut next = TcpStream::connect(proxy).await.unwrap();
    let target = format!("/next-{name}");
    say(&mut next, request("GET", &target, "HTTP/1.1", "connection: close\r\n").as_bytes(), usize::MAX).await;
    let heard = hear(&mut next, name).await;
    let (answers, _) = read_answers(&heard, &[], name);
    let own = answers.len() == 1 && answers[0].status() == 200 && answers[0].body == target.as_bytes();
    assert!(own, "{name}: somebody else heard {:?}", String::from_utf8_lossy(&heard));
    told
}

#[tokio::test]
async fn no_answer_reaches_anybody_else() {
    let cases = cases(include_str!("answers.txt"));
    assert!(cases.len() >= 150, "{} cases", cases.len());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let says = Says::default();
    let mut tasks = JoinSet::new();
    let said = Arc::clone(&says);
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.spawn(serve(stream, Arc::clone(&said)));
        }
    });
    let proxy = start(config(), Told::with("svc", &[address.into()]));
    let (mut passed, mut refused, mut broken, mut runs, mut wrong) = (0, 0, 0, 0, Vec::new());
    for case in &cases {
        // What comes late behind an answer is beyond anybody's knowledge: another request may be under way by then.
        let comes_at_once =
            case.name.contains("behind") || case.name.starts_with("none-") || case.bytes.len() > 400;
        let pieces: &[usize] = if comes_at_once { &[usize::MAX] } else { &[usize::MAX, 1, 11] };
        for piece in pieces {
            runs += 1;
            match AssertUnwindSafe(run(case, *piece, proxy.listeners[0], &says)).catch_unwind().await {
                Ok("passed") => passed += 1,
                Ok("refused") => refused += 1,
                Ok(_) => broken += 1,
                Err(_) => wrong.push(case.name),
            }
        }
    }
    let panics = proxy.metrics.proxy.panics_total.get();
    println!(
        "{} answers in {runs} runs: {passed} passed, {refused} refused, {broken} broken off, desync {}, panics {panics}, hangs 0",
        cases.len(),
        wrong.len()
    );
    assert!(wrong.is_empty() && panics == 0, "{panics} panics, and against their verdict: {wrong:?}");
}
