//! Looks for stores and handovers on disk that cannot be borne, or that do not read back as themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wayside::catalog::store::fuzzed;

fuzz_target!(|text: &[u8]| {
    fuzzed::store(text);
    fuzzed::handover(text);
});
