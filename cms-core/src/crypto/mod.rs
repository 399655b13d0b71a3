// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The barrier between plaintext and every store, the keys behind it, and the seal that guards them.
//!
//! Seal → root keyring (`sys/keyring`) → keyring of each project (`keys/{project}`) → sealed values.
//! Each arrow is AES-256-GCM with associated data that binds the lower to its place and version. The
//! root keyring also holds the installation secret, from which stable subkeys are derived. The
//! project `platform` has a keyring like any other; what belongs to no project is sealed with it.
//!
//! What a store (or whoever alters it) can still do: remove, or put back what once stood at the same
//! key as the same version. The audit trail's anchored heads are there for that.

mod aead;
mod barrier;
mod kdf;
mod keyring;
mod material;
mod places;
mod rotate;
mod seal;
mod value;

pub use barrier::{Barrier, Opener};
pub(crate) use kdf::derive;
pub(crate) use places::{FIRST_ANSWERS, Place, places};
pub use rotate::KeyChange;
pub use seal::{
    DevSeal, KeySeal, KeySource, SEAL_UNAVAILABLE, Seal, SealState, create_key_file,
    wrong_key as wrong_seal_key,
};
pub use value::SealedValue;

#[cfg(test)]
mod tests;
