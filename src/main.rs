//! The duogate binary: arguments in, exit code out. Everything else lives in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    duogate::cli::Cli::main()
}
