// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What handlers are given: path segments as typed names, queries, bodies and preconditions, each
//! checked before the handler runs. What is malformed is a 400 that says where.

mod body;
mod json;
mod path;
mod precondition;
mod query;

pub(crate) use body::{AnyJsonText, Json, JsonText, LargeJsonText, OptionalJson, RawBody, collect, drain};
pub(crate) use path::{Segments, check_raw_path};
pub(crate) use precondition::{ETag, Known, Preconditions};
pub(crate) use query::Params;
