// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms webhook`: where others are told of what happens in a project.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::app::{App, ProjectArg};
use super::client::Call;
use super::failure::Failure;
use super::list::{self, PageArgs};
use super::route::Route;
use super::table::Column;

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("URL", "url"),
    ("EVENTS", "events"),
    ("BY", "created_by"),
    ("DESCRIPTION", "description"),
];

const FIELDS: &[Column] = &[("id", "id"), ("url", "url"), ("events", "events"), ("secret", "secret")];

const DELIVERIES: &[Column] = &[
    ("EVENT", "id"),
    ("TYPE", "type"),
    ("STATE", "state"),
    ("ATTEMPTS", "attempts"),
    ("LAST", "last_result"),
    ("NEXT", "next_attempt_at"),
];

/// Have others told of what happens in a project
#[derive(Args)]
pub(crate) struct WebhookArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: WebhookCommand,
}

#[derive(Subcommand)]
enum WebhookCommand {
    Create(Create),
    Deliveries(Deliveries),
    List(List),
    Remove(Remove),
    Resend(Resend),
}

/// Add a webhook; its secret is shown once
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms webhook create https://chat.example.org/hooks/cms --event 'request.*' -p rag"
)]
struct Create {
    /// Where to send to
    url: String,
    /// Which events, such as `request.approved` or `request.*` (may be repeated); else all
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// What it is for
    #[arg(short, long)]
    description: Option<String>,
}

/// List what was sent, waits or was given up, newest first
#[derive(Args)]
#[command(after_help = "Example:\n  cms webhook deliveries WEBHOOK -p rag")]
struct Deliveries {
    /// Id of the webhook
    id: String,
    #[command(flatten)]
    page: PageArgs,
}

/// List webhooks
#[derive(Args)]
#[command(after_help = "Example:\n  cms webhook list -p rag")]
struct List {
    #[command(flatten)]
    page: PageArgs,
}

/// Remove a webhook with everything that waits for it
#[derive(Args)]
#[command(after_help = "Example:\n  cms webhook remove WEBHOOK -p rag")]
struct Remove {
    /// Id of the webhook
    id: String,
}

/// Send something again
#[derive(Args)]
#[command(after_help = "Example:\n  cms webhook resend WEBHOOK EVENT -p rag")]
struct Resend {
    /// Id of the webhook
    id: String,
    /// Id of the event
    event: String,
}

/// Runs a command on webhooks.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: WebhookArgs, app: &App) -> Result<(), Failure> {
    let route = Route::project(&app.project(&args.project)?)?.fixed("webhooks");
    let client = app.client()?;
    match args.command {
        WebhookCommand::Create(args) => {
            let body = json!({"url": args.url, "events": args.events, "description": args.description});
            app.show(&client.call(Call::json(Method::POST, route, &body)).await?, FIELDS)?;
            app.out.say("keep the secret: it is shown only this once");
            Ok(())
        }
        WebhookCommand::Deliveries(args) => {
            let call = Call::get(route.id(&args.id)?.fixed("deliveries"));
            list::list(app, &client, call, &args.page, DELIVERIES).await
        }
        WebhookCommand::List(args) => list::list(app, &client, Call::get(route), &args.page, COLUMNS).await,
        WebhookCommand::Remove(args) => {
            client.call(Call::new(Method::DELETE, route.id(&args.id)?)).await?;
            app.out.say(&format!("webhook `{}` is gone", args.id));
            Ok(())
        }
        WebhookCommand::Resend(args) => {
            let route = route.id(&args.id)?.fixed("deliveries").id(&args.event)?.fixed("resend");
            app.show(&client.call(Call::new(Method::POST, route)).await?, &[("state", "state")])
        }
    }
}
