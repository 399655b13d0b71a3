// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A sealed value on its way into a store. It cannot be stored without the condition that the
//! keyring is still the one that sealed it: a value that reached the store after its key was retired
//! could never be opened again.

use std::ops::Deref;

use bytes::Bytes;

use crate::store::{Condition, LeaseId, Operation, Transaction};

/// A sealed value, with the condition under which it may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedValue {
    bytes: Bytes,
    keyring: Condition,
}

impl SealedValue {
    pub(super) fn new(bytes: Bytes, keyring: Condition) -> Self {
        Self { bytes, keyring }
    }

    /// The part of a transaction that writes the value. When its condition fails, the keyring was
    /// changed a moment ago: seal again and try again.
    pub fn put(self, key: impl Into<String>) -> Transaction {
        Transaction::new().when(self.keyring).put(key, self.bytes)
    }

    /// As [`SealedValue::put`], for a key that goes when the lease ends.
    pub fn put_leased(self, key: impl Into<String>, lease: LeaseId) -> Transaction {
        let mut change = Transaction::new().when(self.keyring);
        change.operations.push(Operation::Put { key: key.into(), value: self.bytes, lease: Some(lease) });
        change
    }

    /// The value on its way to another place than the store, and the condition under which the store may point
    /// there.
    pub fn elsewhere(self) -> (Bytes, Transaction) {
        (self.bytes, Transaction::new().when(self.keyring))
    }

    /// The value without its condition: for comparing and opening, not for storing.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Deref for SealedValue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
