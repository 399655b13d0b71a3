// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Walks the syntax trees of the compiler's parser: for what explains policies and what lints them.
//!
//! The walks recurse, so they run on a stack of their own, over texts that were bounded before.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use regorus::unstable::{Expr, Literal, LiteralStmt, Query, Span};

use super::lexer::{Kind, Lexer};

/// The expressions right below one, without those of nested queries.
pub(super) fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().map(AsRef::as_ref).collect(),
        Expr::Object { fields, .. } => {
            fields.iter().flat_map(|(_, key, value)| [key.as_ref(), value.as_ref()]).collect()
        }
        Expr::Call { fcn, params, .. } => std::iter::once(fcn).chain(params).map(AsRef::as_ref).collect(),
        Expr::UnaryExpr { expr, .. } => vec![expr.as_ref()],
        Expr::RefDot { refr, .. } => vec![refr.as_ref()],
        Expr::RefBrack { refr, index, .. } => vec![refr.as_ref(), index.as_ref()],
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => vec![lhs.as_ref(), rhs.as_ref()],
        Expr::Membership { key, value, collection, .. } => {
            key.iter().chain([value, collection]).map(AsRef::as_ref).collect()
        }
        _ => Vec::new(),
    }
}

/// What a comprehension yields, and its query.
pub(super) fn comprehension(expr: &Expr) -> Option<(Vec<&Expr>, &Query)> {
    match expr {
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            Some((vec![term.as_ref()], query.as_ref()))
        }
        Expr::ObjectCompr { key, value, query, .. } => {
            Some((vec![key.as_ref(), value.as_ref()], query.as_ref()))
        }
        _ => None,
    }
}

/// The expressions of a statement, and the query of an `every`.
pub(super) fn parts(statement: &LiteralStmt) -> (Vec<&Expr>, Option<&Query>) {
    let (mut found, query) = match &statement.literal {
        Literal::SomeVars { .. } => (Vec::new(), None),
        Literal::SomeIn { key, value, collection, .. } => {
            (key.iter().chain([value, collection]).map(AsRef::as_ref).collect(), None)
        }
        Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => (vec![expr.as_ref()], None),
        Literal::Every { domain, query, .. } => (vec![domain.as_ref()], Some(query.as_ref())),
    };
    for modifier in &statement.with_mods {
        found.extend([modifier.refr.as_ref(), modifier.r#as.as_ref()]);
    }
    (found, query)
}

/// Visits an expression and everything below it, nested queries included.
pub(super) fn visit<'a>(expr: &'a Expr, see: &mut impl FnMut(&'a Expr)) {
    see(expr);
    if let Some((terms, query)) = comprehension(expr) {
        terms.into_iter().for_each(|term| visit(term, see));
        visit_query(query, see);
    }
    children(expr).into_iter().for_each(|child| visit(child, see));
}

/// Visits every expression of a query.
pub(super) fn visit_query<'a>(query: &'a Query, see: &mut impl FnMut(&'a Expr)) {
    query.stmts.iter().for_each(|statement| visit_statement(statement, see));
}

/// Visits every expression of a statement.
pub(super) fn visit_statement<'a>(statement: &'a LiteralStmt, see: &mut impl FnMut(&'a Expr)) {
    let (found, query) = parts(statement);
    found.into_iter().for_each(|expr| visit(expr, see));
    if let Some(query) = query {
        visit_query(query, see);
    }
}

/// The name that a variable has in the text.
pub(super) fn variable(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Var { span, .. } => Some(span.text()),
        _ => None,
    }
}

/// The variables of a pattern: `x`, `[x, y]`, `{"a": x}`.
pub(super) fn pattern(expr: &Expr, found: &mut BTreeSet<String>) {
    match expr {
        Expr::Var { span, .. } if span.text() != "_" => drop(found.insert(span.text().to_owned())),
        Expr::Array { items, .. } => items.iter().for_each(|item| pattern(item, found)),
        Expr::Object { fields, .. } => fields.iter().for_each(|(_, _, value)| pattern(value, found)),
        _ => {}
    }
}

/// The constant beginning of a reference, and whether that is all of it: `data.a.b`.
pub(super) fn constant_path(expr: &Expr) -> (Vec<String>, bool) {
    match expr {
        Expr::Var { span, .. } => (vec![span.text().to_owned()], true),
        Expr::RefDot { refr, field, .. } => extended(refr, Some(field.0.text().to_owned())),
        Expr::RefBrack { refr, index, .. } => extended(refr, text_of(index)),
        _ => (Vec::new(), false),
    }
}

fn extended(refr: &Expr, part: Option<String>) -> (Vec<String>, bool) {
    let (mut path, whole) = constant_path(refr);
    match part.filter(|_| whole) {
        Some(part) => {
            path.push(part);
            (path, true)
        }
        None => (path, false),
    }
}

/// The value of a string constant.
pub(super) fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::String { value, .. } | Expr::RawString { value, .. } => {
            value.as_string().ok().map(|text| text.to_string())
        }
        _ => None,
    }
}

/// A text that was parsed, and where its strings are.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    strings: Vec<Range<usize>>,
    /// Where each bracket that closes at an offset was opened.
    braces: HashMap<usize, usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let (mut strings, mut braces, mut open) = (Vec::new(), HashMap::new(), Vec::new());
        for token in Lexer::new(text) {
            match token.kind {
                Kind::Text => strings.push(token.start..token.end()),
                Kind::Open => open.push(token.start),
                Kind::Close => braces.extend(open.pop().map(|start| (token.end(), start))),
                _ => {}
            }
        }
        Self { text, strings, braces }
    }

    /// The bytes of a span. The parser leaves out the quotes of a string.
    pub(super) fn range(&self, span: &Span) -> Range<usize> {
        let at = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        let (start, end) = (at(span.start), at(span.end));
        let whole =
            |offset: usize| self.strings.iter().find(|string| string.start < offset && offset < string.end);
        whole(start).map_or(start, |string| string.start)..whole(end).map_or(end, |string| string.end)
    }

    /// What stands at a span.
    pub(super) fn at(&self, span: &Span) -> &'a str {
        self.text.get(self.range(span)).unwrap_or_default()
    }

    /// The bytes of an expression. The parser says that an object begins with its last entry.
    pub(super) fn range_of(&self, expr: &Expr) -> Range<usize> {
        let range = self.range(expr.span());
        match expr {
            Expr::Object { .. } => self.braces.get(&range.end).copied().unwrap_or(range.start)..range.end,
            _ => range,
        }
    }

    /// The text of an expression.
    pub(super) fn of(&self, expr: &Expr) -> &'a str {
        self.text.get(self.range_of(expr)).unwrap_or_default()
    }
}
