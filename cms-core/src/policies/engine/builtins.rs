// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The built-in functions that no policy may call, because they reach outside the engine.

/// Names and name prefixes (those that end in a dot), with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("graphql.", "parse GraphQL in the service and send the result as input"),
    ("http.send", "fetch the data outside and put it into a data document"),
    ("net.lookup_ip_addr", "resolve names in the service and send the addresses as input"),
    ("opa.runtime", "put what the policy needs into a data document"),
    ("providers.aws.", "sign requests in the service"),
];

/// Says why a function is refused, if it is.
pub(super) fn refusal(name: &str) -> Option<String> {
    let (_, instead) = REFUSED
        .iter()
        .find(|(refused, _)| name == *refused || (refused.ends_with('.') && name.starts_with(refused)))?;
    Some(format!("`{name}` reaches outside the policy engine and is not allowed; {instead}"))
}

/// The names that are refused, for documentation. Those that end in a dot stand for all below them.
pub fn refused() -> impl Iterator<Item = &'static str> {
    REFUSED.iter().map(|(name, _)| *name)
}
