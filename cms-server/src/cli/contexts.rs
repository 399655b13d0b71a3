// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms context`: the servers that this command line knows. `context.rs` keeps them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::app::App;
use super::context::{Context, Contexts};
use super::failure::Failure;
use super::list;
use super::table::{self, Column};

const COLUMNS: &[Column] = &[
    ("CURRENT", "mark"),
    ("NAME", "name"),
    ("ADDRESS", "addr"),
    ("USER", "user"),
    ("PROJECT", "project"),
    ("ENVIRONMENT", "environment"),
];

const FIELDS: &[Column] = &[
    ("name", "name"),
    ("address", "addr"),
    ("user", "user"),
    ("project", "project"),
    ("environment", "environment"),
    ("CA certificate", "ca_cert"),
    ("credentials", "credentials"),
];

/// Choose between servers, and between defaults for each
#[derive(Args)]
pub(crate) struct ContextArgs {
    #[command(subcommand)]
    command: ContextCommand,
}

#[derive(Subcommand)]
enum ContextCommand {
    List(List),
    Remove(Remove),
    Show(Show),
    Use(Use),
}

/// List contexts
#[derive(Args)]
#[command(after_help = "Example:\n  cms context list")]
struct List {}

/// Forget a context and its tokens
#[derive(Args)]
#[command(after_help = "Example:\n  cms context remove old")]
struct Remove {
    /// Name
    name: String,
}

/// Show a context, without its tokens
#[derive(Args)]
#[command(after_help = "Example:\n  cms context show prod")]
struct Show {
    /// Name; else the current one
    name: Option<String>,
}

/// Make a context the current one
#[derive(Args)]
#[command(after_help = "Example:\n  cms context use prod --project rag --env prod")]
struct Use {
    /// Name
    name: String,
    /// Project that commands in this context use
    #[arg(short, long)]
    project: Option<String>,
    /// Environment that commands in this context use
    #[arg(short, long = "env", visible_alias = "environment", value_name = "ENV")]
    environment: Option<String>,
}

/// Runs a command on contexts.
///
/// # Errors
/// A usage error for an unknown name, or a file that cannot be read or written.
pub(crate) fn run(args: ContextArgs, app: &App) -> Result<(), Failure> {
    let file = app.context_file()?;
    match args.command {
        ContextCommand::List(_) => show_all(app, &file.load()?),
        ContextCommand::Remove(args) => file.change(|all| remove(all, &args.name)),
        ContextCommand::Show(args) => show(app, &file.load()?, args.name.as_deref()),
        ContextCommand::Use(args) => {
            file.change(|all| switch(all, &args))?;
            app.out.say(&format!("the context is `{}`", args.name));
            Ok(())
        }
    }
}

fn show_all(app: &App, all: &Contexts) -> Result<(), Failure> {
    let items: Vec<Value> = all.contexts.iter().map(|(name, context)| shown(all, name, context)).collect();
    app.out.value(&json!({ "items": items }), |value| {
        let mut value = value.clone();
        for item in value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            let mark = if item.get("current") == Some(&Value::Bool(true)) { "*" } else { "" };
            if let Some(fields) = item.as_object_mut() {
                fields.insert("mark".into(), json!(mark));
            }
        }
        list::render(&value, COLUMNS)
    })
}

fn show(app: &App, all: &Contexts, name: Option<&str>) -> Result<(), Failure> {
    let name = name.or(app.context_name()).or(all.current.as_deref());
    let name =
        name.ok_or_else(|| Failure::usage("there is no current context").hint("`cms login` makes one"))?;
    let context = all.named(name)?;
    app.out.value(&shown(all, name, context), |value| table::fields(value, FIELDS))
}

fn remove(all: &mut Contexts, name: &str) -> Result<(), Failure> {
    all.named(name)?;
    all.contexts.remove(name);
    all.current = all.current.take().filter(|current| current != name);
    Ok(())
}

fn switch(all: &mut Contexts, args: &Use) -> Result<(), Failure> {
    let context = all.named_mut(&args.name)?;
    for (field, given) in
        [(&mut context.project, &args.project), (&mut context.environment, &args.environment)]
    {
        if let Some(given) = given {
            // An empty text takes the default away again.
            *field = Some(given.clone()).filter(|given| !given.is_empty());
        }
    }
    all.current = Some(args.name.clone());
    Ok(())
}

fn shown(all: &Contexts, name: &str, context: &Context) -> Value {
    let credentials = match (&context.token, &context.refresh_token) {
        (_, Some(_)) => "session",
        (Some(_), None) => "token",
        (None, None) => "none",
    };
    json!({
        "name": name,
        "current": all.current.as_deref() == Some(name),
        "addr": context.addr,
        "user": context.user,
        "project": context.project,
        "environment": context.environment,
        "ca_cert": context.ca_cert,
        "credentials": credentials,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts() -> Contexts {
        let context =
            Context { addr: "http://x".into(), token: Some("hunter2".into()), ..Context::default() };
        Contexts { current: Some("a".into()), contexts: [("a".to_owned(), context)].into() }
    }

    fn using(name: &str, project: Option<&str>) -> Use {
        Use { name: name.into(), project: project.map(Into::into), environment: None }
    }

    #[test]
    fn tokens_are_never_shown() {
        let all = contexts();
        let value = shown(&all, "a", all.named("a").unwrap());
        assert!(!value.to_string().contains("hunter2"));
        assert_eq!(value["credentials"], "token");
    }

    #[test]
    fn switching_keeps_sets_and_clears_defaults() {
        let mut all = contexts();
        switch(&mut all, &using("a", Some("rag"))).unwrap();
        switch(&mut all, &using("a", None)).unwrap();
        assert_eq!(all.named("a").unwrap().project.as_deref(), Some("rag"));
        switch(&mut all, &using("a", Some(""))).unwrap();
        assert_eq!(all.named("a").unwrap().project, None);
        assert!(switch(&mut all, &using("b", None)).is_err());
    }

    #[test]
    fn removing_the_current_context_leaves_none() {
        let mut all = contexts();
        remove(&mut all, "a").unwrap();
        assert_eq!(all, Contexts::default());
        assert!(remove(&mut all, "a").is_err());
    }
}
