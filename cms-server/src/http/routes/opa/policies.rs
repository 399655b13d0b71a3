// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policies of the active release. A policy's id is the name of its document.

use axum::extract::State;
use axum::response::Response;
use cms_core::decisions::ReleasedPolicy;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::ask::{Ask, Shape};
use crate::http::problem::Answer;
use crate::http::state::AppState;

/// All policies.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PoliciesAnswer {
    /// The policies, by id.
    result: Vec<OpaPolicy>,
}

/// One policy.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyAnswer {
    /// The policy.
    result: OpaPolicy,
}

/// A policy in OPA's form.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OpaPolicy {
    /// The name of its document.
    id: String,
    /// The Rego text.
    raw: String,
    /// Of OPA's syntax tree, the package and the names of the rules.
    #[schema(value_type = serde_json::Value)]
    ast: Value,
}

/// Lists the policies of the active release with their texts.
#[utoipa::path(get, path = "/opa/{project}/{environment}/v1/policies", tag = "opa", operation_id = "policies", params(Shape),
    responses((status = 200, description = "The policies", body = PoliciesAnswer)))]
pub(super) async fn list(State(app): State<AppState>, ask: Ask) -> Answer<Response> {
    let policies = app.cms().decisions().policies(&ask.ctx, &ask.project, &ask.environment).await?;
    ask.reply(PoliciesAnswer { result: policies.into_iter().map(OpaPolicy::from).collect() })
}

/// Reads a policy of the active release.
#[utoipa::path(get, path = "/opa/{project}/{environment}/v1/policies/{*path}", tag = "opa", operation_id = "policy", params(Shape),
    responses((status = 200, description = "The policy", body = PolicyAnswer)))]
pub(super) async fn read(State(app): State<AppState>, ask: Ask) -> Answer<Response> {
    let decisions = app.cms().decisions();
    let policy = decisions.policy(&ask.ctx, &ask.project, &ask.environment, &ask.name()?).await?;
    ask.reply(PolicyAnswer { result: policy.into() })
}

impl From<ReleasedPolicy> for OpaPolicy {
    fn from(policy: ReleasedPolicy) -> Self {
        let names = policy.package.split('.').map(|name| json!({"type": "string", "value": name}));
        let path: Vec<Value> =
            std::iter::once(json!({"type": "var", "value": "data"})).chain(names).collect();
        let rules: Vec<Value> = policy.rules.iter().map(|name| json!({"head": {"name": name}})).collect();
        Self { id: policy.name, raw: policy.text, ast: json!({"package": {"path": path}, "rules": rules}) }
    }
}
