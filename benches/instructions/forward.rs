//! Requests through the whole proxy: callgrind counts the program itself, and who asks and answers is this process.
//!
//! One request at a time on one connection: with several at a time it would be left to the system how many are read together.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;

use super::callgrind::Beside;

pub(crate) const CALLS: u64 = 5_000;
/// Requests before any is counted on, so that connections are made.
const WARM_UP: u64 = 100;

/// A request and its answer.
pub(crate) struct Asked {
    pub(crate) name: &'static str,
    head: &'static str,
    /// Bytes of its body.
    body: usize,
}

/// What is asked: a name has to be of one length, so that the heads are.
pub(crate) static ASKED: [Asked; 2] = [
    Asked {
        name: "get",
        head: "GET /hello HTTP/1.1\r\nhost: greeter\r\nuser-agent: bench\r\naccept: */*\r\n\r\n",
        body: 0,
    },
    Asked {
        name: "post-1k",
        head: "POST /hello HTTP/1.1\r\nhost: greeter\r\nuser-agent: bench\r\naccept: */*\r\ncontent-length: 1024\r\n\r\n",
        body: 1024,
    },
];

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

/// Reads the head of a message, then so many bytes.
fn read(from: &mut BufReader<TcpStream>, bytes: usize) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    from.read_exact(&mut vec![0; bytes]).ok()?;
    Some(head)
}

/// A provider that answers every request with the same, as long as this process lives.
fn provider(asked: &'static Asked) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |stream: TcpStream| {
        let mut to = stream.try_clone().unwrap();
        let mut from = BufReader::new(stream);
        while read(&mut from, asked.body).is_some() {
            to.write_all(ANSWER).unwrap();
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    address
}

/// Where the program takes requests, as it logs it.
fn listener(log: &mut impl std::io::BufRead) -> SocketAddr {
    let line = log.lines().map(Result::unwrap).find(|line| line.contains("requests are taken"));
    let line = line.expect("it should take requests");
    line.rsplit_once("address=").unwrap().1.trim().parse().unwrap()
}

/// The program, which is built with this one.
fn program() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("wayside")
}

/// Instructions of the program from its start to its end, asked so often.
pub(crate) fn counted(asked: &'static Asked, calls: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    let text = format!(
        "workers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\nenabled = false\n\
         [registry]\nurl = \"fixed:greeter={}\"\n[services]\nfirst_list_timeout = \"1m\"\n",
        provider(asked)
    );
    std::fs::write(&file, text).unwrap();
    let mut program = Beside::start(&program(), &["run", "--config", file.to_str().unwrap()]);
    let mut log = BufReader::new(program.child.stderr.take().unwrap());
    let mut to = TcpStream::connect(listener(&mut log)).unwrap();
    to.set_nodelay(true).unwrap();
    let mut from = BufReader::new(to.try_clone().unwrap());
    let request = [asked.head.as_bytes(), &vec![b'x'; asked.body]].concat();
    for _ in 0..WARM_UP + calls {
        to.write_all(&request).unwrap();
        let head = read(&mut from, 2).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    drop((to, from));
    program.end()
}
