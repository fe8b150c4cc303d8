//! The admin server of a running Wayside, as other commands ask it.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::Args;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{FAILED, USAGE, complain, told};
use crate::drain::Drain;

/// Where it is asked when nothing else is said, which is where `wayside run` answers then.
const DEFAULT: &str = "127.0.0.1:4141";
/// The variable that names it, the same by which `wayside run` is told where to answer.
const VARIABLE: &str = "WAYSIDE_ADMIN";
/// How long a connection may take, and how long an answer may be without a byte.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest answer that is read whole: some hundred bytes for each of the providers of a large fleet.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The flag that says which Wayside is asked.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Which {
    /// Ask the Wayside that answers operators here [env: WAYSIDE_ADMIN] [default: http://127.0.0.1:4141]
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
}

impl Which {
    /// The admin server meant by the flag, or else by the environment.
    ///
    /// # Errors
    /// [`AskError::Address`].
    pub(super) fn find(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Admin, AskError> {
        let set = || variable(VARIABLE).filter(|text| !text.is_empty());
        match (&self.admin, set()) {
            (Some(text), _) => Admin::parse("--admin", text),
            (None, Some(text)) => Admin::parse(VARIABLE, &text),
            (None, None) => Admin::parse("--admin", DEFAULT),
        }
    }
}

/// The admin server of one Wayside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Admin {
    /// `HOST:PORT`.
    authority: String,
}

/// Why the admin server did not answer what was asked: of whom what was asked, and why it failed.
#[derive(Debug, Error)]
pub(super) enum AskError {
    /// The text names no admin server.
    #[error("{origin} is {text:?}, which is no address to ask: {why}")]
    Address {
        /// The flag or variable.
        origin: &'static str,
        /// What it says.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nobody can be reached there.
    #[error("no Wayside listens at {authority}")]
    Unreachable {
        /// Who was asked.
        authority: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It was reached, and the answer did not come, or not whole.
    #[error("{authority} did not answer GET {path}")]
    Broken {
        /// Who was asked.
        authority: String,
        /// What.
        path: String,
        /// Why.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// It answered that it would not.
    #[error("{authority} answered GET {path} with {status}: {error}")]
    Refused {
        /// Who was asked.
        authority: String,
        /// What.
        path: String,
        /// The status of the answer.
        status: StatusCode,
        /// The cause that it names.
        error: String,
        /// The cure that it names, if it does.
        cure: Option<String>,
    },
}

impl AskError {
    /// The exit code of a command that ends so.
    const fn code(&self) -> u8 {
        match self {
            Self::Address { .. } | Self::Unreachable { .. } | Self::Broken { .. } => USAGE,
            Self::Refused { .. } => FAILED,
        }
    }

    /// What helps.
    fn cure(&self) -> &str {
        match self {
            Self::Address { .. } => "write it as http://127.0.0.1:4141",
            Self::Unreachable { .. } => "start it (`wayside run`), or name its admin address with --admin",
            Self::Broken { .. } => {
                "name the admin address of a Wayside with --admin; this may be another program's"
            }
            Self::Refused { cure, .. } => {
                cure.as_deref().unwrap_or("the program there may be no Wayside, or an older one")
            }
        }
    }

    /// Tells it on standard error, with what helps; the exit code for it.
    pub(super) fn tell(&self) -> ExitCode {
        complain(format!("wayside: {}\n{}", told(self), self.cure()));
        ExitCode::from(self.code())
    }
}

/// What a refusal of the admin server says.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    cure: String,
}

impl Admin {
    fn parse(origin: &'static str, text: &str) -> Result<Self, AskError> {
        let wrong = |why| AskError::Address { origin, text: text.to_owned(), why };
        if text == "off" {
            return Err(wrong("a Wayside that answers no operators cannot be asked"));
        }
        let authority = match text.split_once("://") {
            None => text,
            Some(("http", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some(_) => return Err(wrong("operators are answered over http")),
        };
        let parsed: http::uri::Authority = authority.parse().map_err(|_| wrong("it is no HOST:PORT"))?;
        if parsed.port_u16().is_none_or(|port| port == 0) || authority.contains('@') {
            return Err(wrong("it is no HOST:PORT"));
        }
        Ok(Self { authority: authority.to_owned() })
    }

    /// The body of the answer to `GET path`, which begins with a slash and may have a query. Blocks until it has come.
    ///
    /// # Errors
    /// When nobody is there, it breaks off, or is not answered with 200.
    pub(super) fn get(&self, path: &str) -> Result<Bytes, AskError> {
        self.block_on(path, self.read(path))
    }

    /// The same for who does something else meanwhile.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(super) async fn read(&self, path: &str) -> Result<Bytes, AskError> {
        let answer = self.ask(path).await?;
        self.whole(path, answer).await
    }

    /// Who is asked, as `HOST:PORT`.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// As [`get`](Self::get), at most so long in all.
    ///
    /// # Errors
    /// As [`get`](Self::get), and when it has not come by then.
    pub(super) fn get_within(&self, path: &str, limit: Duration) -> Result<Bytes, AskError> {
        self.block_on(path, async {
            let asking = async {
                let answer = self.ask(path).await?;
                self.whole(path, answer).await
            };
            let late = || io::Error::new(io::ErrorKind::TimedOut, format!("nothing came within {limit:?}"));
            timeout(limit, asking).await.unwrap_or_else(|_| Err(self.broken(path, late())))
        })
    }

    fn block_on<T>(
        &self,
        path: &str,
        asking: impl Future<Output = Result<T, AskError>>,
    ) -> Result<T, AskError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| self.broken(path, error))?.block_on(asking)
    }

    /// The body of the answer, once that has begun and is a good one.
    async fn ask(&self, path: &str) -> Result<Incoming, AskError> {
        let unreachable = |cause| AskError::Unreachable { authority: self.authority.clone(), cause };
        let connected = timeout(PATIENCE, TcpStream::connect(&self.authority)).await;
        let stream = connected.map_err(|_| unreachable(late()))?.map_err(unreachable)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(path, error))?;
        // It ends with the body, or the program does.
        Drain::new().spawn("admin connection", async { _ = connection.await });
        let request = Request::get(path).header(HOST, &self.authority).body(Empty::<Bytes>::new());
        let request = request.map_err(|error| self.broken(path, error))?;
        let answer = timeout(PATIENCE, sender.send_request(request)).await;
        let answer =
            answer.map_err(|_| self.broken(path, late()))?.map_err(|error| self.broken(path, error))?;
        let (head, body) = answer.into_parts();
        if head.status == StatusCode::OK {
            return Ok(body);
        }
        let text = self.whole(path, body).await?;
        let (error, cure) = match serde_json::from_slice(&text) {
            Ok(Refusal { error, cure }) => (error, Some(cure)),
            Err(_) => (String::from_utf8_lossy(&text).trim().to_owned(), None),
        };
        let (authority, path) = (self.authority.clone(), path.to_owned());
        Err(AskError::Refused { authority, path, status: head.status, error, cure })
    }

    async fn whole(&self, path: &str, body: Incoming) -> Result<Bytes, AskError> {
        let (mut body, mut whole) = (Limited::new(body, ANSWER_BYTES_MAX), BytesMut::new());
        // Each piece has its time: a large answer that comes over a slow way is not late as long as it comes.
        while let Some(piece) =
            timeout(PATIENCE, body.frame()).await.map_err(|_| self.broken(path, late()))?
        {
            let piece = piece.map_err(|error| self.broken(path, error))?;
            whole.extend(piece.into_data());
        }
        Ok(whole.freeze())
    }

    /// What came in answer cannot be used.
    pub(super) fn broken(&self, path: &str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> AskError {
        AskError::Broken { authority: self.authority.clone(), path: path.to_owned(), cause: cause.into() }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("nothing came within {} seconds", PATIENCE.as_secs()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// An admin server that gives one answer, and what it was asked.
    fn answering(answer: &'static str) -> (Admin, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (Admin { authority }, asked)
    }

    #[test]
    fn an_address_is_a_url_or_what_wayside_run_takes() {
        let authority = |text: &str| Admin::parse("--admin", text).map(|admin| admin.authority);
        for text in ["127.0.0.1:4141", "http://127.0.0.1:4141", "http://127.0.0.1:4141/"] {
            assert_eq!(authority(text).unwrap(), "127.0.0.1:4141");
        }
        assert_eq!(authority("http://[::1]:1").unwrap(), "[::1]:1");
        for text in ["off", "", "localhost", "https://localhost:1", "http://a:1/x", "http://me@a:1", "a:0"] {
            assert_eq!(authority(text).unwrap_err().code(), USAGE, "{text}");
        }
    }

    #[test]
    fn the_flag_goes_before_the_environment() {
        let set = |name: &str| (name == VARIABLE).then(|| "127.0.0.1:2".to_owned());
        let flag = Which { admin: Some("http://127.0.0.1:1".to_owned()) };
        assert_eq!(flag.find(&set).unwrap().authority, "127.0.0.1:1");
        assert_eq!(Which::default().find(&set).unwrap().authority, "127.0.0.1:2");
        assert_eq!(Which::default().find(&|_| None).unwrap().authority, DEFAULT);
    }

    #[test]
    fn an_answer_is_read_whole() {
        let (admin, asked) = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        assert_eq!(admin.get("/x?y=z").unwrap(), "ok");
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("GET /x?y=z HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("host: {}\r\n", admin.authority)), "{asked}");
    }

    #[test]
    fn a_failure_says_who_was_asked_and_what_helps() {
        let refusal = "HTTP/1.1 404 Not Found\r\ncontent-length: 37\r\n\r\n{\"error\":\"no such\",\"cure\":\"ask more\"}";
        let (admin, _) = answering(refusal);
        let error = admin.get("/x").unwrap_err();
        let authority = &admin.authority;
        let said = format!("{authority} answered GET /x with 404 Not Found: no such");
        assert_eq!((error.to_string(), error.code(), error.cure()), (said, FAILED, "ask more"));
        let (admin, _) = answering("SSH-2.0-OpenSSH_9.2\r\n");
        assert!(matches!(admin.get("/x").unwrap_err(), AskError::Broken { .. }));
        let (admin, _) = answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok");
        assert!(matches!(admin.get("/x").unwrap_err(), AskError::Broken { .. }));
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Admin { authority: nobody.to_string() }.get("/x").unwrap_err();
        assert!(matches!(error, AskError::Unreachable { .. }), "{error:?}");
    }
}
