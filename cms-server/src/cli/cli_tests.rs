// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line as a whole: what parses, what is refused, and that help teaches.

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("cms").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn documented_lines_parse() {
    for line in [
        "dev --output json",
        "login --addr http://127.0.0.1:1 --username alice --password-stdin",
        "login --token-stdin",
        "user create alice --role auditor --password-stdin",
        "project create rag --name RAG --env dev --env prod --member alice=project-admin --no-auto-release",
        "project delete rag --yes",
        "bundle-key rotate --notice-seconds 60 -p rag",
        "bundle-key show -p rag",
        "keyring rotate -p rag",
        "keyring rotate-root",
        "keyring show -p platform",
        "mail list -p rag",
        "mail resend MAIL -p rag",
        "member set alice project-user -p rag",
        "key create k --scope decide --expires-in 90d --allowed-ip 10.0.0.0/8 -e prod -p rag",
        "policy put rag/authz authz.rego -m why --if-match 3 -p rag",
        "policy -p rag put rag/authz - --create-only",
        "policy test policies/ more.rego -p rag",
        "policy test --local policies/",
        "policy eval rag/authz/allow -i input.json --local a.rego b.rego",
        "policy eval rag/authz/allow --explain -p rag",
        "policy eval count(data.users) --data data.json",
        "policy check policies/ data.json",
        "policy test policies/ --coverage --threshold 90 --run authz",
        "policy test policies/ --watch",
        "policy lint policies/ --entrypoint rag/authz/allow",
        "policy lint --rules",
        "policy fmt --check policies/",
        "policy fmt --diff -",
        "policy bench rag/authz/allow --input {} --local policies/ --seconds 0.5",
        "policy repl policies/ data.json",
        "decide rag/authz/allow --input {} --explain -p rag",
        "policy rollback rag/authz 2",
        "policy rollback rag/authz --to 2",
        "policy rollback rag/authz --version 2",
        "config set rag/retriever retriever.yaml --schema rag/retriever -m why -p rag",
        "config edit rag/retriever -p rag",
        "config render rag/retriever -e prod --label region=eu --instance pod-7",
        "config resolve rag/retriever -e prod --provenance -o json",
        "config watch rag/retriever -e prod --once",
        "config rollback rag/retriever 1",
        "schema put rag/retriever schema.json",
        "schema check schema.json a.yaml b.toml",
        "template render rag/url -e prod",
        "variable put prod -",
        "diff dev staging prod --all --exit-code",
        "run --config rag/retriever --secret llm/openai --prefix RAG_ -e prod -- env -0",
        "data diff rag/roles --from 1 --to 2 --exit-code",
        "release diff r1 r2",
        "env activate prod r1 --expected r0",
        "env bundle prod -o bundle.tar.gz",
        "secret put db/main password=- --cas 0",
        "secret put db/main -f -",
        "secret get db/main --reveal --reason why --field password",
        "secret destroy db/main --versions 1,2",
        "decide rag/authz/allow --input {} --fail -e prod",
        "decide rag/authz/allow -i - --batch",
        "audit tail --follow --outcome denied",
        "audit export -o out.jsonl",
        "audit verify --file out.jsonl",
        "context use prod --project rag",
        "completion zsh",
        "whoami -o yaml -q",
    ] {
        if let Err(error) = parse(line) {
            panic!("`cms {line}` should parse: {error}");
        }
    }
}

#[test]
fn contradictions_are_usage_errors() {
    for line in [
        "policy put a f --if-match 1 --create-only",
        "policy rollback a",
        "policy rollback a 1 --to 2",
        "secret get a --reason why",
        "secret destroy a",
        "decide a -i f --input {}",
        "login --password-stdin",
        "key create k",
        "audit list --limit 201",
        "diff dev",
        "run --config a",
    ] {
        assert_eq!(parse(line).err().unwrap_or_else(|| panic!("`{line}` should be refused")).exit_code(), 2);
    }
}

#[test]
fn a_mistyped_command_gets_a_suggestion() {
    let words = parse("polcy list").err().unwrap().to_string();
    assert!(words.contains("policy"), "{words}");
}

#[test]
fn every_help_has_an_example() {
    let mut missing = Vec::new();
    visit(&Cli::command(), "cms", &mut missing);
    assert!(missing.is_empty(), "add an `after_help` with an example to: {missing:?}");
}

fn visit(command: &clap::Command, path: &str, missing: &mut Vec<String>) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let is_leaf = command.get_subcommands().next().is_none();
    if is_leaf && !help.contains("cms ") {
        missing.push(path.to_owned());
    }
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        visit(inner, &format!("{path} {}", inner.get_name()), missing);
    }
}

#[test]
fn only_files_are_written_where_a_file_makes_sense() {
    assert!(parse("audit export").unwrap().command.writes_file());
    assert!(parse("env bundle prod").unwrap().command.writes_file());
    assert!(!parse("audit list").unwrap().command.writes_file());
}

#[test]
fn help_documents_the_exit_codes() {
    let help = Cli::command().render_help().to_string();
    for code in 0..=6 {
        assert!(help.contains(&format!("\n  {code}  ")), "exit code {code} is missing:\n{help}");
    }
}
