// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A seal whose key never leaves OpenBao: its Transit engine wraps the root keyring, bound to its context by
//! associated data.

use std::sync::Arc;

use async_trait::async_trait;
use cms_core::crypto::{SEAL_UNAVAILABLE, Seal, wrong_seal_key};
use cms_core::sensitive::Sensitive;
use cms_core::{Error, Result};
use data_encoding::BASE64;
use vaultrs::api::transit::requests::{DecryptDataRequest, EncryptDataRequest};
use vaultrs::client::VaultClient;
use vaultrs::transit::data;

use super::OpenBao;
use super::config::is_path;
use super::error::Trouble;

/// Wraps with a key of OpenBao's Transit engine. Older versions of the key unwrap as long as OpenBao lets them;
/// whatever is wrapped anew is wrapped with the latest.
#[derive(Debug)]
pub struct TransitSeal {
    bao: OpenBao,
    mount: String,
    key: String,
}

impl TransitSeal {
    /// The name of this seal, as records hold it.
    pub const NAME: &'static str = "transit";

    /// A seal with a key of the Transit engine at `mount`.
    ///
    /// # Errors
    /// `Invalid` if mount or key cannot be one.
    pub fn new(bao: OpenBao, mount: &str, key: &str) -> Result<Self> {
        if !is_path(mount) || !is_path(key) || key.contains('/') {
            return Err(Error::invalid(
                "the key of the seal must be `KEY` or `MOUNT/KEY` of a Transit engine",
            ));
        }
        Ok(Self { bao, mount: mount.to_owned(), key: key.to_owned() })
    }
}

#[async_trait]
impl Seal for TransitSeal {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn wrap(&self, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>> {
        let (plaintext, context) = (Sensitive::new(BASE64.encode(plaintext)), BASE64.encode(context));
        let wrap = |client: Arc<VaultClient>| {
            let (mount, key, plaintext, context) = (&self.mount, &self.key, &plaintext, &context);
            async move {
                let mut bound = EncryptDataRequest::builder();
                data::encrypt(&*client, mount, key, plaintext.expose(), Some(bound.associated_data(context)))
                    .await
            }
        };
        let wrapped = self.bao.call(wrap).await.map_err(|trouble| trouble.unavailable(SEAL_UNAVAILABLE))?;
        Ok(wrapped.ciphertext.into_bytes())
    }

    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Sensitive<Vec<u8>>> {
        let damaged = || Error::internal("the sealed root keyring is damaged");
        let (wrapped, context) =
            (std::str::from_utf8(wrapped).map_err(|_| damaged())?, BASE64.encode(context));
        let unwrap = |client: Arc<VaultClient>| {
            let (mount, key, context) = (&self.mount, &self.key, &context);
            async move {
                let mut bound = DecryptDataRequest::builder();
                data::decrypt(&*client, mount, key, wrapped, Some(bound.associated_data(context))).await
            }
        };
        match self.bao.call(unwrap).await {
            Ok(answer) => {
                let text = Sensitive::new(answer.plaintext);
                BASE64.decode(text.expose().as_bytes()).map(Sensitive::new).map_err(|_| damaged())
            }
            Err(Trouble::Refused(_) | Trouble::Absent) => Err(wrong_seal_key(Self::NAME)),
            Err(trouble) => Err(trouble.unavailable(SEAL_UNAVAILABLE)),
        }
    }
}
