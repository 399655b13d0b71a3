// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A table of routes: what answers each, and what describes it. The descriptions are written when somebody
//! asks for them; together they are a document of half a megabyte, which most servers never show.

use axum::Router;
use axum::handler::Handler;
use axum::routing::MethodRouter;
use utoipa::openapi::path::PathItem;
use utoipa::openapi::{OpenApi, OpenApiBuilder};
use utoipa_axum::PathItemExt;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::http::state::AppState;

/// Where the API begins; a change that breaks clients begins another.
const PREFIX: &str = "/api/v1";

/// The operations of one path, from handlers with `#[utoipa::path]`.
macro_rules! routes {
    ($($($part:ident)::+),+) => {
        $crate::http::routes::table::Routes::described_by(|| utoipa_axum::routes!($($($part)::+),+))
            $(.on::<$crate::http::routes::table::described!($($part)::+), _, _>($($part)::+))+
    };
}

/// What `#[utoipa::path]` makes beside a handler.
macro_rules! described {
    ($handler:ident) => {
        pastey::paste! { [<__path_ $handler>] }
    };
    ($module:ident::$handler:ident) => {
        pastey::paste! { $module::[<__path_ $handler>] }
    };
}

pub(crate) use {described, routes};

/// The operations of one path.
pub(crate) struct Routes {
    prefix: &'static str,
    path: String,
    methods: MethodRouter<AppState>,
    describe: fn() -> UtoipaMethodRouter<AppState>,
}

impl Routes {
    /// For [`routes!`].
    pub(crate) fn described_by(describe: fn() -> UtoipaMethodRouter<AppState>) -> Self {
        Self { prefix: "", path: String::new(), methods: MethodRouter::new(), describe }
    }

    /// For [`routes!`]: adds the handler of an operation.
    pub(crate) fn on<O, H, T>(mut self, handler: H) -> Self
    where
        O: utoipa::Path,
        H: Handler<T, AppState>,
        T: 'static,
    {
        for method in O::methods() {
            self.methods = self.methods.on(method.to_method_filter(), handler.clone());
        }
        self.path = O::path();
        self
    }

    /// The same path, answered by something else.
    pub(crate) fn answered_by(self, methods: MethodRouter<AppState>) -> Self {
        Self { methods, ..self }
    }
}

/// Puts operations under the prefix of the API. Not by nesting a router: that would take the prefix off
/// each request again, and write its path anew.
pub(crate) fn v1(routes: Routes) -> Routes {
    Routes { prefix: PREFIX, ..routes }
}

/// What describes one path of the table.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    /// The template of the path, as the router knows it.
    pub(crate) template: String,
    describe: fn() -> UtoipaMethodRouter<AppState>,
}

impl Described {
    /// Writes the description of the path.
    pub(crate) fn item(&self) -> PathItem {
        let (_, paths, _) = (self.describe)();
        paths.paths.into_values().next().unwrap_or_default()
    }
}

/// Routes with their descriptions.
#[derive(Default)]
pub(crate) struct Table {
    router: Router<AppState>,
    described: Vec<Described>,
}

impl Table {
    /// A table without routes.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds the operations of a path.
    pub(crate) fn routes(mut self, Routes { prefix, path, methods, describe }: Routes) -> Self {
        let template = format!("{prefix}{path}");
        self.router = self.router.route(&template, methods);
        self.described.push(Described { template, describe });
        self
    }

    /// Adds a path that the description leaves out.
    pub(crate) fn route(mut self, path: &str, methods: MethodRouter<AppState>) -> Self {
        self.router = self.router.route(path, methods);
        self
    }

    /// Adds the routes of another table.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.described.extend(other.described);
        self
    }

    /// The router, and what describes it.
    pub(crate) fn split(self) -> (Router<AppState>, Vec<Described>) {
        (self.router, self.described)
    }
}

/// Writes the description of all paths.
pub(crate) fn description(table: &[Described]) -> OpenApi {
    let mut api = OpenApiBuilder::new().build();
    for Described { template, describe } in table {
        let (schemas, paths, _) = describe();
        api.components.get_or_insert_default().schemas.extend(schemas);
        for item in paths.paths.into_values() {
            // A path may stand in the table twice, each time with other methods.
            api.paths.paths.entry(template.clone()).or_default().merge_operations(item);
        }
    }
    api
}
