// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rules and functions that the compiler found, and whether the outline found them, too.

use std::collections::{BTreeMap, HashMap};

use regorus::CompiledPolicy;

use super::compilation::Source;
use super::compile::INTERNAL_PACKAGE;
use super::diagnostic::{Diagnostic, code};
use super::outline::Outline;
use super::path::{below_data, reference_of};

/// The references of all rules and functions, with the number of their definitions.
///
/// The compiler's table also lists the prefixes of rules whose names have several parts; of the
/// entries that share a definition, the longest is the rule. Where a name goes on with variables, the
/// table has them in it; the rule is what stands before them.
pub(super) fn definitions<'a>(
    policy: &CompiledPolicy,
    sources: impl Iterator<Item = &'a Source<'a>>,
) -> BTreeMap<String, usize> {
    let nested: Vec<Vec<String>> = sources.flat_map(|source| nested(&source.outline)).collect();
    let mut longest: HashMap<usize, &str> = HashMap::new();
    for (reference, definitions) in policy.get_rules() {
        for definition in definitions {
            let identity = std::ptr::from_ref(definition.as_ref()).cast::<()>().addr();
            let known = longest.entry(identity).or_insert(reference);
            if reference.len() > known.len() {
                *known = reference;
            }
        }
    }
    let mut counted = BTreeMap::new();
    for reference in longest.into_values() {
        let path = below_data(reference);
        let rule = nested.iter().find(|nested| path.starts_with(nested));
        let rule =
            rule.map_or_else(|| reference.to_owned(), |rule| reference_of(rule.iter().map(String::as_str)));
        *counted.entry(rule).or_default() += 1;
    }
    counted
}

/// The paths of the heads that go on with variables.
fn nested(outline: &Outline) -> impl Iterator<Item = Vec<String>> {
    let heads = outline.heads.iter().filter(|head| head.is_nested);
    heads.map(|head| [outline.package.as_slice(), &head.path].concat())
}

/// Refuses a definition that the outline has missed, and with it the checks that rest on the outline:
/// one that shares its line with another.
pub(super) fn unlisted<'a>(policy: &CompiledPolicy, sources: &[&'a Source<'a>]) -> Option<Diagnostic> {
    let nested: Vec<Vec<String>> = sources.iter().flat_map(|source| nested(&source.outline)).collect();
    let mut listed: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for Source { outline, .. } in sources {
        for head in outline.heads.iter().filter(|head| !head.is_default) {
            let path = [outline.package.as_slice(), &head.path].concat();
            let rule = nested.iter().find(|nested| path.starts_with(nested)).unwrap_or(&path);
            *listed.entry(rule.clone()).or_default() += 1;
        }
    }
    let missed = definitions(policy, sources.iter().copied()).into_iter().find(|(reference, count)| {
        let path = below_data(reference);
        let internal = path.first().is_some_and(|first| first == INTERNAL_PACKAGE);
        !internal && listed.get(&path).is_none_or(|listed| listed < count)
    });
    missed.map(|(reference, _)| {
        let path = below_data(&reference);
        let declares = |source: &&&Source<'_>| path.starts_with(&source.outline.package);
        let source = sources.iter().filter(declares).max_by_key(|source| source.outline.package.len());
        let (file, place) =
            source.map_or(("", (1, 1)), |source| (&source.module.name, source.outline.package_place));
        let message = format!("begin every definition of `{}` on a line of its own", path.join("."));
        Diagnostic::new(file, place, code::PARSE, message)
    })
}
