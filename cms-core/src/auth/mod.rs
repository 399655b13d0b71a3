// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who asks and what they may do: principals, roles, scopes, and the proof of authorization.

mod action;
mod authorize;
mod principal;
mod proof;

pub use action::Action;
pub use authorize::Authorizer;
pub use principal::{KeyScope, Principal, PrincipalKind, Role, ScopeName};
pub use proof::{Authorized, Target};
