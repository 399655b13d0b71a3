// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Explanations of decisions on the wire.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Why a decision came out as it did.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Explanation {
    /// The definitions of rules and functions that were tried, in the order in which they were needed.
    pub tried: Vec<TriedDefinition>,
    /// Why the explanation ends early, if it does: a limit, or an error of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
    /// The same for people, line by line.
    pub text: Vec<String>,
}

/// One definition of a rule or a function, and what came of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TriedDefinition {
    /// The rule, such as `rag.authz.allow`.
    pub rule: String,
    /// The policy document that holds it.
    pub document: String,
    /// The line where it begins.
    pub line: u32,
    /// What came of it.
    pub outcome: DefinitionOutcome,
    /// The arguments of a function.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<ShownValue>,
    /// What the rule comes to by this definition, for the first ways to satisfy it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ShownValue>,
    /// The values of variables: where it held, or before it failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<ShownValue>,
    /// The first expression that could not be satisfied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<FailedExpression>,
    /// The definitions that were tried because this one needed them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub because: Vec<TriedDefinition>,
}

/// What came of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DefinitionOutcome {
    /// Its body can be satisfied.
    Held,
    /// It cannot.
    Failed,
    /// No definition of the rule held, and this is its default.
    Default,
    /// The evaluation ended before it was known.
    Stopped,
}

/// An expression that could not be satisfied.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FailedExpression {
    /// Its line.
    pub line: u32,
    /// Its text, on one line.
    pub text: String,
    /// The values of what it refers to.
    pub values: Vec<ShownValue>,
}

/// A name and its value. One that is undefined has neither `value` nor `about`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ShownValue {
    /// A variable, a reference, or the text of a call.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub value: Option<Box<RawValue>>,
    /// What is said of a value that is too long to be shown: `an array of 1200 items`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}
