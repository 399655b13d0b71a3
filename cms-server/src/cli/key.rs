// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms key`: the API keys of a project.

use std::time::Duration;

use clap::{Args, Subcommand};
use cms_core::clock::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::app::{App, EnvironmentArg, ProjectArg};
use super::client::{Call, Client};
use super::failure::Failure;
use super::input;
use super::list::{self, PageArgs};
use super::route::Route;
use super::table::Column;

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("KEY", "masked"),
    ("SCOPES", "scopes"),
    ("ENVIRONMENT", "environment"),
    ("STATE", "state"),
    ("EXPIRES", "expires_at"),
    ("LAST USED", "last_used_at"),
];

const FIELDS: &[Column] = &[
    ("id", "id"),
    ("name", "name"),
    ("key", "key"),
    ("scopes", "scopes"),
    ("environment", "environment"),
    ("state", "state"),
    ("created", "created_at"),
    ("expires", "expires_at"),
    ("last used", "last_used_at"),
    ("allowed addresses", "allowed_ips"),
    ("old key works until", "overlap_until"),
];

/// Make, show, rotate and revoke API keys
#[derive(Args)]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Subcommand)]
enum KeyCommand {
    Create(Create),
    #[command(visible_alias = "show")]
    Get(Get),
    List(List),
    Revoke(Revoke),
    Rotate(Rotate),
}

/// Make a key; it is shown once
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms key create gateway --scope decide --env prod --expires-in 90d -p rag\n  \
    cms key create app --scope '{\"scope\": \"secret:read\", \"prefix\": \"llm\"}' -p rag"
)]
struct Create {
    /// Name for people
    name: String,
    /// What it may do (may be repeated): a scope such as `decide` or `secret:read`, or a JSON
    /// object that narrows one to an environment or a prefix of names
    #[arg(short, long = "scope", visible_alias = "scopes", value_name = "SCOPE", required = true, value_parser = scope)]
    scopes: Vec<Scopes>,
    #[command(flatten)]
    environment: EnvironmentArg,
    /// When it ends, as RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "expires_in")]
    expires_at: Option<String>,
    /// After how long it ends
    #[arg(long, value_name = "SPAN", value_parser = input::duration)]
    expires_in: Option<Duration>,
    /// Address or network that may use it (may be repeated)
    #[arg(long = "allowed-ip", value_name = "CIDR", value_delimiter = ',')]
    allowed_ips: Vec<String>,
}

/// Show a key, masked
#[derive(Args)]
#[command(after_help = "Example:\n  cms key get KEY_ID -p rag")]
struct Get {
    /// Id of the key
    id: String,
}

/// List keys, masked
#[derive(Args)]
#[command(after_help = "Example:\n  cms key list -p rag")]
struct List {
    #[command(flatten)]
    page: PageArgs,
}

/// Revoke a key everywhere
#[derive(Args)]
#[command(after_help = "Example:\n  cms key revoke KEY_ID -p rag")]
struct Revoke {
    /// Id of the key
    id: String,
}

/// Replace a key under the same id; the old one works until the overlap ends
#[derive(Args)]
#[command(after_help = "Example:\n  cms key rotate KEY_ID --overlap 1h -p rag")]
struct Rotate {
    /// Id of the key
    id: String,
    /// How long the old key goes on working
    #[arg(long, value_name = "SPAN", value_parser = input::duration)]
    overlap: Option<Duration>,
}

/// Scopes as one argument spells them.
#[derive(Clone, Debug, PartialEq)]
struct Scopes(Vec<Value>);

/// Runs a command on keys.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: KeyArgs, app: &App) -> Result<(), Failure> {
    let route = Route::project(&app.project(&args.project)?)?.fixed("keys");
    let client = app.client()?;
    match args.command {
        KeyCommand::Create(args) => create(args, app, &client, route).await,
        KeyCommand::Get(args) => app.show(&client.call(Call::get(route.id(&args.id)?)).await?, FIELDS),
        KeyCommand::List(args) => list::list(app, &client, Call::get(route), &args.page, COLUMNS).await,
        KeyCommand::Revoke(args) => {
            let answer = client.call(Call::new(Method::DELETE, route.id(&args.id)?)).await?;
            app.show(&answer, FIELDS)?;
            app.out.say(&format!("key `{}` is revoked", args.id));
            Ok(())
        }
        KeyCommand::Rotate(args) => rotate(args, app, &client, route).await,
    }
}

async fn create(args: Create, app: &App, client: &Client, route: Route) -> Result<(), Failure> {
    let ends = args.expires_in.map(|span| SystemClock.now().after(span).to_string());
    let scopes: Vec<&Value> = args.scopes.iter().flat_map(|given| &given.0).collect();
    let mut body =
        Map::from_iter([("name".to_owned(), json!(args.name)), ("scopes".to_owned(), json!(scopes))]);
    body.extend(app.named_environment(&args.environment).map(|env| ("environment".to_owned(), json!(env))));
    body.extend(args.expires_at.or(ends).map(|time| ("expires_at".to_owned(), json!(time))));
    if !args.allowed_ips.is_empty() {
        body.insert("allowed_ips".into(), json!(args.allowed_ips));
    }
    once(app, client, Call::json(Method::POST, route, &Value::Object(body))).await
}

async fn rotate(args: Rotate, app: &App, client: &Client, route: Route) -> Result<(), Failure> {
    let body = args.overlap.map_or_else(|| json!({}), |span| json!({ "overlap_seconds": span.as_secs() }));
    once(app, client, Call::json(Method::POST, route.id(&args.id)?.fixed("rotate"), &body)).await
}

async fn once(app: &App, client: &Client, call: Call) -> Result<(), Failure> {
    let answer = client.call(call).await?;
    app.show(&answer, FIELDS)?;
    app.out.say("keep the key: it is shown only this once");
    Ok(())
}

fn scope(text: &str) -> Result<Scopes, String> {
    if text.starts_with('{') {
        let object = serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))?;
        return Ok(Scopes(vec![object]));
    }
    Ok(Scopes(text.split(',').map(|name| json!(name.trim())).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_words_or_objects() {
        assert_eq!(scope("decide,policy:read").unwrap(), Scopes(vec![json!("decide"), json!("policy:read")]));
        let narrowed = json!({"scope": "secret:read", "prefix": "llm"});
        assert_eq!(scope(&narrowed.to_string()).unwrap(), Scopes(vec![narrowed]));
        assert!(scope("{oops").is_err());
    }
}
