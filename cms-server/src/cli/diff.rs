// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms diff`: what configs say in one environment and in another, key by key. Secrets stay references.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::{Map, Value, json};

use super::app::{App, ProjectArg};
use super::client::{Call, Client};
use super::config::resolved::values;
use super::failure::{Exit, Failure};
use super::route::Route;
use super::table::rows;

/// Compare the configs of environments: a line for each key, a column for each environment
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms diff dev prod -p rag\n  cms diff dev staging prod --all --prefix rag/ -p rag"
)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    project: ProjectArg,
    /// Environments
    #[arg(required = true, num_args = 2..)]
    environments: Vec<String>,
    /// Only configs whose names start so
    #[arg(long)]
    prefix: Option<String>,
    /// Show also what is the same everywhere
    #[arg(long)]
    all: bool,
    /// Exit with 2 if there is a difference
    #[arg(long)]
    exit_code: bool,
}

/// Shows what differs.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: DiffArgs, app: &App) -> Result<(), Failure> {
    let (project, client) = (app.project(&args.project)?, app.client()?);
    let mut matrix: BTreeMap<(String, String), Map<String, Value>> = BTreeMap::new();
    for name in configs(&client, &project, args.prefix.as_deref()).await? {
        for environment in &args.environments {
            let Some(content) = content(&client, &project, &name, environment).await? else { continue };
            for (key, value) in values(&content) {
                matrix.entry((name.clone(), key)).or_default().insert(environment.clone(), value);
            }
        }
    }
    let differs = |found: &Map<String, Value>| {
        found.len() < args.environments.len()
            || found.values().collect::<Vec<_>>().windows(2).any(|pair| pair.first() != pair.last())
    };
    let is_different = matrix.values().any(differs);
    matrix.retain(|_, found| args.all || differs(found));
    let lines: Vec<Value> = matrix
        .into_iter()
        .map(|((config, key), found)| json!({"config": config, "key": key, "values": found}))
        .collect();
    let columns: Vec<(&str, String)> = std::iter::once(("CONFIG", "config".to_owned()))
        .chain([("KEY", "key".to_owned())])
        .chain(args.environments.iter().map(|name| (name.as_str(), format!("values/{name}"))))
        .collect();
    let shown = Value::from(lines);
    app.out.value(&shown, |shown| {
        let columns: Vec<_> = columns.iter().map(|(heading, key)| (*heading, key.as_str())).collect();
        rows(shown.as_array().map_or(&[], Vec::as_slice), &columns)
    })?;
    if is_different && args.exit_code { Err(Failure::negative()) } else { Ok(()) }
}

/// The names of all configs, whichever layers they have.
async fn configs(client: &Client, project: &str, prefix: Option<&str>) -> Result<BTreeSet<String>, Failure> {
    let (mut names, mut cursor) = (BTreeSet::new(), None::<String>);
    loop {
        let call = Call::get(Route::project(project)?.fixed("configs"));
        let page = client.call(call.query("limit", Some(200)).query("cursor", cursor)).await?.value;
        let items = page.get("items").and_then(Value::as_array).into_iter().flatten();
        names.extend(items.filter_map(|item| base(item.get("name")?.as_str()?)));
        cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            names.retain(|name| prefix.is_none_or(|prefix| name.starts_with(prefix)));
            return Ok(names);
        }
    }
}

/// The config that a document is a layer of, if it is read without naming a label or an instance.
fn base(document: &str) -> Option<String> {
    match document.split_once('/') {
        Some(("_environments", rest)) => rest.split_once('/').map(|(_, config)| config.to_owned()),
        Some(("_labels" | "_instances", _)) => None,
        _ => Some(document.to_owned()),
    }
}

/// A config in an environment; `None` where there is none.
async fn content(
    client: &Client,
    project: &str,
    name: &str,
    environment: &str,
) -> Result<Option<Value>, Failure> {
    let route = Route::project(project)?.fixed("configs").fixed("-").fixed("resolve").name(name)?;
    let call = Call::get(route).query("environment", Some(environment)).query("secrets", Some("keep"));
    match client.call(call).await {
        Ok(answer) => Ok(answer.value.get("content").cloned()),
        Err(failure) if failure.exit == Exit::NotFound && is_about_config(&failure) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether it is the config that is not there, and not the environment.
fn is_about_config(failure: &Failure) -> bool {
    let detail = failure.problem().and_then(|problem| problem.detail.as_deref());
    detail.is_some_and(|detail| detail.starts_with("the config "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_about_their_config() {
        assert_eq!(base("a/b").as_deref(), Some("a/b"));
        assert_eq!(base("_environments/prod/a/b").as_deref(), Some("a/b"));
        assert_eq!((base("_labels/x/y/a"), base("_instances/i/a")), (None, None));
    }
}
