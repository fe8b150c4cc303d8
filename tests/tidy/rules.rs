//! The rules, read out of the tables of ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::fs;

/// What ARCHITECTURE.md says that a machine can hold.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Each room's floor.
    pub(crate) floors: BTreeMap<String, u32>,
    pub(crate) absences: Vec<Absence>,
    pub(crate) file_lines: usize,
    pub(crate) function_lines: usize,
    /// What is larger, and how large it may be: a path, or a path and a function's name joined by `::`.
    pub(crate) ratchet: BTreeMap<String, usize>,
    /// Names that say nothing.
    pub(crate) empty_names: Vec<String>,
}

/// Words that must not be written in some places.
#[derive(Clone, Debug)]
pub(crate) struct Absence {
    pub(crate) places: Vec<String>,
    pub(crate) scope: Scope,
    pub(crate) except: Vec<String>,
    pub(crate) words: Vec<String>,
    pub(crate) because: String,
}

/// Which code of its places an absence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Code,
    CodeAndTests,
    Tests,
}

impl Rules {
    /// The rules of this repository.
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md");
        Self::parse(&fs::read_to_string(path).expect("ARCHITECTURE.md lies at the root"))
    }

    /// Reads the tables; panics with the cause when one is not as it should be.
    pub(crate) fn parse(text: &str) -> Self {
        let floors: BTreeMap<String, u32> = rows(text, "Floors")
            .iter()
            .flat_map(|row| {
                let floor = row[0].parse().unwrap_or_else(|_| panic!("{:?} is no floor", row[0]));
                words(&row[1]).into_iter().map(move |room| (room, floor))
            })
            .collect();
        let absences = rows(text, "Absences").iter().map(|row| Absence::from_row(row)).collect();
        let sizes: BTreeMap<String, usize> = rows(text, "Sizes")
            .iter()
            .map(|row| (row[0].trim_matches('`').to_owned(), number(&row[1])))
            .collect();
        let limit = |name: &str| *sizes.get(name).unwrap_or_else(|| panic!("no size of a {name}"));
        let names = section(text, "Names and words");
        let sentence = names.split_once('.').map_or("", |(first, _)| first);
        Self {
            floors,
            absences,
            file_lines: limit("file"),
            function_lines: limit("function"),
            ratchet: sizes.clone().into_iter().filter(|(name, _)| name.contains('/')).collect(),
            empty_names: words(sentence),
        }
    }
}

impl Absence {
    fn from_row(row: &[String]) -> Self {
        let scope = match row[0].rsplit('`').next().unwrap_or_default().trim() {
            "" => Scope::Code,
            "and tests" => Scope::CodeAndTests,
            "tests only" => Scope::Tests,
            other => panic!("{other:?} is no scope of an absence"),
        };
        Self {
            places: words(&row[0]),
            scope,
            except: words(&row[1]),
            words: words(&row[2]),
            because: row[3].clone(),
        }
    }
}

/// The text under a heading that begins with this title, up to the next one.
fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let start = text
        .find(&format!("\n## {title}"))
        .unwrap_or_else(|| panic!("ARCHITECTURE.md has no section {title:?}"));
    let body = &text[start + 1..];
    let body = body.split_once('\n').map_or("", |(_, body)| body);
    body.find("\n## ").map_or(body, |end| &body[..end])
}

/// The rows of the tables in a section, without their heads.
fn rows(text: &str, title: &str) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in section(text, title).lines() {
        let Some(cells) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else { continue };
        if cells.starts_with("---") {
            rows.pop();
            continue;
        }
        rows.push(cells.split('|').map(|cell| cell.trim().to_owned()).collect());
    }
    rows
}

/// What stands between back quotes.
fn words(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number of lines"))
}

#[cfg(test)]
pub(crate) const SAMPLE: &str = "# A
## Floors (held)
| floor | rooms | what |
|---|---|---|
| 3 | `top` | x |
| 2 | `left` `right` | x |
| 1 | `base` | x |
## Absences (held)
| where | except | absent | because |
|---|---|---|---|
| `src/base` | | `Instant::now` | pure |
| `src` and tests | `src/top` | `.unwrap()` `\"name_` `#[ignore` | so |
| `src` tests only | | `thread::sleep` | so |
## Sizes (held)
| what | most lines |
|---|---|
| file | 10 |
| function | 3 |

| larger than that | lines |
|---|---|
| `src/base.rs` | 12 |
| `src/base.rs::long` | 5 |
## Names and words (held)
No file is called one of these: `utils` `manager`. And `more`.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_read() {
        let rules = Rules::parse(SAMPLE);
        assert_eq!(rules.floors["left"], 2);
        assert_eq!(rules.floors.len(), 4);
        assert_eq!(rules.absences[1].words, [".unwrap()", "\"name_", "#[ignore"]);
        let scopes: Vec<Scope> = rules.absences.iter().map(|absence| absence.scope).collect();
        assert_eq!(scopes, [Scope::Code, Scope::CodeAndTests, Scope::Tests]);
        assert_eq!((rules.file_lines, rules.function_lines), (10, 3));
        assert_eq!(rules.ratchet["src/base.rs::long"], 5);
        assert_eq!(rules.empty_names, ["utils", "manager"]);
    }

    #[test]
    fn the_real_tables_are_not_empty() {
        let rules = Rules::read();
        assert!(rules.floors.len() > 10 && rules.absences.len() > 5 && rules.empty_names.len() > 4);
        assert_eq!((rules.file_lines, rules.function_lines), (400, 70));
    }
}
