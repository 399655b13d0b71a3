// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is known of built-in functions by their names: those that no policy may call, because they
//! reach outside the engine or have no counterpart in it, and those whose answer varies.

/// Names and name prefixes (those that end in a dot) of what reaches outside, with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("graphql.", "parse GraphQL in the service and send the result as input"),
    ("http.send", "fetch the data outside and put it into a data document"),
    ("net.lookup_ip_addr", "resolve names in the service and send the addresses as input"),
    ("opa.runtime", "put what the policy needs into a data document"),
    ("providers.aws.", "sign requests in the service"),
];

/// Names of functions that the engine has not got, with what to do instead.
const ABSENT: &[(&str, &str)] = &[("rego.parse_module", "parse policies outside of policies")];

/// Names of functions that may answer differently when asked the same again.
const VARYING: &[&str] = &["rand.intn", "time.now_ns", "uuid.rfc4122"];

/// Whether a function's answer depends on more than its arguments.
pub(in super::super) fn varies(name: &str) -> bool {
    VARYING.contains(&name)
}

/// Says why a function is refused, if it is.
pub(in super::super) fn refusal(name: &str) -> Option<String> {
    if let Some((_, instead)) = ABSENT.iter().find(|(absent, _)| name == *absent) {
        return Some(format!("the policy engine has no `{name}`; {instead}"));
    }
    let (_, instead) = REFUSED
        .iter()
        .find(|(refused, _)| name == *refused || (refused.ends_with('.') && name.starts_with(refused)))?;
    Some(format!("`{name}` reaches outside the policy engine and is not allowed; {instead}"))
}

/// The names that are refused, for documentation. Those that end in a dot stand for all below them.
pub fn refused() -> impl Iterator<Item = &'static str> {
    REFUSED.iter().chain(ABSENT).map(|(name, _)| *name)
}
