//! The table of all formats: to add one, write its file and its line here.

use std::sync::Arc;

use super::{Format, GoMicro};
use crate::registry::url::{Options, UrlError};

/// Makes a format of the options in a registry's URL; it takes those that concern it.
type Open = fn(&mut Options) -> Result<Arc<dyn Format>, UrlError>;

/// Every format by its name, the default first.
static KINDS: [(&str, Open); 1] = [("go-micro", |_| Ok(Arc::new(GoMicro)))];

/// The format that the option `format` names, or else the one named `default`, with the options it has of its own.
pub(crate) fn open(default: &str, options: &mut Options) -> Result<Arc<dyn Format>, UrlError> {
    let name = options.take("format").unwrap_or_else(|| default.to_owned());
    match KINDS.into_iter().find(|(known, _)| *known == name) {
        Some((_, open)) => open(options),
        None => {
            let known = names().collect::<Vec<_>>().join(", ");
            Err(UrlError::new(format!("there is no format {name:?}"), format!("there are {known}")))
        }
    }
}

/// The format of that name as it is without options, or `None`; [`names`] tells what there is.
pub fn named(name: &str) -> Option<Arc<dyn Format>> {
    let (_, open) = KINDS.into_iter().find(|(known, _)| *known == name)?;
    open(&mut Options::default()).ok()
}

/// The names of all formats, the default first.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_its_own_name_only() {
        for name in names() {
            assert_eq!(named(name).map(|format| format.name()), Some(name));
        }
        assert_eq!(names().next(), Some("go-micro"));
        assert!(named("Go-Micro").is_none() && named("").is_none());
    }

    #[test]
    fn a_format_that_is_not_there_is_told_what_is() {
        let mut options = Options::parse("format=gomicro").unwrap();
        let error = open("go-micro", &mut options).unwrap_err().to_string();
        assert!(error.starts_with("there is no format \"gomicro\"; there are go-micro"), "{error}");
    }
}
