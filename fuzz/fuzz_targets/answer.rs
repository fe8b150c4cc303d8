//! Looks for bytes of a provider that reach a client as something malformed, or as an answer to another request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wayside_fuzz::whole::Bed;

thread_local! {
    static BED: Bed = Bed::start();
}

fuzz_target!(|input: &[u8]| {
    BED.with(|bed| bed.answer(input));
});
