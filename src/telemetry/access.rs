//! The access log: one line per request, written by a thread of its own, lost and counted rather than waited for.

mod fields;
mod line;
mod sink;
mod waiting;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use http::uri::PathAndQuery;
use thiserror::Error;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

pub use fields::{Captured, Field, Item, ItemError, What, carries_credentials, is_telltale};
pub use line::AccessLine;

use super::LineFormat;
use sink::{Named, Sink, To};
use waiting::{Counted, Waiting};

/// Whether, where and how each request is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether at all; off unless asked for, since a line costs about as much as a tenth of the request.
    pub enabled: bool,
    /// How a line is spelled.
    pub format: LineFormat,
    /// What a line has in it, in this order; the usual fields if empty.
    pub fields: Vec<Item>,
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
            fields: Vec::new(),
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
    /// The end of a file, made where there is none; another one is made when it is renamed or removed.
    File(PathBuf),
}

/// The file of the access log cannot be opened.
#[derive(Debug, Error)]
#[error("cannot open the access log {path}")]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

/// Where requests are written down; does nothing when it is off. Whoever lets go of it last waits until all is written.
#[derive(Debug, Default)]
pub struct AccessLog(Option<Open>);

struct Open {
    format: LineFormat,
    fields: Vec<Item>,
    query: bool,
    /// Whether any of the fields is a header of the request, and whether one is of the answer.
    wants: (bool, bool),
    writer: NonBlocking,
    waiting: Waiting,
    lost: Arc<AtomicU64>,
    /// Writes what waits when it goes.
    _guard: WorkerGuard,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("format", &self.format).finish_non_exhaustive()
    }
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
            Destination::StandardOutput => Ok(Self::to(settings, To::Output(Box::new(io::stdout())))),
            Destination::File(path) => {
                let file = Named::open(path).map_err(|source| OpenError { path: path.clone(), source })?;
                Ok(Self::to(settings, To::File(file)))
            }
        }
    }

    fn to(settings: &Settings, to: To) -> Self {
        let builder = NonBlockingBuilder::default().buffered_lines_limit(settings.queue.max(1)).lossy(true);
        let lost = Arc::<AtomicU64>::default();
        // The writing thread flushes whenever it has caught up, so what is written at once delays nothing.
        let waiting = Waiting::default();
        let sink = Counted { to: Sink::new(to, Arc::clone(&lost)), waiting: waiting.clone() };
        let (writer, guard) = builder.thread_name("access-log").finish(sink);
        let fields = settings.fields.clone();
        let wants = |is: fn(&What) -> bool| fields.iter().any(|item| is(&item.what));
        let wants = (
            wants(|what| matches!(what, What::RequestHeader(_))),
            wants(|what| matches!(what, What::ResponseHeader(_))),
        );
        let (format, query) = (settings.format, settings.query);
        Self(Some(Open { format, fields, query, wants, writer, waiting, lost, _guard: guard }))
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

    /// Of the headers of a request, those that its line tells of.
    pub fn request_headers(&self, headers: &HeaderMap) -> Captured {
        let Some(open) = self.0.as_ref().filter(|open| open.wants.0) else { return Captured::default() };
        fields::capture(&open.fields, headers, |what| match what {
            What::RequestHeader(name) => Some(name),
            What::Field(_) | What::ResponseHeader(_) | What::Text(_) => None,
        })
    }

    /// Of the headers of an answer, those that its line tells of.
    pub fn response_headers(&self, headers: &HeaderMap) -> Captured {
        let Some(open) = self.0.as_ref().filter(|open| open.wants.1) else { return Captured::default() };
        fields::capture(&open.fields, headers, |what| match what {
            What::ResponseHeader(name) => Some(name),
            What::Field(_) | What::RequestHeader(_) | What::Text(_) => None,
        })
    }

    /// Writes a line, or drops and counts it when too many wait.
    pub fn write(&self, line: &AccessLine<'_>) {
        let Some(open) = &self.0 else { return };
        LINE.with_borrow_mut(|buffer| {
            buffer.clear();
            line.write(open.format, &open.fields, buffer).expect("writing to memory cannot fail");
            if !open.waiting.enter(buffer) {
                open.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            open.writer.clone().write_all(buffer).expect("writing to a lossy queue cannot fail");
        });
    }

    /// Looks for the file now, and not with the next line: one that was moved away is let go, and its place taken anew.
    pub fn look_for_file(&self) {
        if let Some(open) = &self.0 {
            // No line, but the writing thread looks after each batch.
            let _ = open.writer.clone().write(&[]);
        }
    }

    /// Asks for the number of lines dropped because they could not be written, or not fast enough.
    pub fn dropped_lines(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let counters = self.0.as_ref().map(|open| (open.writer.error_counter(), Arc::clone(&open.lost)));
        move || {
            counters.as_ref().map_or(0, |(dropped, lost)| {
                let dropped = u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX);
                dropped.saturating_add(lost.load(Ordering::Relaxed))
            })
        }
    }
}

#[cfg(test)]
mod tests;
