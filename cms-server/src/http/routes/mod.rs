// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every route: the one list. A new resource is one file here and one line in [`api`].

mod audit;
mod auth;
mod configs;
mod decision_log;
mod decisions;
pub(crate) mod describe;
pub(crate) mod docs;
mod documents;
mod environments;
mod events;
mod front_door;
mod health;
mod keys;
mod members;
mod metrics;
pub(crate) mod missing;
mod opa;
mod policies;
mod projects;
mod queries;
mod releases;
mod requests;
mod secrets;
mod system;
mod users;
mod verify;
mod webhooks;

use utoipa::openapi::{OpenApi, Paths};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::opa_error::{OpaError, OpaFault, OpaLocation};
use super::options::Options;
use super::problem::{ProblemDetails, ProblemPlace};
use super::state::AppState;

/// Where the API begins; a change that breaks clients begins another.
const PREFIX: &str = "/api/v1";

/// The route table, with its description.
pub(crate) fn table(options: &Options) -> (axum::Router<AppState>, OpenApi) {
    let mut table = api(options).merge(metrics::router());
    if options.config {
        table = table.merge(front_door::router());
    }
    if options.opa {
        table = table.merge(opa::router());
    }
    let (router, mut description) = table.split_for_parts();
    let components = description.components.get_or_insert_default();
    components.schemas.insert(ProblemDetails::name().into_owned(), ProblemDetails::schema());
    components.schemas.insert(ProblemPlace::name().into_owned(), ProblemPlace::schema());
    components.schemas.insert(OpaError::name().into_owned(), OpaError::schema());
    components.schemas.insert(OpaFault::name().into_owned(), OpaFault::schema());
    components.schemas.insert(OpaLocation::name().into_owned(), OpaLocation::schema());
    (router, describe::describe(description))
}

/// The front door for configs alone, at the root.
pub(crate) fn front_door() -> axum::Router<AppState> {
    front_door::alone().merge(axum::Router::from(metrics::router()))
}

/// Puts operations under the prefix of the API. Not by nesting a router: that would take the prefix off
/// each request again, and write its path anew.
fn v1((schemas, paths, methods): UtoipaMethodRouter<AppState>) -> UtoipaMethodRouter<AppState> {
    let mut prefixed = Paths::new();
    prefixed.paths = paths.paths.into_iter().map(|(path, item)| (format!("{PREFIX}{path}"), item)).collect();
    (schemas, prefixed, methods)
}

/// Everything under `/api/v1`, by resource.
fn api(options: &Options) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(audit::router())
        .merge(auth::router())
        .merge(configs::router())
        .merge(decision_log::router())
        .merge(decisions::router())
        .merge(docs::router(options.docs))
        .merge(documents::router())
        .merge(environments::router())
        .merge(events::router())
        .merge(health::router())
        .merge(keys::router())
        .merge(members::router())
        .merge(missing::router())
        .merge(policies::router())
        .merge(projects::router())
        .merge(releases::router())
        .merge(requests::router())
        .merge(secrets::router())
        .merge(system::router())
        .merge(users::router())
        .merge(verify::router())
        .merge(webhooks::router())
}
