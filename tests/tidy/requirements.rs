//! Tables of requirements: every test that a row names exists.

use super::Complaint;
use super::rules::Rules;
use super::source::Source;

/// What such a table is called, wherever it lies.
const NAME: &str = "REQUIREMENTS.md";

/// Rows without a test, or with one that does not exist.
pub(crate) fn check(_rules: &Rules, sources: &[Source]) -> Vec<Complaint> {
    let tables = sources.iter().filter(|source| source.path.ends_with(NAME));
    tables.flat_map(|table| check_table(table, sources)).collect()
}

fn check_table(table: &Source, sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (index, line) in table.text.lines().enumerate() {
        let Some(held_by) = last_cell(line) else { continue };
        let named: Vec<&str> = held_by.split('`').skip(1).step_by(2).collect();
        let mut complain = |message| complaints.push(Complaint::new(&table.path, index + 1, message));
        if named.is_empty() {
            complain("no test holds it".to_owned());
        }
        for test in named.into_iter().filter(|test| !exists(test, sources)) {
            complain(format!("there is no test {test}"));
        }
    }
    complaints
}

/// The last cell of a row, but for the head of a table and the line below.
fn last_cell(line: &str) -> Option<&str> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let last = cells.last().copied()?;
    (last != "held by" && !last.starts_with("---")).then_some(last)
}

/// Whether `path::name` is a function of a Rust file, or a case of a corpus.
fn exists(test: &str, sources: &[Source]) -> bool {
    let Some((path, name)) = test.split_once("::") else { return false };
    let Some(source) = sources.iter().find(|source| source.path == path) else { return false };
    if source.is_rust() {
        let pairs = source.tokens.windows(2);
        return pairs.into_iter().any(|pair| pair[0].text == "fn" && pair[1].text == name);
    }
    source.text.lines().any(|line| line.split(' ').nth(1) == Some(name))
}

#[cfg(test)]
mod tests {
    use super::super::rules::SAMPLE;
    use super::*;

    #[test]
    fn a_test_that_is_gone_is_missed() {
        let rules = Rules::parse(SAMPLE);
        let of = |row: &str| {
            let table = format!("| section | what | held by |\n|---|---|---|\n{row}");
            let code = Source::new("tests/a.rs", "#[test]\nfn it_holds() {}\n");
            let cases = Source::new("tests/a.txt", "400 two-lengths GET / HTTP/1.1\n");
            check(&rules, &[Source::new("tests/REQUIREMENTS.md", &table), code, cases]).len()
        };
        assert_eq!(of("| 6.1 | x | `tests/a.rs::it_holds` and `tests/a.txt::two-lengths` |"), 0);
        for row in [
            "`tests/a.rs::it_held`",
            "`tests/a.txt::400`",
            "`tests/b.rs::it_holds`",
            "`it_holds`",
            "none",
            "",
        ] {
            assert_eq!(of(&format!("| 6.1 | x | {row} |")), 1, "{row}");
        }
    }
}
