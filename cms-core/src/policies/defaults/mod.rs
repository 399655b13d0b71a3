// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policies and the data that every new project begins with: access to collections, document
//! filters, the list of models, and budgets, each with its tests.

#[cfg(test)]
mod tests;

/// What a default document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultKind {
    /// Rego.
    Policy,
    /// JSON for policies.
    Data,
}

/// A document that a new project begins with.
#[derive(Debug, Clone, Copy)]
pub struct DefaultDocument {
    /// Policy or data.
    pub kind: DefaultKind,
    /// The document's name.
    pub name: &'static str,
    /// The text.
    pub text: &'static str,
}

/// All default documents, data first, in the order in which they are written.
pub fn default_documents() -> &'static [DefaultDocument] {
    DOCUMENTS
}

const fn policy(name: &'static str, text: &'static str) -> DefaultDocument {
    DefaultDocument { kind: DefaultKind::Policy, name, text }
}

const fn data(name: &'static str, text: &'static str) -> DefaultDocument {
    DefaultDocument { kind: DefaultKind::Data, name, text }
}

const DOCUMENTS: &[DefaultDocument] = &[
    data("rag/access", include_str!("access.json")),
    data("rag/catalog", include_str!("catalog.json")),
    data("rag/limits", include_str!("limits.json")),
    policy("rag/authz", include_str!("authz.rego")),
    policy("rag/authz_test", include_str!("authz_test.rego")),
    policy("rag/budgets", include_str!("budgets.rego")),
    policy("rag/budgets_test", include_str!("budgets_test.rego")),
    policy("rag/filters", include_str!("filters.rego")),
    policy("rag/filters_test", include_str!("filters_test.rego")),
    policy("rag/models", include_str!("models.rego")),
    policy("rag/models_test", include_str!("models_test.rego")),
    policy("rag/request", include_str!("request.rego")),
    policy("rag/request_test", include_str!("request_test.rego")),
];
