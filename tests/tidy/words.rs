//! What no file of the repository says, and what the README has to say.

use super::Complaint;
use super::rules::Rules;
use super::source::Source;

/// Folders that exist on somebody's machine only, and notes to come back later. This file alone may name them.
const FOREIGN: [&str; 10] =
    ["/home/", "/Users/", "/root/.", "/tmp/", "/work/", "C:\\Users", "TODO", "FIXME", "XXX", "HACK"];
/// The file that names what it forbids.
const THIS_FILE: &str = "tests/tidy/words.rs";

/// Lines with a path of somebody's machine or a note for later.
pub(crate) fn check_words(_rules: &Rules, sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.path != THIS_FILE && source.path != "Cargo.lock") {
        for (index, line) in source.text.lines().enumerate() {
            let found = FOREIGN.iter().filter(|word| line.contains(**word));
            complaints.extend(found.map(|word| {
                let message = format!("{word:?} is a path of one machine, or a note for later");
                Complaint::new(&source.path, index + 1, message)
            }));
        }
    }
    complaints
}

/// Files of `config/` that the README does not name.
pub(crate) fn check_configurations(_rules: &Rules, sources: &[Source]) -> Vec<Complaint> {
    let readme = sources.iter().find(|source| source.path == "README.md").map_or("", |it| it.text.as_str());
    let unlisted = |source: &&Source| {
        source.path.starts_with("config/") && source.path.ends_with(".toml") && !readme.contains(&source.path)
    };
    let complain = |source: &Source| Complaint::new(&source.path, 1, "README.md does not name this file");
    sources.iter().filter(unlisted).map(complain).collect()
}

/// What THREATS.md names as holding a claim, and is nowhere: a file of the code, or of the tests of the whole program.
pub(crate) fn check_claims(_rules: &Rules, sources: &[Source]) -> Vec<Complaint> {
    let Some(threats) = sources.iter().find(|source| source.path == "THREATS.md") else { return Vec::new() };
    let is_there = |name: &str| {
        sources
            .iter()
            .any(|source| ["src/", "tests/it/"].iter().any(|folder| source.path == format!("{folder}{name}")))
    };
    let mut complaints = Vec::new();
    for (index, line) in threats.text.lines().enumerate() {
        let names = line.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs"));
        let missing = names.filter(|name| !is_there(name));
        complaints.extend(missing.map(|name| {
            Complaint::new(&threats.path, index + 1, format!("{name} is neither in src/ nor in tests/it/"))
        }));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::super::rules::SAMPLE;
    use super::*;

    #[test]
    fn foreign_words_are_seen() {
        let rules = Rules::parse(SAMPLE);
        for text in ["see /home/ann/x", "cd /work/a", "// TODO: later"] {
            assert_eq!(check_words(&rules, &[Source::new("a.md", text)]).len(), 1, "{text}");
        }
        assert!(check_words(&rules, &[Source::new("a.md", "the way home/work")]).is_empty());
    }

    #[test]
    fn a_claim_that_nothing_holds_is_seen() {
        let rules = Rules::parse(SAMPLE);
        let threats = Source::new("THREATS.md", "| x | `a/b.rs` and `gone.rs` `c()` |");
        let complaints = check_claims(&rules, &[threats, Source::new("tests/it/a/b.rs", "")]);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].message.starts_with("gone.rs "), "{complaints:?}");
    }

    #[test]
    fn an_unlisted_configuration_is_seen() {
        let rules = Rules::parse(SAMPLE);
        let config = Source::new("config/a.toml", "");
        let readme = Source::new("README.md", "`config/a.toml` is small");
        assert_eq!(check_configurations(&rules, std::slice::from_ref(&config)).len(), 1);
        assert!(check_configurations(&rules, &[config, readme]).is_empty());
    }
}
