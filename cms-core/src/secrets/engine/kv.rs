// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fields and values, handed out as they were put.

use async_trait::async_trait;

use super::SecretEngine;
use crate::api::secrets::RotateSecret;
use crate::error::Result;
use crate::secrets::data::SecretData;
use crate::secrets::generate;
use crate::secrets::limits::invalid;

/// The key-value engine.
#[derive(Debug, Default, Clone, Copy)]
pub struct KvEngine;

impl KvEngine {
    /// The engine's name.
    pub const NAME: &'static str = "kv";
}

#[async_trait]
impl SecretEngine for KvEngine {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn accept(&self, _: &SecretData) -> Result<()> {
        Ok(())
    }

    async fn hand_out(&self, stored: SecretData) -> Result<SecretData> {
        Ok(stored)
    }

    async fn rotate(&self, stored: &SecretData, rotation: &RotateSecret) -> Result<SecretData> {
        let fields = stored.fields()?;
        let field = match (&rotation.field, &*fields) {
            (Some(field), _) => field.as_str(),
            (None, [(only, _)]) => only.as_str(),
            (None, _) => {
                let text = "the secret has several fields; name the one to replace in `field`";
                return Err(invalid("field_required", "/field", text));
            }
        };
        if !fields.iter().any(|(name, _)| name == field) {
            return Err(invalid("unknown_field", "/field", "the secret has no field of this name"));
        }
        let value = generate::generate(rotation.generator.as_ref())?;
        let next = fields.iter().map(|(name, old)| {
            (name.as_str(), if name == field { value.expose().as_str() } else { old.get() })
        });
        SecretData::from_fields(next)
    }

    fn check_rotation(&self, rotation: &RotateSecret) -> Result<()> {
        rotation.generator.as_ref().map_or(Ok(()), generate::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensitive::Sensitive;

    async fn rotated(text: &str, field: Option<&str>) -> Result<String> {
        let stored = SecretData::parse(Sensitive::new(text.to_owned()))?;
        let rotation = RotateSecret { field: field.map(str::to_owned), ..RotateSecret::default() };
        Ok(KvEngine.rotate(&stored, &rotation).await?.expose().to_owned())
    }

    #[tokio::test]
    async fn one_field_changes_and_the_others_stay() {
        let next =
            rotated(r#"{"user":"app","password":"old","port":5432.0}"#, Some("password")).await.unwrap();
        assert!(next.starts_with(r#"{"user":"app","password":""#) && next.ends_with(r#","port":5432.0}"#));
        assert!(!next.contains("old"));
        assert!(rotated(r#"{"only":1}"#, None).await.unwrap().starts_with(r#"{"only":""#));
    }

    #[tokio::test]
    async fn the_field_must_be_known() {
        let two = r#"{"user":"app","password":"old"}"#;
        assert_eq!(rotated(two, None).await.unwrap_err().code(), "field_required");
        let error = rotated(two, Some("pasword")).await.unwrap_err();
        assert_eq!(error.code(), "unknown_field");
        assert!(!error.message().contains("user"), "names of fields are not for whoever may only write");
    }
}
