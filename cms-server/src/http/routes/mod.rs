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
mod mails;
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
pub(crate) mod table;
mod users;
mod verify;
mod webhooks;

use utoipa::openapi::OpenApi;
use utoipa::{PartialSchema, ToSchema};

use super::opa_error::{OpaError, OpaFault, OpaLocation};
use super::options::Options;
use super::problem::{ProblemDetails, ProblemPlace};
use super::state::AppState;
use table::{Described, Table};

/// Every route that these options ask for.
pub(crate) fn table(options: &Options) -> Table {
    let mut table = api(options).merge(metrics::router());
    if options.config {
        table = table.merge(front_door::router());
    }
    if options.opa {
        table = table.merge(opa::router());
    }
    table
}

/// The description of these routes.
pub(crate) fn description(described: &[Described]) -> OpenApi {
    let mut description = table::description(described);
    let components = description.components.get_or_insert_default();
    components.schemas.insert(ProblemDetails::name().into_owned(), ProblemDetails::schema());
    components.schemas.insert(ProblemPlace::name().into_owned(), ProblemPlace::schema());
    components.schemas.insert(OpaError::name().into_owned(), OpaError::schema());
    components.schemas.insert(OpaFault::name().into_owned(), OpaFault::schema());
    components.schemas.insert(OpaLocation::name().into_owned(), OpaLocation::schema());
    describe::describe(description)
}

/// The front door for configs alone, at the root.
pub(crate) fn front_door() -> axum::Router<AppState> {
    front_door::alone().merge(metrics::router().split().0)
}

/// Everything under `/api/v1`, by resource.
fn api(options: &Options) -> Table {
    Table::new()
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
        .merge(mails::router())
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
