// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms login`, `cms logout` and `cms whoami`: who this command line is to a server.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::app::App;
use super::client::{Call, Client, TokenPair};
use super::context::Context;
use super::failure::{Exit, Failure};
use super::input;
use super::route::Route;
use super::table::{self, Column};
use super::transport;

const FIELDS: &[Column] = &[
    ("kind", "kind"),
    ("id", "id"),
    ("scopes", "scopes"),
    ("project", "project"),
    ("environment", "environment"),
];

/// Log in and remember the server as a context
#[derive(Args)]
#[command(after_help = "Example:\n  cms login --addr https://cms.example.org --username alice\n  \
    pass show cms/ci | cms login --addr https://cms.example.org --token-stdin --context ci")]
pub(crate) struct LoginArgs {
    /// User name; asked for if missing
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username", conflicts_with = "token_stdin")]
    password_stdin: bool,
    /// Read an API key or access token from standard input and remember that instead
    #[arg(long, conflicts_with = "username")]
    token_stdin: bool,
}

/// End the session and forget its tokens
#[derive(Args)]
#[command(after_help = "Example:\n  cms logout")]
pub(crate) struct LogoutArgs {}

/// Show who the server takes you for
#[derive(Args)]
#[command(after_help = "Example:\n  cms whoami")]
pub(crate) struct WhoamiArgs {}

/// Logs in and stores the context.
///
/// # Errors
/// The server's refusal, or a file that cannot be written.
pub(crate) async fn run(args: LoginArgs, app: &App) -> Result<(), Failure> {
    let client = app.anonymous()?;
    if client.address().scheme() == "http" && !transport::is_loopback(client.address()) {
        app.out.say("warning: the address is plain HTTP, so credentials travel unencrypted");
    }
    let credentials = match piped_token(&args, app)? {
        Some(token) => (token, None),
        None => password_login(args, app, &client).await?,
    };
    let (token, refresh) = credentials;
    let client = client.with_token(Some(token.clone()), None);
    let me = client.call(Call::get(Route::api("auth/me"))).await?;
    let user = me.value.get("id").and_then(Value::as_str).map(str::to_owned);
    let name = remember(app, &client, token, refresh, user.clone())?;
    let who = table::printable(user.as_deref().unwrap_or("an unnamed caller"));
    app.out.say(&format!("logged in to {} as {who}; the context is `{name}`", client.address()));
    if variable_wins() {
        app.out.say("note: CMS_TOKEN is set and goes before the context in every command");
    }
    Ok(())
}

// Without a user name, a token that was given anyway is the one to remember.
fn piped_token(args: &LoginArgs, app: &App) -> Result<Option<String>, Failure> {
    if args.token_stdin {
        return input::secret_from_stdin().map(Some);
    }
    Ok(app.token().filter(|_| args.username.is_none()).map(str::to_owned))
}

fn variable_wins() -> bool {
    std::env::var_os("CMS_TOKEN").is_some_and(|value| !value.is_empty())
}

async fn password_login(
    args: LoginArgs,
    app: &App,
    client: &Client,
) -> Result<(String, Option<String>), Failure> {
    let username = match args.username {
        Some(username) => username,
        None => app.input.line("User name", "--username")?,
    };
    let password = match args.password_stdin {
        true => input::secret_from_stdin()?,
        false => app.input.secret("Password", "--password-stdin")?,
    };
    let body = json!({ "username": username, "password": password });
    let call = Call::json(Method::POST, Route::api("auth/login"), &body);
    let pair = TokenPair::parse(&client.call(call).await?.text)?;
    Ok((pair.access_token, Some(pair.refresh_token)))
}

fn remember(
    app: &App,
    client: &Client,
    token: String,
    refresh_token: Option<String>,
    user: Option<String>,
) -> Result<String, Failure> {
    let addr = client.address().as_str().trim_end_matches('/').to_owned();
    let ca_cert = app.ca_cert();
    app.context_file()?.change(|all| {
        let same = |context: &&String| all.contexts.get(*context).is_some_and(|found| found.addr == addr);
        let current = all.current.as_ref().filter(same).cloned();
        let name = app.context_name().map(str::to_owned).or(current).unwrap_or_else(|| default_name(client));
        let old = all.contexts.remove(&name).filter(|context| context.addr == addr).unwrap_or_default();
        let ca_cert = ca_cert.or(old.ca_cert);
        let made = Context { addr, user, ca_cert, token: Some(token), refresh_token, ..old };
        all.contexts.insert(name.clone(), made);
        all.current = Some(name.clone());
        Ok(name)
    })
}

fn default_name(client: &Client) -> String {
    let host = client.address().host_str().unwrap_or("default");
    client.address().port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Ends the session on the server and forgets the tokens here.
///
/// # Errors
/// The server's refusal, unless the session had ended already.
pub(crate) async fn logout(_args: LogoutArgs, app: &App) -> Result<(), Failure> {
    let Some(context) = app.current_context()? else {
        return Err(Failure::usage("there is no context to log out of"));
    };
    let ended = match context.refresh_token {
        Some(_) => app.client()?.call(Call::new(Method::POST, Route::api("auth/logout"))).await.map(|_| ()),
        None => Ok(()),
    };
    match ended {
        Err(failure) if failure.exit != Exit::Denied => return Err(failure),
        _ => forget(app)?,
    }
    app.out.say(&format!("logged out of {}", context.addr));
    Ok(())
}

fn forget(app: &App) -> Result<(), Failure> {
    app.context_file()?.change(|all| {
        let name = app.context_name().map(str::to_owned).or_else(|| all.current.clone()).unwrap_or_default();
        let context = all.named_mut(&name)?;
        context.token = None;
        context.refresh_token = None;
        Ok(())
    })
}

/// Shows the caller as the server sees it.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn whoami(_args: WhoamiArgs, app: &App) -> Result<(), Failure> {
    let answer = app.client()?.call(Call::get(Route::api("auth/me"))).await?;
    app.out.data(&answer.text, caller)
}

fn caller(value: &Value) -> String {
    let head = table::fields(value, FIELDS);
    let roles = value.get("roles").and_then(Value::as_array).filter(|roles| !roles.is_empty());
    match roles {
        Some(roles) => {
            format!("{head}\n\n{}", table::rows(roles, &[("ROLE", "role"), ("PROJECT", "project")]))
        }
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_listed_with_their_projects() {
        let me =
            json!({"kind": "user", "id": "alice", "roles": [{"role": "project-admin", "project": "rag"}]});
        let text = caller(&me);
        assert!(
            text.contains("alice") && text.ends_with("ROLE           PROJECT\nproject-admin  rag"),
            "{text}"
        );
    }
}
