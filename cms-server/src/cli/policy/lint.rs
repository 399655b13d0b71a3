// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms policy lint`: what compiles in local policies and is probably not meant.

use std::path::PathBuf;

use clap::Args;
use cms_core::policies::engine::{Finding, Known, LINT_RULES, Options, lint};
use serde_json::{Value, json};

use crate::cli::app::App;
use crate::cli::candidates::{self, Candidates};
use crate::cli::failure::Failure;
use crate::cli::offline;

/// Find what is probably not meant in local policies; the exit code is 2 when there is something
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy lint policies/ data.json\n  \
    cms policy lint policies/ --entrypoint rag/authz/allow\n  cms policy lint --rules\n\n\
    With data files among the paths, references into data must lead somewhere. A comment\n\
    `# cms:ignore RULE` on a line, or on the line above it, silences a rule there.")]
pub(crate) struct LintArgs {
    /// Files and directories with policies and data
    #[arg(required_unless_present = "rules")]
    paths: Vec<PathBuf>,
    /// A rule that is asked from outside; with these given, rules that none of them needs are told
    #[arg(short, long, value_name = "RULE")]
    entrypoint: Vec<String>,
    /// List the rules of the linter
    #[arg(long)]
    rules: bool,
}

/// Lints and lists the findings.
///
/// # Errors
/// Files that cannot be read or parsed, and without further words any finding.
pub(crate) fn run(args: &LintArgs, app: &App) -> Result<(), Failure> {
    if args.rules {
        let rules: Vec<Value> =
            LINT_RULES.iter().map(|(name, finds)| json!({"rule": name, "finds": finds})).collect();
        return app.out.value(&json!({ "items": rules }), |_| {
            LINT_RULES.iter().map(|(name, finds)| format!("{name}: {finds}")).collect::<Vec<_>>().join("\n")
        });
    }
    let files = candidates::collect(&args.paths)?;
    let rejected = |found: Vec<_>| offline::rejected(app, &found, &files);
    offline::snapshot(&files).map_err(rejected)?;
    let data = offline::data(&files).map_err(rejected)?;
    let known = Known { data: (!files.data.is_empty()).then_some(&data), entrypoints: &args.entrypoint };
    let found = lint(&offline::modules(&files), known, &Options::default()).map_err(rejected)?;
    let items: Vec<Value> = found.iter().map(|finding| item(finding, &files)).collect();
    app.out
        .value(&json!({ "findings": items }), |_| items.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    if found.is_empty() { Ok(()) } else { Err(Failure::negative()) }
}

fn item(finding: &Finding, files: &Candidates) -> Value {
    let file = files.policies.iter().find(|candidate| candidate.name == finding.file);
    json!({
        "path": file.map_or_else(|| finding.file.clone(), |file| file.path.display().to_string()),
        "document": finding.file,
        "line": finding.line,
        "column": finding.column,
        "rule": finding.rule,
        "message": finding.message,
    })
}

fn line(item: &Value) -> String {
    let field = |key: &str| match item.get(key) {
        Some(Value::String(text)) => text.clone(),
        other => other.map(Value::to_string).unwrap_or_default(),
    };
    let place = ["path", "line", "column"].map(field).join(":");
    format!("{place}: {}: {}", field("rule"), field("message"))
}
