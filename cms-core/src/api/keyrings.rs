// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rotations of keys on the wire; never a key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A project's data key after its rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotatedProjectKey {
    /// The project.
    pub project: String,
    /// The version of the data key that seals from now on.
    pub version: u32,
}

/// The root key after its rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotatedRootKey {
    /// The version of the root key that wraps from now on.
    pub version: u32,
    /// How many keyrings were wrapped anew.
    pub rewrapped: u64,
    /// Whether the older root keys are gone. If not, somebody changed keyrings meanwhile: rotate
    /// again, or leave them until the next time.
    pub retired: bool,
}
