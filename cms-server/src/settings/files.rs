// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files that settings name, read before a port is bound.

use std::path::Path;

use cms_core::sensitive::Sensitive;

use super::{SettingsError, wrong};

/// What a file holds that a key names.
pub(super) fn read_bytes(key: &str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|error| {
        SettingsError(format!("`{key}` is `{}`, which cannot be read: {error}", path.display()))
    })
}

/// The password in the only line of a file.
pub(super) fn read_password(key: &str, path: &Path) -> Result<Sensitive<String>, SettingsError> {
    let text = String::from_utf8(read_bytes(key, path)?).map(Sensitive::new);
    let text = text
        .map_err(|_| wrong(key, &path.display().to_string(), "a file with the password in its only line"))?;
    Ok(Sensitive::new(text.expose().trim_end_matches(['\r', '\n']).to_owned()))
}
