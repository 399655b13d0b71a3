// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Attacks, one test a row of the matrix that this project keeps: the number of each test is its row.
//!
//! Elsewhere: 10 and 11 (requests within requests, tenancy over every operation) in `http/coverage.rs`;
//! 48 (secrets in logs, store, audit file and core image) in `crash/planted.rs`; 62 (supply chain) in
//! `deny.toml` and `tidy`; 64 (wear of keys) in the tests of the barrier; 20 and 53 (outgoing requests,
//! webhooks) in `http/webhooks.rs` and beside `cms-server/src/notify`; 43 (approvals) in `approvals`.
//!
//! Not reachable, because what they attack is not there yet: 7 (one-time codes), 8 (groups and policies by
//! name), 9 (rekeying over HTTP), 13 (leases), 15 (certificates), 19 (Git), 23 (XML: refused as a content type),
//! 34 (database roles, LDAP), 35 and 36 (PKI, ACME), 37 (transit), 39 and 40 (OIDC, SAML), 41 (wrapping), 46
//! (audit devices by API), 50 (bundles from outside), 51 (restore), 55 to 57 (browser sessions), 60 and 61
//! (Python, embedding).

mod approvals;
mod configs;
mod credentials;
mod input;
mod races;
mod rego;
mod stored;
mod tokens;
mod wire;
