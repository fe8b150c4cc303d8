//! What one request through the whole proxy takes on loopback, beside the same request without it.
//!
//! One request at a time, so this is the time that wake-ups take more than anything else; what a request costs when there
//! are many is measured side by side with other proxies, see `benches/README.md`.

#![expect(clippy::unwrap_used, reason = "a bench may stop at what cannot happen")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use wayside::app::{self, Running, Surroundings};
use wayside::config::{Overrides, read};

const GET: &[u8] = b"GET /hello HTTP/1.1\r\nhost: greeter\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A provider that answers every head with the same, as long as the process lives.
fn provider() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    address
}

fn answer(stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut to = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
        if line == "\r\n" {
            to.write_all(ANSWER).unwrap();
        }
        line.clear();
    }
}

fn proxy(provider: SocketAddr) -> Running {
    let text = format!(
        "workers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\nenabled = false\n\
         [registry]\nurl = \"fixed:greeter={provider}\"\n"
    );
    let config = read(None, &text, &Overrides::default()).unwrap();
    let sources = config.open_sources();
    app::build(config, sources, Surroundings::default()).unwrap().start().unwrap()
}

/// A client that waits for each answer.
struct Client {
    to: TcpStream,
    from: BufReader<TcpStream>,
    line: String,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let to = TcpStream::connect(address).unwrap();
        to.set_nodelay(true).unwrap();
        Self { from: BufReader::new(to.try_clone().unwrap()), to, line: String::new() }
    }

    fn ask(&mut self) {
        self.to.write_all(GET).unwrap();
        self.line.clear();
        self.from.read_line(&mut self.line).unwrap();
        assert_eq!(self.line, "HTTP/1.1 200 OK\r\n");
        while self.line != "\r\n" {
            self.line.clear();
            self.from.read_line(&mut self.line).unwrap();
        }
        self.from.read_exact(&mut [0; 2]).unwrap();
    }
}

fn forward(criterion: &mut Criterion) {
    let provider = provider();
    let proxy = proxy(provider);
    let mut group = criterion.benchmark_group("forward");
    for (way, address) in [("without a proxy", provider), ("through the proxy", proxy.listeners[0])] {
        let mut client = Client::connect(address);
        group.bench_function(BenchmarkId::from_parameter(way), |bencher| bencher.iter(|| client.ask()));
    }
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);
