// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The project's own rules for configs: `data.config.validate.deny`, whose messages refuse a config.

use std::sync::Arc;

use serde_json::{Value, json};

use super::check::{Whole, environments};
use super::schema::MAX_VIOLATIONS;
use super::shelf::{Parsed, Shelf};
use crate::api::documents::Kind;
use crate::documents::Change;
use crate::documents::record::SetRecord;
use crate::error::{Error, Place, Result};
use crate::ids::Name;
use crate::policies::engine::{EvaluationOptions, Input, QueryPath, Snapshot};
use crate::store::Scope;

/// The rule whose messages refuse a config.
const RULE: &str = "config.validate.deny";
/// How much JSON the messages of the rule are at most.
const MAX_RULE_BYTES: usize = 64 * 1024;
/// How many configs the text of an error names.
const MAX_NAMED: usize = 10;

/// Refuses policies whose rules object to configs as they will stand, and names each of these.
///
/// # Errors
/// `Unprocessable` with the configs as places.
pub(crate) async fn check_rules(
    scope: &Scope,
    set: &SetRecord,
    changes: &[Change],
    parsed: &Parsed,
    rules: &Arc<Snapshot>,
) -> Result<()> {
    let path = QueryPath::parse(RULE).map_err(Error::internal)?;
    if !rules.program().defines(&path) || set.count(Kind::Config) == 0 {
        return Ok(());
    }
    let whole = Whole::new(Shelf { scope, set, changes, parsed }, Some(rules)).await?;
    let (mut names, mut places) = (Vec::new(), Vec::new());
    for environment in environments(scope).await? {
        for (config, objections) in whole.all_objections(&environment).await? {
            places.extend(
                objections.into_iter().map(|place| Place { path: Some(config.to_string()), ..place }),
            );
            names.push(format!("`{config}`"));
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    names.sort();
    names.dedup();
    let more = match names.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(MAX_NAMED);
    places.truncate(MAX_VIOLATIONS);
    let text = format!(
        "the rules in `config.validate` would refuse configs that there are: {}{more}",
        names.join(", ")
    );
    Err(Error::unprocessable("config_refused", text)
        .with_places(places)
        .with_hint("change these configs first"))
}

/// The messages of the rule for a config; none if there is no such rule.
pub(super) async fn objections(
    rules: &Arc<Snapshot>,
    config: &Name,
    environment: &str,
    value: &Value,
) -> Result<Vec<String>> {
    let path = QueryPath::parse(RULE).map_err(Error::internal)?;
    let input = json!({"name": config.as_str(), "environment": environment, "config": value});
    let rules = rules.clone();
    let work = move || ask(&rules, &path, &input);
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

fn ask(rules: &Snapshot, path: &QueryPath, input: &Value) -> Result<Vec<String>> {
    let failed = |says: String| {
        let text = format!("the rules in `config.validate` cannot be asked: {says}");
        Error::unprocessable("config_refused", text)
    };
    let text = serde_json::to_vec(input).map_err(Error::internal)?;
    let input = Input::from_json(&text, rules.program()).map_err(|error| failed(error.to_string()))?;
    let evaluation = rules
        .evaluate_with(path, &input, EvaluationOptions::default())
        .map_err(|error| failed(error.to_string()))?;
    let answer = evaluation.to_json(MAX_RULE_BYTES).map_err(|error| failed(error.to_string()))?;
    let Some(answer) = answer else { return Ok(Vec::new()) };
    let answer: Value = serde_json::from_slice(&answer).map_err(Error::internal)?;
    Ok(match answer {
        Value::Array(messages) => messages.iter().take(MAX_VIOLATIONS).map(message).collect(),
        Value::Bool(false) | Value::Null => Vec::new(),
        other => vec![message(&other)],
    })
}

fn message(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
