// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who asks and what they may do: users, sessions, API keys and the root credential; principals,
//! roles and scopes; the policy that decides, and the proof that it has.

mod action;
mod authenticate;
mod authorize;
mod credential;
#[cfg(test)]
mod fixture;
mod grants;
mod identity;
mod keys;
mod password;
mod people;
mod principal;
mod proof;
mod root;
mod rules;
pub(crate) mod sealed;
mod sessions;
#[cfg(test)]
mod tests;
mod throttle;
mod tokens;
mod users;
mod verify;

use crate::audit::{AuditOutcome, NewRecord};

pub use action::Action;
pub use authenticate::Authenticator;
pub use authorize::Authorizer;
pub(crate) use credential::random;
pub use identity::Auth;
pub(crate) use keys::NewKey;
pub use keys::{Keys, MAX_ADDRESSES, MAX_KEYS, MAX_OVERLAP_SECONDS, MAX_SCOPES};
pub use password::PASSWORD_CHARS;
pub(crate) use people::{Person, hands, person};
pub use principal::{KeyScope, Principal, PrincipalKind, Role, ScopeName};
pub use proof::{Authorized, Target};
pub use sessions::{MAX_SESSIONS, REFRESH_LIFETIME, SESSION_LIFETIME, Sessions};
pub use throttle::{ADDRESS_FAILURES, USER_FAILURES, WINDOW as THROTTLE_WINDOW};
pub use tokens::ACCESS_LIFETIME;
pub use users::Users;
pub(crate) use verify::AuthReport;

/// A record about identity itself, which no action of [`Action`] describes.
fn event(action: &'static str, target: Target) -> NewRecord {
    NewRecord {
        action: action.into(),
        resource: target.to_string(),
        project: target.project,
        outcome: AuditOutcome::Success,
        reason: None,
        release: None,
        version: None,
    }
}
