// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms keyring`: the keys that seal what is stored, and their rotation while the server runs.

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::app::{App, ProjectArg};
use super::client::{Answer, Call, Client};
use super::failure::Failure;
use super::route::Route;
use super::table::Column;

const FIELDS: &[Column] = &[
    ("project", "project"),
    ("version", "version"),
    ("sealed anew", "resealed"),
    ("wrapped anew", "rewrapped"),
    ("older ones gone", "retired"),
];

/// How often the server is asked how far it is.
const ASKING: Duration = Duration::from_millis(500);

/// Show and rotate the keys that seal what is stored
#[derive(Args)]
pub(crate) struct KeyringArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: KeyringCommand,
}

#[derive(Subcommand)]
enum KeyringCommand {
    Rotate(Rotate),
    RotateRoot(RotateRoot),
    Show(Show),
}

/// Give a project a new data key, seal everything anew with it and drop the older ones
#[derive(Args)]
#[command(after_help = "Example:\n  cms keyring rotate -p rag")]
struct Rotate {}

/// Give the installation a new root key, wrap every data key with it and drop the older ones
#[derive(Args)]
#[command(after_help = "Example:\n  cms keyring rotate-root")]
struct RotateRoot {}

/// Show how many values each version of a project's data key has sealed
#[derive(Args)]
#[command(after_help = "Example:\n  cms keyring show -p rag")]
struct Show {}

/// Runs a command on keyrings.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: KeyringArgs, app: &App) -> Result<(), Failure> {
    let client = app.client()?;
    match args.command {
        KeyringCommand::Rotate(Rotate {}) => {
            let route = Route::project(&app.project(&args.project)?)?.fixed("data-key");
            let rotated = rotate(app, &client, &route).await?;
            app.show(&rotated, FIELDS)
        }
        KeyringCommand::RotateRoot(RotateRoot {}) => {
            let progress = app.out.progress("wrapping the data keys anew");
            let rotated = client.call(Call::new(Method::POST, Route::api("system/root-key/rotate"))).await;
            progress.finish_and_clear();
            app.show(&rotated?, FIELDS)
        }
        KeyringCommand::Show(Show {}) => {
            let route = Route::project(&app.project(&args.project)?)?.fixed("data-key");
            let state = client.call(Call::get(route)).await?;
            app.out.data(&state.text, shown)
        }
    }
}

/// Rotates, and shows meanwhile how many values are sealed anew.
async fn rotate(app: &App, client: &Client, route: &Route) -> Result<Answer, Failure> {
    let before = client.call(Call::get(route.clone())).await?;
    let total: u64 = generations(&before.value).iter().map(|(_, values)| values).sum();
    let bar = app.out.bar("sealing anew", total);
    let asked = client.call(Call::new(Method::POST, route.clone().fixed("rotate")));
    tokio::pin!(asked);
    let rotated = loop {
        tokio::select! {
            rotated = &mut asked => break rotated,
            () = tokio::time::sleep(ASKING), if !bar.is_hidden() => {
                if let Ok(state) = client.call(Call::get(route.clone())).await {
                    bar.set_position(generations(&state.value).last().map_or(0, |(_, values)| *values));
                }
            }
        }
    };
    bar.finish_and_clear();
    rotated
}

fn generations(state: &Value) -> Vec<(u64, u64)> {
    let listed = state.get("generations").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let number = |generation: &Value, field| generation.get(field).and_then(Value::as_u64).unwrap_or(0);
    listed.iter().map(|generation| (number(generation, "version"), number(generation, "values"))).collect()
}

fn shown(state: &Value) -> String {
    let lines = generations(state).into_iter().map(|(version, values)| {
        let unit = if values == 1 { "value" } else { "values" };
        format!("version {version}: {values} {unit}\n")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_are_shown_with_what_they_sealed() {
        let state = json!({"project": "rag", "version": 2, "generations": [
            {"version": 1, "values": 1, "held": true}, {"version": 2, "values": 7, "held": true}]});
        assert_eq!(shown(&state), "version 1: 1 value\nversion 2: 7 values\n");
        assert_eq!(shown(&json!({})), "");
    }
}
