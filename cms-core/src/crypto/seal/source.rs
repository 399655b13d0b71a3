// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the seal key comes from. The only place of this crate that reads a file or the environment,
//! and it does so only when it is told to, by a value that the operator configured.
//!
//! The key is 32 bytes: raw, as 64 hexadecimal digits, or as Base64 (either alphabet); white space
//! around the text is ignored.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use zeroize::Zeroize;

use crate::crypto::aead::{KEY_BYTES, random_key};
use crate::error::{Error, ErrorKind, Result};
use crate::sensitive::Sensitive;

/// Where a seal key is read from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A file that only its owner can write; one that others can read is taken with a warning.
    File(PathBuf),
    /// An environment variable. It stays readable for the process's owner as long as the process
    /// lives; prefer a file or a credential.
    Variable(String),
    /// A credential that systemd passes (`LoadCredential=`), by its name.
    Credential(String),
    /// The key itself, for programs that embed CMS and keep the key in their own way.
    Bytes(Sensitive<Vec<u8>>),
}

impl KeySource {
    /// Reads the key.
    ///
    /// # Errors
    /// `Sealed` with a code beginning with `seal_key_` if there is no key, or none that may be used.
    pub fn read(&self) -> Result<Sensitive<Vec<u8>>> {
        match self {
            Self::File(path) => parse(&read_file(path, 0o077)?),
            Self::Variable(name) => match std::env::var(name) {
                Ok(text) => parse(Sensitive::new(text.into_bytes()).expose()),
                Err(_) => Err(unreadable(format!("the environment variable `{name}` holds no text"))),
            },
            Self::Credential(name) => parse(&read_file(&credential_path(name)?, 0o007)?),
            Self::Bytes(key) => parse(key.expose()),
        }
    }
}

/// Makes a new random key file that only its owner can read.
///
/// # Errors
/// `Conflict` if the file exists, `Unavailable` if it cannot be written.
pub fn create_key_file(path: &Path) -> Result<()> {
    let shown = path.display();
    let key = random_key().map_err(Error::internal)?;
    let mut text = BASE64.encode(key.expose());
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| writeln!(file, "{text}").and_then(|()| file.sync_all()));
    text.zeroize();
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::conflict(
            "seal_key_exists",
            format!("`{shown}` exists already; use it, or choose another place for the new seal key"),
        ),
        _ => Error::unavailable(
            "seal_key_unwritable",
            format!("the seal key `{shown}` cannot be written: {error}"),
        ),
    })
}

/// The longest file that is looked at.
const MAX_FILE_BYTES: u64 = 4096;

fn credential_path(name: &str) -> Result<PathBuf> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(unreadable(format!("`{name}` is not the name of a credential")));
    }
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(directory) => Ok(PathBuf::from(directory).join(name)),
        None => Err(unreadable(format!(
            "there are no systemd credentials; pass `{name}` with `LoadCredential={name}:/path/of/the/key`"
        ))),
    }
}

/// Reads a small regular file that only its owner can write, and warns if it grants any of the `lax`
/// permissions. Credentials are checked for strangers only: systemd grants the service's user access
/// by an access list, which shows as the group's.
fn read_file(path: &Path, lax: u32) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    let shown = path.display();
    let failed =
        |error: std::io::Error| unreadable(format!("the seal key `{shown}` cannot be read: {error}"));
    // Asked before opening: opening a pipe would wait for a writer.
    let about = std::fs::metadata(path).map_err(failed)?;
    if !about.is_file() || about.len() > MAX_FILE_BYTES {
        return Err(unreadable(format!("the seal key `{shown}` is no small regular file")));
    }
    let mut file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(Error::new(
            ErrorKind::Sealed,
            "seal_key_exposed",
            format!(
                "the seal key `{shown}` has mode {mode:04o}, so that others than its owner can replace it"
            ),
        )
        .with_hint(format!("run `chmod 600 {shown}`, and make sure that it is still your key")));
    }
    // Many images and mounts can only give a file to everybody: said loudly, but no reason to stop.
    if mode & lax != 0 {
        tracing::warn!(path = %shown, mode = format!("{mode:04o}"), "others than its owner can read the seal key; run `chmod 600` on it");
    }
    let mut bytes = zeroize::Zeroizing::new(vec![0; usize::try_from(MAX_FILE_BYTES).unwrap_or(0)]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).map_err(failed)? {
            0 => break,
            read => length += read,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Sensitive<Vec<u8>>> {
    let key = if bytes.len() == KEY_BYTES { Some(Sensitive::new(bytes.to_vec())) } else { decode(bytes) };
    let key = key.filter(|key| key.expose().len() == KEY_BYTES).ok_or_else(|| {
        invalid("the seal key must be 32 bytes: raw, as 64 hexadecimal digits or as Base64")
    })?;
    let first = key.expose().first();
    if key.expose().iter().all(|byte| Some(byte) == first) {
        return Err(invalid("the seal key is one byte repeated; make a random one"));
    }
    Ok(key)
}

fn decode(bytes: &[u8]) -> Option<Sensitive<Vec<u8>>> {
    let text = bytes.trim_ascii();
    let encodings = [&HEXLOWER_PERMISSIVE, &BASE64, &BASE64URL, &BASE64_NOPAD, &BASE64URL_NOPAD];
    encodings
        .iter()
        .filter_map(|encoding| encoding.decode(text).ok().map(Sensitive::new))
        .find(|key| key.expose().len() == KEY_BYTES)
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Sealed, "seal_key_invalid", message)
        .with_hint("`openssl rand -base64 32` makes one; keep it outside of the store and its backups")
}

fn unreadable(message: String) -> Error {
    Error::new(ErrorKind::Sealed, "seal_key_unreadable", message)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const KEY: [u8; 32] = *b"0123456789abcdefFEDCBA9876543210";

    fn file_with(content: &[u8], mode: u32) -> (tempfile::TempDir, KeySource) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (directory, KeySource::File(path))
    }

    #[test]
    fn every_encoding_of_a_key_is_read() {
        for text in [
            KEY.to_vec(),
            data_encoding::HEXLOWER.encode(&KEY).into_bytes(),
            data_encoding::HEXUPPER.encode(&KEY).into_bytes(),
            format!("  {}\n", BASE64.encode(&KEY)).into_bytes(),
            BASE64URL_NOPAD.encode(&KEY).into_bytes(),
        ] {
            let (_kept, source) = file_with(&text, 0o600);
            assert_eq!(source.read().unwrap().expose(), &KEY, "{text:?}");
        }
    }

    #[test]
    fn files_that_others_can_write_are_refused() {
        for mode in [0o620, 0o602, 0o622, 0o660, 0o666] {
            let (_kept, source) = file_with(&KEY, mode);
            let error = source.read().unwrap_err();
            assert_eq!(error.code(), "seal_key_exposed", "{mode:o}");
            assert!(error.hint().unwrap().contains("chmod 600"));
        }
        for mode in [0o400, 0o600, 0o644] {
            let (_kept, source) = file_with(&KEY, mode);
            assert!(source.read().is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in
            [&b""[..], b"short", &[7; 31], &[7; 32], &[0; 33], b"not base64 at all, but long enough!!"]
        {
            let (_kept, source) = file_with(text, 0o600);
            assert_eq!(source.read().unwrap_err().code(), "seal_key_invalid", "{text:?}");
        }
        let missing = KeySource::File(PathBuf::from("/nonexistent/key"));
        assert_eq!(missing.read().unwrap_err().code(), "seal_key_unreadable");
        let directory = KeySource::File(PathBuf::from("/"));
        assert_eq!(directory.read().unwrap_err().code(), "seal_key_unreadable");
        for name in ["", "../key", ".", "a/b"] {
            assert!(KeySource::Credential(name.to_owned()).read().is_err());
        }
        let variable = KeySource::Variable("CMS_TEST_NO_SUCH_VARIABLE".to_owned());
        assert_eq!(variable.read().unwrap_err().code(), "seal_key_unreadable");
    }

    #[test]
    fn a_created_key_file_is_private_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        create_key_file(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let first = KeySource::File(path.clone()).read().unwrap();
        assert_eq!(create_key_file(&path).unwrap_err().code(), "seal_key_exists");
        assert_eq!(KeySource::File(path).read().unwrap().expose(), first.expose());
    }

    #[test]
    fn debug_shows_no_key() {
        let source = KeySource::Bytes(Sensitive::new(KEY.to_vec()));
        assert!(!format!("{source:?}").contains("48, 49"));
    }
}
