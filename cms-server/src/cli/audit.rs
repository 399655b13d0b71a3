// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms audit`: reading, following, verifying and exporting the audit trail.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use cms_core::audit::Progress;
use cms_core::audit::offline::{self, Trust};
use cms_core::clock::{Clock as _, SystemClock, Timestamp};
use serde_json::Value;

use super::app::{App, ProjectArg};
use super::client::{Call, Client};
use super::download;
use super::failure::{Exit, Failure};
use super::input;
use super::list::{self, PageArgs};
use super::output::Format;
use super::route::Route;
use super::table::{self, Column};

const COLUMNS: &[Column] = &[
    ("TIME", "time"),
    ("ACTOR", "actor"),
    ("ACTION", "action"),
    ("RESOURCE", "resource"),
    ("OUTCOME", "outcome"),
    ("REASON", "reason"),
    ("ADDRESS", "address"),
];

const VERDICT: &[Column] = &[
    ("verifies", "ok"),
    ("records", "records"),
    ("chains", "chains"),
    ("head", "head"),
    ("signing key", "signing_key"),
    ("broken chain", "broken_at/chain"),
    ("broken record", "broken_at/seq"),
    ("its id", "broken_at/id"),
    ("damage", "broken_at/damage"),
    ("detail", "broken_at/detail"),
];

const EXPORT_VERDICT: &[Column] = &[
    ("verifies", "ok"),
    ("records", "records"),
    ("made at", "made_at"),
    ("project", "project"),
    ("signed by", "signed_by"),
    ("trusted", "trusted"),
    ("broken line", "line"),
    ("broken chain", "broken_at/chain"),
    ("broken record", "broken_at/seq"),
    ("its id", "broken_at/id"),
    ("damage", "broken_at/damage"),
    ("detail", "broken_at/detail"),
];

/// How many records `tail` asks for at a time.
const PAGE: u16 = 200;

/// Read, follow, verify and export the audit trail
#[derive(Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

impl AuditArgs {
    /// Tells whether `--output` may name a file.
    pub(crate) fn writes_file(&self) -> bool {
        matches!(self.command, AuditCommand::Export(_))
    }
}

#[derive(Subcommand)]
enum AuditCommand {
    Export(Export),
    List(List),
    Tail(Tail),
    Verify(Verify),
}

/// Which records.
#[derive(Args, Clone)]
struct Filter {
    /// Who, such as `user:alice`
    #[arg(long)]
    actor: Option<String>,
    /// What was done, such as `secret:reveal`
    #[arg(long)]
    action: Option<String>,
    /// To what: the beginning of a resource, such as `projects/rag/secret/`
    #[arg(long)]
    resource: Option<String>,
    /// How it ended: `success`, `denied` or `failure`
    #[arg(long)]
    outcome: Option<String>,
    /// From this time on, as RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "since")]
    from: Option<String>,
    /// Up to this time, as RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// From so long ago on
    #[arg(long, value_name = "SPAN", value_parser = input::duration)]
    since: Option<Duration>,
}

/// List records, newest first
#[derive(Args)]
#[command(after_help = "Example:\n  cms audit list --action secret:reveal --since 24h -p rag")]
struct List {
    #[command(flatten)]
    project: ProjectArg,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    page: PageArgs,
}

/// Show the latest records, oldest first; with --follow, also what comes
#[derive(Args)]
#[command(after_help = "Example:\n  cms audit tail --follow --outcome denied")]
struct Tail {
    #[command(flatten)]
    project: ProjectArg,
    #[command(flatten)]
    filter: Filter,
    /// How many to begin with, at most 200
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    lines: u16,
    /// Go on until interrupted
    #[arg(short, long)]
    follow: bool,
    /// How often to look
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = input::duration, requires = "follow")]
    interval: Duration,
}

/// Verify the hash chains, on the server or of an export
#[derive(Args)]
#[command(after_help = "Example:\n  cms audit verify\n  cms audit verify --file export.jsonl\n\n\
    The exit code is 2 when the trail does not verify.")]
struct Verify {
    /// Verify this export, without a server
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// The key that must have signed the export: the `signing_key` that the server's verification names
    #[arg(long, value_name = "HEX", requires = "file")]
    signing_key: Option<String>,
}

/// Export the whole trail as JSON lines, with all that verifying needs
#[derive(Args)]
#[command(after_help = "Example:\n  cms audit export -o export.jsonl")]
struct Export {}

/// Runs a command on the audit trail.
///
/// # Errors
/// The server's refusal, or a trail that does not verify.
pub(crate) async fn run(args: AuditArgs, app: &App) -> Result<(), Failure> {
    match args.command {
        AuditCommand::Export(_) => {
            let call = Call::get(Route::api("audit/-/export"));
            download::download(app, &app.client()?, call, app.file(), "audit trail").await
        }
        AuditCommand::List(args) => {
            let call = args.filter.call(app, &args.project);
            list::list(app, &app.client()?, call, &args.page, COLUMNS).await
        }
        AuditCommand::Tail(args) => tail(args, app).await,
        AuditCommand::Verify(Verify { file: Some(file), signing_key }) => {
            verify_export(app, &file, signing_key)
        }
        AuditCommand::Verify(Verify { file: None, .. }) => {
            let answer = app.client()?.call(Call::get(Route::api("audit/-/verify"))).await?;
            app.show(&answer, VERDICT)?;
            if answer.value.get("ok") == Some(&Value::Bool(true)) { Ok(()) } else { Err(Failure::negative()) }
        }
    }
}

/// Verifies an export without a server.
fn verify_export(app: &App, file: &Path, signing_key: Option<String>) -> Result<(), Failure> {
    let unreadable =
        |error: &dyn std::fmt::Display| Failure::error(format!("cannot read `{}`: {error}", file.display()));
    let export = BufReader::new(File::open(file).map_err(|error| unreadable(&error))?);
    let bar = app.out.progress("verifying");
    let progress = |done: Progress| bar.set_message(format!("verifying: {} records", done.records));
    let trust = Trust { signing_key, trail_key: None };
    let report = offline::verify(export, &trust, &progress).map_err(|error| unreadable(&error))?;
    bar.finish_and_clear();
    let value = serde_json::to_value(&report).map_err(|error| Failure::error(error.to_string()))?;
    app.out.value(&value, |value| table::fields(value, EXPORT_VERDICT))?;
    if report.ok && !report.trusted {
        app.out
            .say("the export is as its signer made it; `--signing-key` tells whether that was your server");
    }
    if report.ok { Ok(()) } else { Err(Failure::negative()) }
}

impl Filter {
    fn call(&self, app: &App, project: &ProjectArg) -> Call {
        let since = self.since.map(|span| before(SystemClock.now(), span).to_string());
        Call::get(Route::api("audit"))
            .query("project", app.named_project(project))
            .query("actor", self.actor.as_ref())
            .query("action", self.action.as_ref())
            .query("resource", self.resource.as_ref())
            .query("outcome", self.outcome.as_ref())
            .query("from", self.from.clone().or(since))
            .query("to", self.to.as_ref())
    }
}

async fn tail(args: Tail, app: &App) -> Result<(), Failure> {
    let client = app.client()?;
    let call = args.filter.call(app, &args.project);
    // Before the first look, so that nothing falls between it and what follows.
    let mut place = if args.follow { Some(Place::latest(&client, &call).await?) } else { None };
    let mut first = records(&client.call(call.clone().query("limit", Some(args.lines))).await?.value)?;
    first.reverse();
    show(app, &first)?;
    while let Some(at) = &mut place {
        tokio::time::sleep(args.interval).await;
        let mut news = at.advance(app, &client, &call).await?;
        // Shown by the first look already.
        news.retain(|record| !first.iter().any(|shown| shown.get("id") == record.get("id")));
        show(app, &news)?;
    }
    Ok(())
}

fn show(app: &App, records: &[Value]) -> Result<(), Failure> {
    records.iter().try_for_each(|record| app.out.text(&line(record, app.out.format)?))
}

/// Where a followed trail was read to.
struct Place(String);

impl Place {
    /// The end of the trail.
    async fn latest(client: &Client, call: &Call) -> Result<Self, Failure> {
        let page = client.call(call.clone().query("after", Some("latest"))).await?.value;
        Self::behind(&page)
    }

    fn behind(page: &Value) -> Result<Self, Failure> {
        let cursor = page.get("next_cursor").and_then(Value::as_str);
        cursor.map(|text| Self(text.to_owned())).ok_or_else(|| {
            Failure::error("the server does not say where its trail ends; it may be too old to be followed")
        })
    }

    /// Reads what has come, oldest first.
    async fn advance(&mut self, app: &App, client: &Client, call: &Call) -> Result<Vec<Value>, Failure> {
        let mut found = Vec::new();
        loop {
            let call = call.clone().query("after", Some("latest")).query("limit", Some(PAGE));
            let page = match client.call(call.query("cursor", Some(&self.0))).await {
                // A restart of the server does not end the watch; what it missed is fetched later.
                Err(failure) if failure.exit == Exit::Unavailable => {
                    app.out.say(&format!("{failure}; trying again"));
                    return Ok(found);
                }
                answer => answer?.value,
            };
            let news = records(&page)?;
            let is_all = news.len() < usize::from(PAGE);
            found.extend(news);
            *self = Self::behind(&page)?;
            if is_all {
                return Ok(found);
            }
        }
    }
}

fn records(page: &Value) -> Result<Vec<Value>, Failure> {
    let items = page.get("items").and_then(Value::as_array);
    items.cloned().ok_or_else(|| Failure::error("the server sent no page of records"))
}

fn line(record: &Value, format: Format) -> Result<String, Failure> {
    Ok(match format {
        Format::Json => record.to_string(),
        Format::Yaml => format!("---\n{}", super::output::yaml(record)?),
        Format::Table => {
            let cells = COLUMNS.iter().map(|(_, key)| table::cell(table::lookup(record, key)));
            cells.collect::<Vec<_>>().join("  ")
        }
    })
}

fn before(time: Timestamp, span: Duration) -> Timestamp {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(time.as_millis().saturating_sub(millis))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_where_the_last_page_ended() {
        let page = json!({"items": [], "next_cursor": "abc"});
        assert_eq!(Place::behind(&page).unwrap().0, "abc");
        assert!(Place::behind(&json!({"items": [], "next_cursor": null})).is_err());
    }

    #[test]
    fn a_line_of_the_trail_cannot_drive_the_terminal() {
        let hostile = json!({"time": "t", "actor": "a\u{1b}[2J", "reason": "x\ny"});
        let text = line(&hostile, Format::Table).unwrap();
        assert!(!text.contains('\u{1b}') && !text.contains('\n'), "{text:?}");
    }
}
