//! Overrides: what a single request says about which provider it wants, where a route lets it.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName};
use thiserror::Error;

use crate::balance::Wish;

/// The header that names one provider, by its id, its address, or its token.
pub const PROVIDER: HeaderName = HeaderName::from_static("x-wayside-provider");
/// The header that says what providers must announce.
pub const SUBSET: HeaderName = HeaderName::from_static("x-wayside-subset");

/// Keys that one header may ask for.
const KEYS_MAX: usize = 16;

/// Why an override cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OverrideError {
    /// Both headers at once, or one of them twice.
    #[error(
        "X-Wayside-Provider and X-Wayside-Subset were sent together, or more than once; send one of them, once"
    )]
    Several,
    /// No visible text.
    #[error(
        "X-Wayside-Provider or X-Wayside-Subset is empty or no plain text; write a provider, or key=value"
    )]
    Text,
    /// Not the form of a subset.
    #[error("X-Wayside-Subset is no list of up to 16 keys, each once; write version=2.0.0,stage=canary")]
    Subset,
}

/// What a request wants, if it says so.
///
/// # Errors
/// When what it says cannot be understood.
pub fn asked(headers: &HeaderMap) -> Result<Option<Wish>, OverrideError> {
    let mut all = headers.get_all(PROVIDER).iter().map(|value| (value, true));
    let mut subsets = headers.get_all(SUBSET).iter().map(|value| (value, false));
    let Some((value, is_provider)) = all.next().or_else(|| subsets.next()) else { return Ok(None) };
    if all.next().is_some() || subsets.next().is_some() {
        return Err(OverrideError::Several);
    }
    let text = value.to_str().map_err(|_| OverrideError::Text)?.trim();
    if text.is_empty() {
        return Err(OverrideError::Text);
    }
    if is_provider { Ok(Some(Wish::only(text))) } else { subset(text).map(Some) }
}

/// Takes them out of a request: they concern this proxy.
pub fn take_out(headers: &mut HeaderMap) {
    headers.remove(PROVIDER);
    headers.remove(SUBSET);
}

fn subset(text: &str) -> Result<Wish, OverrideError> {
    let mut metadata = BTreeMap::new();
    for pair in text.split(',') {
        let (key, value) = pair.split_once('=').ok_or(OverrideError::Subset)?;
        let (key, value) = (key.trim(), value.trim());
        let is_new = !key.is_empty() && metadata.insert(key.to_owned(), value.to_owned()).is_none();
        if !is_new || metadata.len() > KEYS_MAX {
            return Err(OverrideError::Subset);
        }
    }
    let version = metadata.remove("version").map(Into::into);
    Ok(Wish::Such { version, metadata })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(fields: &[(HeaderName, &str)]) -> Result<Option<Wish>, OverrideError> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        asked(&headers)
    }

    #[test]
    fn a_provider_or_a_subset_is_asked_for() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[(PROVIDER, " 10.0.0.1:80 ")]), Ok(Some(Wish::only("10.0.0.1:80"))));
        let such = Wish::Such {
            version: Some("2.0.0".into()),
            metadata: BTreeMap::from([("stage".to_owned(), "canary".to_owned())]),
        };
        assert_eq!(of(&[(SUBSET, "version=2.0.0, stage=canary")]), Ok(Some(such)));
    }

    #[test]
    fn what_is_unclear_is_refused() {
        let many: String = (0..20).map(|number| format!("k{number}=1,")).collect();
        for fields in [
            vec![(PROVIDER, "a"), (PROVIDER, "a")],
            vec![(PROVIDER, "a"), (SUBSET, "version=1")],
            vec![(SUBSET, "version=1"), (SUBSET, "version=1")],
            vec![(PROVIDER, " ")],
            vec![(PROVIDER, "größe")],
            vec![(SUBSET, "canary")],
            vec![(SUBSET, "=1")],
            vec![(SUBSET, "a=1,a=2")],
            vec![(SUBSET, &many)],
        ] {
            assert!(of(&fields).is_err(), "{fields:?}");
        }
    }
}
