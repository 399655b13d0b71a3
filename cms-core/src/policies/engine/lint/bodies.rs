// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bodies: those that always or never hold, and those that search where they could look up.

use std::collections::BTreeMap;

use regorus::Value;
use regorus::unstable::{BoolOp, Expr, Literal, LiteralStmt, Query, Rule};

use super::names::{expressions, unified};
use super::{ALWAYS_FALSE, ALWAYS_TRUE, File, Finding, LINEAR_SCAN};
use crate::policies::engine::syntax::{comprehension, constant_path, variable, visit};

/// What is wrong with the bodies of one definition.
pub(super) fn rule(file: &File<'_>, rule: &Rule) -> Vec<Finding> {
    let Rule::Spec { bodies, .. } = rule else { return Vec::new() };
    let mut queries: Vec<&Query> = bodies.iter().map(|body| body.query.as_ref()).collect();
    expressions(rule, &mut |expr| queries.extend(comprehension(expr).map(|(_, query)| query)));
    let mut found = Vec::new();
    for query in queries {
        let with_nested = query.stmts.iter().filter_map(|statement| match &statement.literal {
            Literal::Every { query, .. } => Some(query.as_ref()),
            _ => None,
        });
        for query in [query].into_iter().chain(with_nested) {
            found.extend(constants(file, query));
            found.extend(contradictions(file, query));
            found.extend(scans(file, query));
        }
    }
    found
}

/// Conditions whose value no input changes.
fn constants(file: &File<'_>, query: &Query) -> Vec<Finding> {
    let told = |statement: &LiteralStmt| {
        let (expr, negated) = match &statement.literal {
            Literal::Expr { expr, .. } => (expr, false),
            Literal::NotExpr { expr, .. } => (expr, true),
            _ => return None,
        };
        let holds = outcome(file, expr)? != negated;
        let text = file.source.at(&statement.span);
        let (rule, words) = match holds {
            true => (ALWAYS_TRUE, "always holds; remove it"),
            false => {
                (ALWAYS_FALSE, "never holds, so this body never does; remove it or correct the condition")
            }
        };
        Some(file.finding(&statement.span, rule, format!("`{text}` {words}")))
    };
    query.stmts.iter().filter_map(told).collect()
}

/// Whether a condition holds, if that is known beforehand.
fn outcome(file: &File<'_>, expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Bool { value, .. } => value.as_bool().ok().copied(),
        Expr::Null { .. } => Some(true),
        Expr::String { .. } | Expr::RawString { .. } | Expr::Number { .. } => Some(true),
        Expr::BoolExpr { op, lhs, rhs, .. } => {
            if let (Some(left), Some(right)) = (constant(lhs), constant(rhs)) {
                return Some(compare(op, left, right));
            }
            let same = file.source.of(lhs) == file.source.of(rhs) && is_steady(lhs);
            // What is compared with itself may still be undefined, so it cannot be said to hold.
            (same && matches!(op, BoolOp::Ne | BoolOp::Lt | BoolOp::Gt)).then_some(false)
        }
        _ => None,
    }
}

fn compare(op: &BoolOp, left: &Value, right: &Value) -> bool {
    match op {
        BoolOp::Lt => left < right,
        BoolOp::Le => left <= right,
        BoolOp::Eq => left == right,
        BoolOp::Ge => left >= right,
        BoolOp::Gt => left > right,
        BoolOp::Ne => left != right,
    }
}

fn constant(expr: &Expr) -> Option<&Value> {
    match expr {
        Expr::String { value, .. }
        | Expr::RawString { value, .. }
        | Expr::Number { value, .. }
        | Expr::Bool { value, .. }
        | Expr::Null { value, .. } => Some(value),
        _ => None,
    }
}

/// Whether an expression has the same value wherever it stands in a body.
fn is_steady(expr: &Expr) -> bool {
    let mut steady = true;
    visit(expr, &mut |part| steady &= variable(part) != Some("_") && !matches!(part, Expr::Call { .. }));
    steady
}

/// References that would have to equal two constants at once.
fn contradictions(file: &File<'_>, query: &Query) -> Vec<Finding> {
    let mut wanted: BTreeMap<&str, &Value> = BTreeMap::new();
    let mut found = Vec::new();
    for statement in query.stmts.iter().filter(|statement| statement.with_mods.is_empty()) {
        let Literal::Expr { expr, .. } = &statement.literal else { continue };
        let (left, right) = match expr.as_ref() {
            Expr::BoolExpr { op: BoolOp::Eq, lhs, rhs, .. } => (lhs, rhs),
            _ => continue,
        };
        let (term, value) = match (constant(left), constant(right)) {
            (Some(value), None) => (right, value),
            (None, Some(value)) => (left, value),
            _ => continue,
        };
        let text = file.source.of(term);
        match wanted.get(text) {
            Some(other) if *other != value && is_steady(term) => {
                let message =
                    format!("`{text}` cannot be {other} and {value} at once, so this body never holds");
                found.push(file.finding(&statement.span, ALWAYS_FALSE, message));
            }
            _ => drop(wanted.insert(text, value)),
        }
    }
    found
}

/// An iteration over a document of data.
struct Scan<'a> {
    /// The document, as it is written.
    collection: &'a str,
    /// The variable of an entry; of `data.x[i].y`, of its key.
    entry: Option<&'a str>,
    key: Option<&'a str>,
}

/// Iterations over data whose entries are then compared with one value.
fn scans(file: &File<'_>, query: &Query) -> Vec<Finding> {
    let mut scans: Vec<Scan<'_>> = Vec::new();
    let mut found = Vec::new();
    for statement in &query.stmts {
        scans.extend(iteration(file, query, statement));
        let Literal::Expr { expr, .. } = &statement.literal else { continue };
        let Expr::BoolExpr { op: BoolOp::Eq, lhs, rhs, .. } = expr.as_ref() else { continue };
        let told = [(lhs, rhs), (rhs, lhs)].into_iter().find_map(|(side, other)| {
            let (collection, field) = field_of(file, &scans, query, side)?;
            Some(scan_message(collection, &field, file.source.of(other)))
        });
        found.extend(told.map(|message| file.finding(&statement.span, LINEAR_SCAN, message)));
    }
    found
}

/// The iteration that a statement begins: `some entry in data.entries`, `entry := data.entries[_]`.
fn iteration<'a>(file: &File<'a>, query: &Query, statement: &'a LiteralStmt) -> Option<Scan<'a>> {
    let (collection, entry, key) = match &statement.literal {
        Literal::SomeIn { key, value, collection, .. } => {
            (collection, variable(value), key.as_ref().and_then(|key| variable(key)))
        }
        Literal::Expr { expr, .. } => {
            let Expr::AssignExpr { lhs, rhs, .. } = expr.as_ref() else { return None };
            let Expr::RefBrack { refr, index, .. } = rhs.as_ref() else { return None };
            let key = variable(index).filter(|name| is_free(query, name))?;
            (refr, variable(lhs), Some(key))
        }
        _ => return None,
    };
    let key = key.filter(|name| *name != "_");
    is_data(file, collection).then(|| Scan { collection: file.source.of(collection), entry, key })
}

fn scan_message(collection: &str, field: &Field, other: &str) -> String {
    let reads = format!("this reads all of `{collection}`");
    match field {
        Field::Key => format!("{reads} to find one key; write `{collection}[{other}]`"),
        Field::Entry => format!(
            "{reads} to find one entry; make it a set or an object and write `{other} in {collection}`"
        ),
        Field::Named(name) => {
            format!("{reads} to find one entry; key it by `{name}` and write `{collection}[{other}]`")
        }
    }
}

/// What of an entry is compared.
enum Field {
    Key,
    Entry,
    Named(String),
}

/// The collection that one side of a comparison takes an entry of, and what of it.
fn field_of<'a>(file: &File<'a>, scans: &[Scan<'a>], query: &Query, side: &Expr) -> Option<(&'a str, Field)> {
    if let Some(name) = variable(side) {
        let by_key = scans.iter().find(|scan| scan.key == Some(name));
        let scan = by_key.or_else(|| scans.iter().find(|scan| scan.entry == Some(name)))?;
        return Some((scan.collection, if by_key.is_some() { Field::Key } else { Field::Entry }));
    }
    let Expr::RefDot { refr, field, .. } = side else { return None };
    if let Some(name) = variable(refr) {
        let scan = scans.iter().find(|scan| scan.entry == Some(name))?;
        return Some((scan.collection, Field::Named(field.0.text().to_owned())));
    }
    let Expr::RefBrack { refr, index, .. } = refr.as_ref() else { return None };
    let free = variable(index).is_some_and(|name| is_free(query, name));
    (free && is_data(file, refr)).then(|| (file.source.of(refr), Field::Named(field.0.text().to_owned())))
}

/// Whether an index runs over all keys: a wildcard, or a variable that `some` declares alone.
fn is_free(query: &Query, name: &str) -> bool {
    let gives = |statement: &LiteralStmt| match &statement.literal {
        Literal::Expr { expr, .. } => unified(expr) == Some(name),
        _ => false,
    };
    let is_declared = || {
        query.stmts.iter().any(|statement| match &statement.literal {
            Literal::SomeVars { vars, .. } => vars.iter().any(|span| span.text() == name),
            _ => false,
        })
    };
    name == "_" || (is_declared() && !query.stmts.iter().any(gives))
}

/// Whether an expression is a document of data by constant names, not a rule.
fn is_data(file: &File<'_>, expr: &Expr) -> bool {
    let (path, whole) = constant_path(expr);
    let Some(first) = path.first().filter(|_| whole) else { return false };
    let target =
        file.outline.imports.iter().find(|(alias, _)| alias == first).map(|(_, target)| target.first());
    let is_below =
        first == "data" || target.is_some_and(|target| target.is_some_and(|target| target == "data"));
    let path = super::whole(file.outline, &path);
    is_below && !file.project.rules.keys().any(|rule| path.starts_with(rule))
}
