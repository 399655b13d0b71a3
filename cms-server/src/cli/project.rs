// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms project`: onboarding, looking after and offboarding projects.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::app::App;
use super::client::{Call, Client};
use super::failure::Failure;
use super::list::{self, PageArgs};
use super::route::Route;
use super::table::{self, Column};

const COLUMNS: &[Column] =
    &[("ID", "id"), ("NAME", "name"), ("CREATED", "created_at"), ("DESCRIPTION", "description")];

const FIELDS: &[Column] = &[
    ("id", "id"),
    ("name", "name"),
    ("description", "description"),
    ("environments", "environments"),
    ("auto release", "auto_release"),
    ("version", "version"),
    ("created", "created_at"),
    ("by", "created_by"),
];

/// Onboard, show and offboard projects
#[derive(Args)]
pub(crate) struct ProjectArgs {
    #[command(subcommand)]
    command: ProjectCommand,
}

#[derive(Subcommand)]
enum ProjectCommand {
    Create(Create),
    Delete(Delete),
    #[command(visible_alias = "show")]
    Get(Get),
    List(List),
    Update(Update),
}

/// Onboard a project with its environments, default policies, members and a first key
#[derive(Args)]
#[command(after_help = "Example:\n  cms project create rag --name \"RAG search\" --env dev --env prod \
    --member alice=project-admin")]
struct Create {
    /// Id: lower-case letters, digits and `-`
    id: String,
    /// Name for people; else the id
    #[arg(long)]
    name: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// An environment (may be repeated); else `default`
    #[arg(short, long = "env", visible_alias = "environment", value_name = "ENV")]
    environments: Vec<String>,
    /// A member and their role (may be repeated)
    #[arg(short, long = "member", value_name = "USER=ROLE", value_parser = member)]
    members: Vec<(String, String)>,
    /// Start with the documents of this template: `rag` or `empty`
    #[arg(long)]
    template: Option<String>,
    /// Do not make and activate a release for every accepted change
    #[arg(long)]
    no_auto_release: bool,
}

/// Offboard a project: revoke its keys and destroy its data key for good
#[derive(Args)]
#[command(after_help = "Example:\n  cms project delete rag --yes")]
struct Delete {
    /// Id
    id: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Show a project
#[derive(Args)]
#[command(after_help = "Example:\n  cms project get rag")]
struct Get {
    /// Id
    id: String,
}

/// List projects
#[derive(Args)]
#[command(after_help = "Example:\n  cms project list")]
struct List {
    #[command(flatten)]
    page: PageArgs,
}

/// Change a project
#[derive(Args)]
#[command(after_help = "Example:\n  cms project update rag --auto-release false")]
struct Update {
    /// Id
    id: String,
    /// Name for people
    #[arg(long)]
    name: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Whether every accepted change makes and activates a release
    #[arg(long, value_name = "BOOL")]
    auto_release: Option<bool>,
    /// Only if this is still the version
    #[arg(long, value_name = "VERSION")]
    if_match: Option<String>,
}

/// Runs a command on projects.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: ProjectArgs, app: &App) -> Result<(), Failure> {
    let client = app.client()?;
    match args.command {
        ProjectCommand::Create(args) => create(args, app, &client).await,
        ProjectCommand::Delete(args) => delete(args, app, &client).await,
        ProjectCommand::Get(args) => {
            let answer = client.call(Call::get(Route::project(&args.id)?)).await?;
            app.show(&answer, FIELDS)
        }
        ProjectCommand::List(args) => {
            list::list(app, &client, Call::get(Route::api("projects")), &args.page, COLUMNS).await
        }
        ProjectCommand::Update(args) => update(args, app, &client).await,
    }
}

async fn create(args: Create, app: &App, client: &Client) -> Result<(), Failure> {
    let body = creation(&args);
    let answer = client.call(Call::json(Method::POST, Route::api("projects"), &body)).await?;
    app.out.data(&answer.text, onboarded)?;
    app.out.say("keep the key: it is shown only this once");
    Ok(())
}

fn creation(args: &Create) -> Value {
    let mut body = Map::new();
    body.insert("id".into(), json!(args.id));
    body.insert("name".into(), json!(args.name.as_ref().unwrap_or(&args.id)));
    if let Some(description) = &args.description {
        body.insert("description".into(), json!(description));
    }
    if !args.environments.is_empty() {
        body.insert("environments".into(), json!(args.environments));
    }
    if !args.members.is_empty() {
        let members = args.members.iter().map(|(user, role)| json!({"user": user, "role": role}));
        body.insert("members".into(), members.collect());
    }
    if let Some(template) = &args.template {
        body.insert("template".into(), json!(template));
    }
    if args.no_auto_release {
        body.insert("auto_release".into(), json!(false));
    }
    Value::Object(body)
}

fn onboarded(value: &Value) -> String {
    let head: &[Column] = &[
        ("project", "project/id"),
        ("name", "project/name"),
        ("environments", "project/environments"),
        ("release", "release"),
    ];
    let keys: &[Column] = &[("KEY ID", "id"), ("NAME", "name"), ("SCOPES", "scopes"), ("KEY", "key")];
    let parts = [
        table::fields(value, head),
        section(value.get("policies"), &[("POLICY", "name"), ("VERSION", "version")]),
        section(value.get("keys"), keys),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn section(items: Option<&Value>, columns: &[Column]) -> String {
    let items = items.and_then(Value::as_array).filter(|items| !items.is_empty());
    items.map_or_else(String::new, |items| table::rows(items, columns))
}

async fn delete(args: Delete, app: &App, client: &Client) -> Result<(), Failure> {
    let route = Route::project(&args.id)?;
    app.input.confirm(args.yes, "This destroys the project's secrets and keys for good.", &args.id)?;
    let answer = client.call(Call::new(Method::DELETE, route)).await?;
    app.out.data(&answer.text, report)?;
    app.out.say(&format!("project `{}` is offboarded", args.id));
    Ok(())
}

// The report names what was revoked; every field of it matters to the reader.
fn report(value: &Value) -> String {
    let lines = value.as_object().into_iter().flatten();
    lines
        .map(|(key, value)| format!("{}: {}", table::printable(key), table::cell(value)))
        .collect::<Vec<_>>()
        .join("\n")
}

async fn update(args: Update, app: &App, client: &Client) -> Result<(), Failure> {
    let mut body = Map::new();
    body.extend(args.name.map(|name| ("name".to_owned(), json!(name))));
    body.extend(args.description.map(|text| ("description".to_owned(), json!(text))));
    body.extend(args.auto_release.map(|on| ("auto_release".to_owned(), json!(on))));
    let call = Call::json(Method::PATCH, Route::project(&args.id)?, &Value::Object(body));
    let answer = client.call(call.if_match(args.if_match.as_ref())).await?;
    app.show(&answer, FIELDS)
}

fn member(text: &str) -> Result<(String, String), String> {
    let (user, role) = text.split_once('=').ok_or("expected USER=ROLE, such as `alice=project-admin`")?;
    Ok((user.to_owned(), role.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn onboarding_shows_the_key_in_full() {
        let answer = json!({"project": {"id": "rag", "environments": ["dev"]}, "policies": [{"name": "rag/authz", "version": 1}],
            "keys": [{"id": "k1", "name": "default", "scopes": ["decide"], "key": "cms_abc"}], "release": "r1"});
        let text = onboarded(&answer);
        for expected in ["rag", "rag/authz", "cms_abc", "r1"] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn only_what_was_given_is_sent() {
        let args = Create {
            id: "rag".into(),
            name: None,
            description: None,
            environments: vec![],
            members: vec![member("bob=project-user").unwrap()],
            template: None,
            no_auto_release: true,
        };
        let members = json!([{"user": "bob", "role": "project-user"}]);
        let expected = json!({"id": "rag", "name": "rag", "members": members, "auto_release": false});
        assert_eq!(creation(&args), expected);
    }
}
