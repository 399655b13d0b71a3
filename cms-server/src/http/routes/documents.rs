// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Documents of every kind, under `/projects/{project}/{kind}` and, for the policies of the project
//! `platform`, under `/policies`.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cms_core::api::PageQuery;
use cms_core::api::documents::{
    Document, DocumentContent, DocumentDiff, Kind, PutDocument, RollbackDocument, WriteDocuments,
    WrittenDocuments,
};
use cms_core::api::page::Page;
use cms_core::ids::{Name, ProjectId};
use cms_core::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::http::caller::Caller;
use crate::http::extract::{ETag, Json, LargeJsonText, Params, Preconditions, RawBody, Segments};
use crate::http::problem::{Answer, Problem};
use crate::http::reply::{json, made, tagged};
use crate::http::routes::describe::{IfMatch, IfNoneMatch};
use crate::http::routes::queries::{ListQuery, VersionQuery};
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The media type of a document with its message.
const ENVELOPE: &str = "application/vnd.cms.document+json";

/// The media types that are texts beside `text/…`.
const TEXTS: [&str; 6] = [
    "",
    "application/json",
    "application/octet-stream",
    "application/toml",
    "application/x-yaml",
    "application/yaml",
];

/// The routes of documents.
pub(crate) fn router() -> Table {
    Table::new()
        .routes(v1(routes!(list)))
        .routes(v1(routes!(put, read, remove)))
        .routes(v1(routes!(versions)))
        .routes(v1(routes!(diff)))
        .routes(v1(routes!(rollback)))
        .routes(v1(routes!(write_all)))
        // The same handlers; a path without `{project}` and `{kind}` means the platform's policies.
        .route("/api/v1/policies", get(list))
        .route("/api/v1/policies/{*name}", get(read).put(put).delete(remove))
        .route("/api/v1/policies/-/versions/{*name}", get(versions))
        .route("/api/v1/policies/-/diff/{*name}", get(diff))
        .route("/api/v1/policies/-/rollback/{*name}", post(rollback))
}

/// A kind of documents in a project, from the path.
#[derive(Debug)]
pub(crate) struct Shelf {
    project: ProjectId,
    kind: Kind,
}

/// A document, from the path.
#[derive(Debug)]
pub(crate) struct At {
    shelf: Shelf,
    name: Name,
}

impl FromRequestParts<AppState> for Shelf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        Ok(Self::of(&raw_params(parts, state).await?)?)
    }
}

impl Shelf {
    fn of(params: &RawPathParams) -> Result<Self, Error> {
        let project = named(params, "project").map_or_else(|| Ok(ProjectId::platform()), ProjectId::parse)?;
        let kind = match named(params, "kind") {
            None => Kind::Policy,
            Some(text) => Kind::from_plural(text).ok_or_else(|| Error::not_found("this path"))?,
        };
        Ok(Self { project, kind })
    }
}

impl FromRequestParts<AppState> for At {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let params = raw_params(parts, state).await?;
        let shelf = Shelf::of(&params)?;
        let name = Name::parse(named(&params, "name").unwrap_or_default())?;
        Ok(Self { shelf, name })
    }
}

async fn raw_params(parts: &mut Parts, state: &AppState) -> Result<RawPathParams, Error> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    params.map_err(|_| Error::invalid("the path holds bytes that are no UTF-8"))
}

fn named<'p>(params: &'p RawPathParams, name: &str) -> Option<&'p str> {
    params.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// What a write may say beside its body.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WriteQuery {
    /// Why the document changes.
    message: Option<String>,
    /// For configs: the schema to keep to from now on, by name or as JSON; empty for none.
    schema: Option<String>,
}

/// A new version of a document, with what is to be said about it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    /// The text itself, as a string; JSON that is no string stands for its own text.
    #[schema(value_type = serde_json::Value)]
    content: Box<RawValue>,
    /// Why it changes.
    #[serde(default)]
    message: Option<String>,
    /// For configs: the schema to keep to from now on, by name or itself; empty for none.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    schema: Option<Box<RawValue>>,
}

/// Which versions to compare.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DiffQuery {
    /// The older version; the one before `to` if not given.
    from: Option<u64>,
    /// The newer version; the present one if not given.
    #[param(minimum = 1)]
    to: Option<u64>,
}

/// Lists documents.
#[utoipa::path(get, path = "/projects/{project}/{kind}", tag = "documents", params(ListQuery),
    responses((status = 200, description = "A page of documents", body = Page<Document>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Shelf { project, kind }: Shelf,
    Params(query): Params<ListQuery>,
) -> Answer<Json<Page<Document>>> {
    let (prefix, page) = (query.prefix.as_deref(), query.page());
    Ok(Json(app.cms().documents().list(&ctx, &project, kind, prefix, &page).await?))
}

/// Writes a new version of a document. The body is the text itself, or an envelope with its message.
#[utoipa::path(put, path = "/projects/{project}/{kind}/{*name}", tag = "documents", params(WriteQuery, IfMatch),
    request_body(content((String = "text/plain"), (serde_json::Value = "application/json"),
        (Envelope = "application/vnd.cms.document+json"))),
    responses((status = 200, description = "The version that now stands", body = Document),
        (status = 201, description = "The new document", body = Document)))]
async fn put(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    At { shelf, name }: At,
    Params(query): Params<WriteQuery>,
    expected: Preconditions,
    body: RawBody,
) -> Answer<impl IntoResponse> {
    let (put, expected) = (document(&body, query)?, expected.expected()?);
    let documents = app.cms().documents();
    let written = documents.put(&ctx, &shelf.project, shelf.kind, &name, put, expected).await?;
    Ok((made(written.created), tagged(written.document.version, written.document)))
}

/// Reads a document: as JSON, or its text alone for `Accept: text/plain`.
#[utoipa::path(get, path = "/projects/{project}/{kind}/{*name}", tag = "documents", params(VersionQuery, IfNoneMatch),
    responses((status = 200, description = "The document with its text",
            content((DocumentContent = "application/json"), (String = "text/plain")))))]
async fn read(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    At { shelf, name }: At,
    Params(query): Params<VersionQuery>,
    wanted: Wanted,
) -> Answer<Response> {
    let documents = app.cms().documents();
    let found = documents.get_encoded(&ctx, &shelf.project, shelf.kind, &name, query.version).await?;
    // A cache of the caller's own may keep it, but must ask each time.
    let common = ([(CACHE_CONTROL, "private, no-cache"), (VARY, "accept")], ETag::version(found.version));
    Ok(match wanted {
        Wanted::Text => (common, [(CONTENT_TYPE, "text/plain; charset=utf-8")], found.text).into_response(),
        Wanted::Json => (common, json(found.json)).into_response(),
    })
}

/// Removes a document by a tombstone version; its history stays.
#[utoipa::path(delete, path = "/projects/{project}/{kind}/{*name}", tag = "documents", params(WriteQuery, IfMatch),
    responses((status = 200, description = "The tombstone version", body = Document)))]
async fn remove(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    At { shelf, name }: At,
    Params(query): Params<WriteQuery>,
    expected: Preconditions,
) -> Answer<Json<Document>> {
    let expected = expected.expected()?;
    let documents = app.cms().documents();
    Ok(Json(documents.delete(&ctx, &shelf.project, shelf.kind, &name, query.message, expected).await?))
}

/// Lists the versions of a document, newest first.
#[utoipa::path(get, path = "/projects/{project}/{kind}/-/versions/{*name}", tag = "documents", params(PageQuery),
    responses((status = 200, description = "A page of versions", body = Page<Document>)))]
async fn versions(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    At { shelf, name }: At,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<Document>>> {
    Ok(Json(app.cms().documents().versions(&ctx, &shelf.project, shelf.kind, &name, &page).await?))
}

/// Compares two versions of a document.
#[utoipa::path(get, path = "/projects/{project}/{kind}/-/diff/{*name}", tag = "documents", params(DiffQuery),
    responses((status = 200, description = "The difference in unified form", body = DocumentDiff)))]
async fn diff(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    At { shelf, name }: At,
    Params(query): Params<DiffQuery>,
) -> Answer<Json<DocumentDiff>> {
    let documents = app.cms().documents();
    Ok(Json(documents.diff(&ctx, &shelf.project, shelf.kind, &name, query.from, query.to).await?))
}

/// Writes a new version with the text of an old one.
#[utoipa::path(post, path = "/projects/{project}/{kind}/-/rollback/{*name}", tag = "documents", request_body = RollbackDocument,
    responses((status = 200, description = "The version that now stands", body = Document)))]
async fn rollback(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    At { shelf, name }: At,
    Json(back): Json<RollbackDocument>,
) -> Answer<impl IntoResponse> {
    let written = app.cms().documents().rollback(&ctx, &shelf.project, shelf.kind, &name, back).await?;
    Ok(tagged(written.document.version, written.document))
}

/// Changes several documents, all or none of them, each from the version that its change was made for.
#[utoipa::path(post, path = "/projects/{project}/documents", tag = "documents", request_body = WriteDocuments,
    responses((status = 200, description = "The versions that were written", body = WrittenDocuments)))]
async fn write_all(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    body: LargeJsonText,
) -> Answer<Json<WrittenDocuments>> {
    Ok(Json(app.cms().documents().write_all(&ctx, &project, body.parse_object()?).await?))
}

/// The document that a body means: an envelope by its own type, or a text by any other.
fn document(body: &RawBody, query: WriteQuery) -> Result<PutDocument, Error> {
    if body.media_type == ENVELOPE {
        let envelope: Envelope = body.json()?;
        return Ok(PutDocument {
            content: text_of(&envelope.content)?,
            message: envelope.message.or(query.message),
            schema: envelope.schema.map(|schema| text_of(&schema)).transpose()?.or(query.schema),
        });
    }
    let is_text = TEXTS.contains(&body.media_type.as_str()) || body.media_type.starts_with("text/");
    if !is_text {
        return Err(Error::new(
            ErrorKind::UnsupportedMedia,
            "unsupported_media_type",
            format!(
                "send the text itself as `text/plain` or `application/json`, or an envelope as `{ENVELOPE}`"
            ),
        ));
    }
    let content = std::str::from_utf8(&body.bytes).map_err(|error| {
        Error::invalid(format!("the text is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    Ok(PutDocument { content: content.to_owned(), message: query.message, schema: query.schema })
}

fn text_of(content: &RawValue) -> Result<String, Error> {
    let text = content.get();
    if text.starts_with('"') {
        serde_json::from_str(text).map_err(Error::internal)
    } else {
        Ok(text.to_owned())
    }
}

/// In which form a document is asked for.
enum Wanted {
    Json,
    /// The text alone.
    Text,
}

impl FromRequestParts<AppState> for Wanted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Infallible> {
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_text = accept.split(',').next().is_some_and(|first| first.trim().starts_with("text/plain"));
        Ok(if is_text { Self::Text } else { Self::Json })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(media_type: &str, text: &str) -> Result<PutDocument, Error> {
        let body = RawBody { bytes: text.to_owned().into(), media_type: media_type.to_owned() };
        document(&body, WriteQuery { message: Some("why".into()), schema: None })
    }

    #[test]
    fn bodies_are_texts_or_envelopes() {
        for text_type in ["", "text/plain", "application/json"] {
            let put = put(text_type, "{\"content\":\"x\"}").unwrap();
            assert_eq!((put.content.as_str(), put.message.as_deref()), ("{\"content\":\"x\"}", Some("why")));
        }
        let enveloped = put(ENVELOPE, "{\"content\":\"x\",\"message\":\"own\"}").unwrap();
        assert_eq!((enveloped.content.as_str(), enveloped.message.as_deref()), ("x", Some("own")));
        let data = put(ENVELOPE, "{\"content\": {\"a\": [1, 2.50]}}").unwrap();
        assert_eq!(data.content, "{\"a\": [1, 2.50]}");
        assert!(put(ENVELOPE, "{\"content\":\"x\",\"version\":7}").is_err());
        assert_eq!(put("application/xml", "<x/>").unwrap_err().kind(), ErrorKind::UnsupportedMedia);
    }
}
