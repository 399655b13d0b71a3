// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keys of the config service that `cms_py.config_system` stands in for: signed with the service's secret key, they
//! carry roles and need no store. What a role may do, the API keys of CMS behind it say.

use cms_core::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use pyo3::prelude::*;
use serde::{Deserialize, Serialize};

use crate::errors::Failure;

/// For whom these keys are; a token of something else that is signed with the same key is none.
const AUDIENCE: &str = "cms-config";

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    roles: Vec<String>,
}

/// Signs a key with roles.
#[pyfunction]
pub(crate) fn sign_role_key(py: Python<'_>, secret: &str, roles: Vec<String>) -> PyResult<String> {
    let claims = Claims { aud: AUDIENCE.to_owned(), roles };
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|error| Failure::from(Error::internal(error)).raised(py))
}

/// The roles of a key, if it was signed with this secret.
#[pyfunction]
pub(crate) fn verify_role_key(py: Python<'_>, secret: &str, key: &str) -> PyResult<Vec<String>> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["aud"]);
    // Such keys do not end; a new secret key ends them all.
    validation.validate_exp = false;
    let refused = || Error::new(ErrorKind::Unauthenticated, "unauthenticated", "a valid API key is needed");
    decode::<Claims>(key, &DecodingKey::from_secret(secret.as_bytes()), &validation)
        .map(|token| token.claims.roles)
        .map_err(|_| Failure::from(refused()).raised(py))
}
