// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every command shares: the global options, and from them the server, the credentials,
//! the project and the output. Decides which context applies; `context.rs` only stores them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::{StringValueParser, TypedValueParser as _};

use super::client::{Answer, Client, Stored};
use super::context::{Context, ContextFile};
use super::failure::Failure;
use super::input::{self, Input};
use super::output::{Output, Target};
use super::table::{self, Column};
use super::transport;

/// Options that every command takes.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Address of the server, such as `https://cms.example.org`
    #[arg(long, global = true, env = "CMS_ADDR", value_name = "URL")]
    addr: Option<String>,
    /// Access token or API key (prefer CMS_TOKEN or a context: arguments are visible to others)
    #[arg(long, global = true, env = "CMS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Context to use instead of the current one
    #[arg(long, global = true, env = "CMS_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// `table`, `json` or `yaml`; for `audit export` and `env bundle` also a file
    #[arg(short, long, global = true, env = "CMS_OUTPUT", value_name = "FORMAT", default_value = "table")]
    output: Target,
    /// Never ask; fail where a question would be needed
    #[arg(long, global = true)]
    no_input: bool,
    /// PEM file with the authority that signed the server's certificate, instead of the public ones
    #[arg(long, global = true, env = "CMS_CA_CERT", value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// Longest time to wait for an answer
    #[arg(long, global = true, env = "CMS_TIMEOUT", value_name = "SPAN", default_value = "60s",
        value_parser = StringValueParser::new().try_map(|text| input::duration(&text)))]
    timeout: Duration,
    /// Print only data and errors
    #[arg(short, long, global = true)]
    quiet: bool,
}

/// The project that a command works in.
#[derive(Args)]
pub(crate) struct ProjectArg {
    /// Project; else the context's
    #[arg(short, long, global = true, env = "CMS_PROJECT", value_name = "PROJECT")]
    project: Option<String>,
}

/// The environment that a command works in.
#[derive(Args, Clone, Default)]
pub(crate) struct EnvironmentArg {
    /// Environment; else the context's, the key's, or the server's default
    #[arg(short, long = "env", visible_alias = "environment", env = "CMS_ENV", value_name = "ENV")]
    environment: Option<String>,
}

/// The surroundings in which a command runs.
pub(crate) struct App {
    globals: Globals,
    contexts: Option<ContextFile>,
    /// Where results and words go.
    pub(crate) out: Output,
    /// Where answers to questions come from.
    pub(crate) input: Input,
}

/// A context and its name.
type Named = (String, Context);

impl App {
    /// Prepares the surroundings; `writes_file` allows `--output` to name a file.
    ///
    /// # Errors
    /// A usage error when `--output` names something that the command cannot write.
    pub(crate) fn new(globals: Globals, writes_file: bool) -> Result<Self, Failure> {
        let format = match globals.output.format() {
            Err(_file) if writes_file => super::output::Format::Table,
            format => format?,
        };
        let out = Output::new(format, globals.quiet);
        let input = Input::new(globals.no_input);
        Ok(Self { contexts: ContextFile::of_user().ok(), globals: globals.without_empty(), out, input })
    }

    /// Connects to the chosen server with the chosen credentials.
    ///
    /// # Errors
    /// A usage error when no server is named anywhere.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let context = self.chosen()?;
        let client = self.connect(context.as_ref().map(|(_, context)| context))?;
        if let Some(token) = &self.globals.token {
            return Ok(client.with_token(Some(token.clone()), None));
        }
        let Some((name, context)) = context else { return Ok(client) };
        let stored = Stored { file: self.context_file()?.clone(), context: name };
        Ok(client.with_token(context.token, Some(stored)))
    }

    /// Connects without credentials, to log in.
    ///
    /// # Errors
    /// A usage error when no server is named anywhere.
    pub(crate) fn anonymous(&self) -> Result<Client, Failure> {
        self.connect(self.chosen_or_new()?.as_ref().map(|(_, context)| context))
    }

    /// Gives the file of the contexts.
    ///
    /// # Errors
    /// A usage error when the user has no home directory.
    pub(crate) fn context_file(&self) -> Result<&ContextFile, Failure> {
        match &self.contexts {
            Some(file) => Ok(file),
            None => {
                Err(ContextFile::of_user().err().unwrap_or_else(|| Failure::error("there are no contexts")))
            }
        }
    }

    /// Names the context that a login should write.
    pub(crate) fn context_name(&self) -> Option<&str> {
        self.globals.context.as_deref()
    }

    /// Gives the token from `--token` or CMS_TOKEN.
    pub(crate) fn token(&self) -> Option<&str> {
        self.globals.token.as_deref()
    }

    /// Gives the file from `--ca-cert` or CMS_CA_CERT as an absolute path.
    pub(crate) fn ca_cert(&self) -> Option<PathBuf> {
        let given = self.globals.ca_cert.as_deref()?;
        Some(std::path::absolute(given).unwrap_or_else(|_unresolved| given.to_owned()))
    }

    /// Gives the file that `--output` names.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.globals.output.file()
    }

    /// Finds the project to work in.
    ///
    /// # Errors
    /// A usage error when none is named anywhere.
    pub(crate) fn project(&self, arg: &ProjectArg) -> Result<String, Failure> {
        if let Some(project) = given(arg.project.as_ref()) {
            return Ok(project.clone());
        }
        let chosen = self.chosen()?.and_then(|(_, context)| context.project);
        chosen.ok_or_else(|| {
            Failure::usage("no project is named")
                .hint("give `--project`, set CMS_PROJECT, or store one with `cms context use NAME --project PROJECT`")
        })
    }

    /// Finds the project to filter by, if any is named on the command line.
    pub(crate) fn named_project<'a>(&self, arg: &'a ProjectArg) -> Option<&'a String> {
        given(arg.project.as_ref())
    }

    /// Gives the environment that the command line itself names.
    pub(crate) fn named_environment<'a>(&self, arg: &'a EnvironmentArg) -> Option<&'a String> {
        given(arg.environment.as_ref())
    }

    /// Gives the context that applies, if there is one.
    ///
    /// # Errors
    /// A failure when the contexts cannot be read.
    pub(crate) fn current_context(&self) -> Result<Option<Context>, Failure> {
        Ok(self.chosen()?.map(|(_, context)| context))
    }

    /// Finds the environment to work in, if any is named.
    ///
    /// # Errors
    /// A failure when the contexts cannot be read.
    pub(crate) fn environment(&self, arg: &EnvironmentArg) -> Result<Option<String>, Failure> {
        match given(arg.environment.as_ref()) {
            Some(environment) => Ok(Some(environment.clone())),
            None => Ok(self.chosen()?.and_then(|(_, context)| context.environment)),
        }
    }

    /// Writes the answer to a call: as it came, or its fields.
    pub(crate) fn show(&self, answer: &Answer, columns: &[Column]) -> Result<(), Failure> {
        if answer.text.trim().is_empty() {
            return Ok(());
        }
        self.out.data(&answer.text, |value| table::fields(value, columns))
    }

    fn connect(&self, context: Option<&Context>) -> Result<Client, Failure> {
        let address = self.globals.addr.as_deref().or(context.map(|context| context.addr.as_str()));
        let address = address.ok_or_else(|| {
            Failure::usage("no server is named").hint(
                "`cms login --addr URL` remembers one; `--addr` and CMS_ADDR name one for a single command",
            )
        })?;
        let stored = context.and_then(|context| context.ca_cert.as_deref());
        Client::new(address, self.globals.ca_cert.as_deref().or(stored), self.globals.timeout)
    }

    /// Finds the context that applies. Credentials never leave for another address than their own.
    fn chosen(&self) -> Result<Option<Named>, Failure> {
        let globals = &self.globals;
        let self_sufficient = globals.addr.is_some() && globals.token.is_some() && globals.context.is_none();
        let Some(file) = self.contexts.as_ref().filter(|_| !self_sufficient) else { return Ok(None) };
        let all = file.load()?;
        let Some(name) = globals.context.clone().or_else(|| all.current.clone()) else { return Ok(None) };
        let context = all.named(&name)?;
        if file.is_exposed() && context.token.is_some() {
            let path = file.path().display();
            self.out.say(&format!("warning: others can read your tokens; run `chmod 600 {path}`"));
        }
        match &globals.addr {
            Some(addr) if !same_server(addr, &context.addr) => self.elsewhere(&name, &context.addr),
            _ => Ok(Some((name, context.clone()))),
        }
    }

    fn elsewhere(&self, name: &str, addr: &str) -> Result<Option<Named>, Failure> {
        if self.globals.context.is_none() {
            return Ok(None);
        }
        Err(Failure::usage(format!(
            "the context `{name}` belongs to {addr}, not to the address that you gave"
        ))
        .hint("leave out `--addr` (and CMS_ADDR) or `--context`"))
    }

    // A login may name a context that does not exist yet, or give an old one a new address.
    fn chosen_or_new(&self) -> Result<Option<Named>, Failure> {
        if self.globals.addr.is_some() { Ok(None) } else { self.chosen() }
    }
}

impl Globals {
    // A variable that is set to nothing counts as not set.
    fn without_empty(mut self) -> Self {
        let full = |value: &String| !value.is_empty();
        self.addr = self.addr.filter(full);
        self.token = self.token.filter(full);
        self.context = self.context.filter(full);
        self.ca_cert = self.ca_cert.filter(|path| !path.as_os_str().is_empty());
        self
    }
}

fn given(value: Option<&String>) -> Option<&String> {
    value.filter(|value| !value.is_empty())
}

fn same_server(a: &str, b: &str) -> bool {
    let normal =
        |text: &str| transport::address(text).ok().map(|url| url.as_str().trim_end_matches('/').to_owned());
    normal(a).is_some() && normal(a) == normal(b)
}

#[cfg(test)]
#[path = "app_tests.rs"]
mod tests;
