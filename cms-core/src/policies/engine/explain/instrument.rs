// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Makes policies tell how they are evaluated: each body gets one more statement, which is always true
//! and reports to the [`recorder`](super::recorder).
//!
//! The evaluator orders the statements of a body by what they depend on, so watching it would tell an
//! order that nobody wrote. Instead, the added statement asks for every beginning of the body whether
//! it can be satisfied: the first statement with which it no longer can is the one that failed. The
//! questions are comprehensions, which bind nothing outside and cannot fail.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Query, Rule, RuleBody, RuleHead};

use crate::policies::engine::frontend::Translation;
use crate::policies::engine::outline::Outline;
use crate::policies::engine::places::place_of;
use crate::policies::engine::syntax::{
    Source, children, comprehension, constant_path, parts, pattern, variable, visit, visit_statement,
};
use crate::policies::engine::tokens::LOCAL;

/// The functions that report to the recorder.
pub(super) const ENTER: &str = "__cms_enter";
pub(super) const FRESH: &str = "__cms_fresh";
pub(super) const ROW: &str = "__cms_row";
pub(super) const LEAVE: &str = "__cms_leave";

/// Beyond so many statements a body is told as a whole.
const MAX_STEPS: usize = 40;
/// How many values are shown of one statement.
const MAX_OPERANDS: usize = 8;

/// A body of a rule: what the recorder's numbers mean.
#[derive(Debug)]
pub(super) struct Site {
    /// The path of the rule, such as `rag.authz.allow`.
    pub(super) rule: String,
    pub(super) document: String,
    pub(super) line: u32,
    pub(super) arguments: Vec<String>,
    /// In the order in which they are asked.
    pub(super) steps: Vec<Step>,
}

/// A statement.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) line: u32,
    pub(super) text: String,
    /// The references and calls in it whose values tell why it failed.
    pub(super) operands: Vec<String>,
}

/// A text and what is known about it.
pub(super) struct Text<'a> {
    pub(super) document: &'a str,
    pub(super) original: &'a str,
    pub(super) translation: &'a Translation,
    /// What the parser read.
    pub(super) source: &'a Source<'a>,
    pub(super) outline: &'a Outline,
    /// The rules of the package, in all of its texts, and whether each is a function.
    pub(super) rules: &'a BTreeMap<String, bool>,
}

/// Writes the text of a module anew, with the statements that tell.
///
/// `fine` is off where the parts of bodies do not compile by themselves: then a body is asked as a whole.
pub(super) fn instrument(
    text: &Text<'_>,
    rules: impl Iterator<Item = impl AsRef<Rule>>,
    fine: bool,
    sites: &mut Vec<Site>,
) -> String {
    let mut writing = Writing { text, fine, sites, edits: Vec::new() };
    rules.for_each(|rule| writing.rule(rule.as_ref()));
    writing.edits.sort_by_key(|(offset, _)| *offset);
    let mut written = String::new();
    let (mut copied, source) = (0, text.source.text);
    for (offset, added) in &writing.edits {
        written.push_str(source.get(copied..*offset).unwrap_or_default());
        written.push_str(added);
        copied = *offset;
    }
    written.push_str(source.get(copied..).unwrap_or_default());
    written
}

struct Writing<'a, 'b> {
    text: &'a Text<'a>,
    fine: bool,
    sites: &'b mut Vec<Site>,
    edits: Vec<(usize, String)>,
}

/// What is common to the bodies of one rule.
struct Head<'a> {
    rule: String,
    arguments: Vec<&'a Expr>,
    /// What the rule comes to where a body holds: a key, a value, both, or nothing, which is `true`.
    outputs: Vec<&'a Expr>,
}

impl Writing<'_, '_> {
    fn rule(&mut self, rule: &Rule) {
        let Rule::Spec { span, head, bodies } = rule else { return };
        let (refr, arguments, outputs, is_partial) = match head {
            RuleHead::Compr { refr, assign, .. } => {
                let index = match refr.as_ref() {
                    Expr::RefBrack { index, .. } => Some(index.as_ref()),
                    _ => None,
                };
                let value = assign.as_ref().map(|assign| assign.value.as_ref());
                (refr, Vec::new(), index.into_iter().chain(value).collect(), index.is_some())
            }
            RuleHead::Set { refr, key, .. } => {
                (refr, Vec::new(), key.iter().map(AsRef::as_ref).collect(), true)
            }
            RuleHead::Func { refr, args, assign, .. } => {
                let value = assign.as_ref().map(|assign| assign.value.as_ref());
                (refr, args.iter().map(AsRef::as_ref).collect(), value.into_iter().collect(), false)
            }
        };
        let (path, _) = constant_path(refr);
        let rule = self.text.outline.package.iter().chain(&path).cloned().collect::<Vec<_>>();
        let rule = super::super::words::path(&rule).join(".");
        let mut head = Head { rule, arguments, outputs };
        if bodies.is_empty() {
            let note = self.note(&head, self.text.source.range(span).start, None);
            self.edits.push((self.text.source.range(span).end, format!(" if {{ {note} }}")));
        }
        for (index, body) in bodies.iter().enumerate() {
            if index > 0 && !(is_partial && body.assign.is_none()) {
                head.outputs = body.assign.iter().map(|assign| assign.value.as_ref()).collect();
            }
            let start = if index == 0 {
                self.text.source.range(span).start
            } else {
                self.text.source.range(&body.span).start
            };
            self.body(&head, start, body);
        }
    }

    fn body(&mut self, head: &Head<'_>, start: usize, body: &RuleBody) {
        let query = self.text.source.range(&body.query.span);
        let Some(first) = body.query.stmts.first() else {
            let note = self.note(head, start, None);
            self.edits.push((self.text.source.range(&body.span).end, format!(" if {{ {note} }}")));
            return;
        };
        let note = self.note(head, start, Some(&body.query));
        if self.text.source.range(&first.span).start > query.start {
            self.edits.push((query.start + 1, format!("\n{note}\n")));
        } else {
            self.edits.push((query.start, format!("{{\n{note}\n")));
            self.edits.push((query.end, "\n}".to_owned()));
        }
    }

    /// The statement that tells of a body.
    fn note(&mut self, head: &Head<'_>, start: usize, query: Option<&Query>) -> String {
        let id = self.sites.len();
        let bound: BTreeSet<String> = head.arguments.iter().fold(BTreeSet::new(), |mut found, argument| {
            pattern(argument, &mut found);
            found
        });
        let asked = Asked { text: self.text, bound };
        let statements = query.map(|query| asked.in_order(&query.stmts)).unwrap_or_default();
        let (line, _) = self.text.place(start);
        let arguments = head
            .arguments
            .iter()
            .map(|argument| self.text.written(self.text.source.range_of(argument)))
            .collect();
        let (steps, probes) = asked.probes(id, &statements, head, self.fine);
        self.sites.push(Site {
            rule: head.rule.clone(),
            document: self.text.document.to_owned(),
            line,
            arguments,
            steps,
        });
        let given: Vec<&str> = head.arguments.iter().map(|argument| self.text.told(argument)).collect();
        let enter = format!("{ENTER}({id}, {{__cms_value | __cms_value := input}}, [{}])", given.join(", "));
        format!("{LEAVE}({id}, {enter}, [{}])", probes.join(", "))
    }
}

impl<'a> Text<'a> {
    /// An argument as it can be repeated; one that has parts without a name cannot.
    fn told(&self, argument: &Expr) -> &'a str {
        let mut nameless = false;
        visit(argument, &mut |part| nameless |= variable(part) == Some("_"));
        if nameless { "null" } else { self.source.of(argument) }
    }

    /// The place of an offset of the translation.
    fn place(&self, offset: usize) -> (u32, u32) {
        place_of(self.original, self.translation.original(offset)).unwrap_or((1, 1))
    }

    /// What the author wrote there, on one line.
    fn written(&self, at: Range<usize>) -> String {
        let own = self.translation.original(at.start)..self.translation.original(at.end);
        let text = self.original.get(own.clone()).filter(|text| !text.is_empty());
        // What the front-end has added stands for the rest of its line.
        let line = || self.original.get(own.start..).and_then(|rest| rest.lines().next());
        let text = text.or_else(line).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// A body that is being asked about.
struct Asked<'a> {
    text: &'a Text<'a>,
    /// The variables that have values before the first statement.
    bound: BTreeSet<String>,
}

impl Asked<'_> {
    /// The statements in the order of the text, except that what binds a variable comes before what
    /// only uses it.
    fn in_order<'b>(&self, statements: &'b [LiteralStmt]) -> Vec<&'b LiteralStmt> {
        let mut left: Vec<_> =
            statements.iter().map(|statement| (statement, self.binds(statement))).collect();
        let mut missing: BTreeSet<String> = left.iter().flat_map(|(_, binds)| binds.clone()).collect();
        let mut ordered = Vec::new();
        while !left.is_empty() {
            let ready = |(statement, binds): &(&LiteralStmt, BTreeSet<String>)| {
                let mut waits = false;
                visit_statement(statement, &mut |expr| {
                    waits |=
                        variable(expr).is_some_and(|name| missing.contains(name) && !binds.contains(name));
                });
                !waits
            };
            let next = left.iter().position(ready).unwrap_or(0);
            let (statement, binds) = left.remove(next);
            missing.retain(|name| !binds.contains(name));
            ordered.push(statement);
        }
        ordered
    }

    /// The variables that a statement gives values to.
    fn binds(&self, statement: &LiteralStmt) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        match &statement.literal {
            Literal::SomeIn { key, value, .. } => {
                key.iter().chain([value]).for_each(|expr| pattern(expr, &mut found));
            }
            Literal::Expr { expr, .. } => {
                if let Expr::AssignExpr { op: AssignOp::ColEq, lhs, .. } = expr.as_ref() {
                    pattern(lhs, &mut found);
                }
            }
            _ => {}
        }
        let mut free = BTreeSet::new();
        if !matches!(statement.literal, Literal::NotExpr { .. } | Literal::Every { .. }) {
            parts(statement).0.into_iter().for_each(|expr| unified(expr, &mut free));
        }
        found.extend(free.into_iter().filter(|name| !self.is_global(name) && !self.bound.contains(name)));
        found
    }

    fn is_global(&self, name: &str) -> bool {
        let imports = &self.text.outline.imports;
        matches!(name, "input" | "data")
            || self.text.rules.contains_key(name)
            || imports.iter().any(|(alias, _)| alias == name)
    }

    /// One question for each beginning of the body, and the statements that they stop before.
    fn probes(
        &self,
        id: usize,
        statements: &[&LiteralStmt],
        head: &Head<'_>,
        fine: bool,
    ) -> (Vec<Step>, Vec<String>) {
        let (mut steps, mut probes) = (Vec::new(), Vec::new());
        let (mut bound, mut shown) = (self.bound.clone(), BTreeSet::new());
        let (mut asked, mut declared) = (String::new(), String::new());
        let fine = fine && statements.len() <= MAX_STEPS;
        for (number, statement) in statements.iter().enumerate() {
            let declares = matches!(statement.literal, Literal::SomeVars { .. });
            if fine && !declares {
                let operands = self.operands(statement, &bound);
                let values: Vec<&str> = operands.iter().map(|expr| self.text.source.of(expr)).collect();
                probes.push(probe(id, steps.len(), &asked, &shown, &values));
                steps.push(Step {
                    line: self.text.place(self.text.source.range(&statement.span).start).0,
                    text: self.text.written(self.text.source.range(&statement.span)),
                    operands: operands
                        .iter()
                        .map(|expr| self.text.written(self.text.source.range_of(expr)))
                        .collect(),
                });
            }
            let text = format!("{}\n", self.text.source.at(&statement.span));
            if declares {
                // Alone it would declare what nothing uses.
                declared.push_str(&text);
                continue;
            }
            asked.push_str(&std::mem::take(&mut declared));
            asked.push_str(&text);
            let binds = self.binds(statement);
            if fine {
                shown.extend(binds.iter().filter(|name| !name.starts_with("__cms")).cloned());
            }
            bound.extend(binds);
            if number + 1 == statements.len() && !fine {
                let whole = Step {
                    line: self.text.place(self.text.source.range(&statement.span).start).0,
                    text: String::new(),
                    operands: Vec::new(),
                };
                probes.push(probe(id, 0, "", &BTreeSet::new(), &[]));
                steps.push(whole);
            }
        }
        let outputs: Vec<&str> = head.outputs.iter().map(|output| self.text.source.of(output)).collect();
        probes.push(probe(id, steps.len(), &asked, &shown, &outputs));
        (steps, probes)
    }

    /// The parts of a statement that have a value before it is asked, and tell why it failed.
    fn operands<'b>(&self, statement: &'b LiteralStmt, bound: &BTreeSet<String>) -> Vec<&'b Expr> {
        let mut found: Vec<&Expr> = Vec::new();
        if statement.with_mods.is_empty() {
            parts(statement).0.into_iter().for_each(|expr| self.collect(expr, bound, &mut found));
        }
        let mut seen = BTreeSet::new();
        found.retain(|expr| seen.insert(expr.span().text()));
        found.truncate(MAX_OPERANDS);
        found
    }

    fn collect<'b>(&self, expr: &'b Expr, bound: &BTreeSet<String>, found: &mut Vec<&'b Expr>) {
        match expr {
            Expr::Var { span, .. } => {
                let is_value = self.text.rules.get(span.text()).is_some_and(|is_function| !is_function);
                if is_value && !bound.contains(span.text()) {
                    found.push(expr);
                }
            }
            Expr::RefDot { .. } | Expr::RefBrack { .. } if self.is_ground(expr, bound) => found.push(expr),
            Expr::Call { params, .. } => {
                if self.is_ground_all(params.iter().map(AsRef::as_ref), bound) {
                    found.push(expr);
                }
                params.iter().for_each(|param| self.collect(param, bound, found));
            }
            _ => children(expr).into_iter().for_each(|child| self.collect(child, bound, found)),
        }
    }

    fn is_ground(&self, expr: &Expr, bound: &BTreeSet<String>) -> bool {
        match expr {
            Expr::Var { span, .. } => {
                let name = span.text();
                bound.contains(name) || self.is_global(name)
            }
            Expr::Call { params, .. } => self.is_ground_all(params.iter().map(AsRef::as_ref), bound),
            _ => comprehension(expr).is_none() && self.is_ground_all(children(expr).into_iter(), bound),
        }
    }

    fn is_ground_all<'b>(&self, exprs: impl Iterator<Item = &'b Expr>, bound: &BTreeSet<String>) -> bool {
        let mut exprs = exprs;
        exprs.all(|expr| self.is_ground(expr, bound))
    }
}

/// The variables that unification or an iteration in an expression may bind.
fn unified(expr: &Expr, found: &mut BTreeSet<String>) {
    match expr {
        Expr::AssignExpr { op: AssignOp::Eq, lhs, rhs, .. } => {
            pattern(lhs, found);
            pattern(rhs, found);
        }
        Expr::RefBrack { index, .. } => pattern(index, found),
        _ => {}
    }
    children(expr).into_iter().for_each(|child| unified(child, found));
}

/// A question: with which values of variables do these statements hold, and what are some terms then?
fn probe(id: usize, step: usize, asked: &str, shown: &BTreeSet<String>, terms: &[&str]) -> String {
    let variables: Vec<String> =
        shown.iter().map(|name| format!("\"{}\": {name}", name.trim_end_matches(LOCAL))).collect();
    let terms: Vec<String> =
        terms.iter().map(|term| format!("{{__cms_value | __cms_value := ({term})}}")).collect();
    format!(
        "{{{ROW}({step}, {{{}}}, [{}]) | {FRESH}({id})\n{asked}}}",
        variables.join(", "),
        terms.join(", ")
    )
}
