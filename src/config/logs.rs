//! The two logs: of the program, and of requests.

use std::path::PathBuf;

use super::reader::Section;
use super::resolve::COUNT;
use super::value::{Flag, List, Map, Number, Parsed, Word, parsed, text};
use crate::telemetry::{LineFormat, access, log};

/// How lines are written.
const LINE_FORMAT: Word<LineFormat> = Word(&LineFormat::ALL, |format| format.as_str());

/// What the program says of itself.
pub(super) fn log(section: &mut Section<'_>) -> log::Settings {
    let default = log::Settings::default();
    log::Settings {
        level: section.get("level", &Word(&log::Level::ALL, |level| level.as_str()), default.level),
        targets: section.get("targets", &LOG_TARGETS, default.targets),
        format: section.get("format", &LINE_FORMAT, default.format),
    }
}

/// The levels of single modules.
const LOG_TARGETS: Map<Word<log::Level>> = Map(
    |target| {
        (!log::is_target(target))
            .then(|| format!("{target:?} is no module; write one such as \"wayside::catalog\""))
    },
    Word(&log::Level::ALL, |level| level.as_str()),
);

/// One field of a line of the access log.
const ITEM: Parsed<access::Item> = parsed("a field of the access log", "status");

/// What is written of each request.
pub(super) fn access(section: &mut Section<'_>) -> access::Settings {
    let default = access::Settings::default();
    let enabled = section.get("enabled", &Flag, default.enabled);
    let format = section.get("format", &LINE_FORMAT, default.format);
    let fields = section.get("fields", &List(ITEM), default.fields);
    let path = section.optional("path", &text("the path of a file", "access.log"), "standard output");
    let destination = path.map_or(default.destination, |path| access::Destination::File(PathBuf::from(path)));
    let query = section.get("query", &Flag, default.query);
    let queue = section.get("queue", &Number(COUNT), default.queue);
    access::Settings { enabled, format, fields, destination, query, queue }
}
