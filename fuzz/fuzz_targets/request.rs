//! Looks for bytes of a client that make the proxy send something malformed, or hang, or send what nobody asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wayside_fuzz::whole::Bed;

thread_local! {
    static BED: Bed = Bed::start();
}

fuzz_target!(|input: &[u8]| {
    BED.with(|bed| bed.ask(input));
});
