// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which server, credentials and project a command line and a stored context add up to.

use super::*;
use crate::cli::failure::Exit;
use crate::cli::output::Format;

fn globals() -> Globals {
    Globals {
        addr: None,
        token: None,
        context: None,
        output: Target::Format(Format::Table),
        no_input: true,
        ca_cert: None,
        timeout: Duration::from_secs(5),
        quiet: true,
    }
}

fn app(directory: &tempfile::TempDir, globals: Globals) -> App {
    let file = ContextFile::at(directory.path().join("contexts.toml"));
    let context = Context {
        addr: "https://cms.example/base/".into(),
        token: Some("stored".into()),
        project: Some("rag".into()),
        ..Context::default()
    };
    file.change(|all| {
        all.current = Some("prod".into());
        Ok(all.contexts.insert("prod".into(), context))
    })
    .unwrap();
    App { contexts: Some(file), ..App::new(globals, false).unwrap() }
}

fn chosen(globals: Globals) -> Result<Option<String>, Failure> {
    let directory = tempfile::tempdir().unwrap();
    Ok(app(&directory, globals).chosen()?.and_then(|(_, context)| context.token))
}

#[test]
fn the_current_context_applies_by_default() {
    assert_eq!(chosen(globals()).unwrap().as_deref(), Some("stored"));
}

#[test]
fn the_same_address_spelled_otherwise_keeps_the_credentials() {
    let same = Globals { addr: Some("https://CMS.example:443/base".into()), ..globals() };
    assert_eq!(chosen(same).unwrap().as_deref(), Some("stored"));
}

#[test]
fn another_address_never_gets_the_stored_token() {
    for addr in ["https://evil.example/base", "http://cms.example/base", "https://cms.example/other"] {
        let other = Globals { addr: Some(addr.into()), ..globals() };
        assert_eq!(chosen(other).unwrap(), None, "{addr}");
        let named = Globals { addr: Some(addr.into()), context: Some("prod".into()), ..globals() };
        assert_eq!(chosen(named).unwrap_err().exit, Exit::Negative, "{addr}");
    }
}

#[test]
fn address_and_token_alone_suffice_even_beside_a_broken_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("contexts.toml");
    std::fs::write(&path, "not toml at all").unwrap();
    let both = Globals { addr: Some("http://127.0.0.1:1".into()), token: Some("t".into()), ..globals() };
    let app = App { contexts: Some(ContextFile::at(path)), ..App::new(both, false).unwrap() };
    assert!(app.client().is_ok());
}

#[test]
fn no_server_is_a_usage_error_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let file = ContextFile::at(directory.path().join("contexts.toml"));
    let failure = App { contexts: Some(file), ..App::new(globals(), false).unwrap() }.client().unwrap_err();
    assert_eq!(failure.exit, Exit::Negative);
    assert!(failure.to_string().contains("CMS_ADDR"), "{failure}");
}

#[test]
fn the_project_comes_from_the_line_else_from_the_context() {
    let directory = tempfile::tempdir().unwrap();
    let app = app(&directory, globals());
    let arg = |project: Option<&str>| ProjectArg { project: project.map(str::to_owned) };
    assert_eq!(app.project(&arg(Some("demo"))).unwrap(), "demo");
    assert_eq!(app.project(&arg(None)).unwrap(), "rag");
    assert_eq!(app.project(&arg(Some(""))).unwrap(), "rag", "an empty CMS_PROJECT counts as not set");
}

#[test]
fn only_commands_that_write_a_file_take_one() {
    let to_file = || Globals { output: "out.jsonl".parse().unwrap(), ..globals() };
    assert!(App::new(to_file(), true).is_ok());
    assert_eq!(App::new(to_file(), false).err().unwrap().exit, Exit::Negative);
}
