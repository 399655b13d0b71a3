// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms user`: the local users of an installation.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::app::App;
use super::client::{Call, Client};
use super::failure::Failure;
use super::input;
use super::list::{self, PageArgs};
use super::route::Route;
use super::table::Column;

const COLUMNS: &[Column] = &[
    ("USER", "username|id"),
    ("NAME", "display_name"),
    ("EMAIL", "email"),
    ("ROLE", "role|roles"),
    ("STATE", "state"),
    ("CREATED", "created_at"),
];

const FIELDS: &[Column] = &[
    ("user", "username|id"),
    ("name", "display_name"),
    ("email", "email"),
    ("role", "role|roles"),
    ("state", "state"),
    ("created", "created_at"),
];

/// Administer local users
#[derive(Args)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Subcommand)]
enum UserCommand {
    Create(Create),
    Delete(Delete),
    Get(Get),
    List(List),
    Password(Password),
    Update(Update),
}

/// Make a user
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms user create alice --display-name \"Alice\"          (asks for the password)\n  \
    pass show cms/alice | cms user create alice --password-stdin --role auditor"
)]
struct Create {
    /// User name
    username: String,
    #[command(flatten)]
    profile: Profile,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Args)]
struct Profile {
    /// Name for people
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Address
    #[arg(long)]
    email: Option<String>,
    /// Role in the whole installation: `cms-admin`, `platform-admin` or `auditor`
    #[arg(long)]
    role: Option<String>,
}

/// Delete a user
#[derive(Args)]
#[command(after_help = "Example:\n  cms user delete alice")]
struct Delete {
    /// User name
    username: String,
}

/// Show a user
#[derive(Args)]
#[command(after_help = "Example:\n  cms user get alice")]
struct Get {
    /// User name
    username: String,
}

/// List users
#[derive(Args)]
#[command(after_help = "Example:\n  cms user list")]
struct List {
    #[command(flatten)]
    page: PageArgs,
}

/// Set a user's password
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms user password alice\n  pass show cms/alice | cms user password alice --password-stdin"
)]
struct Password {
    /// User name
    username: String,
    /// Read the new password from standard input
    #[arg(long)]
    password_stdin: bool,
}

/// Change a user
#[derive(Args)]
#[command(after_help = "Example:\n  cms user update alice --email alice@example.org")]
struct Update {
    /// User name
    username: String,
    #[command(flatten)]
    profile: Profile,
    /// Only if this is still the version
    #[arg(long, value_name = "VERSION")]
    if_match: Option<String>,
}

/// Runs a command on users.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: UserArgs, app: &App) -> Result<(), Failure> {
    let route = Route::api("users");
    let client = app.client()?;
    match args.command {
        UserCommand::Create(args) => create(args, app, &client).await,
        UserCommand::Delete(args) => {
            client.call(Call::new(Method::DELETE, route.id(&args.username)?)).await?;
            app.out.say(&format!("user `{}` is deleted", args.username));
            Ok(())
        }
        UserCommand::Get(args) => app.show(&client.call(Call::get(route.id(&args.username)?)).await?, FIELDS),
        UserCommand::List(args) => list::list(app, &client, Call::get(route), &args.page, COLUMNS).await,
        UserCommand::Password(args) => password(args, app, &client).await,
        UserCommand::Update(args) => {
            let body = Value::Object(args.profile.into_fields());
            let call =
                Call::json(Method::PATCH, route.id(&args.username)?, &body).if_match(args.if_match.as_ref());
            app.show(&client.call(call).await?, FIELDS)
        }
    }
}

async fn create(args: Create, app: &App, client: &Client) -> Result<(), Failure> {
    let mut body = args.profile.into_fields();
    body.insert("username".into(), json!(args.username));
    body.insert("password".into(), json!(new_password(app, args.password_stdin)?));
    let answer = client.call(Call::json(Method::POST, Route::api("users"), &Value::Object(body))).await?;
    app.show(&answer, FIELDS)
}

async fn password(args: Password, app: &App, client: &Client) -> Result<(), Failure> {
    let route = Route::api("users").id(&args.username)?.fixed("password");
    let body = json!({ "password": new_password(app, args.password_stdin)? });
    client.call(Call::json(Method::PUT, route, &body)).await?;
    app.out.say(&format!("the password of `{}` is changed", args.username));
    Ok(())
}

fn new_password(app: &App, piped: bool) -> Result<String, Failure> {
    if piped { input::secret_from_stdin() } else { app.input.new_password() }
}

impl Profile {
    fn into_fields(self) -> Map<String, Value> {
        let given = [("display_name", self.display_name), ("email", self.email), ("role", self.role)];
        given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?)))).collect()
    }
}
