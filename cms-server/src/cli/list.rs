// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lists that come in pages: one page as it came, or all of them put together.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::app::App;
use super::client::{Call, Client};
use super::failure::Failure;
use super::table::{self, Column};

/// How much of a list to fetch.
#[derive(Args)]
pub(crate) struct PageArgs {
    /// Items in a page, at most 200
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) limit: u16,
    /// Where to go on, as an earlier page said
    #[arg(long, value_name = "CURSOR", conflicts_with = "all")]
    cursor: Option<String>,
    /// Fetch all pages
    #[arg(long)]
    all: bool,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

/// Fetches a list and writes it.
///
/// # Errors
/// The server's refusal, or an answer that is no list.
pub(crate) async fn list(
    app: &App,
    client: &Client,
    call: Call,
    page: &PageArgs,
    columns: &[Column],
) -> Result<(), Failure> {
    let call = call.query("limit", Some(page.limit));
    if page.all {
        return app.out.data(&everything(client, call).await?, |value| render(value, columns));
    }
    let answer = client.call(call.query("cursor", page.cursor.as_ref())).await?;
    app.out.data(&answer.text, |value| render(value, columns))?;
    if let Some(cursor) = answer.value.get("next_cursor").and_then(Value::as_str) {
        app.out.say(&format!("there are more: `--all`, or `--cursor {cursor}`"));
    }
    Ok(())
}

/// Renders the items of a list under a heading.
pub(crate) fn render(value: &Value, columns: &[Column]) -> String {
    let items = value.get("items").unwrap_or(value).as_array().map_or(&[][..], Vec::as_slice);
    table::rows(items, columns)
}

/// Fetches all pages of a list as one.
///
/// # Errors
/// The server's refusal, or an answer that is no list.
pub(crate) async fn everything(client: &Client, call: Call) -> Result<String, Failure> {
    let mut items: Vec<Box<RawValue>> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let answer = client.call(call.clone().query("cursor", cursor.as_ref())).await?;
        let page: Page = serde_json::from_str(&answer.text)
            .map_err(|error| Failure::error(format!("the server sent no page of a list: {error}")))?;
        items.extend(page.items);
        if page.next_cursor.is_some() && page.next_cursor == cursor {
            return Err(Failure::error("the server repeats the same page; the list is not complete"));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            let joined: Vec<&str> = items.iter().map(|item| item.get()).collect();
            return Ok(format!(r#"{{"items":[{}],"next_cursor":null}}"#, joined.join(",")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use axum::extract::Query;
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::json;

    use super::*;
    use crate::cli::route::Route;

    async fn client(stuck: bool) -> Client {
        let answer = move |Query(query): Query<HashMap<String, String>>| async move {
            match query.get("cursor").map(String::as_str) {
                None => Json(json!({"items": [1, 2], "next_cursor": "b"})),
                Some(_) if stuck => Json(json!({"items": [3], "next_cursor": "b"})),
                Some(_) => Json(json!({"items": [3], "next_cursor": null})),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(
            async move { axum::serve(listener, Router::new().route("/api/v1/x", get(answer))).await },
        );
        Client::new(&address, None, Duration::from_secs(5)).unwrap()
    }

    #[tokio::test]
    async fn all_pages_are_joined_in_order() {
        let text = everything(&client(false).await, Call::get(Route::api("x"))).await.unwrap();
        assert_eq!(text, r#"{"items":[1,2,3],"next_cursor":null}"#);
    }

    #[tokio::test]
    async fn a_cursor_that_does_not_move_ends_the_loop() {
        assert!(everything(&client(true).await, Call::get(Route::api("x"))).await.is_err());
    }
}
