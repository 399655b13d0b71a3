// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Annotations: the comments that begin with `# METADATA`, and what `rego.metadata` says of them.

use serde_json::{Map, Value, json};

use super::lexer::Token;
use super::outline::{Head, Outline};
use super::words;

/// The annotations of all policies.
#[derive(Debug, Default)]
pub(super) struct Annotations(Vec<Annotation>);

#[derive(Debug)]
struct Annotation {
    scope: Scope,
    package: Vec<String>,
    /// The rule that it stands before, and the line of that.
    rule: Option<(Vec<String>, u32)>,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Rule,
    Document,
    Package,
    Subpackages,
}

impl Annotations {
    /// Takes note of a policy's annotations. What is no YAML is left out.
    pub(super) fn read(&mut self, text: &str, outline: &Outline) {
        for (end, block) in blocks(text) {
            let Ok(Value::Object(fields)) = yaml_serde::from_str(&block) else { continue };
            let head = outline.heads.iter().filter(|head| head.place.0 > end).min_by_key(|head| head.place);
            let is_package = outline.package_place.0 > end;
            let named = fields.get("scope").and_then(Value::as_str);
            let Some(scope) = scope(named, is_package) else { continue };
            self.0.push(Annotation {
                scope,
                package: outline.package.clone(),
                rule: head.filter(|_| !is_package).map(|head| (head.path.clone(), head.place.0)),
                value: normal(fields, scope),
            });
        }
    }

    /// What `rego.metadata.rule()` is at a place: JSON of the annotations of the rule itself.
    pub(super) fn rule(&self, outline: &Outline, at: &Token<'_>) -> String {
        let found = enclosing(outline, at).and_then(|head| self.of_rule(outline, head));
        found.map_or_else(|| "{}".to_owned(), |annotation| annotation.value.to_string())
    }

    /// What `rego.metadata.chain()` is at a place: JSON of the annotations of the rule, of all rules
    /// of its name, of its package, and of the packages above it.
    pub(super) fn chain(&self, outline: &Outline, at: &Token<'_>) -> String {
        let Some(head) = enclosing(outline, at) else { return "[]".to_owned() };
        let path = [outline.package.as_slice(), &words::path(&head.path)].concat();
        let mut links = vec![link(&path, self.of_rule(outline, head))];
        links.extend(
            self.scoped(Scope::Document)
                .filter(|found| found.is_for(&path))
                .map(|found| link(&path, Some(found))),
        );
        let package = &outline.package;
        links.extend(
            self.scoped(Scope::Package)
                .filter(|found| found.package == *package)
                .map(|found| link(package, Some(found))),
        );
        let mut above: Vec<&Annotation> =
            self.scoped(Scope::Subpackages).filter(|found| package.starts_with(&found.package)).collect();
        above.sort_by_key(|found| std::cmp::Reverse(found.package.len()));
        links.extend(above.into_iter().map(|found| link(&found.package, Some(found))));
        Value::from(links).to_string()
    }

    fn scoped(&self, scope: Scope) -> impl Iterator<Item = &Annotation> {
        self.0.iter().filter(move |annotation| annotation.scope == scope)
    }

    fn of_rule(&self, outline: &Outline, head: &Head) -> Option<&Annotation> {
        self.scoped(Scope::Rule).find(|annotation| {
            let own = annotation
                .rule
                .as_ref()
                .is_some_and(|(path, line)| *path == head.path && *line == head.place.0);
            own && annotation.package == outline.package
        })
    }
}

impl Annotation {
    fn is_for(&self, path: &[String]) -> bool {
        self.rule.as_ref().is_some_and(|(rule, _)| [self.package.as_slice(), rule].concat() == path)
    }
}

fn link(path: &[String], annotation: Option<&Annotation>) -> Value {
    match annotation {
        Some(annotation) => json!({ "path": path, "annotations": annotation.value }),
        None => json!({ "path": path }),
    }
}

/// The definition that a place lies in.
fn enclosing<'a>(outline: &'a Outline, at: &Token<'_>) -> Option<&'a Head> {
    outline.heads.iter().filter(|head| head.place <= at.place).max_by_key(|head| head.place)
}

fn scope(named: Option<&str>, is_package: bool) -> Option<Scope> {
    Some(match (named, is_package) {
        (Some("package") | None, true) => Scope::Package,
        (Some("subpackages"), true) => Scope::Subpackages,
        (Some("rule") | None, false) => Scope::Rule,
        (Some("document"), false) => Scope::Document,
        _ => return None,
    })
}

/// The comment blocks that hold annotations, as YAML, each with the line it ends on.
fn blocks(text: &str) -> Vec<(u32, String)> {
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut open = false;
    for (number, line) in (1..).zip(text.lines()) {
        let comment = line.trim_start().strip_prefix('#');
        match comment {
            Some(content) if content.trim() == "METADATA" => {
                found.push((number, String::new()));
                open = true;
            }
            Some(content) if open => {
                if let Some((end, block)) = found.last_mut() {
                    *end = number;
                    block.push_str(content);
                    block.push('\n');
                }
            }
            _ => open = false,
        }
    }
    found
}

/// Annotations in the form that OPA gives them: with their scope, with authors and resources as objects.
fn normal(mut fields: Map<String, Value>, scope: Scope) -> Value {
    let name = match scope {
        Scope::Rule => "rule",
        Scope::Document => "document",
        Scope::Package => "package",
        Scope::Subpackages => "subpackages",
    };
    fields.insert("scope".to_owned(), name.into());
    let each = |fields: &mut Map<String, Value>, key: &str, make: fn(&str) -> Value| {
        for item in fields.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(text) = item.as_str() {
                *item = make(text);
            }
        }
    };
    each(&mut fields, "authors", author);
    each(&mut fields, "related_resources", |text| json!({ "ref": text }));
    Value::Object(fields)
}

/// An author: `Ann Example <ann@example.org>`, or one of both.
fn author(text: &str) -> Value {
    let words: Vec<&str> = text.split_whitespace().collect();
    let email = words.last().and_then(|last| last.strip_prefix('<')).and_then(|last| last.strip_suffix('>'));
    let names = words.get(..words.len() - usize::from(email.is_some())).unwrap_or_default();
    let mut author = Map::new();
    if !names.is_empty() {
        author.insert("name".to_owned(), names.join(" ").into());
    }
    author.extend(email.map(|email| ("email".to_owned(), email.into())));
    Value::Object(author)
}
