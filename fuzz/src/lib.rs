//! What fuzz targets do: read their input as an entry of a registry, or send it through a whole proxy.

pub mod strict;
pub mod whole;

use std::sync::Arc;

use wayside::provider::ServiceName;
use wayside::registry::format::{Entry, Folder, Format, kinds};

#[doc(hidden)]
pub use libfuzzer_sys::fuzz_target;

/// Reads an entry in a format: its name up to the first line feed, and its data behind that.
///
/// # Panics
/// When the format panics, announces more than an entry may, or says nothing of what it does not read.
pub fn decode(format: &Arc<dyn Format>, service: &ServiceName, input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (name, data) = input.split_at(end);
    let name = String::from_utf8_lossy(name);
    let data = data.strip_prefix(b"\n").unwrap_or(data);
    for folder in [Folder::Providers, Folder::Rules] {
        let decoded = format.decode(Entry { service, folder, name: &name, data });
        assert!(decoded.providers.len() <= 64 && decoded.rules.len() <= 64, "{decoded:?}");
        assert!(decoded.unusable.iter().all(|unusable| !unusable.detail.is_empty()), "{decoded:?}");
    }
}

/// The format of a name, and a service to ask for.
///
/// # Panics
/// When there is no such format.
pub fn subject(format: &str) -> (Arc<dyn Format>, ServiceName) {
    let format = kinds::named(format).expect("the target is named after a format");
    (format, "greeter".parse().expect("it is a name"))
}

/// The target of one format.
#[macro_export]
macro_rules! target {
    ($format:literal) => {
        $crate::fuzz_target!(|input: &[u8]| {
            thread_local! {
                static SUBJECT: (
                    ::std::sync::Arc<dyn ::wayside::registry::format::Format>,
                    ::wayside::provider::ServiceName,
                ) = $crate::subject($format);
            }
            SUBJECT.with(|(format, service)| $crate::decode(format, service, input));
        });
    };
}
