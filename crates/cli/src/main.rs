//! The program `tollgate`; everything is in the library beside it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// For Lua, which allocates and frees in each event. Here and not in the library, whose users choose their own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    tollgate::main()
}
