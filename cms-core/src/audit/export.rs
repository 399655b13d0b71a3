// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The trail as a file that proves itself: JSON lines with everything that verification needs.
//!
//! The first line says whose trail it is and where the chains end; then comes a line for each record,
//! with its bytes as they are stored; the last line is signed. Every line but the last carries a
//! digest of all lines up to it, so that also without any key the first edited line is named.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream::{self, BoxStream, StreamExt};
use serde::{Deserialize, Serialize};

use super::follow::{Seen, Verifier};
use super::lanes::read_heads;
use super::verify::{Segments, lines};
use super::write::{Keys, Shared};
use crate::api::audit::{BrokenAt, Link};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::sensitive::Sensitive;

/// What the first line calls the format.
pub(super) const FORMAT: &str = "cms-audit-export";
/// The version of the format.
pub(super) const VERSION: u8 = 1;
/// What is before a record,
pub(super) const RECORD_START: &[u8] = br#"{"record":"#;
/// what is between the record and its digest,
pub(super) const RECORD_CHECK: &[u8] = br#","check":""#;
/// and what is between the last line and its signature.
pub(super) const SIGNATURE: &[u8] = br#","signature":""#;
/// What the signature covers before the line itself, so that it cannot stand for anything else.
const SIGNED_AS: &[u8] = b"cms audit export 1\n";

/// The lines of an export.
pub type Export = BoxStream<'static, Result<Bytes>>;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) v: u8,
    pub(super) time: Timestamp,
    /// The project whose records these are; absent if it is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) project: Option<String>,
    /// Where the chains end; empty if only a project's records are here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) heads: BTreeMap<String, Link>,
    pub(super) public_key: String,
}

/// The last line, without its signature.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Footer {
    pub(super) records: u64,
    /// Whether the trail was whole when it was exported.
    pub(super) ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) broken_at: Option<BrokenAt>,
    pub(super) check: String,
}

/// The digest of all lines so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check([u8; 32]);

impl Check {
    pub(super) const FIRST: Self = Self([0; 32]);

    pub(super) fn add(&mut self, line: &[u8]) {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.0);
        context.update(line);
        self.0 = context.finish().as_ref().try_into().unwrap_or_default();
    }

    pub(super) fn text(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

/// The key that signs exports.
pub(super) struct ExportKey(Ed25519KeyPair);

impl ExportKey {
    pub(super) fn new(seed: &Sensitive<[u8; 32]>) -> Result<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed.expose()).map(Self).map_err(Error::internal)
    }

    /// The public key, in hexadecimal.
    pub(super) fn public(&self) -> String {
        HEXLOWER.encode(self.0.public_key().as_ref())
    }

    fn sign(&self, line: &[u8]) -> String {
        HEXLOWER.encode(self.0.sign(&[SIGNED_AS, line].concat()).as_ref())
    }
}

impl fmt::Debug for ExportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExportKey([redacted])")
    }
}

/// Whether the signature of a last line is that of this public key, both in hexadecimal.
pub(super) fn is_signed(public_key: &str, line: &[u8], signature: &[u8]) -> bool {
    let (Ok(public_key), Ok(signature)) =
        (HEXLOWER.decode(public_key.as_bytes()), HEXLOWER.decode(signature))
    else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, public_key).verify(&[SIGNED_AS, line].concat(), &signature).is_ok()
}

/// Exports the trail as it is when this begins: all of it, or one project's records.
pub(super) async fn export(shared: Arc<Shared>, project: Option<ProjectId>) -> Result<Export> {
    let keys = shared.keys()?;
    let heads = match &project {
        Some(_) => None,
        None => Some(read_heads(&shared.db).await?.links()),
    };
    let header = Header {
        format: FORMAT.to_owned(),
        v: VERSION,
        time: shared.clock.now(),
        project: project.as_ref().map(ToString::to_string),
        heads: heads.clone().unwrap_or_default(),
        public_key: keys.export.public(),
    };
    let first = serde_json::to_vec(&header).map_err(Error::internal)?;
    let mut check = Check::FIRST;
    check.add(&first);
    let exporter = Exporter {
        verifier: Verifier::new(Some(keys.chain.clone()), heads),
        segments: Some(Segments::new()),
        ready: VecDeque::from([Bytes::from([&first, b"\n".as_slice()].concat())]),
        records: 0,
        broken: None,
        shared,
        keys,
        project,
        check,
    };
    let lines = stream::try_unfold(exporter, |mut exporter| async move {
        Ok(exporter.next().await?.map(|line| (line, exporter)))
    });
    Ok(lines.boxed())
}

struct Exporter {
    shared: Arc<Shared>,
    keys: Arc<Keys>,
    project: Option<ProjectId>,
    verifier: Verifier,
    /// What is still to be read; `None` behind the last line.
    segments: Option<Segments>,
    ready: VecDeque<Bytes>,
    check: Check,
    records: u64,
    broken: Option<BrokenAt>,
}

impl Exporter {
    /// The next lines: those of a segment, or the last one.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(lines) = self.ready.pop_front() {
                return Ok(Some(lines));
            }
            let Some(segments) = &mut self.segments else { return Ok(None) };
            match segments.next(&self.shared.db).await? {
                Some(page) => {
                    for entry in &page {
                        let mut out = Vec::with_capacity(entry.value.len() + 256);
                        lines(entry).for_each(|line| self.record(line, &mut out));
                        self.ready.push_back(Bytes::from(out));
                    }
                    self.ready.retain(|lines| !lines.is_empty());
                    tokio::task::yield_now().await;
                }
                None => {
                    self.segments = None;
                    return self.last().map(Some);
                }
            }
        }
    }

    /// Appends the line of a record, unless it is not asked for. What is broken is exported as well:
    /// it is evidence.
    fn record(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let read = self.verifier.read(line, "");
        let foreign = |project: &ProjectId| match &read {
            Ok(record) => record.project != project.as_str(),
            // What cannot be told goes to nobody, but it is told that it is there.
            Err(_) => true,
        };
        let left_out = self.project.as_ref().is_some_and(foreign);
        match read {
            Err(broken) => drop(self.broken.get_or_insert(broken)),
            Ok(_) if left_out || self.broken.is_some() => {}
            Ok(record) => match self.verifier.record(&record) {
                Ok(Seen::Verified) => {}
                Ok(Seen::Later) => return,
                Err(broken) => self.broken = Some(broken),
            },
        }
        if left_out {
            return;
        }
        self.records += 1;
        self.check.add(line);
        out.extend_from_slice(RECORD_START);
        out.extend_from_slice(line);
        out.extend_from_slice(RECORD_CHECK);
        out.extend_from_slice(self.check.text().as_bytes());
        out.extend_from_slice(b"\"}\n");
    }

    fn last(&mut self) -> Result<Bytes> {
        if self.broken.is_none() {
            self.broken = self.verifier.reaches_heads().err();
        }
        let footer = Footer {
            records: self.records,
            ok: self.broken.is_none(),
            broken_at: self.broken.clone(),
            check: self.check.text(),
        };
        let line = serde_json::to_vec(&footer).map_err(Error::internal)?;
        let open = line.strip_suffix(b"}").unwrap_or(&line);
        let signature = self.keys.export.sign(open);
        Ok(Bytes::from([open, SIGNATURE, signature.as_bytes(), b"\"}\n"].concat()))
    }
}
