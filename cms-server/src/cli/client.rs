// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The HTTP client of the commands: sends one call, reads the answer, turns refusals into failures
//! and renews the session when an access token has run out.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::context::ContextFile;
use super::failure::{Exit, Failure, Problem};
use super::route::Route;
use super::transport;

/// One request to the server.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    route: Route,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<(&'static str, Vec<u8>)>,
}

impl Call {
    /// Makes a call without a body.
    pub(crate) fn new(method: Method, route: Route) -> Self {
        Self { method, route, query: Vec::new(), headers: Vec::new(), body: None }
    }

    /// Makes a reading call.
    pub(crate) fn get(route: Route) -> Self {
        Self::new(Method::GET, route)
    }

    /// Makes a call that sends JSON.
    pub(crate) fn json(method: Method, route: Route, body: &Value) -> Self {
        Self::new(method, route).body("application/json", body.to_string())
    }

    /// Sets the body.
    #[must_use]
    pub(crate) fn body(mut self, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some((content_type, body.into()));
        self
    }

    /// Adds a query parameter if there is a value for it.
    #[must_use]
    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// Adds a header if there is a value for it.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.headers.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// Names the version that the change replaces; absent, any.
    #[must_use]
    pub(crate) fn if_match(self, version: Option<&String>) -> Self {
        let tag = version.map(|version| format!("\"{}\"", version.trim_matches('"')));
        self.header("If-Match", tag)
    }
}

/// What the server answered to a call that it accepted.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The body, as it came.
    pub(crate) text: String,
    /// The body as JSON; null when it is none.
    pub(crate) value: Value,
}

impl Answer {
    fn new(text: String) -> Self {
        let value = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { text, value }
    }
}

/// The single-use pair of a context, and where the next one is kept.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The file.
    pub(crate) file: ContextFile,
    /// The name of the context in it.
    pub(crate) context: String,
}

/// A server and the credentials for it.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: Url,
    timeout: Duration,
    token: Mutex<Option<String>>,
    stored: Option<Stored>,
}

impl Client {
    /// Makes a client without credentials.
    ///
    /// # Errors
    /// A failure when the address or the certificate file cannot be used.
    pub(crate) fn new(address: &str, ca_cert: Option<&Path>, timeout: Duration) -> Result<Self, Failure> {
        let address = transport::address(address)?;
        let http = transport::client(&address, ca_cert)?;
        Ok(Self { http, address, timeout, token: Mutex::new(None), stored: None })
    }

    /// Adds credentials; with `stored`, an access token that ran out is renewed.
    #[must_use]
    pub(crate) fn with_token(mut self, token: Option<String>, stored: Option<Stored>) -> Self {
        self.token = Mutex::new(token);
        self.stored = stored;
        self
    }

    /// Gives the address of the server.
    pub(crate) fn address(&self) -> &Url {
        &self.address
    }

    /// Sends a call and reads the whole answer.
    ///
    /// # Errors
    /// The server's refusal, or a connection that fails.
    pub(crate) async fn call(&self, call: Call) -> Result<Answer, Failure> {
        let response = self.send(&call, Some(self.timeout)).await?;
        let text = response.text().await.map_err(|error| transport::explain(&error, &self.address))?;
        Ok(Answer::new(text))
    }

    /// Sends a call and hands out the answer as it arrives, for as long as that takes.
    ///
    /// # Errors
    /// The server's refusal, or a connection that fails.
    pub(crate) async fn stream(&self, call: Call) -> Result<Response, Failure> {
        self.send(&call, None).await
    }

    /// Puts the failure of a body that is read in pieces into words.
    pub(crate) fn broken(&self, error: &reqwest::Error) -> Failure {
        transport::explain(error, &self.address)
    }

    async fn send(&self, call: &Call, timeout: Option<Duration>) -> Result<Response, Failure> {
        let used = self.token.lock().await.clone();
        let response = self.once(call, timeout, used.as_deref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return accepted(response).await;
        }
        match self.renewed(used.as_deref()).await? {
            Some(token) => accepted(self.once(call, timeout, Some(&token)).await?).await,
            None => accepted(response).await,
        }
    }

    async fn once(
        &self,
        call: &Call,
        timeout: Option<Duration>,
        token: Option<&str>,
    ) -> Result<Response, Failure> {
        let mut request =
            self.http.request(call.method.clone(), self.url(call)?).headers(headers(call, token)?);
        if let Some((content_type, body)) = &call.body {
            request = request.header(header::CONTENT_TYPE, *content_type).body(body.clone());
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        request.send().await.map_err(|error| transport::explain(&error, &self.address))
    }

    fn url(&self, call: &Call) -> Result<Url, Failure> {
        let base = self.address.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{}", call.route.as_str()));
        let mut url = url.map_err(|error| Failure::error(format!("cannot form the request: {error}")))?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        Ok(url)
    }

    /// Brings a new access token for the one that was refused, if the context can do so.
    async fn renewed(&self, refused: Option<&str>) -> Result<Option<String>, Failure> {
        let Some(stored) = &self.stored else { return Ok(None) };
        let mut token = self.token.lock().await;
        // The lock is held over the exchange: a refresh token that is used twice ends the session.
        let held = stored.file.lock()?;
        let mut contexts = stored.file.load()?;
        let context = contexts.named_mut(&stored.context)?;
        if context.token.as_deref() == refused {
            let Some(refresh) = &context.refresh_token else { return Ok(None) };
            let pair = self.exchange(refresh).await?;
            context.token = Some(pair.access_token);
            context.refresh_token = Some(pair.refresh_token);
            *token = context.token.clone();
            held.save(&contexts)?;
        } else {
            *token = context.token.clone();
        }
        Ok(token.clone())
    }

    async fn exchange(&self, refresh: &str) -> Result<TokenPair, Failure> {
        let body = serde_json::json!({ "refresh_token": refresh });
        let call = Call::json(Method::POST, Route::api("auth/refresh"), &body);
        let response = self.once(&call, Some(self.timeout), None).await?;
        let ended = response.status().is_client_error() && response.status() != StatusCode::TOO_MANY_REQUESTS;
        if ended {
            return Err(
                Failure::new(Exit::Denied, "the session has ended").hint("log in again with `cms login`")
            );
        }
        let text = accepted(response).await?.text().await.map_err(|error| self.broken(&error))?;
        TokenPair::parse(&text)
    }
}

/// What logging in and renewing bring.
#[derive(Deserialize)]
pub(crate) struct TokenPair {
    /// Proves who the caller is, for a short time.
    pub(crate) access_token: String,
    /// Brings the next pair, once.
    pub(crate) refresh_token: String,
}

impl TokenPair {
    /// Reads the answer of a login or a renewal.
    ///
    /// # Errors
    /// A failure when it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        // The parser's message may quote a token, so it is dropped.
        serde_json::from_str(text)
            .map_err(|_quoting| Failure::error("the server answered the login without tokens"))
    }
}

fn headers(call: &Call, token: Option<&str>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::ACCEPT,
        HeaderValue::from_static("application/json, application/problem+json, */*;q=0.5"),
    );
    for (name, value) in &call.headers {
        let value = HeaderValue::from_str(value).map_err(|_invalid| {
            Failure::usage(format!("the value for `{name}` has characters that cannot be sent"))
        })?;
        headers.insert(*name, value);
    }
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_invalid| Failure::usage("the token has characters that no token has"))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(headers)
}

async fn accepted(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    // Not modified: for who has said what it has.
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    if status.is_redirection() {
        return Err(redirected(&response));
    }
    let wait =
        response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = response.text().await.unwrap_or_default();
    let failure = Failure::refused(Problem::read(status.as_u16(), &body));
    Err(match (status.as_u16(), wait) {
        (401, _) => failure.hint("log in with `cms login`, or set CMS_TOKEN"),
        (423, _) => failure.hint("the server is sealed: it needs its seal key before it can serve secrets"),
        (429 | 503, Some(wait)) => failure.hint(format!("try again in {wait} s")),
        _ => failure,
    })
}

fn redirected(response: &Response) -> Failure {
    let target =
        response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("elsewhere");
    Failure::error(format!("the server redirects to `{}`", super::table::printable(target)))
        .hint("redirects are not followed, so that tokens stay here; correct `--addr`")
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
