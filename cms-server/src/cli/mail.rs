// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms mail`: what people of a project were told by mail.

use clap::{Args, Subcommand};
use reqwest::Method;

use super::app::{App, ProjectArg};
use super::client::Call;
use super::failure::Failure;
use super::list::{self, PageArgs};
use super::route::Route;
use super::table::Column;

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("USER", "user"),
    ("TYPE", "type"),
    ("STATE", "state"),
    ("ATTEMPTS", "attempts"),
    ("NEXT", "next_attempt_at"),
    ("RESULT", "last_result"),
];

/// Look at mails to people of a project, and send them again
#[derive(Args)]
pub(crate) struct MailArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: MailCommand,
}

#[derive(Subcommand)]
enum MailCommand {
    List(List),
    Resend(Resend),
}

/// List what was sent, waits or was given up, newest first
#[derive(Args)]
#[command(after_help = "Example:\n  cms mail list -p rag")]
struct List {
    #[command(flatten)]
    page: PageArgs,
}

/// Send a mail again
#[derive(Args)]
#[command(after_help = "Example:\n  cms mail resend MAIL -p rag")]
struct Resend {
    /// Id of the mail
    id: String,
}

/// Runs a command on mails.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: MailArgs, app: &App) -> Result<(), Failure> {
    let route = Route::project(&app.project(&args.project)?)?.fixed("mails");
    let client = app.client()?;
    match args.command {
        MailCommand::List(args) => list::list(app, &client, Call::get(route), &args.page, COLUMNS).await,
        MailCommand::Resend(args) => {
            let call = Call::new(Method::POST, route.id(&args.id)?.fixed("resend"));
            app.show(&client.call(call).await?, &[("state", "state")])
        }
    }
}
