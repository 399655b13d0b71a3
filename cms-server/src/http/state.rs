// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What handlers share.

use std::sync::Arc;

use cms_core::Cms;

use super::middleware::limiter::Limiter;
use super::middleware::metrics::{InFlight, Metrics};
use super::middleware::queries::Queries;
use super::middleware::request_id::RequestIds;
use super::options::Options;
use super::routes::docs::Description;
use super::routes::table::Described;

/// The state of one router. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct AppState(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cms: Cms,
    options: Options,
    description: Description,
    queries: Queries,
    metrics: Metrics,
    limiter: Limiter,
    request_ids: RequestIds,
    in_flight: InFlight,
    waiting: InFlight,
}

impl AppState {
    /// Builds the state of one router.
    pub(crate) fn new(cms: Cms, options: Options, described: Vec<Described>) -> Self {
        let limiter = Limiter::new(&options);
        let metrics = Metrics::of(&cms, limiter.shared());
        Self(Arc::new(Shared {
            queries: Queries::new(&described),
            description: Description::new(described),
            limiter,
            metrics,
            request_ids: RequestIds::new(),
            in_flight: InFlight::default(),
            waiting: InFlight::default(),
            options,
            cms,
        }))
    }

    /// The CMS behind the router.
    pub(crate) fn cms(&self) -> &Cms {
        &self.0.cms
    }

    /// The settings of the router.
    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    /// The description of the API.
    pub(crate) fn description(&self) -> &Description {
        &self.0.description
    }

    /// The query parameters of each operation.
    pub(crate) fn queries(&self) -> &Queries {
        &self.0.queries
    }

    /// What the router counts.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// How often callers may ask.
    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    /// Where request ids come from.
    pub(crate) fn request_ids(&self) -> &RequestIds {
        &self.0.request_ids
    }

    /// The requests being served.
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.0.in_flight
    }

    /// The long polls and event streams being held.
    pub(crate) fn waiting(&self) -> &InFlight {
        &self.0.waiting
    }
}
