//! Rooms use only what lies below them, and never each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::Complaint;
use super::rules::Rules;
use super::source::{Source, Token};

/// One room's use of another.
#[derive(Clone, Debug)]
struct Use {
    from: String,
    to: String,
    file: String,
    line: usize,
}

/// Uses that go up.
pub(crate) fn check_direction(rules: &Rules, sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for it in uses(sources) {
        let (Some(from), Some(to)) = (rules.floors.get(&it.from), rules.floors.get(&it.to)) else { continue };
        if to > from {
            let message = format!("`{}` (floor {from}) uses `{}` (floor {to}) above it", it.from, it.to);
            complaints.push(Complaint::new(&it.file, it.line, message));
        }
    }
    complaints
}

/// Rooms that use each other, directly or through others.
pub(crate) fn check_circles(_rules: &Rules, sources: &[Source]) -> Vec<Complaint> {
    let all = uses(sources);
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for it in &all {
        graph.entry(&it.from).or_default().insert(&it.to);
    }
    let closes = |it: &&Use| reaches(&graph, &it.to, &it.from);
    let complain = |it: &Use| {
        let message = format!("`{}` uses `{}`, which leads back to it", it.from, it.to);
        Complaint::new(&it.file, it.line, message)
    };
    all.iter().filter(closes).map(complain).collect()
}

/// Rooms without a floor.
pub(crate) fn check_rooms(rules: &Rules, sources: &[Source]) -> Vec<Complaint> {
    let unknown = |source: &&Source| room(&source.path).is_some_and(|room| !rules.floors.contains_key(&room));
    let complain =
        |source: &Source| Complaint::new(&source.path, 1, "this room has no floor in ARCHITECTURE.md");
    let mut complaints: Vec<Complaint> = sources.iter().filter(unknown).map(complain).collect();
    for it in uses(sources).iter().filter(|it| !rules.floors.contains_key(&it.to)) {
        let message = format!("`crate::{}` is no room of ARCHITECTURE.md", it.to);
        complaints.push(Complaint::new(&it.file, it.line, message));
    }
    complaints
}

fn reaches(graph: &BTreeMap<&str, BTreeSet<&str>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut ahead = vec![from];
    while let Some(room) = ahead.pop() {
        if room == to {
            return true;
        }
        if seen.insert(room) {
            ahead.extend(graph.get(room).into_iter().flatten());
        }
    }
    false
}

/// The room a file belongs to; `None` for the crate's own page and what lies outside `src`.
fn room(path: &str) -> Option<String> {
    let rest = path.strip_prefix("src/").filter(|_| path.ends_with(".rs"))?;
    let room = rest.split('/').next()?.trim_end_matches(".rs");
    (room != "lib").then(|| room.to_owned())
}

/// How many modules deep the code of a file lies: 1 for a room itself.
fn depth(path: &str) -> usize {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    inside.split('/').count()
}

fn uses(sources: &[Source]) -> Vec<Use> {
    let mut uses = Vec::new();
    for source in sources {
        let Some(from) = room(&source.path) else { continue };
        for (to, line) in rooms_named(&source.tokens, depth(&source.path)) {
            if to != from {
                uses.push(Use { from: from.clone(), to, file: source.path.clone(), line });
            }
        }
    }
    uses
}

/// The rooms that code names by `crate::` or by enough `super::`.
fn rooms_named(tokens: &[Token], depth: usize) -> Vec<(String, usize)> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut named = Vec::new();
    let mut inline: Vec<usize> = Vec::new();
    let mut braces = 0_usize;
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "{" => {
                braces += 1;
                if at >= 2 && text(at - 2) == "mod" {
                    inline.push(braces);
                }
            }
            "}" => {
                inline.pop_if(|opened| *opened == braces);
                braces = braces.saturating_sub(1);
            }
            "crate" if text(at + 1) == ":" => named.extend(heads(tokens, at + 3)),
            "super" if at == 0 || text(at - 1) != ":" => {
                let mut climbed = 1;
                let mut next = at + 3;
                while text(next) == "super" {
                    climbed += 1;
                    next += 3;
                }
                if climbed == depth + inline.len() {
                    named.extend(heads(tokens, next));
                }
            }
            _ => {}
        }
        at += 1;
    }
    named
}

/// The first names of a path, or of each path of a group in braces.
fn heads(tokens: &[Token], at: usize) -> Vec<(String, usize)> {
    let Some(first) = tokens.get(at) else { return Vec::new() };
    if first.text != "{" {
        return vec![(first.text.clone(), first.line)];
    }
    let mut heads = Vec::new();
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        let begins = matches!(tokens[index].text.as_str(), "{" | ",") && depth == 1;
        if let Some(next) = tokens.get(index + 1).filter(|next| begins && next.text != "}") {
            heads.push((next.text.clone(), next.line));
        }
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::super::rules::SAMPLE;
    use super::*;

    fn complaints(check: fn(&Rules, &[Source]) -> Vec<Complaint>, files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        check(&Rules::parse(SAMPLE), &sources)
            .into_iter()
            .map(|it| format!("{}:{}", it.file, it.line))
            .collect()
    }

    #[test]
    fn going_up_is_seen_in_every_spelling() {
        for text in [
            "use crate::top::X;",
            "use crate::{base, top::X};",
            "fn f() { crate::top::f() }",
            "fn f() { vec![crate::top::f()]; }",
            "use super::super::top::X;",
            "mod inner { use super::super::super::top::X; }",
        ] {
            let found = complaints(check_direction, &[("src/left/part.rs", text)]);
            assert_eq!(found, ["src/left/part.rs:1"], "{text}");
        }
    }

    #[test]
    fn going_down_and_aside_is_fine() {
        for text in ["use crate::base::X;", "use crate::right;", "use super::other;", "pub(crate) fn f() {}"]
        {
            assert!(complaints(check_direction, &[("src/left/part.rs", text)]).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_circle_is_seen() {
        let files = [("src/left.rs", "use crate::right::A;"), ("src/right.rs", "\nuse crate::left::B;")];
        assert_eq!(complaints(check_circles, &files), ["src/left.rs:1", "src/right.rs:2"]);
        assert!(complaints(check_circles, &files[..1]).is_empty());
    }

    #[test]
    fn a_room_without_a_floor_is_seen() {
        assert_eq!(complaints(check_rooms, &[("src/attic.rs", "")]), ["src/attic.rs:1"]);
        assert_eq!(complaints(check_rooms, &[("src/left.rs", "use crate::attic::X;")]), ["src/left.rs:1"]);
        assert!(complaints(check_rooms, &[("src/lib.rs", "mod left;"), ("src/left.rs", "")]).is_empty());
    }
}
