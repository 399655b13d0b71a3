// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is let in, and what they may do: the authenticator and the authorizer from outside.

mod authenticate;
mod authorize;
mod identity;
