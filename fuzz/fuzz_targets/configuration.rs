//! Looks for configurations that are neither good nor told what is wrong with them, or that do not read back as themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wayside::config::{Overrides, read};

fuzz_target!(|text: &str| {
    // Files that it names are not what is looked for.
    if text.contains("file") || text.contains("/") && text.contains("tls") {
        return;
    }
    match read(Some("w.toml"), text, &Overrides::default()) {
        Ok(config) => {
            let again = read(None, config.to_toml(), &Overrides::default());
            let again = again.unwrap_or_else(|error| panic!("{error}\n{}", config.to_toml()));
            assert_eq!(again.to_toml(), config.to_toml());
        }
        Err(mistakes) => {
            assert!(!mistakes.list().is_empty());
            for line in mistakes.to_string().lines() {
                assert!(line.starts_with("w.toml:"), "{line}");
            }
        }
    }
});
