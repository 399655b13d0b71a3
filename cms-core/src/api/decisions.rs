// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Decisions on the wire. Inputs and results stay JSON text: they are never built as a tree here.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::explanations::Explanation;

/// Asks one rule one question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide<'a> {
    /// The rule: `rag/authz/allow` or `data.rag.authz.allow`.
    #[serde(borrow)]
    pub path: std::borrow::Cow<'a, str>,
    /// The input document; absent: `input` is undefined.
    #[serde(borrow, default)]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<&'a RawValue>,
    /// The environment, where the caller is not bound to one and the project has several.
    #[serde(borrow, default)]
    pub environment: Option<std::borrow::Cow<'a, str>>,
    /// Whether to explain the decision. This takes the right to read policies and data.
    #[serde(default)]
    pub explain: bool,
}

/// Asks one rule many questions, all of one release.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideBatch<'a> {
    /// The rule.
    #[serde(borrow)]
    pub path: std::borrow::Cow<'a, str>,
    /// The inputs, at most 1,000.
    #[serde(borrow)]
    #[schema(value_type = Vec<serde_json::Value>)]
    pub inputs: Vec<&'a RawValue>,
    /// The environment.
    #[serde(borrow, default)]
    pub environment: Option<std::borrow::Cow<'a, str>>,
}

/// The answer to one question.
#[derive(Debug, Serialize, ToSchema)]
pub struct Decision {
    /// What the rule came to; `null` when it is undefined.
    #[schema(value_type = serde_json::Value)]
    pub result: Box<RawValue>,
    /// Whether the rule is undefined for this input. Callers treat that as a refusal.
    pub undefined: bool,
    /// The id of the decision.
    pub decision_id: String,
    /// The release that decided.
    pub release: String,
    /// The environment whose release it was.
    pub environment: String,
    /// The nearest rule that exists, when the result is undefined: the one that was asked for if it
    /// exists and has no value for this input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Why it came out so, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// The answers to many questions, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionBatch {
    /// One answer for each input.
    pub results: Vec<BatchItem>,
    /// The release that decided all of them.
    pub release: String,
    /// The environment whose release it was.
    pub environment: String,
}

/// One answer of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchItem {
    /// What the rule came to; `null` when it is undefined or failed.
    #[schema(value_type = serde_json::Value)]
    pub result: Box<RawValue>,
    /// Whether the rule is undefined for this input.
    pub undefined: bool,
    /// The id of the decision.
    pub decision_id: String,
    /// Why there is no result, when the evaluation failed; callers treat that as a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The nearest rule that exists, when the result is undefined.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub hint: Option<std::sync::Arc<str>>,
}
