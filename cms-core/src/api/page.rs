// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Listing by cursor: every list of the API is asked for and answered in this shape.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::{Error, Result};

/// How many items a page holds when nothing is asked for.
pub const DEFAULT_LIMIT: usize = 50;
/// How many items a page holds at most.
pub const MAX_LIMIT: usize = 200;

/// Which page of a list is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items, 1 to 200; 50 if not given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// Where the last page ended: its `next_cursor`.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// The number of items to answer.
    ///
    /// # Errors
    /// `Invalid` outside of 1 to 200.
    pub fn limit(&self) -> Result<usize> {
        match self.limit {
            None => Ok(DEFAULT_LIMIT),
            Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
            Some(limit) => Err(Error::invalid(format!("`limit` is {limit}, but must be 1 to {MAX_LIMIT}"))),
        }
    }

    /// The name behind which the page begins.
    ///
    /// # Errors
    /// `Invalid` if the cursor is none of ours.
    pub fn after(&self) -> Result<Option<String>> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let decoded =
            BASE64URL_NOPAD.decode(cursor.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded {
            Some(after)
                if !after.is_empty() && after.len() <= 1024 && !after.chars().any(char::is_control) =>
            {
                Ok(Some(after))
            }
            _ => Err(Error::invalid("`cursor` is not one that a list has answered; begin without one")),
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to pass as `cursor` for the next page; `null` at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Builds a page; `last` is the name of its last item if there are more behind it.
    pub fn new(items: Vec<T>, last: Option<&str>) -> Self {
        Self { items, next_cursor: last.map(|name| BASE64URL_NOPAD.encode(name.as_bytes())) }
    }
}
