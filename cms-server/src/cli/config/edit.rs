// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms config edit`: a config in the user's own editor, stored if nobody changed it meanwhile.

use std::path::Path;
use std::process::Command;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::cli::app::App;
use crate::cli::client::Call;
use crate::cli::document::{self, point};
use crate::cli::failure::Failure;
use crate::cli::input;

/// Change a config in $VISUAL or $EDITOR
#[derive(Args)]
#[command(after_help = "Example:\n  EDITOR=vi cms config edit rag/retriever -m \"more results\" -p rag")]
pub(crate) struct Edit {
    /// Name of the config, or of one of its layers
    name: String,
    /// Why it changes
    #[arg(short, long)]
    message: Option<String>,
}

/// Lets the user edit a config and stores what comes of it.
///
/// # Errors
/// The server's refusal; a failure of the editor, after which nothing is stored.
pub(super) async fn run(args: Edit, project: &str, app: &App) -> Result<(), Failure> {
    let (client, route) = (app.client()?, super::route(project, &args.name)?);
    let found = client.call(Call::get(route.clone())).await?;
    let before = found.value.get("content").and_then(Value::as_str).unwrap_or_default();
    let version = found.value.get("version").map(ToString::to_string);
    let file = tempfile::Builder::new().prefix("cms-config-").suffix(suffix(before)).tempfile()?;
    std::fs::write(file.path(), before)?;
    open(file.path())?;
    let text = input::text(file.path())?;
    if text == before {
        app.out.say("nothing was changed");
        return Ok(());
    }
    let call = Call::new(Method::PUT, route)
        .body("text/plain", text.clone())
        .query("message", args.message)
        .if_match(version.as_ref());
    let stored = client.call(call).await;
    let answer = stored.map_err(|failure| point(app, failure, None, &args.name, &text))?;
    app.show(&answer, document::FIELDS)
}

/// What tells editors which language it is.
fn suffix(text: &str) -> &'static str {
    match text.trim_start().chars().next() {
        Some('{') => ".json",
        _ if text.lines().any(|line| line.contains(" = ")) => ".toml",
        _ => ".yaml",
    }
}

fn open(file: &Path) -> Result<(), Failure> {
    let named = ["VISUAL", "EDITOR"].into_iter().filter_map(|name| std::env::var(name).ok());
    let editor =
        named.into_iter().find(|editor| !editor.trim().is_empty()).unwrap_or_else(|| "vi".to_owned());
    let mut words = editor.split_whitespace();
    let status = Command::new(words.next().unwrap_or("vi")).args(words).arg(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(Failure::error(format!("the editor `{editor}` ended with {status}; nothing was stored")))
        }
        Err(error) => Err(Failure::error(format!("cannot start the editor `{editor}`: {error}"))
            .hint("name one in $EDITOR")),
    }
}
