// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happens in a project, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use cms_core::ids::ProjectId;
use futures_util::StreamExt;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::caller::{Caller, authenticate};
use crate::http::extract::{Params, Segments};
use crate::http::middleware::front::RequestInfo;
use crate::http::problem::{Answer, Problem};
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// How often a quiet stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The route of events.
pub(crate) fn router() -> Table {
    Table::new().routes(v1(routes!(follow)))
}

/// Where to begin.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AfterQuery {
    /// The id of the last event that was seen; the header `Last-Event-ID` wins. From now on without it.
    after: Option<String>,
}

/// Follows a project's events: `release`, `activation`, `request`, `secret`, `key`. Resumable.
#[utoipa::path(get, path = "/projects/{project}/events", tag = "events", params(AfterQuery),
    responses((status = 200, description = "Server-sent events without end", body = String, content_type = "text/event-stream")))]
async fn follow(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(query): Params<AfterQuery>,
    axum::Extension(info): axum::Extension<RequestInfo>,
    headers: HeaderMap,
) -> Answer<impl IntoResponse> {
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let after = resumed.or(query.after.as_deref()).filter(|id| !id.is_empty());
    let events = app.cms().events().follow(&ctx, &project, after).await?;
    let full = || Problem::busy("overloaded", "too many event streams are open; try again later");
    let slot = Arc::new(app.waiting().enter(app.options().waiting.into()).ok_or_else(full)?);
    let closing = app.options().closing.clone();
    // A credential that was revoked meanwhile ends its stream with the next event.
    let who = Arc::new((app, headers, info));
    let stream = events
        .take_until(closing.cancelled_owned())
        .then(move |event| {
            let (who, slot) = (who.clone(), slot.clone());
            async move {
                let (app, headers, info) = &*who;
                let known = authenticate(app, headers, info).await.is_ok();
                let _held = slot;
                event.ok().filter(|_| known)
            }
        })
        .take_while(|event| std::future::ready(event.is_some()))
        .filter_map(std::future::ready)
        .map(|event| {
            let text = event.data.to_string();
            Ok::<_, Infallible>(Event::default().id(event.id).event(event.kind).data(text))
        });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
