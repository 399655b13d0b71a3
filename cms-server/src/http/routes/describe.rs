// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The OpenAPI description: what the route table says, completed with what is the same everywhere —
//! path parameters, credentials, problems, and the short form of the platform's policies.

use utoipa::IntoParams;
use utoipa::openapi::path::{HttpMethod, Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder,
    SecurityRequirement,
};

use crate::http::middleware::idempotency::takes_key;

/// The header of writes that expect a version.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header that an extractor reads")]
pub(crate) struct IfMatch {
    /// The versions of which one must be the present one, such as `"3"`; `*`: it must exist.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// `*`: it must not exist yet.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// The header of reads whose answers carry a tag. Describing it describes the answer 304 as well.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header that the front layer reads")]
pub(crate) struct IfNoneMatch {
    /// The tags that the caller has already; if one of them is the present one, the answer is 304.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// The headers of long polls.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers that the handler reads")]
pub(crate) struct Prefer {
    /// The release that the caller has, in quotes.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
    /// `wait=N`: for how many seconds to wait for another release.
    prefer: Option<String>,
}

/// What path parameters are: name, words, pattern.
const PARAMETERS: &[(&str, &str, &str)] = &[
    ("project", "The id of the project", "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
    ("environment", "The name of the environment", "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
    ("user", "The name of the user", "^[A-Za-z0-9._@-]{1,128}$"),
    (
        "kind",
        "The kind of documents: `policies`, `data`, `configs`, `schemas`, `templates` or `variables`",
        "^(policies|data|configs|schemas|templates|variables)$",
    ),
    ("name", "The name: 1 to 8 segments joined by `/`", "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"),
    ("path", "The path: 1 to 8 segments joined by `/`", "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"),
    ("event", "The id of the event", "^evt_[0-9a-f-]{36}$"),
    ("id", "The id", "^[A-Za-z0-9_-]{1,128}$"),
];

/// Completes the description of the route table.
pub(crate) fn describe(mut api: OpenApi) -> OpenApi {
    api.info = InfoBuilder::new()
        .title("CMS")
        .version("1")
        .description(Some("Policies, secrets, versioned documents, API keys and a provable audit trail."))
        .license(Some(
            LicenseBuilder::new().name("Apache-2.0 OR MIT").identifier(Some("Apache-2.0 OR MIT")).build(),
        ))
        .build();
    add_short_form(&mut api);
    let paths = std::mem::take(&mut api.paths.paths);
    for (template, mut item) in paths {
        let path = template.replace("{*", "{");
        for (method, operation) in operations(&mut item) {
            complete(operation, &path, method);
        }
        api.paths.paths.insert(path, item);
    }
    let components = api.components.get_or_insert_with(Components::new);
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
    );
    components
        .add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
    api.security = Some(vec![requirement("bearer"), requirement("key")]);
    api
}

/// The platform's policies are served under `/policies` as well, by the same handlers.
fn add_short_form(api: &mut OpenApi) {
    const LONG: &str = "/api/v1/projects/{project}/{kind}";
    let short: Vec<(String, PathItem)> = api
        .paths
        .paths
        .iter()
        .filter_map(|(path, item)| {
            let rest = path.strip_prefix(LONG)?;
            let mut item = item.clone();
            for (_, operation) in operations(&mut item) {
                operation.operation_id = operation.operation_id.take().map(|id| format!("{id}_platform"));
            }
            Some((format!("/api/v1/policies{rest}"), item))
        })
        .collect();
    api.paths.paths.extend(short);
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let all = [
        (HttpMethod::Get, item.get.as_mut()),
        (HttpMethod::Put, item.put.as_mut()),
        (HttpMethod::Post, item.post.as_mut()),
        (HttpMethod::Patch, item.patch.as_mut()),
        (HttpMethod::Delete, item.delete.as_mut()),
    ];
    all.into_iter().filter_map(|(method, operation)| operation.map(|operation| (method, operation)))
}

fn complete(operation: &mut Operation, path: &str, method: HttpMethod) {
    let tag = operation.tags.as_ref().and_then(|tags| tags.first()).cloned().unwrap_or_default();
    operation.operation_id = operation.operation_id.take().map(|id| format!("{tag}_{id}"));
    let mut parameters: Vec<RefOr<Parameter>> = path_parameters(path).map(RefOr::T).collect();
    parameters.extend(operation.parameters.take().unwrap_or_default());
    if method == HttpMethod::Post && takes_key(&axum::http::Method::POST, path) {
        parameters.push(RefOr::T(idempotency_key()));
    }
    if method == HttpMethod::Get && parameters.iter().any(is_if_none_match) {
        let known = ResponseBuilder::new().description("The caller has what would be answered").build();
        operation.responses.responses.insert(String::from("304"), known.into());
    }
    if !parameters.is_empty() {
        operation.parameters = Some(parameters);
    }
    let schema = if tag == "opa" { "OpaError" } else { "Problem" };
    let media_type = if tag == "opa" { "application/json" } else { "application/problem+json" };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let problem =
        ResponseBuilder::new().description("Why it was not done").content(media_type, content).build();
    operation.responses.responses.insert(String::from("default"), problem.into());
}

fn is_if_none_match(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.name == "If-None-Match")
}

fn path_parameters(path: &str) -> impl Iterator<Item = Parameter> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).map(|name| {
        let known = PARAMETERS.iter().find(|(known, _, _)| *known == name);
        let (_, words, pattern) = known.copied().unwrap_or((name, "", "^.+$"));
        let schema = text().pattern(Some(pattern)).build();
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(words))
            .schema(Some(schema))
            .build()
    })
}

fn idempotency_key() -> Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("With the same key and body, the first answer is given again for 24 hours"))
        .schema(Some(text().pattern(Some("^[!-~]{1,255}$")).build()))
        .build()
}

fn text() -> ObjectBuilder {
    Object::builder().schema_type(Type::String)
}

fn requirement(name: &str) -> SecurityRequirement {
    SecurityRequirement::new::<_, [String; 0], String>(name, [])
}
