// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The description of the API: published, complete and true to itself.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/v1.json");

fn description() -> Value {
    serde_json::to_value(openapi(&Options::default())).unwrap()
}

fn operations(api: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = api["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let methods = ["get", "put", "post", "patch", "delete"];
        let item = item.as_object().unwrap();
        item.iter()
            .filter(move |(key, _)| methods.contains(&key.as_str()))
            .map(move |(method, op)| (path, method, op))
    })
}

#[test]
fn the_published_description_is_that_of_the_routes() {
    let fresh = serde_json::to_string_pretty(&description()).unwrap() + "\n";
    let published = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    if published != fresh && std::env::var_os("CMS_BLESS").is_some() {
        std::fs::write(GOLDEN, &fresh).unwrap();
        return;
    }
    assert!(
        published == fresh,
        "cms-server/openapi/v1.json is not what the routes describe. Clients are generated from that file. If the \
         change is meant, write it with `CMS_BLESS=1 cargo test -p cms-server published_description` and say so in \
         CHANGELOG.md"
    );
}

#[test]
fn operations_have_names_of_their_own_and_say_what_they_answer() {
    let api = description();
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&api) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "`{name}` names two operations; one is {method} {path}");
        assert!(
            operation["summary"].as_str().is_some_and(|text| text.ends_with('.')),
            "{name} has no summary"
        );
        assert!(operation["responses"].get("default").is_some(), "{name} does not describe its problems");
        assert!(!path.contains('*'), "{path}");
    }
    assert!(names.len() > 60, "only {} operations are described", names.len());
}

#[test]
fn path_parameters_are_described_and_references_resolve() {
    let api = description();
    for (path, method, operation) in operations(&api) {
        let described: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        let named: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(described, named, "{method} {path}");
    }
    let text = api.to_string();
    for (at, lead) in text.match_indices("\"#/components/schemas/") {
        let name = text[at + lead.len()..].split('"').next().unwrap();
        assert!(api["components"]["schemas"].get(name).is_some(), "the schema `{name}` is not there");
    }
}
