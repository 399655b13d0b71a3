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
    /// How many values were sealed anew with it.
    pub resealed: u64,
    /// Whether the older versions are gone. If not, somebody rotated again meanwhile, and the older
    /// ones go with that rotation.
    pub retired: bool,
}

/// A project's data key, and what its versions have sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectKeyState {
    /// The project.
    pub project: String,
    /// The version that seals now.
    pub version: u32,
    /// Every version that there is, or that a value still names; more than one only while a rotation
    /// is under way.
    pub generations: Vec<KeyGeneration>,
}

/// One version of a data key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyGeneration {
    /// Its number.
    pub version: u32,
    /// How many values it has sealed that are in the store now.
    pub values: u64,
    /// Whether the keyring still holds it.
    pub held: bool,
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
