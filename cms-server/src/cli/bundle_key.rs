// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms bundle-key`: the keys that sign a project's bundles.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::app::{App, ProjectArg};
use super::client::Call;
use super::failure::Failure;
use super::route::Route;

/// Show and rotate the keys that sign bundles
#[derive(Args)]
pub(crate) struct BundleKeyArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: BundleKeyCommand,
}

#[derive(Subcommand)]
enum BundleKeyCommand {
    Rotate(Rotate),
    Show(Show),
}

/// Sign bundles with a new key
#[derive(Args)]
#[command(after_help = "Example:\n  cms bundle-key rotate --notice-seconds 86400 -p rag")]
struct Rotate {
    /// Show the new key for so long before it signs
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    notice_seconds: u32,
}

/// Show the public keys that verify bundles; the first signs now
#[derive(Args)]
#[command(after_help = "Example:\n  cms bundle-key show -p rag")]
struct Show {}

/// Runs a command on the keys of bundles.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: BundleKeyArgs, app: &App) -> Result<(), Failure> {
    let route = Route::project(&app.project(&args.project)?)?.fixed("bundle-keys");
    let call = match args.command {
        BundleKeyCommand::Rotate(Rotate { notice_seconds }) => {
            Call::json(Method::POST, route.fixed("rotate"), &json!({ "notice_seconds": notice_seconds }))
        }
        BundleKeyCommand::Show(Show {}) => Call::get(route),
    };
    let keys = app.client()?.call(call).await?;
    app.out.data(&keys.text, shown)
}

fn shown(answer: &Value) -> String {
    let keys = answer.get("keys").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let text = |key: &Value, field| key.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let lines = keys.iter().map(|key| {
        let (kid, since, pem) = (text(key, "kid"), text(key, "signs_from"), text(key, "pem"));
        format!("{kid}, signs from {since}\n{pem}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_as_they_are_configured() {
        let key = json!({"kid": "a1", "signs_from": "2026-01-02T03:04:05Z", "pem": "-----BEGIN…\n"});
        let shown = shown(&json!({ "keys": [key] }));
        assert_eq!(shown, "a1, signs from 2026-01-02T03:04:05Z\n-----BEGIN…\n");
    }
}
