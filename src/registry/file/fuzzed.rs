//! What fuzz targets reach of this room: files of providers.

use super::content::{self, Syntax};

/// Reads a text as a file of either syntax. Of what is wrong with it something is said.
///
/// # Panics
/// When nothing is.
pub fn read(text: &str) {
    for syntax in [Syntax::Toml, Syntax::Json] {
        match content::read("a file", syntax, text) {
            Ok(content) => {
                let skipped = content.services.values().flat_map(|listed| &listed.skipped);
                assert!(skipped.into_iter().all(|skipped| !skipped.detail.is_empty()));
                assert!(content.remarks.iter().all(|remark| !remark.is_empty()));
            }
            Err(skipped) => assert!(!skipped.detail.is_empty()),
        }
    }
}
