// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Resolved configs and rendered templates on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use zeroize::Zeroize;

/// In which format a config is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// TOML.
    Toml,
}

/// What becomes of references to secrets in an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretsMode {
    /// They stay as they are written.
    Keep,
    /// They are resolved where the reader may read the secret.
    #[default]
    Resolve,
}

/// A config that may hold secrets: its texts are wiped when it is dropped, and it is shown to no log.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigContent(pub Value);

impl Drop for ConfigContent {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl std::fmt::Debug for ConfigContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(entries) => entries.values_mut().for_each(wipe),
        _ => {}
    }
}

/// A config as a service reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResolvedConfig {
    /// The name.
    pub name: String,
    /// The environment whose active release was read.
    pub environment: String,
    /// The release.
    pub release: String,
    /// The effective config: layers merged, templates rendered, references resolved.
    #[schema(value_type = serde_json::Value)]
    pub content: ConfigContent,
    /// The layers that it was made of, the lowest first.
    pub layers: Vec<ConfigLayer>,
    /// The layer of each value, by its JSON Pointer; if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<BTreeMap<String, ConfigOrigin>>,
    /// References to secrets that stand in `content` as they are written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unresolved: Vec<UnresolvedReference>,
}

/// One layer of a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigLayer {
    /// `base`, `environment`, `label` or `instance`.
    pub layer: String,
    /// The document.
    pub document: String,
    /// Its version.
    pub version: u64,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigOrigin {
    /// The layer.
    #[serde(flatten)]
    pub layer: ConfigLayer,
    /// The value as it is written there, if it is rendered or refers to something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<serde_json::Value>,
}

/// A reference that was not resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnresolvedReference {
    /// The value that holds it, as a JSON Pointer.
    pub pointer: String,
    /// The reference, such as `secret:openai/api-key#value`.
    pub reference: String,
    /// Why.
    pub reason: String,
}

/// A rendered template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenderedTemplate {
    /// The name.
    pub name: String,
    /// The environment whose active release was read.
    pub environment: String,
    /// The release.
    pub release: String,
    /// The output.
    pub output: String,
}

/// How a config changes with a release, as services read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// The name.
    pub name: String,
    /// The difference in unified form; references to secrets stay as they are written.
    pub diff: String,
}
