// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who a credential belongs to, for services that let CMS authenticate their own callers.

use cms_core::auth::{self, PrincipalKind};
use pyo3::prelude::*;

use crate::running::IntoObject;

/// A caller who has proved who it is.
#[pyclass(frozen, eq, get_all, module = "cms_py")]
#[derive(PartialEq)]
pub(crate) struct Principal {
    /// `user`, `key`, `root`, `system` or `anonymous`.
    kind: &'static str,
    /// The caller as the audit trail names it, such as `key:…` or `user:eve`.
    id: String,
    /// The project of a key.
    project: Option<String>,
    /// The environment that a key is bound to.
    environment: Option<String>,
    /// The role that a user holds in every project.
    role: Option<&'static str>,
    /// What a key may do.
    scopes: Vec<&'static str>,
}

#[pymethods]
impl Principal {
    fn __repr__(&self) -> String {
        format!("Principal({:?})", self.id)
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.id.hash(&mut hasher);
        hasher.finish()
    }
}

impl From<&auth::Principal> for Principal {
    fn from(principal: &auth::Principal) -> Self {
        let bare = |kind| Self {
            kind,
            id: principal.to_string(),
            project: None,
            environment: None,
            role: None,
            scopes: Vec::new(),
        };
        match &principal.kind {
            PrincipalKind::User { role, .. } => Self { role: role.map(|role| role.as_str()), ..bare("user") },
            PrincipalKind::Key { project, environment, scopes, .. } => Self {
                project: Some(project.to_string()),
                environment: environment.as_ref().map(ToString::to_string),
                scopes: scopes.iter().map(|scope| scope.name.as_str()).collect(),
                ..bare("key")
            },
            PrincipalKind::Root => bare("root"),
            PrincipalKind::System => bare("system"),
            PrincipalKind::Anonymous => bare("anonymous"),
        }
    }
}

impl IntoObject for Principal {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, self)?.into_any())
    }
}
