// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The simple front door for configs: the config itself under its name, for services that know nothing of
//! projects and releases. Project and environment are the key's.

use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cms_core::api::documents::{Document, Kind, PutDocument};
use cms_core::auth::PrincipalKind;
use cms_core::configs::ReadConfig;
use cms_core::ids::{Name, ProjectId};
use cms_core::{Error, ErrorKind, RequestContext};
use serde::Serialize;
use serde::de::IgnoredAny;
use utoipa::{IntoParams, ToSchema};

use crate::http::caller::{Caller, Stranger};
use crate::http::extract::{ETag, Json, Preconditions, RawBody};
use crate::http::middleware::front::asks_to_wait;
use crate::http::problem::{Answer, Problem};
use crate::http::reply::{json, made};
use crate::http::routes::describe::{IfMatch, IfNoneMatch};
use crate::http::routes::table::{Table, routes};
use crate::http::state::AppState;

const X_CMS_RELEASE: HeaderName = HeaderName::from_static("x-cms-release");
const X_CMS_ENVIRONMENT: HeaderName = HeaderName::from_static("x-cms-environment");
/// What a reader and a writer may say in the query.
const READS: [&str; 5] = ["environment", "labels", "instance", "wait", "project"];
const WRITES: [&str; 3] = ["schema", "message", "project"];

/// The routes under `/config`.
pub(crate) fn router() -> Table {
    Table::new().routes(routes!(read, write)).routes(routes!(health))
}

/// The same routes at the root of a router of their own.
pub(crate) fn alone() -> axum::Router<AppState> {
    axum::Router::new().route("/{*name}", get(read).put(write)).route("/health", get(health))
}

/// A config that somebody asks for.
pub(crate) struct At {
    ctx: RequestContext,
    project: ProjectId,
    name: Name,
}

impl FromRequestParts<AppState> for At {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let Caller(ctx) = Caller::from_request_parts(parts, state).await?;
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::invalid("the path holds bytes that are no UTF-8"))?;
        let name = params.iter().find(|(known, _)| *known == "name").map_or("", |(_, value)| value);
        let name = Name::parse(name)?;
        // What is misspelt is told before what is missing.
        let takes = if parts.method == Method::PUT { &WRITES[..] } else { &READS };
        check_known(&parts.uri, takes)?;
        let project = match (&ctx.principal.kind, parameter(&parts.uri, "project")?) {
            (PrincipalKind::Key { project, .. }, None) => project.clone(),
            (_, Some(project)) => ProjectId::parse(&project)?,
            (_, None) => {
                let text = "send an API key, whose project is meant, or name one with `?project=`";
                return Err(Error::invalid(text).into());
            }
        };
        Ok(Self { ctx, project, name })
    }
}

/// What a reader may say.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters that the handler reads")]
pub(crate) struct ReadQuery {
    /// The environment; the key's, or `prod`, or the project's only one if not given.
    environment: Option<String>,
    /// Labels as `name=value`, joined by commas, the lowest layer first.
    labels: Option<String>,
    /// The instance.
    instance: Option<String>,
    /// How many seconds to wait for another config than the one that `If-None-Match` names.
    wait: Option<String>,
    /// The project; a key's own if not given.
    project: Option<String>,
}

/// Reads a config, rendered and with its secrets.
#[utoipa::path(get, path = "/config/{*name}", tag = "config", params(ReadQuery, IfNoneMatch),
    responses((status = 200, description = "The config", body = serde_json::Value)))]
async fn read(State(app): State<AppState>, at: At, uri: Uri, known: Preconditions) -> Answer<Response> {
    let started = Instant::now();
    app.limiter().count_config_read(&at.ctx.principal, at.ctx.address).await?;
    let read = ReadConfig {
        environment: parameter(&uri, "environment")?,
        labels: parameter(&uri, "labels")?,
        instance: parameter(&uri, "instance")?,
    };
    let wait = Duration::from_secs(asks_to_wait(&uri).unwrap_or(0)).min(app.options().wait_time);
    let configs = app.cms().configs();
    let ask = |wait| configs.read(&at.ctx, &at.project, &at.name, &read, known.one_tag(), wait);
    let found = match app.options().closing.run_until_cancelled(ask(wait)).await {
        Some(found) => found?,
        // The server is about to stop: the caller asks the next one at once.
        None => ask(Duration::ZERO).await?,
    };
    app.metrics().config_answered(started.elapsed());
    let cache = if found.is_secret { "no-store" } else { "private, no-cache" };
    let about = [
        (CACHE_CONTROL, cache),
        (X_CMS_RELEASE, &*found.release),
        (X_CMS_ENVIRONMENT, found.environment.as_str()),
    ];
    Ok((about, ETag::text(&found.tag), json(found.json)).into_response())
}

/// What a writer may say.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters that the handler reads")]
pub(crate) struct WriteQuery {
    /// The schema to keep to from now on: a name, or the schema itself as JSON.
    schema: Option<String>,
    /// Why the config changes.
    message: Option<String>,
    /// The project; a key's own if not given.
    project: Option<String>,
}

/// A config that was written.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WrittenConfig {
    #[serde(flatten)]
    document: Document,
    /// What is still to be done for readers to see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

/// Writes a config.
#[utoipa::path(put, path = "/config/{*name}", tag = "config", params(WriteQuery, IfMatch),
    request_body = serde_json::Value,
    responses((status = 200, description = "The version that now stands", body = WrittenConfig),
        (status = 201, description = "The new config", body = WrittenConfig)))]
async fn write(
    State(app): State<AppState>,
    at: At,
    uri: Uri,
    expected: Preconditions,
    body: RawBody,
) -> Answer<impl IntoResponse> {
    let started = Instant::now();
    app.limiter().count_config_write(&at.ctx.principal, at.ctx.address).await?;
    let put =
        PutDocument { content: content(&body)?, message: parameter(&uri, "message")?, schema: schema(&uri)? };
    let documents = app.cms().documents();
    let expected = expected.expected()?;
    let written = documents.put(&at.ctx, &at.project, Kind::Config, &at.name, put, expected).await?;
    app.metrics().config_updated();
    app.metrics().config_answered(started.elapsed());
    let document = written.document;
    let waits = document.release.is_none() && document.author == at.ctx.principal.to_string();
    let hint =
        waits.then_some("where releases are not made by themselves, readers see it once it is released");
    Ok((made(written.created), ETag::version(document.version), Json(WrittenConfig { document, hint })))
}

/// How the front door stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Standing {
    /// `healthy`, or `unhealthy`.
    status: &'static str,
}

/// Tells whether configs can be read.
#[utoipa::path(get, path = "/config/health", tag = "config", operation_id = "health", security(()),
    responses((status = 200, description = "They can", body = Standing)))]
async fn health(State(app): State<AppState>, _asked: Stranger, uri: Uri) -> Answer<Json<Standing>> {
    check_known(&uri, &[])?;
    let health = app.cms().health().await;
    if health.sealed || health.store_error.is_some() {
        return Err(Problem::busy("unhealthy", "the store does not answer, or the installation is sealed"));
    }
    Ok(Json(Standing { status: "healthy" }))
}

/// The text of a config. What says that it is JSON must be.
fn content(body: &RawBody) -> Result<String, Error> {
    let content = std::str::from_utf8(&body.bytes).map_err(|error| {
        Error::invalid(format!("the text is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    if matches!(body.media_type.as_str(), "" | "application/json") {
        serde_json::from_str::<IgnoredAny>(content).map_err(|error| {
            Error::new(ErrorKind::Invalid, "invalid_json", format!("the body is no JSON: {error}"))
        })?;
    }
    Ok(content.to_owned())
}

/// The schema that a writer names. A dictionary among the parameters of Python's `requests` arrives as its
/// keys alone, each as a parameter of its own.
fn schema(uri: &Uri) -> Result<Option<String>, Error> {
    let given: Vec<String> =
        parameters(uri)?.into_iter().filter(|(name, _)| name == "schema").map(|(_, value)| value).collect();
    match given.as_slice() {
        [] => Ok(None),
        [one] if !["type", "properties"].contains(&one.as_str()) => Ok(Some(one.clone())),
        keys => Err(Error::unprocessable(
            "invalid_schema",
            format!("`schema` came as `{}`: the keys of a dictionary alone", keys.join("`, `")),
        )
        .with_hint("send the schema as JSON text: `params={\"schema\": json.dumps(schema)}`, or name one")),
    }
}

fn check_known(uri: &Uri, names: &[&str]) -> Result<(), Error> {
    let unknown = parameters(uri)?.into_iter().find(|(name, _)| !names.contains(&name.as_str()));
    let Some((name, _)) = unknown else { return Ok(()) };
    let shown: String = name.chars().take(80).flat_map(char::escape_default).collect();
    let known = if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) };
    let text = format!("the query parameter `{shown}` is not known to this operation; it takes {known}");
    Err(Error::new(ErrorKind::Invalid, "invalid_query", text))
}

fn parameter(uri: &Uri, name: &str) -> Result<Option<String>, Error> {
    let mut given = parameters(uri)?.into_iter().filter(|(known, _)| known == name).map(|(_, value)| value);
    let first = given.next();
    match given.next() {
        None => Ok(first),
        Some(_) => {
            Err(Error::new(ErrorKind::Invalid, "invalid_query", format!("`{name}` is given more than once")))
        }
    }
}

fn parameters(uri: &Uri) -> Result<Vec<(String, String)>, Error> {
    if uri.query().is_none() {
        return Ok(Vec::new());
    }
    let read = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
    read.map(|query| query.0)
        .map_err(|_| Error::new(ErrorKind::Invalid, "invalid_query", "the query cannot be read"))
}
