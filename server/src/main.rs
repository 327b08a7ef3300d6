//! The program `freeside`. Everything is in the library; this file only chooses the TLS provider and calls it.

use std::process::ExitCode;

/// A request makes and frees some thousand small things; glibc takes a tenth of freeside's time for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First of all: whatever opens a TLS connection later finds one provider and never panics over two.
    rustls::crypto::ring::default_provider().install_default().expect("nothing ran before this line");
    server::cli::main()
}
