// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Values that must not be printed, logged or serialized, and that are wiped when dropped.
//!
//! Sealing them for storage is the barrier's job, see `crypto`.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// Wraps a secret value: no `Display`, no contents in `Debug`, no `Serialize`, zeroized on drop.
pub struct Sensitive<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Sensitive<T> {
    /// Takes ownership of a secret value.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Lends the secret value. The name is long on purpose: every use is worth a second look.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// Lends the secret value for filling it in place.
    pub fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl Sensitive<String> {
    /// Compares with a text that somebody presents, in a time that tells nothing but the length.
    pub fn is(&self, presented: &str) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), presented.as_bytes()).is_ok()
    }
}

impl<T: Zeroize + Clone> Clone for Sensitive<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Zeroize> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T: Zeroize> From<T> for Sensitive<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Sensitive::new(String::from("sk-live-123"));
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret.expose(), "sk-live-123");
        assert!(secret.is("sk-live-123") && !secret.is("sk-live-124") && !secret.is(""));
    }
}
