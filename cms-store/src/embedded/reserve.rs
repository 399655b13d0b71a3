// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A little room on the disk, given up when a store must be opened on a full one: SQLite needs
//! some for the memory that processes share, even to read.

use std::fs;
use std::path::PathBuf;

use super::config::EmbeddedConfig;

const BYTES: usize = 64 * 1024;

fn file(config: &EmbeddedConfig) -> PathBuf {
    config.directory.join("reserve")
}

/// Frees the room; tells whether there was any.
pub(super) fn give_up(config: &EmbeddedConfig) -> bool {
    fs::remove_file(file(config)).is_ok()
}

/// Takes the room, if the disk has it.
pub(super) fn keep(config: &EmbeddedConfig) {
    let path = file(config);
    if path.exists() {
        return;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&path).and_then(|mut file| std::io::Write::write_all(&mut file, &[0; BYTES]));
    if written.is_err() {
        // A part of it helps nobody, and another process may have made it.
        drop(fs::remove_file(path));
    }
}
