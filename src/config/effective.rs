//! The configuration in force, written as TOML again.

use super::error::Place;
use super::reader::Asked;

/// What was asked for as TOML, in that order: every key that has a value, and the flag or variable that gave it.
pub(super) fn toml(asked: &[Asked]) -> String {
    let mut text =
        String::from("# What is in force: file, flags, environment and defaults. Secrets are left out.\n");
    let mut section = (String::new(), 0);
    for asked in asked {
        if (&asked.section, asked.number) != (&section.0, section.1) {
            section = (asked.section.clone(), asked.number);
            text.push_str(&format!("\n{}\n", asked.section));
        }
        let Some(value) = &asked.value else { continue };
        text.push_str(&format!("{} = {value}", asked.key));
        if let Some(Place::Given(origin)) = asked.place {
            text.push_str(&format!("  # {origin}"));
        }
        text.push('\n');
    }
    text
}

/// The secrets that were given, each by its place and key and what tells it from another one.
pub(super) fn secrets(asked: &[Asked]) -> Vec<((usize, String), u64)> {
    let secret = |asked: &Asked| {
        let key = format!("{}.{}", asked.section.trim_matches(['[', ']']), asked.key);
        Some(((asked.number, key), asked.mark?))
    };
    asked.iter().filter_map(secret).collect()
}
