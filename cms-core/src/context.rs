// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who asks, from where, under which request id: the first argument of every service.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::auth::Principal;
use crate::error::Result;
use crate::idempotency::Once;

/// The circumstances of one request. Front ends make it; services only read it.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Who asks; already authenticated.
    pub principal: Arc<Principal>,
    /// The id under which the request is logged, audited and answered.
    pub request_id: Arc<str>,
    /// The address of the caller, as far as it is known and trusted.
    pub address: Option<IpAddr>,
    /// The key under which the request is run once.
    pub(crate) once: Option<Arc<Once>>,
}

impl RequestContext {
    /// Builds a context with a request id of its own and no address.
    pub fn new(principal: Arc<Principal>) -> Self {
        Self::identified(principal, uuid::Uuid::now_v7().to_string())
    }

    /// Builds a context of a request that has an id already, and no address.
    pub fn identified(principal: Arc<Principal>, request_id: impl Into<Arc<str>>) -> Self {
        Self { principal, request_id: request_id.into(), address: None, once: None }
    }

    /// Replaces the request id.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.request_id = id.into();
        self
    }

    /// Sets the address of the caller.
    #[must_use]
    pub fn with_address(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }

    /// Sets the key under which the request is run once.
    #[must_use]
    pub fn with_once(mut self, once: Option<Arc<Once>>) -> Self {
        self.once = once;
        self
    }

    /// What the service replied when the same request was sent before and its change was made. To be
    /// asked once the caller is known to be allowed.
    pub(crate) fn given<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.once.as_ref().map_or(Ok(None), |once| once.given())
    }

    /// Notes the reply, to be kept with the change that is committed next.
    pub(crate) fn offer<T: Serialize>(&self, reply: &T) -> Result<()> {
        self.once.as_ref().map_or(Ok(()), |once| once.offer(reply))
    }
}
