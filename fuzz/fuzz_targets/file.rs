//! Looks for files of providers that cannot be borne.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    wayside::registry::file::fuzzed::read(text);
});
