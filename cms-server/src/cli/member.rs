// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms member`: who belongs to a project, and in which role.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::app::{App, ProjectArg};
use super::client::Call;
use super::failure::Failure;
use super::list::{self, PageArgs};
use super::route::Route;
use super::table::Column;

const COLUMNS: &[Column] = &[("USER", "user"), ("ROLE", "role")];

const FIELDS: &[Column] = &[("user", "user"), ("role", "role")];

/// Show and change the members of a project
#[derive(Args)]
pub(crate) struct MemberArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: MemberCommand,
}

#[derive(Subcommand)]
enum MemberCommand {
    List(List),
    Remove(Remove),
    #[command(visible_alias = "add")]
    Set(Set),
}

/// List members
#[derive(Args)]
#[command(after_help = "Example:\n  cms member list -p rag")]
struct List {
    #[command(flatten)]
    page: PageArgs,
}

/// Take a user out of the project
#[derive(Args)]
#[command(after_help = "Example:\n  cms member remove alice -p rag")]
struct Remove {
    /// User
    user: String,
}

/// Give a user a role in the project
#[derive(Args)]
#[command(after_help = "Example:\n  cms member set alice project-admin -p rag")]
struct Set {
    /// User
    user: String,
    /// `project-admin`, `project-user` or `auditor`
    role: String,
}

/// Runs a command on members.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: MemberArgs, app: &App) -> Result<(), Failure> {
    let route = Route::project(&app.project(&args.project)?)?.fixed("members");
    let client = app.client()?;
    match args.command {
        MemberCommand::List(args) => list::list(app, &client, Call::get(route), &args.page, COLUMNS).await,
        MemberCommand::Remove(args) => {
            client.call(Call::new(Method::DELETE, route.id(&args.user)?)).await?;
            app.out.say(&format!("`{}` is no member any more", args.user));
            Ok(())
        }
        MemberCommand::Set(args) => {
            let call = Call::json(Method::PUT, route.id(&args.user)?, &json!({ "role": args.role }));
            app.show(&client.call(call).await?, FIELDS)
        }
    }
}
