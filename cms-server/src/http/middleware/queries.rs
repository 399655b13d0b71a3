// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which query parameters each operation takes, from the description: what is described is what is taken,
//! and any other name is refused before a handler runs, also where a handler reads none.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use axum::extract::Query;
use axum::http::{Method, Uri};
use cms_core::{Error, ErrorKind};
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{RefOr, SecurityRequirement};

use crate::http::routes::table::Described;

/// Where the routes that refuse unknown parameters begin; others ignore them, as their clients expect.
const NATIVE: [&str; 2] = ["/api/v1/", "/metrics"];

/// The platform's policies are documents of one kind, served under a shorter path as well.
const SHORT: (&str, &str) = ("/api/v1/policies", "/api/v1/projects/{project}/{kind}");

/// The query parameters of every described operation, by template and method.
#[derive(Debug, Default)]
pub(crate) struct Queries(HashMap<String, Vec<Item>>);

/// One path; what its operations take is read from the description at the first request with a query.
#[derive(Debug)]
struct Item {
    described: Described,
    operations: OnceLock<Vec<(Method, Takes)>>,
}

/// What one operation takes.
#[derive(Debug)]
struct Takes {
    names: BTreeSet<String>,
    /// Whether it serves everybody.
    is_public: bool,
}

/// A parameter that the operation does not take.
#[derive(Debug, Clone)]
pub(crate) struct Unknown {
    text: Arc<str>,
    /// Whether to refuse it at once. Elsewhere a caller must be known to be told anything: the check of
    /// the credential comes first.
    pub(crate) at_once: bool,
}

impl Unknown {
    /// The refusal.
    pub(crate) fn error(&self) -> Error {
        Error::new(ErrorKind::Invalid, "invalid_query", &*self.text)
    }
}

impl Queries {
    /// Those of a table of routes.
    pub(crate) fn new(table: &[Described]) -> Self {
        let mut items: HashMap<String, Vec<Item>> = HashMap::new();
        for described in table {
            let item = Item { described: described.clone(), operations: OnceLock::new() };
            items.entry(described.template.clone()).or_default().push(item);
        }
        Self(items)
    }

    /// Finds the first query parameter of a request that its operation does not take. `route` is the
    /// template that matched; it may stand under the prefix of a host.
    pub(crate) fn unknown(&self, route: &str, method: &Method, uri: &Uri) -> Option<Unknown> {
        uri.query().filter(|query| !query.is_empty())?;
        let takes = self.of(route, method)?;
        // What cannot be read is refused where the parameters are typed.
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
        let (name, _) = pairs.iter().find(|(name, _)| !takes.names.contains(name))?;
        Some(Unknown { text: takes.told(name).into(), at_once: takes.is_public })
    }

    fn of(&self, route: &str, method: &Method) -> Option<&Takes> {
        let start = NATIVE.iter().find_map(|start| route.rfind(start))?;
        let template = route.get(start..)?;
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let items = match self.0.get(template) {
            Some(items) => items,
            None => self.0.get(&format!("{}{}", SHORT.1, template.strip_prefix(SHORT.0)?))?,
        };
        items.iter().flat_map(Item::operations).find(|(known, _)| known == method).map(|(_, takes)| takes)
    }
}

impl Item {
    fn operations(&self) -> &[(Method, Takes)] {
        self.operations.get_or_init(|| operations(&self.described.template, &self.described.item()))
    }
}

impl Takes {
    fn new(path: &str, operation: &Operation) -> Self {
        let parameters = operation.parameters.iter().flatten();
        let names = parameters.filter_map(|parameter| match parameter {
            RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => {
                Some(parameter.name.clone())
            }
            _ => None,
        });
        let nobody = SecurityRequirement::default();
        let is_open = operation.security.as_ref().is_some_and(|needed| needed.contains(&nobody));
        Self { names: names.collect(), is_public: is_open || path == "/metrics" }
    }

    fn told(&self, name: &str) -> String {
        let shown: String = name.chars().take(80).flat_map(char::escape_default).collect();
        let names: Vec<String> = self.names.iter().map(|name| format!("`{name}`")).collect();
        let taken = if names.is_empty() {
            "it takes none".to_owned()
        } else {
            format!("it takes {}", names.join(", "))
        };
        format!("the query parameter `{shown}` is not known to this operation; {taken}")
    }
}

fn operations(path: &str, item: &PathItem) -> Vec<(Method, Takes)> {
    let all = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    let described = all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)));
    described.map(|(method, operation)| (method, Takes::new(path, operation))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Options, routes};

    fn check(route: &str, method: &str, uri: &str) -> Result<(), String> {
        let queries = Queries::new(&routes::table(&Options::default()).split().1);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let unknown = queries.unknown(route, &method, &uri.parse().unwrap());
        unknown.map_or(Ok(()), |unknown| Err(unknown.error().message().to_owned()))
    }

    #[test]
    fn what_is_not_described_is_named() {
        let (project, list) = ("/api/v1/projects/{project}", "/api/v1/projects");
        let error = check(project, "GET", "/api/v1/projects/p?verbose=1").unwrap_err();
        assert_eq!(error, "the query parameter `verbose` is not known to this operation; it takes none");
        let error = check(list, "HEAD", "/api/v1/projects?limit=2&page=3").unwrap_err();
        assert!(error.contains("`page`") && error.ends_with("it takes `cursor`, `limit`"), "{error}");
        assert!(check(list, "POST", "/api/v1/projects?limit=2").is_err(), "that is for the list");
        assert!(check(project, "DELETE", "/api/v1/projects/p?%66orce").unwrap_err().contains("`force`"));
        assert!(check("/metrics", "GET", "/metrics?x").is_err());
    }

    #[test]
    fn where_a_credential_is_needed_it_comes_first() {
        let queries = Queries::new(&routes::table(&Options::default()).split().1);
        let at_once = |route: &str| {
            queries.unknown(route, &Method::GET, &Uri::from_static("/?x")).map(|unknown| unknown.at_once)
        };
        assert_eq!((at_once("/api/v1/health"), at_once("/metrics")), (Some(true), Some(true)));
        assert_eq!((at_once("/api/v1/projects"), at_once("/api/v1/auth/verify")), (Some(false), Some(false)));
    }

    #[test]
    fn what_is_described_passes_also_under_a_prefix_and_for_short_forms() {
        for (route, uri) in [
            ("/api/v1/projects", "/?limit=2&cursor=x"),
            ("/host/{any}/api/v1/projects", "/?limit=2"),
            ("/api/v1/policies/{*name}", "/?version=2"),
            ("/api/v1/projects/{project}/{kind}/{*name}", "/?version=2"),
            ("/api/v1/audit", "/?"),
        ] {
            assert_eq!(check(route, "GET", uri), Ok(()), "{route}");
        }
        assert!(check("/host/{any}/api/v1/projects", "GET", "/?x=1").is_err());
    }

    #[test]
    fn opa_s_surface_ignores_what_it_does_not_know() {
        assert_eq!(check("/opa/{project}/{environment}/v1/data/{*path}", "GET", "/?metrics&strict"), Ok(()));
    }
}
