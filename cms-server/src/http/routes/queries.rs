// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Query parameters that several resources share.

use cms_core::api::PageQuery;
use serde::Deserialize;
use utoipa::IntoParams;

/// A list, narrowed to names under a prefix.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only names at or under this prefix.
    pub(crate) prefix: Option<String>,
    /// How many items, 1 to 200; 50 if not given.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// Where the last page ended: its `next_cursor`.
    cursor: Option<String>,
}

impl ListQuery {
    /// The page that is asked for.
    pub(crate) fn page(&self) -> PageQuery {
        PageQuery { limit: self.limit, cursor: self.cursor.clone() }
    }
}

/// One version of something.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VersionQuery {
    /// The version; the present one if not given.
    #[param(minimum = 1)]
    pub(crate) version: Option<u64>,
}
