// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the router counts: requests and their time by route, method and class of status. Labels
//! come from the route table only, so nobody can make series.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use cms_core::{Cms, Health};
use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::histogram::Histogram;
use super::measured::Core;
use super::shared_limits::SharedLimits;

/// The series of one router.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// What has the names that readers of configs know from elsewhere.
    plain: Registry,
    config_updates: Counter,
    config_requests: Histogram,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    refusals: Family<RefusalLabels, Counter>,
    in_flight: Gauge,
    state: StateGauges,
    known: RwLock<HashMap<Box<str>, RouteMetrics>>,
}

/// What is looked up when somebody asks.
#[derive(Debug, Default)]
struct StateGauges {
    sealed: Gauge,
    store_up: Gauge,
    store_revision: Gauge,
    cache_lag: Gauge,
    waiting: Gauge,
}

impl StateGauges {
    fn register(&self, registry: &mut Registry) {
        registry.register("sealed", "Whether the installation is sealed", self.sealed.clone());
        registry.register("store_up", "Whether the store answers", self.store_up.clone());
        registry.register("store_revision", "Revision of the store", self.store_revision.clone());
        registry.register(
            "cache_lag_revisions",
            "Revisions that the cache is behind",
            self.cache_lag.clone(),
        );
        registry.register("http_waiting", "Long polls and event streams being held", self.waiting.clone());
    }

    fn set(&self, health: &Health, waiting: usize) {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.sealed.set(health.sealed.into());
        self.store_up.set(health.store_error.is_none().into());
        self.store_revision.set(number(health.revision));
        self.cache_lag.set(number(health.revision.saturating_sub(health.seen_revision)));
        self.waiting.set(number(waiting as u64));
    }
}

/// The series of one route, by the place of the method in [`METHODS`], each made when first used.
type RouteMetrics = [OnceLock<Series>; METHODS.len()];

#[derive(Debug)]
struct Series {
    classes: [OnceLock<Counter>; CLASSES.len()],
    duration: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    code: &'static str,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The methods that have series of their own; callers may invent others.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

impl Metrics {
    /// The same, beside what a `Cms` counts.
    pub(crate) fn of(cms: &Cms, shared: Option<&SharedLimits>) -> Self {
        let mut metrics = Self::new();
        if let Some(shared) = shared {
            let help =
                "Requests that were counted by this server alone, because who counts for all did not answer";
            metrics.registry.register("limits_counted_alone", help, shared.alone().clone());
        }
        metrics.registry.register_collector(Box::new(Core(cms.clone())));
        metrics
    }

    /// Registers everything in a registry of its own.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("cms");
        let requests = Family::default();
        let durations = Family::default();
        let refusals = Family::default();
        let in_flight = Gauge::<i64, AtomicI64>::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_duration_seconds", "Time to the answer's head", durations.clone());
        registry.register("http_refusals", "Problems answered, by code", refusals.clone());
        registry.register("http_requests_in_flight", "Requests being served", in_flight.clone());
        let state = StateGauges::default();
        state.register(&mut registry);
        let mut plain = Registry::default();
        let (config_updates, config_requests) = (Counter::default(), Histogram::default());
        plain.register("config_updates", "Configs written at the front door", config_updates.clone());
        let help = "Time to the answer's head at the front door for configs";
        plain.register("request_duration_seconds", help, config_requests.clone());
        Self {
            registry,
            plain,
            config_updates,
            config_requests,
            requests,
            durations,
            refusals,
            in_flight,
            state,
            known: RwLock::default(),
        }
    }

    /// Counts an answered request. `route` is a template of the route table.
    pub(crate) fn answered(&self, route: Option<&str>, method: &Method, status: StatusCode, took: Duration) {
        let route = route.unwrap_or("unmatched");
        if let Some(metrics) = self.known.read().get(route) {
            return self.count(metrics, route, method, status, took);
        }
        let mut known = self.known.write();
        let metrics = known.entry(route.into()).or_default();
        self.count(metrics, route, method, status, took);
    }

    /// Counts a problem.
    pub(crate) fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&RefusalLabels { code }).inc();
    }

    /// Counts a config that was written at the front door.
    pub(crate) fn config_updated(&self) {
        self.config_updates.inc();
    }

    /// Counts a request at the front door for configs.
    pub(crate) fn config_answered(&self, took: Duration) {
        self.config_requests.observe(took);
    }

    /// Sets how many requests are being served.
    pub(crate) fn set_in_flight(&self, count: usize) {
        self.in_flight.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The text for Prometheus, with the state as it is now.
    ///
    /// # Errors
    /// If a metric cannot be written.
    pub(crate) fn encode(&self, health: &Health, waiting: usize) -> Result<String, std::fmt::Error> {
        self.state.set(health, waiting);
        let mut text = String::with_capacity(16 * 1024);
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &self.plain)?;
        encode_eof(&mut text)?;
        Ok(text)
    }

    fn count(
        &self,
        metrics: &RouteMetrics,
        route: &str,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let (place, label) = method_label(method);
        let Some(series) = metrics.get(place) else { return };
        let series = series.get_or_init(|| {
            let labels = RouteLabels { route: route.to_owned(), method: label };
            Series { classes: Default::default(), duration: self.durations.get_or_create(&labels).clone() }
        });
        series.duration.observe(took);
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        let (Some(counter), Some(status)) = (series.classes.get(class), CLASSES.get(class)) else { return };
        let labels = || RequestLabels { route: route.to_owned(), method: label, status };
        counter.get_or_init(|| self.requests.get_or_create(&labels()).clone()).inc();
    }
}

fn method_label(method: &Method) -> (usize, &'static str) {
    let known = METHODS.iter().enumerate().find(|(_, label)| **label == method.as_str());
    known.map_or((METHODS.len() - 1, "other"), |(place, label)| (place, *label))
}

/// Counts what is being served, against a limit.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Arc<AtomicU64>);

/// One of the requests being served; gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicU64>);

impl InFlight {
    /// Takes a place, if there is one below `limit`.
    pub(crate) fn enter(&self, limit: u64) -> Option<Slot> {
        let slot = Slot(self.0.clone());
        // The place is taken before it is judged; a refused one is given back by the drop.
        (self.0.fetch_add(1, Ordering::Relaxed) < limit).then_some(slot)
    }

    /// How many places are taken.
    pub(crate) fn count(&self) -> usize {
        usize::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_template_and_class() {
        let metrics = Metrics::new();
        metrics.answered(
            Some("/api/v1/projects/{project}"),
            &Method::GET,
            StatusCode::OK,
            Duration::from_millis(1),
        );
        metrics.answered(None, &Method::from_bytes(b"BREW").unwrap(), StatusCode::NOT_FOUND, Duration::ZERO);
        metrics.refused("not_found");
        let health = Health {
            seal_error: None,
            material: None,
            sealed: true,
            seal: "dev",
            store: "memory",
            store_error: None,
            store_warning: None,
            revision: 7,
            seen_revision: 5,
        };
        let text = metrics.encode(&health, 3).unwrap();
        assert!(text.contains("cms_sealed 1") && text.contains("cms_cache_lag_revisions 2"), "{text}");
        let line =
            r#"cms_http_requests_total{route="/api/v1/projects/{project}",method="GET",status="2xx"} 1"#;
        assert!(text.contains(line), "{text}");
        assert!(text.contains(r#"route="unmatched",method="other",status="4xx"} 1"#), "{text}");
        assert!(text.contains(r#"cms_http_refusals_total{code="not_found"} 1"#), "{text}");
        assert!(text.contains("le=\"+Inf\",route="), "{text}");
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let in_flight = InFlight::default();
        let first = in_flight.enter(1).unwrap();
        assert!(in_flight.enter(1).is_none());
        assert_eq!(in_flight.count(), 1);
        drop(first);
        assert!(in_flight.enter(1).is_some());
    }
}
