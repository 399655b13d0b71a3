// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The stored form of a first answer, version 1. Only ever written through the barrier.

use std::fmt;

use bytes::Bytes;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// An answer that is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The status.
    pub status: u16,
    /// The headers that belong to the answer itself.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for StoredAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// What is known of a key.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) fingerprint: String,
    pub(super) begun: Timestamp,
    pub(super) answer: Option<StoredAnswer>,
    /// What the service replied in the transaction that made the change; empty if it kept nothing.
    pub(super) applied: Option<Bytes>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u8,
    fingerprint: String,
    begun: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applied: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    body: String,
}

impl Record {
    pub(super) fn begun(fingerprint: String, now: Timestamp) -> Self {
        Self { fingerprint, begun: now, answer: None, applied: None }
    }

    pub(super) fn applied(fingerprint: String, now: Timestamp, reply: Bytes) -> Self {
        Self { fingerprint, begun: now, answer: None, applied: Some(reply) }
    }

    pub(super) fn finished(fingerprint: String, now: Timestamp, answer: StoredAnswer) -> Self {
        Self { fingerprint, begun: now, answer: Some(answer), applied: None }
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let wire: Wire = serde_json::from_slice(text).map_err(Error::internal)?;
        if wire.v != 1 {
            return Err(Error::internal(format!("an idempotency record of the unknown version {}", wire.v)));
        }
        let body = BASE64.decode(wire.body.as_bytes()).map_err(Error::internal)?;
        let headers = wire.headers;
        let answer = wire.status.map(|status| StoredAnswer { status, headers, body: body.into() });
        let applied = wire.applied.map(|reply| BASE64.decode(reply.as_bytes())).transpose();
        let applied = applied.map_err(Error::internal)?.map(Bytes::from);
        Ok(Self { fingerprint: wire.fingerprint, begun: wire.begun, answer, applied })
    }

    pub(super) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let answer = self.answer.as_ref();
        let wire = Wire {
            v: 1,
            fingerprint: self.fingerprint.clone(),
            begun: self.begun,
            status: answer.map(|answer| answer.status),
            applied: self.applied.as_ref().map(|reply| BASE64.encode(reply)),
            headers: answer.map(|answer| answer.headers.clone()).unwrap_or_default(),
            body: answer.map(|answer| BASE64.encode(&answer.body)).unwrap_or_default(),
        };
        serde_json::to_vec(&wire).map(Zeroizing::new).map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = r#"{"v":1,"fingerprint":"ab","begun":"2026-01-02T03:04:05.006Z","status":201,"headers":[["etag","\"1\""]],"body":"e30="}"#;

    #[test]
    fn a_change_without_an_answer_loads_for_ever() {
        let golden = r#"{"v":1,"fingerprint":"ab","begun":"2026-01-02T03:04:05.006Z","applied":"e30="}"#;
        let record = Record::parse(golden.as_bytes()).unwrap();
        assert_eq!(record.to_bytes().unwrap().as_slice(), golden.as_bytes());
        assert!(record.answer.is_none() && record.applied.unwrap().as_ref() == b"{}");
    }

    #[test]
    fn version_1_loads_for_ever() {
        let record = Record::parse(GOLDEN.as_bytes()).unwrap();
        assert_eq!(record.to_bytes().unwrap().as_slice(), GOLDEN.as_bytes());
        let answer = record.answer.unwrap();
        assert_eq!((answer.status, answer.body.as_ref()), (201, b"{}".as_slice()));
        assert!(Record::parse(GOLDEN.replace("\"v\":1", "\"v\":2").as_bytes()).is_err());
    }
}
