// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Request bodies: read once, within a limit and while they keep coming, unpacked if they are
//! gzipped, and parsed strictly. A missing content type is JSON, because Go's clients send none.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use cms_core::{Error, ErrorKind};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize, Zeroizing};

use super::super::problem::Problem;
use super::super::state::AppState;
use super::json;

/// How long an unwanted body is read on, so that the client gets to read its answer.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How much of an unwanted body is read on.
const DRAIN_BYTES: usize = 128 * 1024 * 1024;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be missing, empty or `null`.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

/// A JSON body that is not looked at before it is parsed: for the busiest routes, whose parsers keep
/// the limits themselves.
#[derive(Debug)]
pub(crate) struct JsonText(Bytes);

/// The same, up to the larger limit.
#[derive(Debug)]
pub(crate) struct LargeJsonText(JsonText);

/// JSON whatever the content type says: OPA does not look at it, and its callers, from `curl -d` to
/// gateways, send what they please.
#[derive(Debug)]
pub(crate) struct AnyJsonText(pub(crate) JsonText);

/// A body as it came, unpacked, up to the larger limit.
#[derive(Debug)]
pub(crate) struct RawBody {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// The media type without parameters, in lower case; empty if none was sent.
    pub(crate) media_type: String,
}

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let bytes = read(request, state, state.options().body_bytes).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::new(ErrorKind::Invalid, "invalid_json", "a JSON body is needed").into());
        }
        Ok(Self(json::parse(&bytes)?))
    }
}

impl<T: DeserializeOwned + Default> FromRequest<AppState> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let bytes = read(request, state, state.options().body_bytes).await?;
        let text = bytes.trim_ascii();
        if text.is_empty() || text == b"null" { Ok(Self(T::default())) } else { Ok(Self(json::parse(text)?)) }
    }
}

impl FromRequest<AppState> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        require_json(request.headers())?;
        Ok(Self(read(request, state, state.options().body_bytes).await?))
    }
}

impl FromRequest<AppState> for LargeJsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        require_json(request.headers())?;
        Ok(Self(JsonText(read(request, state, state.options().large_body_bytes).await?)))
    }
}

impl FromRequest<AppState> for AnyJsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        Ok(Self(JsonText(read(request, state, state.options().body_bytes).await?)))
    }
}

impl JsonText {
    /// Parses the body into something that borrows from it.
    ///
    /// # Errors
    /// `Invalid`, with the place.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_slice(&self.0).map_err(|error| json::fault(&error))
    }

    /// Parses the body into a struct that borrows from it: an array would be taken for the fields in
    /// their order.
    ///
    /// # Errors
    /// `Invalid`, with the place.
    pub(crate) fn parse_object<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        json::require_object(&self.0)?;
        self.parse()
    }

    /// Whether `null` was sent.
    pub(crate) fn is_null(&self) -> bool {
        self.0.trim_ascii() == b"null"
    }

    /// Whether nothing was sent.
    pub(crate) fn is_blank(&self) -> bool {
        self.0.trim_ascii().is_empty()
    }
}

impl LargeJsonText {
    /// Parses the body into something that borrows from it.
    ///
    /// # Errors
    /// `Invalid`, with the place.
    pub(crate) fn parse_object<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        self.0.parse_object()
    }
}

impl FromRequest<AppState> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let media_type = media_type(request.headers())?;
        let bytes = read(request, state, state.options().large_body_bytes).await?;
        Ok(Self { bytes, media_type })
    }
}

impl RawBody {
    /// The body as JSON, in the form of `T`.
    ///
    /// # Errors
    /// `UnsupportedMedia` for another content type, `Invalid` for bad JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if !is_json(&self.media_type) {
            return Err(unsupported(&self.media_type));
        }
        json::parse(&self.bytes)
    }

    /// The same for a body that may be missing, empty or `null`.
    ///
    /// # Errors
    /// As [`RawBody::json`].
    pub(crate) fn optional_json<T: DeserializeOwned + Default>(&self) -> Result<T, Error> {
        match self.bytes.trim_ascii() {
            b"" | b"null" => Ok(T::default()),
            _ => self.json(),
        }
    }
}

/// Whether a media type is JSON; none at all counts as JSON.
pub(crate) fn is_json(media_type: &str) -> bool {
    media_type.is_empty()
        || media_type == "application/json"
        || media_type.strip_prefix("application/").is_some_and(|rest| rest.ends_with("+json"))
}

fn require_json(headers: &HeaderMap) -> Result<(), Error> {
    if headers.get(CONTENT_TYPE).is_none_or(|value| value == "application/json") {
        return Ok(());
    }
    let media_type = media_type(headers)?;
    if is_json(&media_type) { Ok(()) } else { Err(unsupported(&media_type)) }
}

fn media_type(headers: &HeaderMap) -> Result<String, Error> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(String::new()) };
    let text = value.to_str().map_err(|_| Error::invalid("the header `content-type` is not readable"))?;
    let (media_type, parameters) = text.split_once(';').unwrap_or((text, ""));
    let parameters = parameters.to_ascii_lowercase();
    let charset = parameters.split(';').find_map(|part| part.trim().strip_prefix("charset="));
    if charset.is_some_and(|name| !matches!(name.trim_matches('"'), "utf-8" | "utf8" | "us-ascii")) {
        return Err(Error::new(
            ErrorKind::UnsupportedMedia,
            "unsupported_media_type",
            "send the body in UTF-8",
        ));
    }
    Ok(media_type.trim().to_ascii_lowercase())
}

fn unsupported(media_type: &str) -> Error {
    let shown: String = media_type.chars().take(80).collect();
    Error::new(
        ErrorKind::UnsupportedMedia,
        "unsupported_media_type",
        format!("the content type `{shown}` is not understood here; send `application/json`"),
    )
}

/// Reads a body of at most `limit` bytes, packed and unpacked.
async fn read(request: Request, state: &AppState, limit: usize) -> Result<Bytes, Problem> {
    let packed = is_gzipped(request.headers())?;
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large(limit).into());
    }
    let bytes = collect(request.into_body(), limit, state.options().body_idle).await?;
    if packed { Ok(unpack(&bytes, limit)?) } else { Ok(bytes) }
}

/// Collects a body of at most `limit` bytes that never pauses longer than `idle`.
pub(crate) async fn collect(mut body: Body, limit: usize, idle: Duration) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    // Wiped when the request has been served: it may hold a secret. What the connection has read it
    // into is not ours to wipe.
    let mut rest = Zeroizing::new(Vec::new());
    let mut length = 0_usize;
    loop {
        let frame = match tokio::time::timeout(idle, body.frame()).await {
            Err(_) => return Err(stalled()),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Error::invalid("the body ended early or is badly framed").into()),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > limit {
            return Err(too_large(limit).into());
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            if rest.capacity() < length {
                let mut larger = Vec::with_capacity((length * 2).min(limit));
                larger.extend_from_slice(&rest);
                rest.zeroize();
                *rest = larger;
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { Bytes::from_owner(rest) })
}

fn is_gzipped(headers: &HeaderMap) -> Result<bool, Error> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(false) };
    match value.to_str().map(str::trim) {
        Ok(text) if text.eq_ignore_ascii_case("gzip") => Ok(true),
        Ok(text) if text.is_empty() || text.eq_ignore_ascii_case("identity") => Ok(false),
        _ => Err(Error::new(
            ErrorKind::UnsupportedMedia,
            "unsupported_content_encoding",
            "only `gzip` is understood as a content encoding",
        )),
    }
}

fn unpack(packed: &[u8], limit: usize) -> Result<Bytes, Error> {
    let mut plain = Vec::with_capacity(packed.len().saturating_mul(4).min(limit));
    let mut reader = flate2::read::MultiGzDecoder::new(packed).take(limit as u64 + 1);
    match reader.read_to_end(&mut plain) {
        Err(_) => Err(Error::invalid("the body is not the gzip that its header promises")),
        Ok(length) if length > limit => Err(too_large(limit)),
        Ok(_) => Ok(plain.into()),
    }
}

fn too_large(limit: usize) -> Error {
    Error::too_large(format!("the body is larger than its limit of {limit} bytes"))
}

fn stalled() -> Problem {
    Problem::http(
        StatusCode::REQUEST_TIMEOUT,
        "body_timeout",
        "the body did not arrive in time; send it again",
    )
}

/// Reads on from a body that nobody wants, for a while, without keeping any of it: closing the
/// connection at once would make the client's system discard the answer as well.
pub(crate) async fn drain(mut body: Body) {
    let mut length = 0_usize;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            length = length.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            if length > DRAIN_BYTES {
                break;
            }
        }
    };
    // Past the time it does not matter how far it came.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const IDLE: Duration = Duration::from_secs(1);

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(plain).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn json_types_are_told_from_others() {
        for json in ["", "application/json", "application/merge-patch+json"] {
            assert!(is_json(json), "{json}");
        }
        for other in ["text/plain", "application/xml", "application/x-www-form-urlencoded", "json"] {
            assert!(!is_json(other), "{other}");
        }
    }

    #[test]
    fn a_bomb_is_refused_by_its_unpacked_size() {
        let bomb = gzip(&vec![0; 8 * 1024 * 1024]);
        assert!(bomb.len() < 64 * 1024);
        assert_eq!(unpack(&bomb, 1024 * 1024).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(unpack(&gzip(b"{}"), 16).unwrap().as_ref(), b"{}");
        assert_eq!(unpack(b"no gzip", 16).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn bodies_end_at_their_limit() {
        assert_eq!(collect(Body::from("12345"), 5, IDLE).await.unwrap().as_ref(), b"12345");
        let problem = collect(Body::from("123456"), 5, IDLE).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let problem = collect(Body::from_stream(never), 5, IDLE).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
