// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names: those that nothing uses, those that hide others, and those that lead nowhere.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use regorus::unstable::{AssignOp, Expr, Literal, Query, Rule, RuleHead, Span};

use super::{
    File, Finding, SHADOWED_NAME, UNDEFINED_REFERENCE, UNUSED_FUNCTION, UNUSED_IMPORT, UNUSED_RULE,
    UNUSED_VARIABLE, whole,
};
use crate::policies::engine::builtins;
use crate::policies::engine::syntax::{comprehension, constant_path, variable, visit, visit_statement};
use crate::policies::engine::tokens::LOCAL;
use crate::policies::engine::tree::nearest;

/// The imports that no rule of a text uses.
pub(super) fn imports(file: &File<'_>, rules: &[&Rule]) -> Vec<Finding> {
    let mut used = BTreeSet::new();
    rules
        .iter()
        .for_each(|rule| expressions(rule, &mut |expr| used.extend(variable(expr).map(str::to_owned))));
    let unused = file.outline.imports.iter().filter(|(alias, path)| {
        let is_language = path.first().is_some_and(|first| first == "rego" || first == "future");
        !is_language && !used.contains(alias)
    });
    unused
        .map(|(alias, path)| {
            let message = format!("`{alias}` is imported and not used; remove the import");
            file.finding_at(import_place(file.original, path), UNUSED_IMPORT, message)
        })
        .collect()
}

fn import_place(text: &str, path: &[String]) -> (u32, u32) {
    let wanted = path.join(".");
    let line = text.lines().position(|line| {
        line.strip_prefix("import ").is_some_and(|rest| rest.trim_start().starts_with(&wanted))
    });
    (u32::try_from(line.map_or(1, |line| line + 1)).unwrap_or(1), 1)
}

/// The rules and functions of a text that nothing needs, and those that hide a built-in function.
pub(super) fn definitions(file: &File<'_>) -> Vec<Finding> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let project = file.project;
    for head in file.outline.heads.iter().filter(|head| !head.is_test()) {
        let path = [file.outline.package.as_slice(), &head.path].concat();
        if !seen.insert(path.clone()) {
            continue;
        }
        let name = head.path.join(".");
        let is_mentioned =
            project.mentioned.iter().any(|mention| path.starts_with(mention) || mention.starts_with(&path));
        if head.is_function && !is_mentioned {
            let message = format!("nothing calls the function `{name}`; remove it");
            found.push(file.finding_at(head.place, UNUSED_FUNCTION, message));
        } else if project.reached.as_ref().is_some_and(|reached| !reached.contains(&path)) {
            let message = format!("no entry point needs `{name}`; remove it, or name it as an entry point");
            found.push(file.finding_at(head.place, UNUSED_RULE, message));
        }
        if builtins::is_function(&name) {
            let message = format!("`{name}` hides the built-in function of that name; choose another name");
            found.push(file.finding_at(head.place, SHADOWED_NAME, message));
        }
    }
    found
}

/// What is wrong with the names in one definition.
pub(super) fn rule(file: &File<'_>, rule: &Rule) -> Vec<Finding> {
    let mut found = undefined(file, rule);
    let Rule::Spec { head, bodies, .. } = rule else { return found };
    let mut declared: Vec<Declared<'_>> = Vec::new();
    if let RuleHead::Func { args, .. } = head {
        args.iter().for_each(|argument| pattern(argument, Role::Argument, &mut declared));
    }
    bodies.iter().for_each(|body| declarations(&body.query, &mut declared));
    expressions(rule, &mut |expr| {
        if let Some((_, query)) = comprehension(expr) {
            declarations(query, &mut declared);
        }
    });
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut given = BTreeSet::new();
    expressions(rule, &mut |expr| {
        given.extend(unified(expr));
        if let Some(name) = variable(expr) {
            *counts.entry(name).or_default() += 1;
        }
    });
    for Declared { span, role } in declared {
        let name = span.text();
        // The front-end writes `x := y` as `some x; x = y`.
        let needed = usize::from(role != Role::Named || given.contains(name));
        if role != Role::Argument
            && !name.starts_with('_')
            && counts.get(name).copied().unwrap_or(0) <= needed
        {
            let name = name.trim_end_matches(LOCAL);
            let message = format!("`{name}` gets a value and is never used; write `_`, or remove it");
            found.push(file.finding(span, UNUSED_VARIABLE, message));
        }
        let name = name.trim_end_matches(LOCAL);
        found.extend(shadowed(file, name).map(|what| {
            let message = format!("the variable `{name}` hides {what} of that name; choose another name");
            file.finding(span, SHADOWED_NAME, message)
        }));
    }
    found
}

fn shadowed(file: &File<'_>, name: &str) -> Option<&'static str> {
    let outlines = file.project.outlines.iter().filter(|outline| outline.package == file.outline.package);
    let is_rule = || {
        outlines
            .flat_map(|outline| &outline.heads)
            .any(|head| head.path.first().is_some_and(|first| first == name))
    };
    if file.outline.imports.iter().any(|(alias, _)| alias == name) {
        Some("the import")
    } else if is_rule() {
        Some("the rule")
    } else {
        builtins::is_function(name).then_some("the built-in function")
    }
}

/// The variable that an expression gives a value to: `x = y`.
pub(super) fn unified(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::AssignExpr { op: AssignOp::Eq, lhs, .. } => variable(lhs),
        _ => None,
    }
}

/// A variable where it is declared.
struct Declared<'a> {
    span: &'a Span,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Argument,
    /// In an expression, which counts as a use.
    Bound,
    /// By name alone: `some x`, `every x`.
    Named,
}

/// The variables that a query declares, and the queries of its `every`.
fn declarations<'a>(query: &'a Query, found: &mut Vec<Declared<'a>>) {
    for statement in &query.stmts {
        match &statement.literal {
            Literal::SomeVars { vars, .. } => {
                found.extend(vars.iter().map(|span| Declared { span, role: Role::Named }));
            }
            Literal::SomeIn { key, value, .. } => {
                key.iter().chain([value]).for_each(|expr| pattern(expr, Role::Bound, found));
            }
            Literal::Every { key, value, query, .. } => {
                found.extend(key.iter().chain([value]).map(|span| Declared { span, role: Role::Named }));
                declarations(query, found);
            }
            Literal::Expr { expr, .. } => {
                if let Expr::AssignExpr { op: AssignOp::ColEq, lhs, .. } = expr.as_ref() {
                    pattern(lhs, Role::Bound, found);
                }
            }
            Literal::NotExpr { .. } => {}
        }
    }
}

fn pattern<'a>(expr: &'a Expr, role: Role, found: &mut Vec<Declared<'a>>) {
    match expr {
        Expr::Var { span, .. } if !span.text().starts_with('_') => found.push(Declared { span, role }),
        Expr::Array { items, .. } => items.iter().for_each(|item| pattern(item, role, found)),
        Expr::Object { fields, .. } => fields.iter().for_each(|(_, _, value)| pattern(value, role, found)),
        _ => {}
    }
}

/// References into `data` that lead nowhere.
fn undefined(file: &File<'_>, rule: &Rule) -> Vec<Finding> {
    let mut references: Vec<&Expr> = Vec::new();
    let mut inner: BTreeSet<(u32, u32)> = BTreeSet::new();
    expressions(rule, &mut |expr| {
        if let Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } = expr {
            inner.insert((refr.span().start, refr.span().end));
            references.push(expr);
        }
    });
    references.retain(|expr| !inner.contains(&(expr.span().start, expr.span().end)));
    let mentioned = references.into_iter().filter_map(|expr| {
        let (path, _) = constant_path(expr);
        let first = path.first()?;
        let imported = file.outline.imports.iter().find(|(alias, _)| alias == first);
        let is_data = first == "data"
            || imported.is_some_and(|(_, target)| target.first().is_some_and(|t| t == "data"));
        let path = whole(file.outline, &path);
        (is_data && path.first().is_none_or(|first| first != "__cms")).then_some((expr, path))
    });
    mentioned
        .filter_map(|(expr, path)| {
            let meant = missing(file, &path)?;
            let mut message = format!("nothing provides `data.{}`", path.join("."));
            if let Some(meant) = meant {
                message.push_str(&format!("; did you mean `data.{meant}`?"));
            }
            Some(file.finding(expr.span(), UNDEFINED_REFERENCE, message))
        })
        .collect()
}

/// Whether nothing stands at a path; then what reads most like it, if something does.
fn missing(file: &File<'_>, path: &[String]) -> Option<Option<String>> {
    let project = file.project;
    let leads = |rule: &Vec<String>| rule.starts_with(path) || path.starts_with(rule);
    if path.is_empty()
        || project.rules.keys().any(leads)
        || project.packages.iter().any(|package| package.starts_with(path))
    {
        return None;
    }
    let in_package = project.packages.iter().any(|package| path.starts_with(package));
    let (depth, keys) = match &project.data {
        Some(data) => unresolved(data, path)?,
        None if in_package => (0, Vec::new()),
        None => return None,
    };
    let rules: Vec<String> = project.rules.keys().map(|path| path.join(".")).collect();
    let above = path.get(..depth).unwrap_or_default();
    let sibling = path.get(depth).and_then(|key| nearest(key, keys.iter().map(String::as_str)));
    let sibling = sibling.map(|key| [above, &[key.to_owned()]].concat().join("."));
    let rule = || nearest(&path.join("."), rules.iter().map(String::as_str)).map(str::to_owned);
    let meant = sibling.or_else(rule);
    // A key that a document lacks may come with the next version; a near miss, or a name at the top, is a slip.
    (meant.is_some() || in_package || depth == 0).then_some(meant)
}

/// How far a path leads into data before it ends, and what the keys are there.
fn unresolved(data: &Value, path: &[String]) -> Option<(usize, Vec<String>)> {
    let mut value = data;
    for (depth, segment) in path.iter().enumerate() {
        let Value::Object(entries) = value else { return None };
        match entries.get(&Value::from(segment.as_str())) {
            Some(found) => value = found,
            None => {
                let keys = entries.keys().filter_map(|key| key.as_string().ok());
                return Some((depth, keys.map(|key| key.to_string()).collect()));
            }
        }
    }
    None
}

/// Visits every expression of a definition.
pub(super) fn expressions<'a>(rule: &'a Rule, see: &mut impl FnMut(&'a Expr)) {
    let Rule::Spec { head, bodies, .. } = rule else { return };
    match head {
        RuleHead::Compr { refr, assign, .. } => {
            visit(refr, see);
            assign.iter().for_each(|assign| visit(&assign.value, see));
        }
        RuleHead::Set { refr, key, .. } => {
            visit(refr, see);
            key.iter().for_each(|key| visit(key, see));
        }
        RuleHead::Func { args, assign, .. } => {
            args.iter().for_each(|argument| visit(argument, see));
            assign.iter().for_each(|assign| visit(&assign.value, see));
        }
    }
    for body in bodies {
        body.assign.iter().for_each(|assign| visit(&assign.value, see));
        body.query.stmts.iter().for_each(|statement| visit_statement(statement, see));
    }
}
