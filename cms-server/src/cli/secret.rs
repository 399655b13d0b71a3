// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms secret`: versioned secrets. Values come from standard input, files or prompts, never from
//! arguments, which other users of the machine can read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::app::{App, ProjectArg};
use super::client::{Answer, Call, Client};
use super::failure::{Exit, Failure};
use super::field::{self, Fields};
use super::list::{self, PageArgs};
use super::route::Route;
use super::table::{self, Column};

const COLUMNS: &[Column] = &[
    ("PATH", "path"),
    ("VERSION", "version"),
    ("STATE", "state"),
    ("AUTHOR", "author"),
    ("CREATED", "created_at"),
];

const VERSIONS: &[Column] = &[
    ("VERSION", "version"),
    ("STATE", "state"),
    ("AUTHOR", "author"),
    ("CREATED", "created_at"),
    ("REMOVED", "removed_at"),
    ("MESSAGE", "message"),
];

const FIELDS: &[Column] = &[
    ("path", "path"),
    ("version", "version"),
    ("state", "state"),
    ("author", "author"),
    ("created", "created_at"),
    ("message", "message"),
    ("metadata", "metadata"),
];

/// Store, show, reveal and rotate secrets
#[derive(Args)]
pub(crate) struct SecretArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Subcommand)]
enum SecretCommand {
    Delete(Name),
    Destroy(Destroy),
    #[command(visible_alias = "show")]
    Get(Get),
    List(List),
    Put(Put),
    Reveal(Reveal),
    Rotate(Rotate),
    Undelete(Undelete),
    Versions(Versions),
}

/// Store a new version of a secret
#[derive(Args)]
#[command(
    after_help = "Examples:\n  cms secret put llm/openai api_key -p rag            (asks for the value)\n  \
    pass show openai | cms secret put llm/openai api_key=- -p rag\n  \
    cms secret put tls/edge key=@edge.key cert=@edge.pem -p rag\n  \
    cms secret put db/main -f credentials.json --cas 3 -p rag\n\n\
    `field=-` reads standard input without the line break at its end; `field=@file` reads a file as it is."
)]
struct Put {
    /// Path of the secret
    path: String,
    /// FIELD to be asked, `FIELD=-` for standard input, `FIELD=@FILE` for a file
    #[arg(value_name = "FIELD")]
    fields: Vec<String>,
    /// File with a JSON object of fields; `-` for standard input
    #[arg(short, long = "file", value_name = "JSON", conflicts_with = "fields")]
    file: Option<PathBuf>,
    /// Only if this is still the version; 0: only if it does not exist
    #[arg(long, value_name = "VERSION")]
    cas: Option<u64>,
    /// Metadata, which is not secret (may be repeated)
    #[arg(long, value_name = "KEY=TEXT")]
    metadata: Vec<String>,
    /// Why it changes
    #[arg(short, long)]
    message: Option<String>,
}

/// Show a secret with masked values; `--reveal` shows them
#[derive(Args)]
#[command(after_help = "Example:\n  cms secret get llm/openai -p rag\n  \
    cms secret get llm/openai --reveal --reason \"rotate at the vendor\" -p rag")]
struct Get {
    /// Path of the secret
    path: String,
    /// An earlier version
    #[arg(long)]
    version: Option<u64>,
    /// Show the values; the audit trail records it
    #[arg(long)]
    reveal: bool,
    /// Why the values are needed, for the audit trail
    #[arg(long, requires = "reveal")]
    reason: Option<String>,
    /// Print only the value of this field
    #[arg(long, requires = "reveal")]
    field: Option<String>,
}

/// Show the values of a secret; the audit trail records it
#[derive(Args)]
#[command(after_help = "Example:\n  cms secret reveal llm/openai --field api_key --reason deploy -p rag")]
struct Reveal {
    /// Path of the secret
    path: String,
    /// An earlier version
    #[arg(long)]
    version: Option<u64>,
    /// Why the values are needed, for the audit trail
    #[arg(long)]
    reason: Option<String>,
    /// Print only the value of this field, without a line break unless on a terminal
    #[arg(long)]
    field: Option<String>,
}

/// List secrets, without values
#[derive(Args)]
#[command(after_help = "Example:\n  cms secret list --prefix llm/ -p rag")]
struct List {
    /// Only paths that start so
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// List the versions of a secret
#[derive(Args)]
#[command(after_help = "Example:\n  cms secret versions llm/openai -p rag")]
struct Versions {
    /// Path of the secret
    path: String,
    #[command(flatten)]
    page: PageArgs,
}

/// Delete a secret; `undelete` brings it back
#[derive(Args)]
#[command(after_help = "Example:\n  cms secret delete llm/openai -p rag")]
struct Name {
    /// Path of the secret
    path: String,
}

/// Bring deleted versions back
#[derive(Args)]
#[command(after_help = "Example:\n  cms secret undelete llm/openai --versions 2 -p rag")]
struct Undelete {
    /// Path of the secret
    path: String,
    /// The versions; else the latest
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    versions: Vec<u64>,
}

/// Destroy versions for good
#[derive(Args)]
#[command(after_help = "Example:\n  cms secret destroy llm/openai --versions 1,2 -p rag")]
struct Destroy {
    /// Path of the secret
    path: String,
    /// The versions
    #[arg(long, value_name = "N,N", value_delimiter = ',', required = true)]
    versions: Vec<u64>,
}

/// Store a generated value as a new version
#[derive(Args)]
#[command(after_help = "Example:\n  cms secret rotate db/main --field password --length 40 -p rag")]
struct Rotate {
    /// Path of the secret
    path: String,
    /// The field to replace
    #[arg(long)]
    field: Option<String>,
    /// What to generate: `alphanumeric`, `hex`, `base64url`, `digits`, `password` or `uuid`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// How long it is to be
    #[arg(long, value_name = "N")]
    length: Option<u32>,
    /// Only if this is still the version
    #[arg(long, value_name = "VERSION")]
    cas: Option<u64>,
    /// Why it changes
    #[arg(short, long)]
    message: Option<String>,
}

/// Runs a command on secrets.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: SecretArgs, app: &App) -> Result<(), Failure> {
    if let SecretCommand::Put(args) = &args.command {
        field::check(&args.fields)?;
    }
    let route = Route::project(&app.project(&args.project)?)?.fixed("secrets");
    let secrets = Secrets { app, client: app.client()?, route };
    match args.command {
        SecretCommand::Delete(args) => secrets.delete(&args.path).await,
        SecretCommand::Destroy(args) => {
            secrets.act("destroy", &args.path, &json!({"versions": args.versions})).await
        }
        SecretCommand::Get(args) if args.reveal => secrets.reveal(args.into()).await,
        SecretCommand::Get(args) => secrets.masked(args).await,
        SecretCommand::List(args) => {
            let call = Call::get(secrets.route).query("prefix", args.prefix);
            list::list(app, &secrets.client, call, &args.page, COLUMNS).await
        }
        SecretCommand::Put(args) => secrets.put(args).await,
        SecretCommand::Reveal(args) => secrets.reveal(args).await,
        SecretCommand::Rotate(args) => secrets.act("rotate", &args.path, &rotation(&args)).await,
        SecretCommand::Undelete(args) => secrets.act("undelete", &args.path, &chosen(&args.versions)).await,
        SecretCommand::Versions(args) => {
            let call = Call::get(secrets.view("versions", &args.path)?);
            list::list(app, &secrets.client, call, &args.page, VERSIONS).await
        }
    }
}

#[derive(Serialize)]
struct NewVersion {
    data: Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cas: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Deserialize)]
struct Revealed {
    data: Fields,
}

struct Secrets<'a> {
    app: &'a App,
    client: Client,
    route: Route,
}

impl Secrets<'_> {
    fn view(&self, view: &str, path: &str) -> Result<Route, Failure> {
        self.route.clone().fixed("-").fixed(view).name(path)
    }

    async fn put(&self, args: Put) -> Result<(), Failure> {
        let route = self.route.clone().name(&args.path)?;
        let metadata = field::metadata(&args.metadata)?;
        let data = match &args.file {
            Some(file) => field::from_json(file)?,
            None => field::gather(&args.fields, self.app.input)?,
        };
        let metadata = Some(metadata).filter(|metadata| !metadata.is_empty());
        let body = NewVersion { data, metadata, cas: args.cas, message: args.message };
        let body = serde_json::to_vec(&body).map_err(|error| Failure::error(error.to_string()))?;
        let call = Call::new(Method::PUT, route).body("application/json", body);
        let answer = self.client.call(call).await?;
        self.app.show(&answer, FIELDS)
    }

    async fn masked(&self, args: Get) -> Result<(), Failure> {
        let route = self.route.clone().name(&args.path)?;
        let answer = self.client.call(Call::get(route).query("version", args.version)).await?;
        self.app.out.data(&answer.text, with_values)
    }

    async fn reveal(&self, args: Reveal) -> Result<(), Failure> {
        let mut body = Map::new();
        body.extend(args.version.map(|version| ("version".to_owned(), json!(version))));
        body.extend(args.reason.map(|reason| ("reason".to_owned(), json!(reason))));
        let route = self.view("reveal", &args.path)?;
        let answer = self.client.call(Call::json(Method::POST, route, &Value::Object(body))).await?;
        match &args.field {
            Some(field) => self.app.out.exact(&single(&answer, field)?),
            None => self.app.out.data(&answer.text, with_values),
        }
    }

    async fn delete(&self, path: &str) -> Result<(), Failure> {
        let answer = self.client.call(Call::new(Method::DELETE, self.route.clone().name(path)?)).await?;
        self.app.out.data(&answer.text, changed)?;
        self.app.out.say(&format!("secret `{path}` is deleted; `cms secret undelete` brings it back"));
        Ok(())
    }

    async fn act(&self, action: &str, path: &str, body: &Value) -> Result<(), Failure> {
        let answer = self.client.call(Call::json(Method::POST, self.view(action, path)?, body)).await?;
        self.app.out.data(&answer.text, changed)
    }
}

impl From<Get> for Reveal {
    fn from(args: Get) -> Self {
        Self { path: args.path, version: args.version, reason: args.reason, field: args.field }
    }
}

fn chosen(versions: &[u64]) -> Value {
    if versions.is_empty() { json!({}) } else { json!({ "versions": versions }) }
}

fn rotation(args: &Rotate) -> Value {
    let mut body = Map::new();
    body.extend(args.field.as_ref().map(|field| ("field".to_owned(), json!(field))));
    body.extend(args.cas.map(|version| ("cas".to_owned(), json!(version))));
    body.extend(args.message.as_ref().map(|message| ("message".to_owned(), json!(message))));
    if args.kind.is_some() || args.length.is_some() {
        let mut generator =
            Map::from_iter([("kind".to_owned(), json!(args.kind.as_deref().unwrap_or("alphanumeric")))]);
        generator.extend(args.length.map(|length| ("length".to_owned(), json!(length))));
        body.insert("generator".into(), Value::Object(generator));
    }
    Value::Object(body)
}

fn changed(value: &Value) -> String {
    let head = table::fields(value, FIELDS);
    match value.get("versions").and_then(Value::as_array) {
        Some(versions) => format!("{head}\n\n{}", table::rows(versions, VERSIONS)),
        None => head,
    }
}

fn with_values(value: &Value) -> String {
    let values = value.get("data").and_then(Value::as_object);
    let lines = values
        .into_iter()
        .flatten()
        .map(|(field, value)| json!({"field": field, "value": field::shown(value)}));
    let head = table::fields(value, FIELDS);
    let data = table::rows(&lines.collect::<Vec<_>>(), &[("FIELD", "field"), ("VALUE", "value")]);
    if values.is_none() { head } else { format!("{head}\n\n{data}") }
}

/// Gives one value: a text without its quotes, anything else as it came.
fn single(answer: &Answer, field: &str) -> Result<String, Failure> {
    let revealed: Revealed = serde_json::from_str(&answer.text)
        .map_err(|_quoting| Failure::error("the server answered the reveal without fields"))?;
    let missing = || Failure::new(Exit::NotFound, format!("the secret has no field `{field}`"));
    let value = revealed.data.get(field).ok_or_else(missing)?.get();
    Ok(serde_json::from_str::<String>(value).unwrap_or_else(|_no_text| value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_listed_below_the_metadata() {
        let text =
            with_values(&json!({"path": "db/main", "version": 2, "data": {"password": "abc••••wxyz"}}));
        assert_eq!(text, "path     db/main\nversion  2\n\nFIELD     VALUE\npassword  abc••••wxyz");
    }

    #[test]
    fn one_field_is_given_exactly() {
        let text = r#"{"data": {"pem": "a\nb\n", "port": 5432}}"#.to_owned();
        let answer = Answer { value: serde_json::from_str(&text).unwrap(), text };
        assert_eq!(single(&answer, "pem").unwrap(), "a\nb\n");
        assert_eq!(single(&answer, "port").unwrap(), "5432");
        assert_eq!(single(&answer, "nope").unwrap_err().exit as u8, 3);
    }

    #[test]
    fn a_rotation_names_a_generator_only_if_asked() {
        let args = |kind: Option<&str>, length| Rotate {
            path: "a".into(),
            field: None,
            kind: kind.map(Into::into),
            length,
            cas: None,
            message: None,
        };
        assert_eq!(rotation(&args(None, None)), json!({}));
        assert_eq!(rotation(&args(Some("hex"), Some(8))), json!({"generator": {"kind": "hex", "length": 8}}));
    }
}
