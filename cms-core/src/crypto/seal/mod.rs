// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seal port: what guards the root keyring while nobody uses it.
//!
//! A seal may be ready at once (a key file) or only after several steps (key shares, an operator at
//! an HSM), and may have to ask somebody else (a KMS); so everything is asynchronous, and a seal that
//! waits says so. To add one: a new file here, and its constructor in the list below.

mod dev;
mod key;
mod source;

use std::fmt;

use async_trait::async_trait;

pub use dev::DevSeal;
pub use key::KeySeal;
pub use source::{KeySource, create_key_file};

use crate::error::{Error, ErrorKind, Result};
use crate::sensitive::Sensitive;

/// The code of the error of a seal that has to ask somebody who does not answer now: trying again may help.
pub const SEAL_UNAVAILABLE: &str = "seal_unavailable";

/// Whether a seal can wrap and unwrap now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealState {
    /// It can.
    Ready,
    /// It waits for more shares.
    Waiting {
        /// How many shares it has.
        have: u32,
        /// How many it needs.
        need: u32,
    },
}

/// Wraps and unwraps the root keyring. Called rarely: at start, at unsealing, at root rotation.
///
/// Contract:
/// - `unwrap` MUST answer exactly what was wrapped under the same context, or an error; with the wrong
///   key the error MUST be `Sealed` with the code `wrong_seal_key`, and nothing may change.
/// - A seal that has to ask somebody MUST answer with `Unavailable` and the code [`SEAL_UNAVAILABLE`] while that is
///   not to be had, within some seconds, in words for anybody.
/// - A seal MUST NOT keep what it unwrapped, and SHOULD NOT keep its own key longer than a call.
/// - `Debug` MUST NOT show keys or shares.
#[async_trait]
pub trait Seal: fmt::Debug + Send + Sync {
    /// The kind of seal, as records and health reports name it.
    fn name(&self) -> &'static str;

    /// Whether it can wrap and unwrap now.
    fn state(&self) -> SealState {
        SealState::Ready
    }

    /// Wraps a keyring, bound to a context.
    async fn wrap(&self, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>>;

    /// Unwraps what `wrap` made under the same context.
    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Sensitive<Vec<u8>>>;

    /// Takes one more share, for seals that are opened by several people.
    async fn offer(&self, share: Sensitive<Vec<u8>>) -> Result<SealState> {
        drop(share);
        Err(Error::new(
            ErrorKind::Conflict,
            "seal_takes_no_shares",
            format!("the seal `{}` takes no shares; it opens with its own key", self.name()),
        ))
    }

    /// Forgets shares and keys that it holds.
    fn forget(&self) {}
}

/// The error for a seal whose key is not the one that wrapped the keyring.
pub fn wrong_key(seal: &str) -> Error {
    Error::new(
        ErrorKind::Sealed,
        "wrong_seal_key",
        format!("this key of the seal `{seal}` is not the one that the installation was sealed with"),
    )
    .with_hint("give the seal key that the installation was initialised with; nothing was changed")
}
