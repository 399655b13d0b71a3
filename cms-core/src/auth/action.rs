// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Everything that can be asked of CMS, as one list: what the authorizer decides about and what the
//! audit trail names.

use std::fmt;

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident => $text:literal,)*) => {
        /// An operation that needs authorization. Its text is stable: policies and audits hold it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $variant,)*
        }

        impl Action {
            /// Every action, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable text, `resource:verb`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

actions! {
    /// List and read users.
    UserRead => "user:read",
    /// Create, change and remove users and set their passwords.
    UserWrite => "user:write",
    /// Change one's own password, look at oneself.
    SelfWrite => "self:write",
    /// Read one's own principal.
    SelfRead => "self:read",
    /// Onboard a project.
    ProjectCreate => "project:create",
    /// Read a project.
    ProjectRead => "project:read",
    /// Change a project's settings.
    ProjectWrite => "project:write",
    /// Offboard a project.
    ProjectDelete => "project:delete",
    /// List a project's members.
    MemberRead => "member:read",
    /// Change a project's members.
    MemberWrite => "member:write",
    /// List a project's API keys, masked.
    KeyRead => "key:read",
    /// Create, rotate and revoke API keys.
    KeyWrite => "key:write",
    /// Read policies and their history.
    PolicyRead => "policy:read",
    /// Write, roll back and delete policies.
    PolicyWrite => "policy:write",
    /// Validate and test policies without writing them.
    PolicyTest => "policy:test",
    /// Read data documents.
    DataRead => "data:read",
    /// Write data documents.
    DataWrite => "data:write",
    /// Read configs, schemas and templates.
    ConfigRead => "config:read",
    /// Write configs, schemas and templates.
    ConfigWrite => "config:write",
    /// Read releases.
    ReleaseRead => "release:read",
    /// Make releases.
    ReleaseCreate => "release:create",
    /// Read environments and their history.
    EnvironmentRead => "environment:read",
    /// Create environments and change their settings.
    EnvironmentWrite => "environment:write",
    /// Activate a release, or roll back to one.
    EnvironmentActivate => "environment:activate",
    /// Fetch an environment's active release as an OPA bundle.
    BundleRead => "bundle:read",
    /// Follow a project's events.
    EventRead => "event:read",
    /// Ask for a decision.
    Decide => "decide",
    /// Read and replay logged decisions.
    DecisionRead => "decision:read",
    /// List the names and versions of secrets, without any part of their values.
    SecretList => "secret:list",
    /// Read secrets masked.
    SecretRead => "secret:read",
    /// Read a secret's value.
    SecretReveal => "secret:reveal",
    /// Write and rotate secrets.
    SecretWrite => "secret:write",
    /// Delete and undelete versions of secrets.
    SecretDelete => "secret:delete",
    /// Destroy versions of secrets for good.
    SecretDestroy => "secret:destroy",
    /// Read change requests.
    RequestRead => "request:read",
    /// Open and edit change requests.
    RequestCreate => "request:create",
    /// Approve and reject change requests.
    RequestApprove => "request:approve",
    /// Apply change requests that are approved.
    RequestApply => "request:apply",
    /// Go over the heads of the approvers: apply without approvals, and ask for fewer of them.
    RequestEmergency => "request:emergency",
    /// List webhooks and what was sent to them.
    WebhookRead => "webhook:read",
    /// Add and remove webhooks, and send to them again.
    WebhookWrite => "webhook:write",
    /// Read the audit trail.
    AuditRead => "audit:read",
    /// Verify and export the audit trail.
    AuditVerify => "audit:verify",
    /// See seal state and backend health in detail.
    SystemRead => "system:read",
    /// Rotate root and project keys, and seal.
    SystemWrite => "system:write",
}

impl Action {
    /// Finds an action by its stable text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
