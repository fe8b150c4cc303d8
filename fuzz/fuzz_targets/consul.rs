//! Looks for answers of Consul that cannot be borne.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wayside::registry::consul::fuzzed;

fuzz_target!(|answer: &[u8]| {
    for decoded in fuzzed::instances(answer).unwrap_or_default() {
        assert_eq!(decoded.providers.len() + decoded.unusable.len(), 1, "{decoded:?}");
        assert!(decoded.unusable.iter().all(|unusable| !unusable.detail.is_empty()), "{decoded:?}");
    }
});
