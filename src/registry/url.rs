//! The parts of a registry's URL that several kinds share: its options, and errors that name culprit and cure.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// Why a text does not name a registry: what is wrong, and what to write instead. Never with a secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{wrong}; {cure}")]
pub struct UrlError {
    wrong: String,
    cure: String,
}

impl UrlError {
    /// What is wrong (naming the culprit), and what to write instead.
    pub fn new(wrong: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { wrong: wrong.into(), cure: cure.into() }
    }

    /// The same, but for one that repeats a part of a URL with an `@` in it: a password may hold what a URL is parted by.
    pub(super) fn without_credentials(self, url: &str) -> Self {
        if !url.contains('@') || !self.wrong.contains('"') {
            return self;
        }
        Self::new(
            "the URL cannot be read, and is not repeated, since what is before its @ may be credentials",
            "leave those out, and give them as auth = \"USER:PASSWORD\" beside the URL",
        )
    }
}

/// The options of a URL, `key=value` joined by `&`, each asked for once; [`Options::finish`] refuses those nobody asked for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    given: Vec<(String, String)>,
    asked: Vec<&'static str>,
}

impl Options {
    /// The options in what stands behind the `?`, values percent-decoded.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let mut given = Vec::<(String, String)>::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(UrlError::new(
                    format!("the option {pair:?} has no value"),
                    format!("write {pair}=VALUE, or leave it out"),
                ));
            };
            if given.iter().any(|(other, _)| other == key) {
                return Err(UrlError::new(format!("the option {key:?} is given twice"), "keep one of them"));
            }
            // A value is not repeated: some write a secret there.
            let value = decode(value).map_err(|_| {
                UrlError::new(format!("the option {key:?} is not UTF-8 once decoded"), "encode it as UTF-8")
            })?;
            given.push((key.to_owned(), value));
        }
        Ok(Self { given, asked: Vec::new() })
    }

    /// The value of an option, if it is given.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<String> {
        self.asked.push(key);
        let place = self.given.iter().position(|(given, _)| given == key)?;
        Some(self.given.swap_remove(place).1)
    }

    /// A duration from `least` to `most`, or `default` if it is not given.
    pub(crate) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        (least, most): (Duration, Duration),
    ) -> Result<Duration, UrlError> {
        let Some(text) = self.take(key) else { return Ok(default) };
        match humantime::parse_duration(&text) {
            Ok(duration) if (least..=most).contains(&duration) => Ok(duration),
            Ok(_) | Err(_) => Err(UrlError::new(
                format!("{key} is {text:?}"),
                format!(
                    "write a time from {} to {}, such as {}",
                    humantime::format_duration(least),
                    humantime::format_duration(most),
                    humantime::format_duration(default)
                ),
            )),
        }
    }

    /// Refuses an option that was not asked for.
    pub(crate) fn finish(self) -> Result<(), UrlError> {
        let Some((key, _)) = self.given.first() else { return Ok(()) };
        let near = self
            .asked
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
        let near = near.filter(|near| strsim::jaro_winkler(near, key) > 0.8);
        let cure = match near {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", self.asked.join(", ")),
        };
        Err(UrlError::new(format!("there is no option {key:?}"), cure))
    }
}

/// A part of a URL without its percent-encoding.
pub(crate) fn decode(text: &str) -> Result<String, UrlError> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(UrlError::new(format!("{text:?} is not UTF-8 once decoded"), "encode it as UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_once_and_the_rest_is_refused() {
        let mut options = Options::parse("a=1&b=%2Fx%20y&c=").unwrap();
        assert_eq!(options.take("a").as_deref(), Some("1"));
        assert_eq!(options.take("b").as_deref(), Some("/x y"));
        assert_eq!(options.take("format"), None);
        assert_eq!(options.take("c").as_deref(), Some(""));
        assert_eq!(options.finish(), Ok(()));
        let mut options = Options::parse("formt=x").unwrap();
        options.take("format");
        assert_eq!(
            options.finish().unwrap_err().to_string(),
            "there is no option \"formt\"; did you mean format?"
        );
        for wrong in ["a", "a=1&a=2", "a=%ff"] {
            assert!(Options::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_bounds() {
        let bounds = (Duration::from_secs(1), Duration::from_mins(1));
        let read =
            |text: &str| Options::parse(text).unwrap().duration("audit", Duration::from_secs(5), bounds);
        assert_eq!(read(""), Ok(Duration::from_secs(5)));
        assert_eq!(read("audit=1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(
            read("audit=5").unwrap_err().to_string(),
            "audit is \"5\"; write a time from 1s to 1m, such as 5s"
        );
        assert!(read("audit=2m").is_err() && read("audit=0s").is_err());
    }
}
