// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Query parameters: unknown, repeated and ill-typed ones are a 400 that names them.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use cms_core::{Error, ErrorKind};
use serde::de::DeserializeOwned;

use super::super::problem::Problem;

/// Typed query parameters. `T` refuses unknown fields.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(refusal(&rejection).into()),
        }
    }
}

fn refusal(rejection: &(dyn std::error::Error + 'static)) -> Error {
    let cause = std::iter::successors(Some(rejection), |error| error.source()).last();
    let text = cause.map(ToString::to_string).unwrap_or_default();
    let shown: String = text.chars().take(200).flat_map(char::escape_default).collect();
    Error::new(ErrorKind::Invalid, "invalid_query", format!("the query is not valid: {shown}"))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use cms_core::Error;

    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Version {
        version: Option<u64>,
    }

    async fn ask(uri: &str) -> Result<Option<u64>, String> {
        let (mut parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
        let told = |problem: Problem| Error::message(problem.error()).to_owned();
        Params::<Version>::from_request_parts(&mut parts, &())
            .await
            .map(|query| query.0.version)
            .map_err(told)
    }

    #[tokio::test]
    async fn parameters_are_typed_and_known() {
        assert_eq!(ask("/x?version=3").await, Ok(Some(3)));
        assert_eq!(ask("/x").await, Ok(None));
        for bad in
            ["version=-1", "version=0x10", "version=18446744073709551616", "version=", "version=1&version=2"]
        {
            assert!(ask(&format!("/x?{bad}")).await.is_err(), "{bad}");
        }
        let message = ask("/x?verison=1").await.unwrap_err();
        assert!(message.contains("unknown field `verison`"), "{message}");
    }
}
