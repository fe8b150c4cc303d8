//! Changes: what differs between two configurations in force, as a person is told.

use std::collections::BTreeSet;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// The keys whose values are others, with `~` and both, the lines that went, with `-`, and those that came, with `+`, each below the
/// section that it is of.
pub(super) fn told(old: &str, new: &str) -> String {
    let (old, new) = (lines(old), lines(new));
    let texts = |lines: &[Line<'_>]| lines.iter().map(|line| line.text.to_owned()).collect::<Vec<String>>();
    let mut told = Told::default();
    for op in capture_diff_slices(Algorithm::Myers, &texts(&old), &texts(&new)) {
        if !matches!(op, DiffOp::Equal { .. }) {
            told.tell_of(&old[op.old_range()], &new[op.new_range()]);
        }
    }
    told.text
}

/// Whether both say the same in whole sections, only in another order of these.
pub(super) fn is_only_order(old: &str, new: &str) -> bool {
    old != new && sections(old) == sections(new)
}

/// A line of a configuration in force.
struct Line<'t> {
    text: &'t str,
    /// The section that it is of, `[admin]` or `[[route]] 2 [[route.split]] 1`; empty for the top.
    section: String,
}

#[derive(Default)]
struct Told {
    text: String,
    /// The section that was told of last.
    section: String,
}

impl Line<'_> {
    /// The key and the value, where it is such a line.
    fn pair(&self) -> Option<(&str, &str)> {
        self.text.split_once(" = ").filter(|_| !self.text.starts_with('['))
    }
}

impl Told {
    /// Tells of lines in whose place others are.
    fn tell_of(&mut self, old: &[Line<'_>], new: &[Line<'_>]) {
        let mut told = BTreeSet::new();
        for line in old {
            let same = |other: &&Line<'_>| {
                other.section == line.section
                    && line.pair().zip(other.pair()).is_some_and(|((one, _), (other, _))| one == other)
            };
            match new.iter().position(|other| same(&other)).map(|at| (at, line.pair(), new[at].pair())) {
                Some((at, Some((key, old)), Some((_, new)))) => {
                    told.insert(at);
                    self.below(&line.section);
                    self.text.push_str(&format!("~ {key} = {old} -> {new}\n"));
                }
                Some(_) | None => self.tell('-', std::slice::from_ref(line)),
            }
        }
        for (_, line) in new.iter().enumerate().filter(|(at, _)| !told.contains(at)) {
            self.tell('+', std::slice::from_ref(line));
        }
    }

    /// Says of which section the next line is.
    fn below(&mut self, section: &str) {
        if !section.is_empty() && section != self.section {
            self.text.push_str(&format!("  {section}\n"));
        }
        section.clone_into(&mut self.section);
    }

    fn tell(&mut self, sign: char, lines: &[Line<'_>]) {
        for Line { text, section } in lines {
            if text.starts_with('[') {
                // The head of a section tells of it itself.
                self.section.clone_from(section);
            } else {
                self.below(section);
            }
            self.text.push_str(&format!("{sign} {text}\n"));
        }
    }
}

/// What is said, line by line.
fn lines(text: &str) -> Vec<Line<'_>> {
    // The sections that the line is of, outermost first: the path of each, its head, and how many there were of them.
    let mut within: Vec<(&str, &str, usize)> = Vec::new();
    let mut lines = Vec::new();
    let mut before: Vec<(&str, usize)> = Vec::new();
    for text in said(text) {
        if text.starts_with('[') {
            let path = path(text);
            let is_of = |inner: &str, outer: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
            };
            within.retain(|(outer, ..)| is_of(path, outer));
            let number = before.iter().find(|(known, _)| *known == path).map_or(1, |(_, number)| number + 1);
            before.retain(|(known, _)| *known != path && !is_of(known, path));
            before.push((path, number));
            within.push((path, text, number));
        }
        let last = within.len().saturating_sub(1);
        let shown = within.iter().enumerate().filter_map(|(at, (_, head, number))| {
            if head.starts_with("[[") {
                Some(format!("{head} {number}"))
            } else {
                (at == last).then(|| (*head).to_owned())
            }
        });
        lines.push(Line { text, section: shown.collect::<Vec<_>>().join(" ") });
    }
    lines
}

/// The sections that are within no other, each with those within it, in an order that depends on nothing else.
fn sections(text: &str) -> Vec<Vec<&str>> {
    let mut sections = vec![Vec::new()];
    for line in said(text) {
        if line.starts_with('[') && !path(line).contains('.') {
            sections.push(Vec::new());
        }
        sections.last_mut().into_iter().for_each(|section| section.push(line));
    }
    sections.sort();
    sections
}

fn said(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The path in the head of a section.
fn path(head: &str) -> &str {
    head.trim_matches(['[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(first: u8, second: u8) -> String {
        format!(
            "workers = 1\n\n[[route]]\nname = \"a\"\n\n[[route]]\nname = \"x\"\n\n[[route.split]]\nversion = \"1\"\n\
             weight = {first}\n\n[[route.split]]\nversion = \"2\"\nweight = {second}\n"
        )
    }

    #[test]
    fn a_change_is_told_by_its_lines() {
        assert_eq!(told("a = 1\nb = 2\n", "a = 1\nb = 3\n"), "~ b = 2 -> 3\n");
        assert_eq!(told("a = 1\n", "a = 1\n"), "");
        assert_eq!(told("[x]\na = 1\n[y]\nb = 1\n", "[x]\na = 1\n[y]\nb = 2\n"), "  [y]\n~ b = 1 -> 2\n");
    }

    #[test]
    fn swapped_weights_are_told_with_their_parts() {
        let (old, new) = (split(95, 5), split(5, 95));
        let expected = "  [[route]] 2 [[route.split]] 1\n~ weight = 95 -> 5\n  [[route]] 2 [[route.split]] 2\n\
                        ~ weight = 5 -> 95\n";
        assert_eq!(told(&old, &new), expected);
        assert!(!is_only_order(&old, &new));
    }

    #[test]
    fn a_line_that_is_elsewhere_too_is_told() {
        let old = "[timeouts]\nconnect = \"1s\"\n[limits]\n";
        let new = "[timeouts]\nconnect = \"1s\"\n[limits]\nconnect = \"1s\"\n";
        assert_eq!(told(old, new), "  [limits]\n+ connect = \"1s\"\n");
        assert_eq!(told(new, old), "  [limits]\n- connect = \"1s\"\n");
    }

    #[test]
    fn swapped_routes_are_told_to_be_in_another_order() {
        let (a, b) =
            ("[[route]]\nname = \"a\"\n[route.sticky]\ncookie = \"c\"\n", "[[route]]\nname = \"b\"\n");
        let (old, new) = (format!("x = 1\n{a}{b}"), format!("x = 1\n{b}{a}"));
        assert!(is_only_order(&old, &new) && !is_only_order(&old, &old));
        assert!(told(&old, &new).contains("name = "));
        let elsewhere =
            "x = 1\n[[route]]\nname = \"a\"\n[[route]]\nname = \"b\"\n[route.sticky]\ncookie = \"c\"\n";
        assert!(!is_only_order(&old, elsewhere), "what is within another section is no longer the same");
    }
}
