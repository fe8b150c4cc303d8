//! The corpus: malformed and ambiguous messages, sent raw, and a strict reader on the other side that says what became of them.

mod answers;
mod differential;
mod requests;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::strict::{Kind, Message, read};

/// How long one case may take; whatever hangs, hangs longer.
const LIMIT: Duration = Duration::from_secs(20);

/// One case of a corpus.
struct Case {
    /// What is to become of it; each corpus has its own words.
    verdict: &'static str,
    name: &'static str,
    bytes: Vec<u8>,
}

/// The cases of a file: on each line a verdict, a name and the bytes. Lines that begin with `#` say what follows.
fn cases(text: &'static str) -> Vec<Case> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cases: Vec<Case> = lines
        .map(|line| {
            let mut parts = line.splitn(3, ' ');
            let mut part = || parts.next().unwrap_or_else(|| panic!("no case: {line:?}"));
            Case { verdict: part(), name: part(), bytes: unescape(part()) }
        })
        .collect();
    let mut names: Vec<&str> = cases.iter().map(|case| case.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "each case has a name of its own");
    cases
}

/// Bytes as a corpus writes them: `¶` is CR LF, `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN` are what they always are, and
/// `{3*ab}` is `ababab`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        rest = &rest[next.len_utf8()..];
        match next {
            '¶' => bytes.extend_from_slice(b"\r\n"),
            '\\' => {
                let (escape, after) = rest.split_at(1);
                rest = after;
                bytes.push(match escape {
                    "r" => b'\r',
                    "n" => b'\n',
                    "t" => b'\t',
                    "0" => 0,
                    "x" => {
                        let (digits, after) = rest.split_at(2);
                        rest = after;
                        u8::from_str_radix(digits, 16).unwrap()
                    }
                    other => other.as_bytes()[0],
                });
            }
            '{' if rest.contains('*') && rest.contains('}') => {
                let (inside, after) = rest.split_once('}').unwrap();
                let (times, repeated) = inside.split_once('*').unwrap();
                bytes.extend_from_slice(&unescape(repeated).repeat(times.parse().unwrap()));
                rest = after;
            }
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Writes as much as is taken, in pieces of this size.
async fn say(stream: &mut TcpStream, bytes: &[u8], piece: usize) {
    for piece in bytes.chunks(piece) {
        if stream.write_all(piece).await.is_err() {
            // Who is refused early may be cut off early.
            return;
        }
        if bytes.len() > piece.len() {
            tokio::task::yield_now().await;
        }
    }
}

/// All that comes until the other side ends, be it with a reset.
async fn hear(stream: &mut TcpStream, name: &str) -> Vec<u8> {
    let mut heard = Vec::new();
    let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut heard)).await;
    assert!(read.is_ok(), "{name} hangs; heard so far: {:?}", String::from_utf8_lossy(&heard));
    heard
}

/// The answers that the bytes are, to requests of these methods; behind those, to `GET`. What is cut off at the end is left
/// out, and said so.
fn read_answers(heard: &[u8], methods: &[String], name: &str) -> (Vec<Message>, bool) {
    let (mut answers, mut at) = (Vec::<Message>::new(), 0);
    while at < heard.len() {
        let final_ones = answers.iter().filter(|answer| answer.status() >= 200).count();
        let method = methods.get(final_ones).map_or("GET", String::as_str);
        match read(&heard[at..], Kind::Answer { method, ended: true }) {
            Ok(Some((answer, length))) => {
                at += length;
                answers.push(answer);
            }
            Ok(None) => return (answers, true),
            Err(error) => {
                panic!("{name}: the client hears no HTTP: {error}: {:?}", String::from_utf8_lossy(heard))
            }
        }
    }
    (answers, false)
}
