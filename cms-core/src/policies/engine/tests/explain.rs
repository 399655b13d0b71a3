// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Explanations come to the same results as decisions.

use super::*;

/// What an explanation says where the decision says something else. Explanations that end early, and
/// rules that reckon with fractions or ask for the time or for chance, may differ.
pub(super) fn contradiction(
    modules: &[Module],
    data: &Data,
    path: &QueryPath,
    input: &Input,
    decided: &Evaluation,
) -> Option<String> {
    let explainer = match Explainer::new(modules, data, &Options::default()) {
        Ok(explainer) => explainer,
        Err(found) => return Some(format!("nothing can be explained: {found:?}")),
    };
    let explanation = explainer.explain(path, input);
    // The interpreter adds fractions in binary, the machine in decimals.
    let is_fraction = |part: &[char]| matches!(part, [a, '.', b] if a.is_ascii_digit() && b.is_ascii_digit());
    let asks = |module: &Module| {
        let letters: Vec<char> = module.text.chars().collect();
        ["now_ns", "rand.", "uuid.", " / "].iter().any(|name| module.text.contains(name))
            || letters.windows(3).any(is_fraction)
    };
    let varies = modules.iter().any(asks);
    let told = match explanation.results.as_slice() {
        [only] if explanation.incomplete.is_none() && only.name == path.segments().join(".") => &only.value,
        _ => return None,
    };
    let value = decided.to_json(usize::MAX).unwrap().map(|text| String::from_utf8(text).unwrap());
    let agrees = match (told, value) {
        (Seen::Undefined, value) => value.is_none(),
        (Seen::Json(text), Some(value)) => *text == value,
        (Seen::Described(_), value) => value.is_some(),
        (Seen::Json(_), None) => false,
    };
    (!agrees && !varies).then(|| format!("{decided:?} is explained as {told:?}:\n{explanation}"))
}
