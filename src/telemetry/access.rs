//! The access log: one line per request, written by a thread of its own, lost and counted rather than waited for.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::uri::PathAndQuery;
use serde::{Serialize, Serializer};
use thiserror::Error;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::LineFormat;
use super::peer::Peer;
use crate::provider::Address;

/// Whether, where and how each request is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether at all; off unless asked for, since a line costs about as much as a tenth of the request.
    pub enabled: bool,
    /// How a line is spelled.
    pub format: LineFormat,
    /// Where lines go.
    pub destination: Destination,
    /// Whether the query is written with the path.
    pub query: bool,
    /// Lines that may wait to be written; more are dropped and counted.
    pub queue: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: false,
            format: LineFormat::Text,
            destination: Destination::StandardOutput,
            query: true,
            queue: 8192,
        }
    }
}

/// Where the lines of the access log go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output; the log of events goes to standard error.
    StandardOutput,
    /// The end of a file, made where there is none; opened again at each reload.
    File(PathBuf),
}

/// The file of the access log cannot be opened.
#[derive(Debug, Error)]
#[error("cannot open the access log {path}")]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

/// What is written of a request that has ended.
#[derive(Clone, Debug, Serialize)]
pub struct AccessLine<'a> {
    /// When its head was read.
    #[serde(serialize_with = "as_rfc3339")]
    pub at: SystemTime,
    /// Who asked.
    pub client: Peer,
    /// The method.
    pub method: &'a str,
    /// The target as it was asked for, without scheme and authority, and without the query where that is not wanted.
    pub target: &'a str,
    /// The authority it was asked of.
    pub host: Option<&'a str>,
    /// The service that was found.
    pub service: Option<&'a str>,
    /// The service that took its place, since nothing of it was available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<&'a str>,
    /// By what it was found: the word of the rule, or the name of the route.
    pub via: Option<&'a str>,
    /// The part of the route's split that it went to.
    pub part: Option<&'a str>,
    /// The endpoint of the last attempt.
    #[serde(serialize_with = "as_text")]
    pub endpoint: Option<&'a Address>,
    /// The status of the answer; 0 when none was given.
    pub status: u16,
    /// Why this proxy made the answer itself or broke it off.
    pub reason: Option<&'static str>,
    /// What was done to it on purpose.
    pub fault: Option<&'static str>,
    /// How many endpoints were tried.
    pub attempts: u8,
    /// From its head to the end of the answer.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    pub duration: Duration,
    /// From its head to the first byte of the answer.
    #[serde(rename = "first_byte_ms", serialize_with = "as_optional_millis")]
    pub first_byte: Option<Duration>,
    /// Bytes of the answer's body.
    pub bytes_sent: u64,
    /// Bytes of the request's body.
    pub bytes_received: u64,
    /// The `X-Request-Id` of the request.
    pub request_id: Option<&'a str>,
}

/// Where requests are written down. Cheap to clone; does nothing when it is off.
#[derive(Clone, Debug, Default)]
pub struct AccessLog(Option<Open>);

#[derive(Clone, Debug)]
struct Open {
    format: LineFormat,
    query: bool,
    writer: NonBlocking,
    /// Writes what waits when the last clone goes.
    _guard: Arc<WorkerGuard>,
}

thread_local! {
    /// The line in the making, kept so that its memory is.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl AccessLog {
    /// The access log that these settings ask for.
    ///
    /// # Errors
    /// When its file cannot be opened.
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        if !settings.enabled {
            return Ok(Self(None));
        }
        match &settings.destination {
            Destination::StandardOutput => Ok(Self::to_writer(settings, io::stdout())),
            Destination::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                let file = file.map_err(|source| OpenError { path: path.clone(), source })?;
                Ok(Self::to_writer(settings, file))
            }
        }
    }

    fn to_writer(settings: &Settings, writer: impl Write + Send + 'static) -> Self {
        let builder = NonBlockingBuilder::default().buffered_lines_limit(settings.queue.max(1)).lossy(true);
        // The writing thread flushes whenever it has caught up, so a buffer delays nothing and saves system calls.
        let (writer, guard) = builder.thread_name("access-log").finish(io::BufWriter::new(writer));
        Self(Some(Open { format: settings.format, query: settings.query, writer, _guard: Arc::new(guard) }))
    }

    /// Whether a line would be written; ask before gathering one.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A target as it is written: whole, or without its query.
    pub fn target<'t>(&self, target: &'t PathAndQuery) -> &'t str {
        let whole = self.0.as_ref().is_none_or(|open| open.query);
        if whole { target.as_str() } else { target.path() }
    }

    /// Writes a line, or drops and counts it when too many wait.
    pub fn write(&self, line: &AccessLine<'_>) {
        let Some(open) = &self.0 else { return };
        LINE.with_borrow_mut(|buffer| {
            buffer.clear();
            let spelled = match open.format {
                LineFormat::Text => line.write_text(buffer),
                LineFormat::Json => serde_json::to_writer(&mut *buffer, line).map_err(io::Error::from),
            };
            buffer.push(b'\n');
            spelled
                .and_then(|()| open.writer.clone().write_all(buffer))
                .expect("writing to memory and to a lossy queue cannot fail");
        });
    }

    /// Asks for the number of lines dropped because they could not be written fast enough.
    pub fn dropped_lines(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let counter = self.0.as_ref().map(|open| open.writer.error_counter());
        move || counter.as_ref().map_or(0, |it| u64::try_from(it.dropped_lines()).unwrap_or(u64::MAX))
    }
}

impl AccessLine<'_> {
    /// `when client method target service endpoint status reason`, `-` for what is not there, then `name=value`.
    fn write_text(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let at = humantime::format_rfc3339_millis(self.at);
        write!(out, "{at} {} {} {} ", self.client, Plain(Some(self.method)), Plain(Some(self.target)))?;
        write!(out, "{} ", Plain(self.service))?;
        match self.endpoint {
            Some(endpoint) => write!(out, "{endpoint}")?,
            None => write!(out, "-")?,
        }
        write!(out, " {} {}", self.status, self.reason.unwrap_or("-"))?;
        write!(out, " attempts={} duration_ms={}", self.attempts, millis(self.duration))?;
        if let Some(first_byte) = self.first_byte {
            write!(out, " first_byte_ms={}", millis(first_byte))?;
        }
        write!(out, " sent={} received={}", self.bytes_sent, self.bytes_received)?;
        for (name, value) in [
            ("failover", self.failover),
            ("host", self.host),
            ("via", self.via),
            ("part", self.part),
            ("fault", self.fault),
            ("id", self.request_id),
        ] {
            if value.is_some() {
                write!(out, " {name}={}", Plain(value))?;
            }
        }
        Ok(())
    }
}

/// A text as one word: as it is, or quoted when that would not be one.
struct Plain<'a>(Option<&'a str>);

impl std::fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(text) = self.0 else { return f.write_str("-") };
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        if plain { f.write_str(text) } else { write!(f, "{text:?}") }
    }
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn as_rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*at))
}

fn as_text<S: Serializer>(endpoint: &Option<&Address>, serializer: S) -> Result<S::Ok, S::Error> {
    match endpoint {
        Some(endpoint) => serializer.collect_str(endpoint),
        None => serializer.serialize_none(),
    }
}

fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(millis(*duration))
}

fn as_optional_millis<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use super::*;

    fn line(endpoint: &Address) -> AccessLine<'_> {
        AccessLine {
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            client: Peer::At("127.0.0.1:50000".parse().unwrap()),
            method: "GET",
            target: "/greeter/hello?name=a%20b",
            host: Some("localhost:4140"),
            service: Some("greeter"),
            failover: None,
            via: Some("path"),
            part: Some("greeter[version=2]"),
            endpoint: Some(endpoint),
            status: 200,
            reason: None,
            fault: Some("delay"),
            attempts: 2,
            duration: Duration::from_nanos(1_234_567),
            first_byte: Some(Duration::from_micros(1_001)),
            bytes_sent: 12,
            bytes_received: 0,
            request_id: Some("a \"b\"\n"),
        }
    }

    fn written(format: LineFormat, lines: &[AccessLine<'_>]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let settings = Settings {
            enabled: true,
            format,
            destination: Destination::File(path.clone()),
            ..Settings::default()
        };
        let log = AccessLog::open(&settings).unwrap();
        assert!(log.is_on());
        lines.iter().for_each(|line| log.write(line));
        drop(log);
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn text_is_one_line_of_words() {
        let endpoint = "10.0.0.1:80".parse().unwrap();
        let failed = AccessLine {
            endpoint: None,
            service: None,
            status: 404,
            reason: Some("no_route"),
            part: None,
            fault: None,
            first_byte: None,
            request_id: None,
            ..line(&endpoint)
        };
        insta::assert_snapshot!(written(LineFormat::Text, &[line(&endpoint), failed]));
    }

    #[test]
    fn a_failover_is_named() {
        let endpoint = "10.0.0.1:80".parse().unwrap();
        let failed_over = AccessLine { failover: Some("greeter-far"), ..line(&endpoint) };
        let text = written(LineFormat::Text, std::slice::from_ref(&failed_over));
        assert!(
            text.contains(" greeter 10.0.0.1:80 200 ") && text.contains(" failover=greeter-far "),
            "{text}"
        );
        assert!(written(LineFormat::Json, &[failed_over]).contains(r#""failover":"greeter-far""#));
    }

    #[test]
    fn json_is_one_object_a_line() {
        let endpoint = "10.0.0.1:80".parse().unwrap();
        let text =
            written(LineFormat::Json, &[line(&endpoint), AccessLine { endpoint: None, ..line(&endpoint) }]);
        let objects: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[0]["request_id"], "a \"b\"\n");
        assert!(objects[1]["endpoint"].is_null());
        insta::assert_snapshot!(text.lines().next().unwrap());
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_never_waited_for() {
        /// Takes one line and then stands still until it is told to go on.
        struct Stuck(mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (go_on, stuck) = mpsc::channel();
        let settings = Settings { enabled: true, queue: 4, ..Settings::default() };
        let log = AccessLog::to_writer(&settings, Stuck(stuck));
        let endpoint = "10.0.0.1:80".parse().unwrap();
        (0..1000).for_each(|_| log.write(&line(&endpoint)));
        assert!(log.dropped_lines()() > 0);
        drop(go_on);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let destination = Destination::File("no-such-folder/access.log".into());
        let settings = Settings { enabled: true, destination, ..Settings::default() };
        let error = AccessLog::open(&settings).unwrap_err();
        assert_eq!(error.to_string(), "cannot open the access log no-such-folder/access.log");
        assert!(!AccessLog::open(&Settings::default()).unwrap().is_on());
    }
}
