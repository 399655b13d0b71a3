// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `cms` binary: hands the arguments to the command line and returns its exit code.

/// A request makes some hundred small allocations, which end on other threads than they began on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cms_server::cli::run(std::env::args_os())
}
