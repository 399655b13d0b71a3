// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules that meet: `p[x] := 1` beside `p.q[y] := 2`, or `a.b[c] := 1` beside `a.d := 2` where somebody
//! asks for all of `a`. The compiler takes each constant name for a rule of its own, so that one would hide
//! the other, or have two types. So they become definitions of one rule, whose further names are variables
//! that the bodies bind: `p[k][y] := 2 if { k := "q"; … }`.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::Token;
use super::outline::{Form, Head, Outline, reference, statements};

/// Finds the rules that meet, in policies that are compiled together.
pub(super) fn join(outlines: &mut [Outline]) {
    let packages: BTreeSet<Vec<String>> = outlines.iter().map(|outline| outline.package.clone()).collect();
    for package in packages {
        let heads: Vec<Head> = heads(outlines, &package).cloned().collect();
        if heads.iter().all(|head| head.path.len() < 2) {
            continue;
        }
        for point in points(outlines, &package, &heads) {
            for outline in outlines.iter_mut().filter(|outline| outline.package == package) {
                outline.heads.iter_mut().filter(|head| is_below(head, &point)).for_each(|head| {
                    head.spread = head.path.split_off(point.len());
                    head.is_nested = head.spread.len() > 1 || head.form != Form::Value;
                });
            }
        }
    }
}

fn heads<'a>(outlines: &'a [Outline], package: &'a [String]) -> impl Iterator<Item = &'a Head> {
    outlines.iter().filter(move |outline| outline.package == package).flat_map(|outline| &outline.heads)
}

fn is_below(head: &Head, point: &[String]) -> bool {
    head.path.len() > point.len() && head.path.starts_with(point)
}

/// The names that the rules below them share, shortest first; none of them is below another.
fn points(outlines: &[Outline], package: &[String], heads: &[Head]) -> Vec<Vec<String>> {
    let keyed = heads.iter().filter(|head| head.form == Form::Keyed).map(|head| head.path.clone());
    let mut points: BTreeSet<Vec<String>> = keyed.collect();
    points.extend(outlines.iter().flat_map(|outline| asked(outline, package, heads)));
    let mut points: Vec<_> = points.into_iter().filter(|point| can_join(heads, point)).collect();
    points.sort_by_key(Vec::len);
    let all = points.clone();
    points.retain(|point| !all.iter().any(|other| other.len() < point.len() && point.starts_with(other)));
    points
}

/// The names in a policy under which rules of different kinds stand, and none of their own.
fn asked(outline: &Outline, package: &[String], heads: &[Head]) -> Vec<Vec<String>> {
    let own = |path: &[String]| -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let imported = outline.imports.iter().find(|(alias, _)| alias == first);
        let whole = imported.map_or_else(|| path.to_vec(), |(_, source)| [source.as_slice(), rest].concat());
        match whole.strip_prefix(["data".to_owned()].as_slice()) {
            Some(below) => below.strip_prefix(package).map(<[String]>::to_vec),
            None => (outline.package == package).then_some(whole),
        }
    };
    let mentions = outline.heads.iter().flat_map(|head| &head.mentions);
    let mentions = mentions.filter(|mention| !mention.is_bound && !mention.is_call);
    let mixed = |point: &Vec<String>| {
        let within = heads.iter().any(|head| point.starts_with(&head.path));
        let below: Vec<&Head> = heads.iter().filter(|head| is_below(head, point)).collect();
        let keyed = below.iter().any(|head| head.form == Form::Keyed);
        let others = below.iter().any(|head| head.form == Form::Value);
        let elements = below.iter().any(|head| head.form == Form::Elements);
        !point.is_empty() && !within && keyed && others && !elements
    };
    mentions.filter_map(|mention| own(&mention.path)).filter(mixed).collect()
}

/// Whether the rules below a name can become one with it.
fn can_join(heads: &[Head], point: &[String]) -> bool {
    let plain = |head: &Head| !(head.is_function || head.is_default || head.has_else || head.is_test());
    let mut below = heads.iter().filter(|head| is_below(head, point)).peekable();
    let at = heads.iter().filter(|head| head.path == point);
    below.peek().is_some()
        && below.all(plain)
        && at.into_iter().all(|head| plain(head) && head.form == Form::Keyed)
}

/// What is put in before or behind a token.
pub(super) type Insertion = (usize, String);

/// Writes the heads of rules that meet anew: into `replaced` what becomes of single tokens, by where they
/// begin. The rest is put in at offsets.
pub(super) fn spread(
    tokens: &[Token<'_>],
    outline: &Outline,
    replaced: &mut BTreeMap<usize, String>,
) -> Vec<Insertion> {
    if outline.heads.iter().all(|head| head.spread.is_empty()) {
        return Vec::new();
    }
    let starts = statements(tokens);
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    let mut insertions = Vec::new();
    for statement in starts.iter().zip(ends).filter_map(|(start, end)| tokens.get(*start..end)) {
        let place = statement.first().map(|first| first.place);
        let head = outline.heads.iter().find(|head| Some(head.place) == place && !head.spread.is_empty());
        if let Some(head) = head {
            insertions.extend(rewritten(statement, head, replaced).unwrap_or_default());
        }
    }
    insertions
}

fn rewritten(
    statement: &[Token<'_>],
    head: &Head,
    replaced: &mut BTreeMap<usize, String>,
) -> Option<Vec<Insertion>> {
    let (_, length) = reference(statement);
    let kept = (1..=length).find(|count| {
        let (path, taken) = reference(statement.get(..*count).unwrap_or_default());
        taken == *count && path == head.path
    })?;
    let variables = || (0..head.spread.len()).map(|number| format!("__cms_key_{number}"));
    let keys: String = variables().map(|variable| format!("[{variable}]")).collect();
    let bound: Vec<String> = variables()
        .zip(&head.spread)
        .map(|(variable, name)| format!("{variable} := {}", serde_json::Value::from(name.as_str())))
        .collect();
    let bound = bound.join("; ");
    let names = statement.get(kept..length)?;
    replaced.extend(names.iter().map(|token| (token.start, String::new())));
    replaced.extend(names.first().map(|first| (first.start, keys)));
    let last = statement.last()?.end();
    let Some(body) = statement.iter().position(|token| token.is("if")) else {
        return Some(vec![(last, format!(" if {{ {bound} }}"))]);
    };
    let (word, next) = (statement.get(body)?, statement.get(body + 1)?);
    let mut insertions = Vec::new();
    if !statement
        .get(length..body)?
        .iter()
        .any(|token| [":=", "=", "contains"].iter().any(|sign| token.is(sign)))
    {
        insertions.push((word.start, ":= true ".to_owned()));
    }
    if next.is("{") {
        insertions.push((next.end(), format!(" {bound}; ")));
    } else {
        insertions.push((word.end(), format!(" {{ {bound};")));
        insertions.push((last, " }".to_owned()));
    }
    Some(insertions)
}
