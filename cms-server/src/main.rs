// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `cms` binary: hands the arguments to the command line and returns its exit code.

fn main() -> std::process::ExitCode {
    cms_server::cli::run(std::env::args_os())
}
