//! A whole proxy between a client and a provider, both of which judge every byte that they get.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wayside::app::{self, Running, Surroundings};
use wayside::config::{Overrides, read};
use wayside::proxy::ListenerSettings;

use crate::strict::{Head, Length, Stop, Wire};

/// How long anything may take; nothing waits for longer than a second within.
const LIMIT: Duration = Duration::from_secs(8);
/// How long a client waits for more before it says that it has nothing more to say.
const QUIET: Duration = Duration::from_millis(5);

/// A proxy, and the provider behind it.
pub struct Bed {
    proxy: Running,
    script: Script,
}

/// What the provider answers next to whoever asks for `/scripted`.
type Script = Arc<Mutex<Vec<u8>>>;

impl Bed {
    /// Starts both.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let provider = listener.local_addr().expect("it is bound");
        let script = Script::default();
        let scripted = Arc::clone(&script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let script = Arc::clone(&scripted);
                std::thread::spawn(move || serve(&stream, &script));
            }
        });
        let text = format!(
            "workers = 1\n[registry]\nurl = \"fixed:svc={provider}\"\n[admin]\nenabled = false\n[timeouts]\nrequest = \"2s\"\n\
             header = \"1s\"\nstream_idle = \"1s\"\nclient_idle = \"1s\"\n[retries]\nmax = 0\n\
             [services.health]\neject = false\nslow_start = false\n"
        );
        let mut config = read(None, &text, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
        let service = Some("svc".parse().expect("it is a name"));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        config.listeners = vec![ListenerSettings { service, ..ListenerSettings::at(address) }];
        let sources = config.open_sources();
        let app = app::build(config, sources, Surroundings::default()).expect("all of it is good");
        let bed = Self { proxy: app.start().expect("it starts"), script };
        let mut wire = bed.connect();
        assert!(write(&wire, b"GET /plain HTTP/1.1\r\nhost: svc\r\nconnection: close\r\n\r\n"));
        bed.plain(&mut Wire::new(&mut wire), true);
        bed
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.proxy.listeners[0]).expect("the proxy listens");
        stream.set_read_timeout(Some(LIMIT)).expect("it is no empty duration");
        stream
    }

    /// Sends bytes as a client, and judges what comes back.
    ///
    /// # Panics
    /// When that, or what the provider got, is malformed, or nothing ends.
    pub fn ask(&self, input: &[u8]) {
        let stream = self.connect();
        write(&stream, input);
        let mut heard = Vec::new();
        let mut bytes = [0; 4096];
        let mut from = &stream;
        stream.set_read_timeout(Some(QUIET)).expect("it is no empty duration");
        while let Ok(read) = from.read(&mut bytes) {
            if read == 0 {
                break;
            }
            heard.extend_from_slice(&bytes[..read]);
        }
        let _ = stream.shutdown(Shutdown::Write);
        stream.set_read_timeout(Some(LIMIT)).expect("it is no empty duration");
        let mut rest = Wire::new(from);
        match rest.body(Length::Close) {
            Ok(rest) => heard.extend(rest),
            Err(Stop::Late) => panic!("nothing ends after {:?}", String::from_utf8_lossy(&heard)),
            Err(stop) => panic!("{stop:?}"),
        }
        let lower = input.to_ascii_lowercase();
        let has = |word: &[u8]| lower.windows(word.len()).any(|bytes| bytes == word);
        // Another protocol, or bodies that depend on what was asked.
        if has(b"pri * http/2") || has(b"head ") || has(b"micro-stream") || has(b"connect ") {
            return;
        }
        judge(&heard);
    }

    /// Lets the provider answer with bytes, and judges what a client gets of it, and of what it asks next.
    ///
    /// # Panics
    /// When either is malformed, or belongs to another request, or nothing ends.
    pub fn answer(&self, input: &[u8]) {
        let (kind, bytes) = input.split_first().map_or((0, input), |(kind, bytes)| (*kind, bytes));
        *self.script.lock().expect("nobody panics holding it") = bytes.to_vec();
        let mut stream = self.connect();
        let (method, version) = [("POST", "1.1"), ("HEAD", "1.1"), ("GET", "1.0")][usize::from(kind % 3)];
        let body = if method == "POST" { "content-length: 2\r\n\r\nhi" } else { "\r\n" };
        if !write(&stream, format!("{method} /scripted HTTP/{version}\r\nhost: svc\r\n{body}").as_bytes()) {
            return;
        }
        let mut wire = Wire::new(&mut stream);
        let last = match response(&mut wire, method, version) {
            Ok((head, _)) => head.says("connection", "close") || version == "1.0",
            // It broke off, which is told by its framing.
            Err(Stop::End(_)) => return,
            Err(stop) => panic!("{stop:?}"),
        };
        if last {
            wire.end().unwrap_or_else(|stop| panic!("{stop:?}"));
            return;
        }
        let stream = wire.into_inner();
        if write(stream, b"GET /plain HTTP/1.1\r\nhost: svc\r\nconnection: close\r\n\r\n") {
            self.plain(&mut Wire::new(stream), false);
        }
    }

    /// Judges the answer to a request for `/plain`, the last of its connection.
    fn plain(&self, wire: &mut Wire<&mut TcpStream>, must: bool) {
        let (head, body) = match response(wire, "GET", "1.1") {
            Ok(answer) => answer,
            Err(Stop::End(0)) if !must => return,
            Err(stop) => panic!("{stop:?}"),
        };
        let is_ours = head.all("proxy-status").count() == 1;
        let is_plain = head.all("x-mark").any(|mark| mark == b"plain") && body == b"ok";
        assert!(is_plain || (is_ours && !must), "another answer: {head:?} {:?}", String::from_utf8_lossy(&body));
        wire.end().unwrap_or_else(|stop| panic!("{stop:?}"));
    }
}

fn write(mut stream: &TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}

/// An answer to a request with this method and of this version, with what comes before it.
fn response(wire: &mut Wire<&mut TcpStream>, method: &str, version: &str) -> Result<(Head, Vec<u8>), Stop> {
    loop {
        let head = wire.head()?;
        let status = head.status()?;
        if status == 101 {
            return Err(Stop::Wrong("it switches protocols unasked".to_owned()));
        }
        if (100..200).contains(&status) {
            if version == "1.0" {
                return Err(Stop::Wrong("1xx for HTTP/1.0".to_owned()));
            }
            continue;
        }
        let length = head.length()?;
        if version == "1.0" && length == Some(Length::Chunked) {
            return Err(Stop::Wrong("chunks for HTTP/1.0".to_owned()));
        }
        if method == "HEAD" || status == 204 || status == 304 {
            return Ok((head, Vec::new()));
        }
        let ends = version == "1.0" || head.says("connection", "close");
        let length = match length {
            Some(length) => length,
            None if ends => Length::Close,
            None => return Err(Stop::Wrong(format!("an answer without an end: {head:?}"))),
        };
        let body = wire.body(length)?;
        return Ok((head, body));
    }
}

/// Judges all that a client heard: answers, one after the other, of which the last may break off.
fn judge(heard: &[u8]) {
    let mut wire = Wire::new(heard);
    loop {
        let head = match wire.head() {
            Ok(head) => head,
            Err(Stop::End(_)) => return,
            Err(stop) => panic!("{stop:?} in {:?}", String::from_utf8_lossy(heard)),
        };
        let judged = head.status().and_then(|status| {
            let bodiless = status < 200 || status == 204 || status == 304;
            let length = head.length()?.filter(|_| !bodiless);
            let ends = head.first.starts_with("HTTP/1.0") || head.says("connection", "close");
            let none = if ends && !bodiless { Length::Close } else { Length::Bytes(0) };
            assert!(status != 101, "the provider switches no protocols: {head:?}");
            wire.body(length.unwrap_or(none))
        });
        match judged {
            Ok(_) => {}
            Err(Stop::End(_)) => return,
            Err(stop) => panic!("{stop:?} in {:?}", String::from_utf8_lossy(heard)),
        }
    }
}

/// Answers requests on a connection, each of which has to be exactly as it should be and to come by way of the proxy.
fn serve(stream: &TcpStream, script: &Script) {
    let mut wire = Wire::new(stream);
    loop {
        let head = match wire.head() {
            Ok(head) => head,
            Err(Stop::End(_)) => return,
            Err(stop) => panic!("a provider got {stop:?}"),
        };
        let method = head.method().unwrap_or_else(|stop| panic!("a provider got {stop:?}"));
        assert!(head.says("via", " wayside-"), "a request that the proxy did not send: {head:?}");
        let length = head.length().unwrap_or_else(|stop| panic!("a provider got {stop:?}"));
        if head.says("expect", "100-continue") && !write(stream, b"HTTP/1.1 100 Continue\r\n\r\n") {
            return;
        }
        match wire.body(length.unwrap_or(Length::Bytes(0))) {
            Ok(_) => {}
            Err(Stop::End(_)) => return,
            Err(stop) => panic!("a provider got {stop:?} in the body of {head:?}"),
        }
        if head.all("micro-stream").count() > 0 {
            // What follows are raw bytes.
            let _ = wire.body(Length::Close);
            return;
        }
        if head.first.contains(" /scripted ") && head.all("host").any(|host| host == b"svc") {
            let bytes = std::mem::take(&mut *script.lock().expect("nobody panics holding it"));
            if !bytes.is_empty() {
                write(stream, &bytes);
                return;
            }
        }
        let body = if method == "HEAD" { "" } else { "ok" };
        if !write(stream, format!("HTTP/1.1 200 OK\r\nx-mark: plain\r\ncontent-length: 2\r\n\r\n{body}").as_bytes()) {
            return;
        }
    }
}
