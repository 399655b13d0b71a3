// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `cms` command line: the list of commands, and the way from arguments to an exit code.
//!
//! A command is one file with its arguments and a `run`, and one variant of `Command` here.
//! Commands hold no rules: they send calls, or start the server, and show what comes back.

mod app;
mod apply;
mod audit;
mod bundle_key;
mod candidates;
mod caret;
mod client;
mod completion;
mod config;
mod context;
mod contexts;
mod data;
mod decide;
mod decision;
mod dev;
mod diff;
mod doctor;
mod document;
mod download;
mod env;
mod failure;
mod field;
mod init;
mod input;
mod key;
mod keyring;
mod list;
mod login;
mod mail;
mod member;
mod offline;
mod output;
mod pinned;
mod policy;
mod project;
mod promote;
mod release;
mod request;
mod route;
mod run;
mod sample;
mod schema;
mod secret;
mod serve;
mod table;
mod template;
mod transport;
mod user;
mod variable;
mod verify;
mod webhook;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use app::{App, Globals};
use failure::Failure;
use output::{Format, Output};

use crate::worker;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  error
  2  wrong usage, or the answer is no: denied with `decide --fail`, a failed test, a policy that
     `validate` rejects, a difference with `diff --exit-code`, a trail that does not verify
  3  not found
  4  not logged in, or not allowed
  5  conflict, or a stale version
  6  server unreachable, busy or sealed

Environment: CMS_ADDR and CMS_TOKEN alone suffice; CMS_CONTEXT, CMS_PROJECT, CMS_ENV, CMS_OUTPUT,
CMS_CA_CERT, CMS_TIMEOUT and NO_COLOR are honoured. Contexts are kept in
$XDG_CONFIG_HOME/cms/contexts.toml, readable by you alone.

Example:
  cms dev
  cms decide rag/authz/allow --input '{\"user\": \"alice\"}' -p demo";

/// Policies, secrets, releases and a provable audit trail for platform teams
#[derive(Parser)]
#[command(name = "cms", version, after_help = EXIT_CODES, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Apply(apply::ApplyArgs),
    Audit(audit::AuditArgs),
    BundleKey(bundle_key::BundleKeyArgs),
    Completion(completion::CompletionArgs),
    Config(config::ConfigArgs),
    Context(contexts::ContextArgs),
    Data(data::DataArgs),
    Decide(decide::DecideArgs),
    Decision(decision::DecisionArgs),
    Dev(dev::DevArgs),
    Diff(diff::DiffArgs),
    Doctor(doctor::DoctorArgs),
    Env(env::EnvArgs),
    Init(init::InitArgs),
    Key(key::KeyArgs),
    Keyring(keyring::KeyringArgs),
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
    Mail(mail::MailArgs),
    Member(member::MemberArgs),
    Policy(policy::PolicyArgs),
    /// Tries policies that a server hands over; not to be called by hand
    #[command(name = worker::COMMAND, hide = true, after_help = "Example:\n  cms policy-worker < candidate.json")]
    PolicyWorker,
    Project(project::ProjectArgs),
    Promote(promote::PromoteArgs),
    Release(release::ReleaseArgs),
    Request(request::RequestArgs),
    Run(run::RunArgs),
    Schema(schema::SchemaArgs),
    Secret(secret::SecretArgs),
    Serve(serve::ServeArgs),
    Template(template::TemplateArgs),
    User(user::UserArgs),
    Variable(variable::VariableArgs),
    Verify(verify::VerifyArgs),
    Webhook(webhook::WebhookArgs),
    Whoami(login::WhoamiArgs),
}

impl Command {
    async fn run(self, app: &App) -> Result<(), Failure> {
        match self {
            Self::Apply(args) => apply::run(args, app).await,
            Self::Audit(args) => audit::run(args, app).await,
            Self::BundleKey(args) => bundle_key::run(args, app).await,
            Self::Completion(args) => completion::run(&args, app),
            Self::Config(args) => config::run(args, app).await,
            Self::Context(args) => contexts::run(args, app),
            Self::Data(args) => data::run(args, app).await,
            Self::Decide(args) => decide::run(args, app).await,
            Self::Decision(args) => decision::run(args, app).await,
            Self::Dev(args) => dev::run(args, app).await,
            Self::Diff(args) => diff::run(args, app).await,
            Self::Doctor(args) => doctor::run(args, app).await,
            Self::Env(args) => env::run(args, app).await,
            Self::Init(args) => init::run(args, app).await,
            Self::Key(args) => key::run(args, app).await,
            Self::Keyring(args) => keyring::run(args, app).await,
            Self::Login(args) => login::run(args, app).await,
            Self::Logout(args) => login::logout(args, app).await,
            Self::Mail(args) => mail::run(args, app).await,
            Self::Member(args) => member::run(args, app).await,
            Self::Policy(args) => policy::run(args, app).await,
            // Done before there is a runtime.
            Self::PolicyWorker => Ok(()),
            Self::Project(args) => project::run(args, app).await,
            Self::Promote(args) => promote::run(args, app).await,
            Self::Release(args) => release::run(args, app).await,
            Self::Request(args) => request::run(args, app).await,
            Self::Run(args) => run::run(args, app).await,
            Self::Schema(args) => schema::run(args, app).await,
            Self::Secret(args) => secret::run(args, app).await,
            Self::Serve(args) => serve::run(args, app).await,
            Self::Template(args) => template::run(args, app).await,
            Self::User(args) => user::run(args, app).await,
            Self::Variable(args) => variable::run(args, app).await,
            Self::Verify(args) => verify::run(args, app).await,
            Self::Webhook(args) => webhook::run(args, app).await,
            Self::Whoami(args) => login::whoami(args, app).await,
        }
    }

    /// Tells whether the command does a server's work and wants all processors.
    fn serves(&self) -> bool {
        matches!(self, Self::Dev(_) | Self::Doctor(_) | Self::Init(_) | Self::Serve(_) | Self::Verify(_))
    }

    /// Tells whether `--output` may name a file.
    fn writes_file(&self) -> bool {
        match self {
            Self::Audit(args) => args.writes_file(),
            Self::Decision(args) => args.writes_file(),
            Self::Env(args) => args.writes_file(),
            _ => false,
        }
    }
}

/// Runs the command line that `arguments` spell, the name of the program first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _closed = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Output::new(Format::Table, false).fail(&failure);
            failure.exit.into()
        }
    }
}

/// Describes the command line, for documentation and tests.
pub fn command() -> clap::Command {
    Cli::command()
}

fn execute(cli: Cli) -> Result<(), Failure> {
    if matches!(cli.command, Command::PolicyWorker) {
        return worker::work().map_err(|error| Failure::error(error.to_string()));
    }
    let mut builder = match cli.command.serves() {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::error(format!("cannot start: {error}")))?;
    let app = App::new(cli.globals, cli.command.writes_file())?;
    runtime.block_on(cli.command.run(&app))
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
