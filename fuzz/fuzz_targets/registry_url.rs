//! Looks for URLs of registries that are not refused with a cure, or that are opened as something else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wayside::registry::kinds::Settings;

fuzz_target!(|text: &str| {
    for scheme in ["", "zookeeper:", "etcd:", "consul:", "dns:", "file:", "fixed:"] {
        if let Err(error) = format!("{scheme}{text}").parse::<Settings>() {
            assert!(error.to_string().contains("; "), "{text:?}: {error}");
        }
    }
});
