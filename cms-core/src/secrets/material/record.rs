// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Notes in the store about entries of the material: `material/laid/{project}@{id}` until a head points to the
//! entry, `material/gone/{project}@{id}` until the entry is removed, `material/left/{project}` until all of an
//! offboarded project are.

use serde::{Deserialize, Serialize};

use crate::auth::random;
use crate::clock::Timestamp;
use crate::documents::record::encode;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::store::Transaction;

pub(super) const LAID: &str = "material/laid/";
pub(super) const GONE: &str = "material/gone/";
pub(super) const LEFT: &str = "material/left/";

/// Where a value lies in the material, as the head of its secret holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::secrets) struct Laid {
    pub(in crate::secrets) id: String,
    /// The version of the project's data key that sealed it.
    pub(in crate::secrets) key: u32,
}

/// When something was noted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    v: u32,
    pub(super) at: Timestamp,
}

impl Note {
    pub(super) fn encoded(at: Timestamp) -> Result<Vec<u8>> {
        encode(&Self { v: 1, at })
    }
}

/// An id that nobody has used or can guess.
pub(super) fn new_id() -> Result<String> {
    Ok(data_encoding::HEXLOWER.encode(&random::<16>()?))
}

pub(super) fn laid_key(project: &ProjectId, id: &str) -> String {
    format!("{LAID}{project}@{id}")
}

pub(super) fn gone_key(project: &ProjectId, id: &str) -> String {
    format!("{GONE}{project}@{id}")
}

/// The part of a transaction that has an entry removed.
pub(super) fn gone(project: &ProjectId, id: &str, now: Timestamp) -> Result<Transaction> {
    Ok(Transaction::new().put(gone_key(project, id), Note::encoded(now)?))
}

/// The project and id that a note is about.
pub(super) fn parse<'k>(key: &'k str, prefix: &str) -> Result<(ProjectId, &'k str)> {
    let (project, id) = key.strip_prefix(prefix).and_then(|rest| rest.split_once('@')).ok_or_else(|| {
        Error::internal(format!("`{key}` is no key of a note about the material of secrets"))
    })?;
    Ok((ProjectId::parse(project)?, id))
}
