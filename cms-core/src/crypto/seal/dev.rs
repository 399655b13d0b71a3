// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The dev seal: a key that everybody knows. It protects nothing, and its name says so.

use async_trait::async_trait;

use super::Seal;
use super::key::{unwrap_with, wrap_with};
use crate::error::Result;
use crate::sensitive::Sensitive;

/// Wraps with a fixed, public key, so that a development store opens again without a key to keep.
#[derive(Debug, Default, Clone, Copy)]
pub struct DevSeal;

const NAME: &str = "dev";
const PUBLIC_KEY: &[u8; 32] = b"cms dev seal: it guards nothing!";

#[async_trait]
impl Seal for DevSeal {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn wrap(&self, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>> {
        wrap_with(PUBLIC_KEY, plaintext, context)
    }

    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Sensitive<Vec<u8>>> {
        unwrap_with(NAME, PUBLIC_KEY, wrapped, context)
    }
}
