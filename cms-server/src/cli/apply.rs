// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms apply`: a folder of documents becomes what a project holds, in one commit. Done twice, the second
//! time changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use cms_core::documents::{MAX_CHANGES, text_hash};
use reqwest::Method;
use serde_json::{Value, json};

use super::app::{App, EnvironmentArg, ProjectArg};
use super::client::{Call, Client};
use super::failure::Failure;
use super::request::KINDS;
use super::route::Route;
use super::{input, list};

/// The folders: what is referred to comes first.
const FOLDERS: [&str; 6] = ["data", "policies", "schemas", "variables", "templates", "configs"];

/// Make a project hold what a folder holds
#[derive(Args)]
#[command(after_help = "The folder: policies/**.rego, data/**.json, configs/**, schemas/**, templates/**,\n\
    variables/**; names are paths without their extension. A config with a schema of its own name in the\n\
    folder keeps to it. All of it is written or nothing, at most 100 documents at a time.\n\n\
    Example:\n  cms apply -f ./rag --dry-run -p rag\n  cms apply -f ./rag --request \"Sprint 12\" -p rag")]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    project: ProjectArg,
    /// Folder
    #[arg(short, long = "file", value_name = "DIR")]
    folder: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove documents that the folder does not hold, of the kinds that it has folders for: with a folder
    /// `policies`, also the default ones of the project
    #[arg(long)]
    prune: bool,
    /// Open a change request of this title instead of writing
    #[arg(long, value_name = "TITLE")]
    request: Option<String>,
    #[command(flatten)]
    environment: EnvironmentArg,
    /// Why
    #[arg(short, long)]
    message: Option<String>,
}

/// What becomes of a document.
struct Step {
    kind: &'static str,
    name: String,
    /// The new text; without one, the document is removed.
    content: Option<String>,
    /// For a config: the schema that it is to keep to; as before without one.
    schema: Option<String>,
    /// The present version; 0: it does not exist.
    base: u64,
}

/// What there is of a document.
struct Present {
    version: u64,
    hash: String,
    schema: Option<String>,
}

/// Applies a folder.
///
/// # Errors
/// The server's refusal, or a failure to reach it or to read the folder.
pub(crate) async fn run(args: ApplyArgs, app: &App) -> Result<(), Failure> {
    let (project, client) = (Route::project(&app.project(&args.project)?)?, app.client()?);
    let (steps, same) = plan(&args, &client, &project).await?;
    if steps.len() > MAX_CHANGES {
        let text =
            format!("{} documents would change, but only {MAX_CHANGES} are changed together", steps.len());
        return Err(
            Failure::usage(text).hint("divide the folder into several, and apply one after the other")
        );
    }
    let is_written = !args.dry_run && !steps.is_empty();
    match &args.request {
        Some(title) if is_written => return open(&args, app, &client, project, title, &steps).await,
        None if is_written => {
            let body = json!({"changes": planned(&steps), "message": args.message});
            client.call(Call::json(Method::POST, project.fixed("documents"), &body)).await?;
        }
        _ => {}
    }
    let shown: Vec<Value> = steps.iter().map(Step::shown).collect();
    let report = json!({"changes": shown, "unchanged": same, "applied": !args.dry_run});
    app.out.data(&report.to_string(), render)
}

/// What has to change, and how much is as it should be.
async fn plan(args: &ApplyArgs, client: &Client, project: &Route) -> Result<(Vec<Step>, usize), Failure> {
    let (mut steps, mut removals, mut same) = (Vec::new(), Vec::new(), 0);
    let mut known = false;
    let schemas = match args.folder.join("schemas") {
        root if root.is_dir() => documents(&root, "schemas")?,
        _ => BTreeMap::new(),
    };
    for folder in FOLDERS {
        let root = args.folder.join(folder);
        let Some((kind, path)) = KINDS.iter().find(|(_, path)| *path == folder) else { continue };
        if !root.is_dir() {
            continue;
        }
        known = true;
        let mut present = present(client, project, path).await?;
        for (name, file) in documents(&root, folder)? {
            let content = input::text(&file)?;
            let schema = (folder == "configs" && schemas.contains_key(&name)).then(|| name.clone());
            let there = present.remove(&name);
            let is_same = |there: &Present| {
                there.hash == text_hash(&content) && (schema.is_none() || schema == there.schema)
            };
            if there.as_ref().is_some_and(is_same) {
                same += 1;
                continue;
            }
            let base = there.map_or(0, |there| there.version);
            steps.push(Step { kind, name, content: Some(content), schema, base });
        }
        if args.prune {
            let step = |(name, there): (String, Present)| Step {
                kind,
                name,
                content: None,
                schema: None,
                base: there.version,
            };
            removals.extend(present.into_iter().map(step));
        }
    }
    if !known {
        let shown = args.folder.display();
        return Err(Failure::usage(format!("`{shown}` holds none of the folders {}", FOLDERS.join(", "))));
    }
    // What refers goes before what it refers to.
    steps.extend(removals.into_iter().rev());
    Ok((steps, same))
}

/// The documents of a kind that there are, by name.
async fn present(client: &Client, project: &Route, path: &str) -> Result<BTreeMap<String, Present>, Failure> {
    let call = Call::get(project.clone().fixed(path)).query("limit", Some(200));
    let text = list::everything(client, call).await?;
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let items = value.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
    let present = |item: &Value| Present {
        version: item.get("version").and_then(Value::as_u64).unwrap_or_default(),
        hash: text(item, "hash").unwrap_or_default(),
        schema: text(item, "schema"),
    };
    Ok(items.iter().map(|item| (text(item, "name").unwrap_or_default(), present(item))).collect())
}

/// The files of a folder by the names of their documents.
fn documents(root: &Path, folder: &str) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(next) = open.pop() {
        let failed =
            |error: std::io::Error| Failure::error(format!("cannot read `{}`: {error}", next.display()));
        for entry in std::fs::read_dir(&next).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if entry.file_type().map_err(failed)?.is_dir() {
                open.push(path);
            } else if is_of(&path, folder) {
                let name = name_of(root, &path);
                if let Some(other) = found.insert(name.clone(), path.clone()) {
                    let (one, two) = (other.display(), path.display());
                    return Err(Failure::usage(format!("`{one}` and `{two}` are both `{name}`")));
                }
            }
        }
    }
    Ok(found)
}

/// Whether a file belongs to the documents of a folder.
fn is_of(path: &Path, folder: &str) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    match folder {
        "policies" => extension == "rego",
        "data" | "schemas" => extension == "json",
        _ => true,
    }
}

fn name_of(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path).with_extension("");
    let parts = relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
    parts.collect::<Vec<_>>().join("/")
}

/// The steps as the server takes them.
fn planned(steps: &[Step]) -> Vec<Value> {
    let step = |Step { kind, name, content, schema, base }: &Step| {
        let op = if content.is_some() { "put" } else { "delete" };
        json!({
            "kind": kind, "name": name, "op": op, "content": content, "schema": schema, "base_version": base,
        })
    };
    steps.iter().map(step).collect()
}

async fn open(
    args: &ApplyArgs,
    app: &App,
    client: &Client,
    project: Route,
    title: &str,
    steps: &[Step],
) -> Result<(), Failure> {
    let environment = app.named_environment(&args.environment);
    let body = json!({
        "title": title, "reason": args.message, "environment": environment, "changes": planned(steps),
    });
    let answer = client.call(Call::json(Method::POST, project.fixed("requests"), &body)).await?;
    app.show(&answer, &[("request", "id"), ("state", "state"), ("hash", "hash")])
}

impl Step {
    fn shown(&self) -> Value {
        let change = match (&self.content, self.base) {
            (None, _) => "delete",
            (Some(_), 0) => "create",
            (Some(_), _) => "update",
        };
        json!({"change": change, "kind": self.kind, "name": self.name, "version": self.base})
    }
}

fn render(value: &Value) -> String {
    let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let changes = value.get("changes").and_then(Value::as_array).cloned().unwrap_or_default();
    let line =
        |item: &Value| format!("{} {} {}\n", text(item, "change"), text(item, "kind"), text(item, "name"));
    let lines: String = changes.iter().map(line).collect();
    let same = value.get("unchanged").and_then(Value::as_u64).unwrap_or_default();
    format!("{lines}{} to change, {same} unchanged", changes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_without_extensions() {
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        std::fs::create_dir_all(policies.join("rag")).unwrap();
        for file in ["a.rego", "rag/authz.rego", "rag/README.md", ".hidden.rego"] {
            std::fs::write(policies.join(file), "package a\n").unwrap();
        }
        let found = documents(&policies, "policies").unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "rag/authz"]);
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["a.json", "a.yaml"] {
            std::fs::write(folder.path().join(file), "{}").unwrap();
        }
        assert!(documents(folder.path(), "configs").is_err());
    }
}
