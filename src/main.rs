//! Hands over to the command line.

/// Takes less time and less memory for the buffers of many connections than the C library's: see benches/README.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    wayside::cli::start()
}
