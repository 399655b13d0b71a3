// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The barrier between plaintext and every store, the keys behind it, and the seal that guards them.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::sensitive::Sensitive;
use crate::store::Transaction;

/// Encrypts what a store may hold of secrets. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Barrier {}

impl Barrier {
    /// Seals a value with the project's current data key, bound to its full store key and version.
    ///
    /// # Errors
    /// `Sealed` if the installation is sealed or the project's key is destroyed.
    pub async fn seal(
        &self,
        project: &ProjectId,
        key: &str,
        version: u64,
        plaintext: &[u8],
    ) -> Result<Bytes> {
        let _ = (project, key, version, plaintext);
        Err(Error::sealed())
    }

    /// Opens a sealed value; fails if it was altered, moved to another key or is another version.
    ///
    /// # Errors
    /// `Sealed` as above; `Internal` with the code `internal` if the bytes are not what was sealed.
    pub async fn open(
        &self,
        project: &ProjectId,
        key: &str,
        version: u64,
        sealed: &[u8],
    ) -> Result<Sensitive<Vec<u8>>> {
        let _ = (project, key, version, sealed);
        Err(Error::sealed())
    }

    /// The part of an onboarding transaction that gives a project its data key.
    ///
    /// # Errors
    /// `Sealed` if the installation is sealed.
    pub fn create_project_key(&self, project: &ProjectId) -> Result<Transaction> {
        let _ = project;
        Err(Error::sealed())
    }

    /// The part of an offboarding transaction that destroys a project's data key.
    pub fn destroy_project_key(&self, project: &ProjectId) -> Transaction {
        let _ = project;
        Transaction::new()
    }

    /// Whether the installation is sealed.
    pub fn is_sealed(&self) -> bool {
        true
    }
}
