//! The log: what happened, one event a line on standard error, written by a thread of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::str::FromStr;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, reload};

use super::LineFormat;

/// Lines that may wait to be written; more are dropped and counted, so that no request waits for a log.
const QUEUE_LINES: usize = 8192;

/// What the log says, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// From which level on something is said.
    pub level: Level,
    /// The same for parts of this program, or libraries, by their modules: `wayside::catalog`, `hyper`.
    pub targets: BTreeMap<String, Level>,
    /// How a line is spelled.
    pub format: LineFormat,
}

/// From which level on something is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    Off,
    /// What an operator has to look at.
    Error,
    /// What an operator should know.
    Warn,
    /// What changed: starts, stops, the registry, the configuration.
    #[default]
    Info,
    /// How things are decided.
    Debug,
    /// Everything, that of the libraries in use included.
    Trace,
}

/// A text is not the name of a [`Level`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a log level is off, error, warn, info, debug or trace, not {0:?}")]
pub struct UnknownLevel(String);

/// The log could not be set up.
#[derive(Debug, Error)]
#[error("another log is already set up in this process")]
pub struct AlreadySetUp;

impl Level {
    /// All there are, quietest first.
    pub const ALL: [Self; 6] = [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The word for it in configuration and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    const fn filter(self) -> LevelFilter {
        match self {
            Self::Off => LevelFilter::OFF,
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

/// What the log says: from which level on, in general and of some modules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loudness {
    /// In general.
    pub level: Level,
    /// Of these modules and those within.
    pub targets: BTreeMap<String, Level>,
}

/// A text does not say what the log is to say.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoudnessError {
    /// One of its words is no level.
    #[error(transparent)]
    Level(#[from] UnknownLevel),
    /// What stands before `=` is no module.
    #[error("{0:?} is no module; write one such as wayside::catalog=debug")]
    Target(String),
}

/// Whether a text can be the path of a module.
pub fn is_target(text: &str) -> bool {
    !text.is_empty()
        && text.split("::").all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
}

impl Loudness {
    /// What is let through: libraries speak at `warn` and above only, except at `trace`, and where they are named.
    fn filter(&self) -> Targets {
        let level = self.level.filter();
        let libraries = if self.level == Level::Trace { level } else { level.min(LevelFilter::WARN) };
        let targets = self.targets.iter().map(|(target, level)| (target.clone(), level.filter()));
        Targets::new().with_default(libraries).with_target("wayside", level).with_targets(targets)
    }
}

impl From<Level> for Loudness {
    fn from(level: Level) -> Self {
        Self { level, targets: BTreeMap::new() }
    }
}

impl From<&Settings> for Loudness {
    fn from(settings: &Settings) -> Self {
        Self { level: settings.level, targets: settings.targets.clone() }
    }
}

impl FromStr for Loudness {
    type Err = LoudnessError;

    /// A level, modules with one each, or both: `info,wayside::catalog=debug`.
    fn from_str(text: &str) -> Result<Self, LoudnessError> {
        let mut loudness = Self::default();
        for word in text.split(',').map(str::trim) {
            match word.split_once('=') {
                None => loudness.level = word.parse()?,
                Some((target, level)) if is_target(target) => {
                    loudness.targets.insert(target.to_owned(), level.parse()?);
                }
                Some((target, _)) => return Err(LoudnessError::Target(target.to_owned())),
            }
        }
        Ok(loudness)
    }
}

impl fmt::Display for Loudness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.level.fmt(f)?;
        self.targets.iter().try_for_each(|(target, level)| write!(f, ",{target}={level}"))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownLevel(text.to_owned()))
    }
}

/// The log of this process: what waits is written when it is dropped, so it is kept until the end.
#[must_use]
#[derive(Debug)]
pub struct Log {
    control: Control,
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

/// Changes the level of the log while it runs. Cheap to clone.
#[derive(Clone)]
pub struct Control(reload::Handle<Targets, Registry>);

impl Log {
    /// What changes its level.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Asks for the number of lines lost because they could not be written fast enough.
    pub fn dropped_lines(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let dropped = self.dropped.clone();
        move || u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX)
    }
}

impl Control {
    /// Says from now on what is as loud as this. Without effect once the log has ended.
    pub fn set(&self, loudness: &Loudness) {
        // The only failure is that the log is gone, and then there is nothing to set.
        let _ = self.0.reload(loudness.filter());
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control")
    }
}

/// Sets up the log of this process.
///
/// # Errors
/// When one is set up already.
pub fn init(settings: &Settings) -> Result<Log, AlreadySetUp> {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(QUEUE_LINES).lossy(true);
    let (writer, guard) = builder.thread_name("log").finish(io::stderr());
    let dropped = writer.error_counter();
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match settings.format {
        LineFormat::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        LineFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let (filter, handle) = reload::Layer::new(Loudness::from(settings).filter());
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().map_err(|_| AlreadySetUp)?;
    Ok(Log { control: Control(handle), dropped, _writer: guard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_read_back() {
        for level in Level::ALL {
            assert_eq!(level.as_str().to_uppercase().parse(), Ok(level));
        }
        assert!("loud".parse::<Level>().unwrap_err().to_string().contains("off, error, warn"));
    }

    #[test]
    fn libraries_are_quiet_unless_all_is_traced() {
        let allows = |level: Level, target: &str, event: tracing::Level| {
            Loudness::from(level).filter().would_enable(target, &event)
        };
        assert!(allows(Level::Info, "wayside::catalog", tracing::Level::INFO));
        assert!(!allows(Level::Debug, "hyper::proto", tracing::Level::INFO));
        assert!(allows(Level::Debug, "hyper::proto", tracing::Level::WARN));
        assert!(!allows(Level::Error, "hyper::proto", tracing::Level::WARN));
        assert!(allows(Level::Trace, "hyper::proto", tracing::Level::TRACE));
        assert!(!allows(Level::Off, "wayside", tracing::Level::ERROR));
    }

    #[test]
    fn modules_may_be_louder_or_quieter() {
        let text = "warn,hyper=debug,wayside::catalog=trace,wayside::proxy=off";
        let loudness: Loudness = text.parse().unwrap();
        assert_eq!(loudness.to_string(), text);
        let allows = |target: &str, event: tracing::Level| loudness.filter().would_enable(target, &event);
        assert!(allows("wayside::catalog::watcher", tracing::Level::TRACE));
        assert!(!allows("wayside::registry", tracing::Level::INFO));
        assert!(!allows("wayside::proxy::raw", tracing::Level::ERROR));
        assert!(allows("hyper::proto", tracing::Level::DEBUG) && !allows("h2", tracing::Level::INFO));
        assert_eq!("debug".parse(), Ok(Loudness::from(Level::Debug)));
        let only = "wayside::catalog=debug".parse::<Loudness>().unwrap();
        assert_eq!(only.level, Level::Info, "the usual one where none is said");
        for bad in ["", "loud", "wayside::catalog=loud", "=debug", "a b=debug", "a:b=debug", "info,"] {
            assert!(bad.parse::<Loudness>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_process_has_one_log_whose_level_can_change() {
        let settings = Settings { level: Level::Warn, format: LineFormat::Json, ..Settings::default() };
        let log = init(&settings).unwrap();
        assert!(!tracing::enabled!(target: "wayside", tracing::Level::DEBUG));
        log.control().set(&Level::Debug.into());
        assert!(tracing::enabled!(target: "wayside", tracing::Level::DEBUG));
        log.control().set(&Level::Warn.into());
        assert_eq!(log.dropped_lines()(), 0);
        assert!(init(&Settings::default()).is_err());
    }
}
