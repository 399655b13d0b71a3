// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms promote`: what is active in one environment becomes active in another.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::app::{App, ProjectArg};
use super::client::Call;
use super::failure::Failure;
use super::route::Route;
use super::table::{self, Column};

const FIELDS: &[Column] = &[
    ("from", "from"),
    ("to", "to"),
    ("release", "release"),
    ("replaces", "previous"),
    ("activation", "activation/version"),
    ("request", "request/id"),
];

/// Promote what is active in one environment to another
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms promote dev staging --dry-run -p rag\n  cms promote dev staging -m \"sprint 12\" -p rag"
)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    project: ProjectArg,
    /// Environment whose release is promoted
    from: String,
    /// Environment that it is promoted to
    to: String,
    /// Say what would change and whether it passes its checks; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only if this release is still the active one in the target
    #[arg(long, value_name = "RELEASE")]
    expected: Option<String>,
    /// Why
    #[arg(short, long)]
    message: Option<String>,
}

/// Promotes a release.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: PromoteArgs, app: &App) -> Result<(), Failure> {
    let route =
        Route::project(&app.project(&args.project)?)?.fixed("environments").id(&args.to)?.fixed("promote");
    let body = json!({
        "from": args.from, "dry_run": args.dry_run, "expected": args.expected, "message": args.message,
    });
    let answer = app.client()?.call(Call::json(Method::POST, route, &body)).await?;
    app.out.data(&answer.text, |value| format!("{}\n{}", table::fields(value, FIELDS), changes(value)))
}

/// What differs, as one text: the documents, and what services will read otherwise.
fn changes(value: &Value) -> String {
    let diffs = |field: &str| {
        let changes = value.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let diff = |change: &Value| change.get("diff").and_then(Value::as_str).unwrap_or_default().to_owned();
        changes.iter().map(diff).collect::<String>()
    };
    match (diffs("changes"), diffs("configs")) {
        (documents, configs) if documents.is_empty() && configs.is_empty() => String::from("nothing differs"),
        (documents, configs) if configs.is_empty() => documents,
        (documents, configs) => format!("{documents}\nas services read it:\n{configs}"),
    }
}
