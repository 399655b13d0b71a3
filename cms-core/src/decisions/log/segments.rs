// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logged decisions as they lie in the store: JSON lines, compressed and sealed, some at a time, under
//! `declog/{environment}/{milliseconds}-{random}`, so that the keys are in the order of time.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::api::decision_log::LoggedDecision;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::EnvironmentId;
use crate::kit::Kit;
use crate::store::{Durability, Entry, Outcome, Scope, Transaction};

/// The relative prefix of all segments of a project.
pub(super) const PREFIX: &str = "declog/";
/// A segment is written when its lines are longer than this.
pub(super) const SEGMENT_BYTES: usize = 256 * 1024;
/// What the lines of a segment may come to when they are read: one decision may be large.
const MAX_SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// How often sealing is tried while the keyring changes.
const ATTEMPTS: u32 = 5;

/// The relative prefix of an environment's segments.
pub(super) fn prefix(environment: &EnvironmentId) -> String {
    format!("{PREFIX}{environment}/")
}

/// The relative key before which every segment that began before `time` lies.
pub(super) fn floor(environment: &EnvironmentId, time: Timestamp) -> String {
    format!("{}{:014}", prefix(environment), time.as_millis().max(0))
}

/// Writes a segment.
pub(super) async fn write(
    kit: &Kit,
    scope: &Scope,
    environment: &EnvironmentId,
    begun: Timestamp,
    lines: &[u8],
) -> Result<()> {
    let mut packed = GzEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::fast());
    packed.write_all(lines).map_err(Error::internal)?;
    let packed = packed.finish().map_err(Error::internal)?;
    let name = uuid::Uuid::new_v4().simple().to_string();
    let key = scope.key(&format!("{}-{name}", floor(environment, begun)));
    for _ in 0..ATTEMPTS {
        let sealed = kit.barrier.seal(scope.project(), &key, 0, &packed).await?;
        // The log is not the audit trail: what a power cut takes of its last second was promised to nobody.
        let change = Transaction { durability: Durability::Process, ..sealed.put(key.as_str()) };
        if let Outcome::Committed { .. } = kit.db.commit(change).await? {
            return Ok(());
        }
    }
    Err(Error::conflict("too_many_writers", "the project's data key keeps changing"))
}

/// Reads a segment's lines, in the order in which they were decided.
pub(super) async fn read(kit: &Kit, scope: &Scope, entry: &Entry) -> Result<Vec<u8>> {
    let packed = kit.barrier.open(scope.project(), &entry.key, 0, &entry.value).await?;
    let mut lines = Vec::new();
    GzDecoder::new(packed.expose().as_slice())
        .take(MAX_SEGMENT_BYTES)
        .read_to_end(&mut lines)
        .map_err(Error::internal)?;
    Ok(lines)
}

/// Adds a decision's line.
pub(super) fn add(lines: &mut Vec<u8>, decision: &LoggedDecision) -> Result<()> {
    serde_json::to_writer(&mut *lines, decision).map_err(Error::internal)?;
    lines.push(b'\n');
    Ok(())
}
