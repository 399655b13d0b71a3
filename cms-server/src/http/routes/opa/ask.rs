// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every request of OPA's surface says: who asks, which environment and path are meant, and the
//! parameters that shape the answer; and the answer in that shape.

use std::io::Write;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_ENCODING, VARY};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use cms_core::ids::{EnvironmentId, Name, ProjectId};
use cms_core::{Error, RequestContext};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::http::caller::Caller;
use crate::http::extract::Json;
use crate::http::problem::{Answer, Problem};
use crate::http::reply;
use crate::http::state::AppState;

/// From how many bytes on an answer is packed for who takes it packed; OPA's own number.
const PACKED_FROM: usize = 1024;

/// Which document is asked for, and the caller.
pub(super) struct Ask {
    pub(super) ctx: RequestContext,
    pub(super) project: ProjectId,
    pub(super) environment: EnvironmentId,
    /// The rest of the path, without empty parts.
    pub(super) path: String,
    pub(super) options: Options,
    takes_gzip: bool,
}

/// The parameters of OPA that change the answer here.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) pretty: bool,
    pub(super) provenance: bool,
    pub(super) metrics: bool,
    pub(super) strict: bool,
    pub(super) explain: bool,
    pub(super) input: Option<String>,
    pub(super) query: Option<String>,
}

/// The parameters that every operation of the surface takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters that `Options` reads")]
pub(super) struct Shape {
    /// Whether the answer is indented.
    pretty: Option<bool>,
    /// Whether the answer names its release.
    provenance: Option<bool>,
    /// Whether the answer tells how long it took.
    metrics: Option<bool>,
    /// Whether an error of a built-in function ends the evaluation; else its call is undefined.
    #[param(rename = "strict-builtin-errors")]
    strict_builtin_errors: Option<bool>,
    /// Whether the answer explains itself: `notes`, `fails`, `full`, `debug` or `off`. Takes the right to
    /// read policies and data.
    explain: Option<String>,
}

impl FromRequestParts<AppState> for Ask {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let Caller(ctx) = Caller::from_request_parts(parts, state).await?;
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::invalid("the path holds bytes that are no UTF-8"))?;
        let named =
            |name: &str| params.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        Ok(Self {
            ctx,
            project: ProjectId::parse(named("project"))?,
            environment: EnvironmentId::parse(named("environment"))?,
            // As OPA does, empty parts count for nothing.
            path: named("path").split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"),
            options: Options::parse(parts.uri.query().unwrap_or_default()),
            takes_gzip: reply::takes_gzip(&parts.headers),
        })
    }
}

impl Ask {
    /// The path as the name of a document.
    ///
    /// # Errors
    /// `Invalid` if documents cannot be named so.
    pub(super) fn name(&self) -> Result<Name, Error> {
        Name::parse(&self.path)
    }

    /// Writes an answer as the caller wants it: indented, packed.
    pub(super) fn reply<T: Serialize>(&self, answer: T) -> Answer<Response> {
        if !self.options.pretty && !self.takes_gzip {
            return Ok(Json(answer).into_response());
        }
        let text = if self.options.pretty { indented(&answer) } else { serde_json::to_vec(&answer) };
        self.packed(text.map_err(Error::internal)?)
    }

    /// Answers with JSON text, packed if it is large and the caller takes that.
    pub(super) fn packed(&self, text: Vec<u8>) -> Answer<Response> {
        if !self.takes_gzip || text.len() < PACKED_FROM {
            return Ok(reply::json(text));
        }
        let mut packer = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
        packer.write_all(&text).map_err(Error::internal)?;
        let mut response = reply::json(packer.finish().map_err(Error::internal)?);
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        Ok(response)
    }

    /// Which program and release answered, in OPA's words, if that was asked for.
    pub(super) fn provenance(&self, release: &str) -> Option<Value> {
        let told = || {
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "build_commit": "",
                "build_timestamp": "",
                "build_hostname": "",
                "bundles": {self.environment.as_str(): {"revision": release}},
            })
        };
        self.options.provenance.then(told)
    }

    /// How long it took, in OPA's words, if that was asked for.
    pub(super) fn metrics(&self, started: std::time::Instant) -> Option<Value> {
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let told = || json!({"timer_rego_query_eval_ns": took, "timer_server_handler_ns": took});
        self.options.metrics.then(told)
    }
}

/// Indents as OPA does. The answer is built as a tree, which only people's requests pay for.
fn indented<T: Serialize>(answer: &T) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(&serde_json::to_value(answer)?)?;
    text.push(b'\n');
    Ok(text)
}

impl Options {
    /// Reads the parameters that are known; OPA ignores others.
    fn parse(query: &str) -> Self {
        let mut options = Self::default();
        for (name, value) in parameters(query) {
            match name {
                "pretty" => options.pretty = is_on(value),
                "provenance" => options.provenance = is_on(value),
                "strict-builtin-errors" => options.strict = is_on(value),
                "metrics" | "instrument" => options.metrics |= is_on(value),
                "explain" => options.explain = matches!(value, "notes" | "fails" | "full" | "debug"),
                "input" => options.input = Some(decode(value)),
                "q" => options.query = Some(decode(value)),
                _ => {}
            }
        }
        options
    }
}

/// The parameters of a query, still encoded. A name alone means true.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "true")))
}

/// Whether a parameter is switched on, in any of the ways that OPA knows.
pub(super) fn is_on(value: &str) -> bool {
    matches!(value, "" | "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// Decodes a form value once. What is no escape stays as it is; the JSON parser has the last word.
fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = tail.get(..2).and_then(|hex| data_encoding::HEXUPPER_PERMISSIVE.decode(hex).ok());
        match (first, escape) {
            (b'%', Some(byte)) => {
                bytes.extend(byte);
                rest = tail.get(2..).unwrap_or_default();
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_opa_reads_them() {
        let options = Options::parse("pretty&input=%7B%22a%22:+1%7D&explain=full&provenance=false&q=x%3D1");
        assert!(options.pretty && options.explain && !options.provenance);
        assert_eq!((options.input.as_deref(), options.query.as_deref()), (Some("{\"a\": 1}"), Some("x=1")));
        assert!(!Options::parse("pretty=0").pretty && Options::parse("instrument=True").metrics);
        assert_eq!(decode("100%"), "100%");
    }
}
