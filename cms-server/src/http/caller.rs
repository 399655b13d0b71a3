// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a request to the context that services ask for: whose credential it carries, from where,
//! under which id. Credentials are taken from two headers and from nowhere else.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use cms_core::auth::Principal;
use cms_core::{Error, ErrorKind, RequestContext};

use super::middleware::front::RequestInfo;
use super::problem::Problem;
use super::state::AppState;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A caller who has proved who it is. Handlers that do not ask for one serve everybody.
#[derive(Debug)]
pub(crate) struct Caller(pub(crate) RequestContext);

/// A caller who need not be anybody; counted by address.
#[derive(Debug)]
pub(crate) struct Stranger(pub(crate) RequestContext);

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let info = info(parts);
        match authenticate(state, &parts.headers, &info).await {
            Ok(principal) => {
                count(state, &principal, &info).await?;
                if let Some(unknown) = &info.unknown_query {
                    return Err(unknown.error().into());
                }
                Ok(Self(info.context(principal)))
            }
            Err(error) => {
                if error.kind() == ErrorKind::Unauthenticated {
                    state.limiter().count_stranger(info.address()).await?;
                }
                Err(error.into())
            }
        }
    }
}

impl FromRequestParts<AppState> for Stranger {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let info = info(parts);
        let nobody = Principal::anonymous();
        state.limiter().count_stranger(info.address()).await?;
        Ok(Self(info.context(nobody)))
    }
}

/// Finds out whose credential a request carries.
///
/// # Errors
/// `Unauthenticated`, always in the same words; `Sealed`.
pub(crate) async fn authenticate(
    state: &AppState,
    headers: &HeaderMap,
    info: &RequestInfo,
) -> Result<Arc<Principal>, Error> {
    let credential = credential(headers).ok_or_else(Error::unauthenticated)?;
    state.cms().auth().authenticate(credential, info.address()).await
}

/// What the front noted about a request.
pub(crate) fn info(parts: &Parts) -> RequestInfo {
    parts.extensions.get::<RequestInfo>().cloned().unwrap_or_default()
}

async fn count(state: &AppState, principal: &Principal, info: &RequestInfo) -> Result<(), Error> {
    let counted = state.limiter().count(principal, info.address()).await;
    if let Some(shown) = &info.allowance {
        // Set once: a request has one caller.
        let _ = shown.set(*counted.as_ref().unwrap_or(&state.limiter().used_up()));
    }
    counted.map(|_| ())
}

/// The one credential of a request; none if there are two that differ.
pub(crate) fn credential(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter().map(|value| value.to_str().ok().and_then(bearer));
    let mut keys = headers.get_all(X_API_KEY).iter().map(|value| value.to_str().ok());
    let first = given.next().or_else(|| keys.next())??;
    let same = |other: Option<&str>| other == Some(first);
    (!first.is_empty() && given.all(same) && keys.all(same)).then_some(first)
}

/// The token of `Bearer <token>`; the scheme in any case.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        credential(&headers).map(str::to_owned)
    }

    #[test]
    fn credentials_come_from_two_headers() {
        assert_eq!(of(&[("authorization", "Bearer abc")]).as_deref(), Some("abc"));
        assert_eq!(of(&[("authorization", "bearer abc")]).as_deref(), Some("abc"));
        assert_eq!(of(&[("x-api-key", "abc")]).as_deref(), Some("abc"));
        assert_eq!(of(&[("authorization", "Bearer abc"), ("x-api-key", "abc")]).as_deref(), Some("abc"));
    }

    #[test]
    fn nothing_else_is_a_credential() {
        for bad in [
            &[("authorization", "Basic abc")][..],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer ")],
            &[("authorization", "abc")],
            &[("x-api-key", "")],
            &[("cookie", "token=abc")],
            &[("authorization", "Bearer abc"), ("x-api-key", "other")],
            &[("authorization", "Bearer abc"), ("authorization", "Bearer other")],
            &[("authorization", "Basic abc"), ("x-api-key", "abc")],
            &[],
        ] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
