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
    ("DISABLED", "disabled"),
    ("CREATED", "created_at"),
];

const FIELDS: &[Column] = &[
    ("user", "username|id"),
    ("name", "display_name"),
    ("email", "email"),
    ("role", "role|roles"),
    ("disabled", "disabled"),
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
    #[command(visible_alias = "show")]
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

/// Set a user's password; to change your own, the present one is needed as well
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms user password alice\n  pass show cms/alice | cms user password alice --password-stdin\n\n\
    With --password-stdin and your own name, standard input holds two lines: the present and the new password."
)]
struct Password {
    /// User name
    username: String,
    /// Read the new password from standard input
    #[arg(long)]
    password_stdin: bool,
}

/// Change a user; an empty text takes a value away
#[derive(Args)]
#[command(after_help = "Example:\n  cms user update alice --email alice@example.org")]
struct Update {
    /// User name
    username: String,
    #[command(flatten)]
    profile: Profile,
    /// Whether the user is kept from doing anything
    #[arg(long, value_name = "BOOL")]
    disabled: Option<bool>,
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
            let call =
                Call::json(Method::PATCH, route.id(&args.username)?, &changes(args.profile, args.disabled));
            app.show(&client.call(call.if_match(args.if_match.as_ref())).await?, FIELDS)
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
    let me = client.call(Call::get(Route::api("auth/me"))).await?.value;
    let id = me.get("id").and_then(Value::as_str).unwrap_or_default();
    let own = me.get("kind") == Some(&json!("user")) && id.eq_ignore_ascii_case(&args.username);
    let body =
        if own { own_change(app, args.password_stdin)? } else { foreign_change(app, args.password_stdin)? };
    client.call(Call::json(Method::PUT, route, &body)).await?;
    app.out.say(&format!("the password of `{}` is changed", args.username));
    Ok(())
}

fn foreign_change(app: &App, piped: bool) -> Result<Value, Failure> {
    Ok(json!({ "password": new_password(app, piped)? }))
}

fn own_change(app: &App, piped: bool) -> Result<Value, Failure> {
    if !piped {
        let current = app.input.secret("Present password", "--password-stdin")?;
        return Ok(json!({ "current_password": current, "password": app.input.new_password()? }));
    }
    let both = input::secret_from_stdin()?;
    let (current, new) = both.split_once('\n').ok_or_else(|| {
        Failure::usage("to change your own password, pipe two lines: the present and the new password")
    })?;
    Ok(json!({ "current_password": input::without_line_break(current), "password": new }))
}

fn changes(profile: Profile, disabled: Option<bool>) -> Value {
    let mut body = profile.into_fields();
    for value in body.values_mut().filter(|value| value.as_str() == Some("")) {
        *value = Value::Null;
    }
    body.extend(disabled.map(|disabled| ("disabled".to_owned(), json!(disabled))));
    Value::Object(body)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_text_takes_a_value_away() {
        let profile = Profile { display_name: Some("Alice".into()), email: Some(String::new()), role: None };
        let expected = json!({"display_name": "Alice", "email": null, "disabled": true});
        assert_eq!(changes(profile, Some(true)), expected);
    }
}
