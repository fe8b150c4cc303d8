//! Holds the code against ARCHITECTURE.md: floors, absences, sizes, names and words.

#[path = "tidy/absences.rs"]
mod absences;
#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/requirements.rs"]
mod requirements;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use rules::Rules;
use source::{Source, read_repository};

/// Something that departs from the rules, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Complaint {
    file: String,
    line: usize,
    message: String,
}

impl Complaint {
    fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

/// Fails with every complaint on a line of its own, as `file:line: message`.
fn hold(check: impl Fn(&Rules, &[Source]) -> Vec<Complaint>) {
    let sources = read_repository();
    let mut complaints = check(&Rules::read(), &sources);
    complaints.sort();
    complaints.dedup();
    let lines: Vec<String> =
        complaints.iter().map(|it| format!("{}:{}: {}", it.file, it.line, it.message)).collect();
    assert!(lines.is_empty(), "{} departures from ARCHITECTURE.md:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn imports_go_down_the_floors() {
    hold(floors::check_direction);
}

#[test]
fn no_circle_between_rooms() {
    hold(floors::check_circles);
}

#[test]
fn every_room_has_its_floor() {
    hold(floors::check_rooms);
}

#[test]
fn what_must_be_absent_is_absent() {
    hold(absences::check);
}

#[test]
fn files_and_functions_are_short() {
    hold(shape::check_sizes);
}

#[test]
fn files_begin_with_a_sentence() {
    hold(shape::check_first_line);
}

#[test]
fn nothing_has_an_empty_name() {
    hold(shape::check_names);
}

#[test]
fn no_machine_paths_and_no_notes_for_later() {
    hold(words::check_words);
}

#[test]
fn claims_about_threats_are_held_by_something() {
    hold(words::check_claims);
}

#[test]
fn configurations_are_listed() {
    hold(words::check_configurations);
}

#[test]
fn every_requirement_is_held_by_a_test() {
    hold(requirements::check);
}
