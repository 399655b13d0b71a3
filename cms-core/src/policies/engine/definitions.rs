// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rules and functions that the compiler found, and whether the outline found them, too.

use std::collections::{BTreeMap, HashMap};

use regorus::CompiledPolicy;

use super::compilation::Source;
use super::compile::INTERNAL_PACKAGE;
use super::diagnostic::{Diagnostic, code};
use super::path::below_data;

/// The references of all rules and functions, with the number of their definitions.
///
/// The compiler's table also lists the prefixes of rules whose names have several parts; of the
/// entries that share a definition, the longest is the rule.
pub(super) fn definitions(policy: &CompiledPolicy) -> BTreeMap<String, usize> {
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
        *counted.entry(reference.to_owned()).or_default() += 1;
    }
    counted
}

/// Refuses a definition that the outline has missed, and with it the checks that rest on the outline:
/// one that shares its line with another.
pub(super) fn unlisted<'a>(policy: &CompiledPolicy, sources: &[&'a Source<'a>]) -> Option<Diagnostic> {
    let mut listed: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for Source { outline, .. } in sources {
        for head in outline.heads.iter().filter(|head| !head.is_default) {
            *listed.entry([outline.package.as_slice(), &head.path].concat()).or_default() += 1;
        }
    }
    let missed = definitions(policy).into_iter().find(|(reference, count)| {
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
