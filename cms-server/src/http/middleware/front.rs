// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one layer around every route: request id, address, limits on size, number and time, panics,
//! the form of problems, security headers, metrics and the log. One layer, because each costs an
//! allocation, and because their order matters: whatever happens, the answer carries its request id.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, MatchedPath, OriginalUri, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, EXPECT, STRICT_TRANSPORT_SECURITY,
    TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use cms_core::auth::Principal;
use cms_core::idempotency::Once;
use cms_core::{Error, RequestContext};
use futures_util::FutureExt;
use tower::{Layer, Service};

use super::super::address::{self, Origin};
use super::super::extract::{Known, check_raw_path, drain};
use super::super::problem::{Form, Problem};
use super::super::state::AppState;
use super::idempotency::{is_asked, once, takes_key};
use super::limiter::Allowance;
use super::metrics::Slot;
use super::queries::Unknown;
use super::request_id::X_REQUEST_ID;

/// RFC 7240.
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// How long a path with its query may be.
const MAX_URI_BYTES: usize = 8 * 1024;
/// How large all headers together may be.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// How many headers a request may have.
const MAX_HEADERS: usize = 100;
/// How long a verification of the whole trail may take.
const VERIFY_TIME: Duration = Duration::from_secs(600);

/// What the front knows about a request; handlers find it among the extensions.
#[derive(Debug, Clone)]
pub(crate) struct RequestInfo {
    /// The request id.
    pub(crate) id: Arc<str>,
    /// Where the request comes from.
    pub(crate) origin: Origin,
    /// Where to note what the caller has left, if answers are to tell.
    pub(crate) allowance: Option<Arc<OnceLock<Allowance>>>,
    /// A query parameter that the operation does not take.
    pub(crate) unknown_query: Option<Unknown>,
    /// The key under which the request is run once.
    pub(crate) once: Option<Arc<Once>>,
}

impl RequestInfo {
    /// The address that limits and records speak of.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.origin.address
    }

    /// The context of a request by this principal.
    pub(crate) fn context(&self, principal: Arc<Principal>) -> RequestContext {
        let context = RequestContext::identified(principal, self.id.clone());
        context.with_address(self.address()).with_once(self.once.clone())
    }
}

impl Default for RequestInfo {
    /// For a request that has not passed the front: nothing is known of it.
    fn default() -> Self {
        Self {
            id: Arc::from("unknown"),
            origin: Origin::default(),
            allowance: None,
            unknown_query: None,
            once: None,
        }
    }
}

/// Puts the front around a router.
#[derive(Debug, Clone)]
pub(crate) struct FrontLayer(pub(crate) AppState);

impl Layer<Route> for FrontLayer {
    type Service = Front;

    fn layer(&self, inner: Route) -> Front {
        Front { state: self.0.clone(), inner }
    }
}

/// The front around one route.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    state: AppState,
    inner: Route,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A route is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Answering {
        let exchange = Exchange::begin(&self.state, &request);
        let slot = match admit(&self.state, &request, exchange.info.unknown_query.as_ref()) {
            Ok(slot) => slot,
            Err(problem) => {
                keep_reading(&mut request);
                return Box::pin(async move { Ok(exchange.end(problem.into_response())) });
            }
        };
        keep_reading(&mut request);
        request.extensions_mut().insert(exchange.info.clone());
        let limit = time_limit(&self.state, &request);
        if exchange.is_once(request.headers()) {
            let answering = once(self.state.clone(), exchange.info.clone(), self.inner.clone(), request);
            return exchange.answer(slot, limit, answering.map(Ok));
        }
        let answering = self.inner.call(request);
        exchange.answer(slot, limit, answering)
    }
}

/// One request and its answer.
struct Exchange {
    state: AppState,
    info: RequestInfo,
    started: Instant,
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
    form: Form,
    /// What a reader has already.
    known: Option<Known>,
}

impl Exchange {
    fn begin(state: &AppState, request: &Request) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let mut origin = address::origin(peer, request.headers(), &state.options().trusted_proxies);
        origin.is_local &= state.options().local_operator;
        Self {
            state: state.clone(),
            info: RequestInfo {
                id: state.request_ids().of(request.headers()),
                origin,
                allowance: state.options().caller_per_minute.map(|_| Arc::default()),
                unknown_query: unknown_query(state, request),
                once: None,
            },
            started: Instant::now(),
            method: request.method().clone(),
            uri: request
                .extensions()
                .get::<OriginalUri>()
                .map_or_else(|| request.uri().clone(), |uri| uri.0.clone()),
            route: request.extensions().get::<MatchedPath>().cloned(),
            // A host's prefix is not part of this path.
            form: Form::of(request.uri().path()),
            known: known(request),
        }
    }

    /// Whether the request is to be run once for its key.
    fn is_once(&self, headers: &HeaderMap) -> bool {
        let takes = |route: &MatchedPath| takes_key(&self.method, route.as_str());
        self.form == Form::Problem && is_asked(headers) && self.route.as_ref().is_some_and(takes)
    }

    /// Waits for the answer, but not for ever, and whatever becomes of the handler.
    fn answer<F>(self, slot: Slot, limit: Duration, answering: F) -> Answering
    where
        F: Future<Output = Result<Response, Infallible>> + Send + 'static,
    {
        let answering = AssertUnwindSafe(answering).catch_unwind();
        Box::pin(async move {
            let response = match tokio::time::timeout(limit, answering).await {
                Ok(Ok(Ok(response))) => response,
                Ok(Err(_panic)) => panicked(&self.info.id).into_response(),
                Err(_elapsed) => timed_out(limit).into_response(),
            };
            drop(slot);
            Ok(self.end(response))
        })
    }

    /// Writes problems, adds what every answer carries, counts and logs.
    fn end(self, mut response: Response) -> Response {
        if let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() {
            self.state.metrics().refused(problem.error().code());
            problem.log(&self.info.id);
            let mut written = problem.render(self.form, &self.info.id, self.uri.path());
            // Headers that the route has set, such as `RateLimit-*`, stay.
            written.headers_mut().extend(std::mem::take(response.headers_mut()));
            response = written;
        }
        if self.is_known(&response) {
            response = unchanged(response);
        }
        self.add_headers(response.headers_mut());
        let took = self.started.elapsed();
        let route = self.route.as_ref().map(MatchedPath::as_str);
        self.state.metrics().answered(route, &self.method, response.status(), took);
        self.log(response.status(), took);
        response
    }

    fn is_known(&self, response: &Response) -> bool {
        response.status() == StatusCode::OK
            && self.known.as_ref().is_some_and(|known| known.are_known(response.headers()))
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.info.id) {
            headers.insert(X_REQUEST_ID, id);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        if let Some(allowance) = self.info.allowance.as_ref().and_then(|noted| noted.get()) {
            allowance.write(headers);
        }
        if self.state.options().strict_transport {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
    }

    fn log(&self, status: StatusCode, took: Duration) {
        tracing::debug!(
            target: "cms::http",
            request_id = &*self.info.id,
            method = %self.method,
            path = self.uri.path(),
            status = status.as_u16(),
            micros = took.as_micros(),
            address = self.info.origin.address.map(tracing::field::display),
            "answered"
        );
    }
}

fn unknown_query(state: &AppState, request: &Request) -> Option<Unknown> {
    let route = request.extensions().get::<MatchedPath>()?;
    state.queries().unknown(route.as_str(), request.method(), request.uri())
}

/// What a reader says that it has.
fn known(request: &Request) -> Option<Known> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    reads.then(|| Known::of(request.headers())).flatten()
}

/// The answer to a reader who has what would be sent (RFC 9110, 15.4.5).
fn unchanged(mut response: Response) -> Response {
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.body_mut() = Body::empty();
    for name in [CONTENT_TYPE, CONTENT_LENGTH] {
        response.headers_mut().remove(name);
    }
    response
}

/// Refuses what is too long, hides something in its path, or finds the server full.
fn admit(state: &AppState, request: &Request, unknown: Option<&Unknown>) -> Result<Slot, Problem> {
    check_size(request)?;
    check_raw_path(request.uri().path())?;
    check_length(request.headers(), state.options().large_body_bytes)?;
    if let Some(unknown) = unknown.filter(|unknown| unknown.at_once) {
        return Err(unknown.error().into());
    }
    let slot = if waits(request.headers()).or_else(|| asks_to_wait(request.uri())).is_some() {
        state.waiting().enter(state.options().waiting.into())
    } else {
        let slot = state.in_flight().enter(state.options().in_flight.into());
        state.metrics().set_in_flight(state.in_flight().count());
        slot
    };
    slot.ok_or_else(|| Problem::busy("overloaded", "the server has too much to do; try again in a moment"))
}

fn check_size(request: &Request) -> Result<(), Problem> {
    let uri = request.uri();
    let length = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if length > MAX_URI_BYTES {
        let detail = format!("the path and query are longer than {MAX_URI_BYTES} bytes");
        return Err(Problem::http(StatusCode::URI_TOO_LONG, "uri_too_long", detail));
    }
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES || headers.len() > MAX_HEADERS {
        let detail = format!(
            "the headers are more than {MAX_HEADERS} or larger than {MAX_HEADER_BYTES} bytes together"
        );
        return Err(Problem::http(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", detail));
    }
    Ok(())
}

/// No route takes more than the larger limit; what announces more is refused before anything else.
fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), Error> {
    let Some(value) = headers.get(CONTENT_LENGTH) else { return Ok(()) };
    match value.to_str().ok().and_then(|text| text.parse::<u64>().ok()) {
        Some(length) if length <= limit as u64 => Ok(()),
        Some(_) => Err(Error::too_large(format!("the body is larger than the limit of {limit} bytes"))),
        None => Err(Error::invalid("the header `content-length` is not a number")),
    }
}

/// The seconds that a long poll asks to wait: `Prefer: wait=N`.
pub(crate) fn waits(headers: &HeaderMap) -> Option<u64> {
    let prefer = headers.get(PREFER)?.to_str().ok()?;
    prefer
        .split([',', ';'])
        .find_map(|part| part.trim().strip_prefix("wait=")?.trim_matches('"').parse().ok())
}

/// The seconds that a long poll asks to wait where it is asked in the query: `?wait=N`, also `Ns`.
pub(crate) fn asks_to_wait(uri: &Uri) -> Option<u64> {
    let mut pairs = uri.query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix("wait=")?.trim_end_matches('s').parse().ok())
}

fn time_limit(state: &AppState, request: &Request) -> Duration {
    let options = state.options();
    if request.uri().path().ends_with("/-/verify") {
        return VERIFY_TIME;
    }
    match waits(request.headers()).or_else(|| asks_to_wait(request.uri())) {
        None => options.request_time,
        Some(seconds) => options.request_time + Duration::from_secs(seconds).min(options.wait_time),
    }
}

/// Bodies that no handler reads are read on in the background: of a large one, so that the answer
/// arrives; of any, because otherwise the connection would be closed without a word while its client
/// sends the next request on it. Who asks before sending (`Expect`) need not send after a refusal, so
/// that nobody knows what comes next on the connection: it is left to be closed.
fn keep_reading(request: &mut Request) {
    let headers = request.headers();
    if headers.contains_key(EXPECT) {
        return;
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.map_or(headers.contains_key(TRANSFER_ENCODING), |length: u64| length > 0) {
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::new(Kept(Some(body)));
    }
}

/// A body that is read to its end even if it is dropped before.
struct Kept(Option<Body>);

impl HttpBody for Kept {
    type Data = axum::body::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        let Some(body) = self.0.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.0.as_ref().map_or_else(|| hyper::body::SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(drain(body));
        }
    }
}

fn panicked(request_id: &str) -> Problem {
    tracing::error!(request_id, "a handler panicked");
    Error::internal("a handler panicked").into()
}

fn timed_out(limit: Duration) -> Problem {
    let detail = format!(
        "the answer took longer than {} s; read before trying again, as a change may have been made",
        limit.as_secs()
    );
    Problem::busy("timed_out", detail)
}
