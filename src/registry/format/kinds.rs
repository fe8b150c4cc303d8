//! The table of all formats: to add one, write its file and its line here.

use super::{Format, GoMicro};

/// Every format, the default first.
static KINDS: [&dyn Format; 1] = [&GoMicro];

/// The format that is used where none is named.
pub fn default() -> &'static dyn Format {
    KINDS[0]
}

/// The format of that name, or `None`; [`names`] tells what there is.
pub fn named(name: &str) -> Option<&'static dyn Format> {
    KINDS.into_iter().find(|format| format.name() == name)
}

/// The names of all formats, the default first.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().map(Format::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_its_own_name_only() {
        for name in names() {
            assert_eq!(named(name).map(Format::name), Some(name));
        }
        assert_eq!(default().name(), "go-micro");
        assert!(named("Go-Micro").is_none() && named("").is_none());
    }
}
