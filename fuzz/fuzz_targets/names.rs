//! Looks for addresses, names of services, patterns and ids that are read as something other than what is written.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use wayside::provider::{Address, ServiceName, Weight};
use wayside::route::{HostPattern, PathPrefix, Source};
use wayside::upstream::tls::SpiffeId;

/// What is read and written is read again as the same; of what is not read, something is said.
fn round<T: FromStr<Err: Display> + Display + PartialEq + Debug>(text: &str) {
    match text.parse::<T>() {
        Ok(read) => {
            let written = read.to_string();
            match written.parse::<T>() {
                Ok(again) => assert_eq!(again, read, "{text:?} {written:?}"),
                Err(error) => panic!("{text:?} is written as {written:?}: {error}"),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fuzz_target!(|text: &str| {
    round::<Address>(text);
    round::<ServiceName>(text);
    round::<SpiffeId>(text);
    let _ = text.parse::<Weight>();
    let _ = text.parse::<HostPattern>();
    let _ = text.parse::<PathPrefix>();
    let _ = text.parse::<Source>();
});
