// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The HTTP contract, from where a client stands: a file for each resource, and in `coverage` what must
//! hold for every operation of the OpenAPI description. Each test verifies the installation at its end.

mod audit;
mod auth;
mod bundle;
mod configs;
mod coverage;
mod decisions;
mod documents;
mod environments;
mod events;
mod front_door;
mod keys;
mod limits;
mod mails;
mod members;
mod opa;
mod opa_query;
mod opa_write;
mod policies;
mod preconditions;
mod projects;
mod promotion;
mod protocol;
mod releases;
mod requests;
mod secrets;
mod system;
mod users;
mod verify;
mod webhooks;
