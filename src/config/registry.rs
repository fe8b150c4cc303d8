//! Which registry is followed.

use std::fmt;

use super::reader::Section;
use super::value::text;

/// The registry that is followed.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Its URL.
    pub url: String,
    /// The credentials for it; never shown.
    pub auth: Option<String>,
}

impl fmt::Debug for RegistrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.url)
    }
}

/// Reads `[registry]`.
pub(super) fn registry(section: &mut Section<'_>) -> Option<RegistrySettings> {
    let url = section.required(
        "url",
        &text("the URL of a registry", "zookeeper://127.0.0.1:2181"),
        "write one such as url = \"zookeeper://127.0.0.1:2181\", or give --registry",
    );
    let auth = section.secret("auth", &text("credentials", "user:password"), "none");
    Some(RegistrySettings { url: url?, auth })
}
