// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Configs as services read them: for whom, and their values by key.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use crate::cli::app::{App, EnvironmentArg};
use crate::cli::client::{Answer, Call};
use crate::cli::failure::Failure;
use crate::cli::route::Route;
use crate::cli::table::{self, Column};

const PROVENANCE: &[Column] = &[
    ("KEY", "key"),
    ("VALUE", "value"),
    ("LAYER", "layer"),
    ("DOCUMENT", "document"),
    ("VERSION", "version"),
];

/// For whom a config is read.
#[derive(Args, Clone, Default)]
pub(crate) struct Reader {
    #[command(flatten)]
    environment: EnvironmentArg,
    /// A label of the reader; the last one counts most
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// The reader's own id
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
}

impl Reader {
    /// Asks for an effective config.
    ///
    /// # Errors
    /// The server's refusal, or a failure to reach it.
    pub(crate) async fn resolve(
        &self,
        app: &App,
        project: &str,
        name: &str,
        provenance: bool,
        secrets: &str,
    ) -> Result<Answer, Failure> {
        let route = Route::project(project)?.fixed("configs").fixed("-").fixed("resolve").name(name)?;
        let call = self.narrow(app, Call::get(route))?;
        let call = call.query("provenance", provenance.then_some(true)).query("secrets", Some(secrets));
        app.client()?.call(call).await
    }

    /// Adds what is known of the reader to a call.
    ///
    /// # Errors
    /// A failure when the contexts cannot be read.
    pub(crate) fn narrow(&self, app: &App, call: Call) -> Result<Call, Failure> {
        let labels = (!self.labels.is_empty()).then(|| self.labels.join(","));
        let call = call.query("environment", app.environment(&self.environment)?);
        Ok(call.query("labels", labels).query("instance", self.instance.as_ref()))
    }
}

/// The values of a config that hold no others, by their keys joined with dots.
pub(crate) fn values(content: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    collect(content, String::new(), &mut found);
    found
}

fn collect(value: &Value, key: String, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (name, value) in entries {
                let inner = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                collect(value, inner, found);
            }
        }
        value => {
            found.insert(key, value.clone());
        }
    }
}

/// Shows a resolved config: with its layers if they were asked for, else the content alone.
pub(crate) fn table(resolved: &Value) -> String {
    let content = resolved.get("content").unwrap_or(&Value::Null);
    let Some(provenance) = resolved.get("provenance").and_then(Value::as_object) else {
        return serde_json::to_string_pretty(content).unwrap_or_default();
    };
    let row = |(pointer, origin): (&String, &Value)| {
        let mut row = origin.clone();
        if let Some(row) = row.as_object_mut() {
            row.insert("key".to_owned(), Value::from(pointer.as_str()));
            row.insert("value".to_owned(), content.pointer(pointer).cloned().unwrap_or_default());
        }
        row
    };
    let rows: Vec<Value> = provenance.iter().map(row).collect();
    table::rows(&rows, PROVENANCE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_named_by_their_keys() {
        let found = values(&json!({"db": {"port": 1, "tags": ["a"], "none": {}}, "x": null}));
        let keys: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(keys, ["db.none", "db.port", "db.tags", "x"]);
        assert_eq!(found["db.tags"], json!(["a"]));
    }
}
