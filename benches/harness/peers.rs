// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the peers are, after `bash benches/peers/install.sh`.

use std::path::{Path, PathBuf};

use super::opa_ffi::Opa;
use crate::Result;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A file of the installed peers.
///
/// # Errors
/// When it is not there.
pub fn file(path: &str) -> Result<PathBuf> {
    let file = root().join(".peers").join(path);
    if file.exists() {
        Ok(file)
    } else {
        Err(format!("`.peers/{path}` is missing; install the peers with `bash benches/peers/install.sh`")
            .into())
    }
}

/// OPA's engine, if it is installed; says once on the terminal that it is not.
pub fn opa() -> Option<Opa> {
    match file("opa/libopabridge.so").and_then(|file| Opa::load(&file)) {
        Ok(opa) => Some(opa),
        Err(error) => {
            println!("without OPA beside it: {error}");
            None
        }
    }
}
