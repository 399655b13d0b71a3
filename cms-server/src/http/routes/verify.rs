// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Forward authentication: a gateway asks about a request that it holds, and lets it pass on 200.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::IntoResponse;
use axum::routing::any;
use cms_core::api::auth::{HeldRole, Me};
use cms_core::decisions::query_path;
use cms_core::ids::{EnvironmentId, ProjectId};
use cms_core::{Error, ErrorKind, RequestContext};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::http::caller::Caller;
use crate::http::extract::Params;
use crate::http::problem::Answer;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The route of forward authentication, for every method.
pub(crate) fn router() -> Table {
    Table::new().routes(v1(routes!(verify).answered_by(any(verify))))
}

/// The rule to ask beside the credential.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VerifyQuery {
    /// The project whose policy is asked; an API key's own, if not given.
    project: Option<String>,
    /// The environment.
    environment: Option<String>,
    /// The rule, such as `gateway/allow`.
    path: Option<String>,
}

/// Says whether a request that a gateway holds may pass: by its credential, and by a policy rule if
/// one is named. Reads `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`. Answers every method.
#[utoipa::path(get, path = "/auth/verify", tag = "auth", params(VerifyQuery),
    responses((status = 200, description = "It may; `X-Cms-Principal`, `X-Cms-Project` and `X-Cms-Roles` say who asks"),
        (status = 403, description = "It may not", body = crate::http::problem::ProblemDetails, content_type = "application/problem+json")))]
async fn verify(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Params(query): Params<VerifyQuery>,
    method: Method,
    headers: HeaderMap,
) -> Answer<impl IntoResponse> {
    let me = app.cms().auth().me(&ctx).await?;
    let project = query.project.clone().or_else(|| me.project.clone());
    if let Some(project) = &query.project {
        app.cms().auth().check_relation(&ctx, &ProjectId::parse(project)?).await?;
    }
    if let Some(path) = &query.path {
        let input = input(&app, &ctx, &me, &method, &headers);
        ask(&app, &ctx, project.as_deref(), query.environment.as_deref(), path, &input).await?;
    }
    Ok(who(&ctx, &me, project.as_deref()))
}

/// Asks the rule. Whatever is not a clear yes is a no.
async fn ask(
    app: &AppState,
    ctx: &RequestContext,
    project: Option<&str>,
    environment: Option<&str>,
    path: &str,
    input: &Value,
) -> Result<(), Error> {
    let project = project.ok_or_else(|| Error::invalid("`project` is needed to ask a rule"))?;
    let (project, path) = (ProjectId::parse(project)?, query_path(path)?);
    environment.map(EnvironmentId::parse).transpose()?;
    let text = input.to_string();
    let evaluated = app.cms().decisions().evaluate(ctx, &project, environment, &path, Some(&text)).await;
    let result = match evaluated {
        Ok(evaluated) => evaluated.result,
        Err(error) => return Err(as_denial(error)),
    };
    let result: Value = result.and_then(|text| serde_json::from_str(text.get()).ok()).unwrap_or(Value::Null);
    if result == Value::Bool(true) || result.get("allow") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    Err(Error::denied(reason(&result)))
}

/// Why the rule says no: its `reason`, or the first of its `reasons`.
fn reason(result: &Value) -> String {
    let first = result.get("reasons").and_then(|reasons| reasons.get(0));
    let given = result.get("reason").or(first).and_then(Value::as_str);
    given.unwrap_or("the policy does not allow it").chars().take(500).collect()
}

/// Gateways know 401 and 403 only: what cannot be decided is denied.
fn as_denial(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Unprocessable | ErrorKind::Denied => {
            Error::denied("the policy could not be asked").with_source(error)
        }
        _ => error,
    }
}

fn input(app: &AppState, ctx: &RequestContext, me: &Me, method: &Method, headers: &HeaderMap) -> Value {
    let forwarded = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let listed: serde_json::Map<String, Value> = app
        .options()
        .verify_headers
        .iter()
        .filter_map(|name| Some((name.clone(), forwarded(name)?.into())))
        .collect();
    json!({
        "method": forwarded("x-forwarded-method").unwrap_or(method.as_str()),
        "uri": forwarded("x-forwarded-uri"),
        "scheme": forwarded("x-forwarded-proto"),
        "host": forwarded("x-forwarded-host"),
        "address": ctx.address.map(|address| address.to_string()),
        "headers": listed,
        "principal": me,
    })
}

fn who(ctx: &RequestContext, me: &Me, project: Option<&str>) -> [(HeaderName, HeaderValue); 3] {
    let concerning = me.roles.iter().filter(|held| concerns(held, project));
    let roles: Vec<String> = concerning.map(|held| role(held, project)).collect();
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    [
        (HeaderName::from_static("x-cms-principal"), value(&ctx.principal.to_string())),
        (HeaderName::from_static("x-cms-project"), value(project.unwrap_or_default())),
        (HeaderName::from_static("x-cms-roles"), value(&roles.join(","))),
    ]
}

fn concerns(held: &HeldRole, project: Option<&str>) -> bool {
    held.project.is_none() || project.is_none() || held.project.as_deref() == project
}

/// The role alone where it is plain where it holds, else `project:role`.
fn role(held: &HeldRole, asked: Option<&str>) -> String {
    match &held.project {
        Some(project) if asked.is_none() => format!("{project}:{}", held.role.as_str()),
        _ => held.role.as_str().to_owned(),
    }
}
