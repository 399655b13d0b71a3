// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Verification of an export away from the installation, with whatever keys are at hand.
//!
//! Without any key, the digests show every edit that did not also make all later lines anew. With the
//! installation's public key, noted down from an earlier verification, the signature shows those too.
//! With the key of the trail, every record is hashed again.

use std::io::{self, BufRead};
use std::sync::Arc;

use super::export::{
    Check, FORMAT, Footer, Header, RECORD_CHECK, RECORD_START, SIGNATURE, VERSION, is_signed,
};
use super::follow::{Seen, Verifier};
use super::trail::chain_key;
use super::verify::Progress;
use crate::api::audit::{BrokenAt, Damage, ExportVerification};
use crate::error::Result;
use crate::sensitive::Sensitive;

/// How long a line may be, in bytes.
const MAX_LINE: u64 = 1024 * 1024;

/// What is known of the installation beforehand.
#[derive(Debug, Default)]
pub struct Trust {
    /// The public key that must have signed the export, in hexadecimal.
    pub signing_key: Option<String>,
    /// The key of the trail, as the barrier derives it.
    pub trail_key: Option<Sensitive<[u8; 32]>>,
}

/// Verifies an export. Progress is reported every thousand records; the total is 0 until it is known.
///
/// # Errors
/// `Internal` if it cannot be read. A broken export is an answer, not an error.
pub fn verify(
    export: impl BufRead,
    trust: &Trust,
    progress: &dyn Fn(Progress),
) -> Result<ExportVerification> {
    let key = trust.trail_key.as_ref().map(chain_key).transpose()?.map(Arc::new);
    let mut report = ExportVerification {
        ok: false,
        records: 0,
        made_at: None,
        project: None,
        signed_by: None,
        trusted: false,
        rehashed: key.is_some(),
        line: None,
        broken_at: None,
    };
    let mut reader = Reader { export, number: 0, line: Vec::new() };
    match reader.verify(key, trust, &mut report, progress) {
        Ok(()) => report.ok = true,
        Err(Fault::Broken(broken)) => {
            report.line = Some(reader.number);
            report.broken_at = Some(*broken);
        }
        Err(Fault::Unreadable(error)) => return Err(crate::error::Error::internal(error)),
    }
    Ok(report)
}

/// Why a verification ends early.
enum Fault {
    Broken(Box<BrokenAt>),
    Unreadable(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl From<BrokenAt> for Fault {
    fn from(broken: BrokenAt) -> Self {
        Self::Broken(Box::new(broken))
    }
}

/// Reads an export line by line.
struct Reader<R> {
    export: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    fn verify(
        &mut self,
        key: Option<Arc<super::chain::ChainKey>>,
        trust: &Trust,
        report: &mut ExportVerification,
        progress: &dyn Fn(Progress),
    ) -> Result<(), Fault> {
        let header = self.header()?;
        report.made_at = Some(header.time);
        report.project.clone_from(&header.project);
        report.signed_by = Some(header.public_key.clone());
        report.trusted = trust.signing_key.as_ref() == Some(&header.public_key);
        if trust.signing_key.is_some() && !report.trusted {
            return Err(self.fault("the export was signed with another key than expected"));
        }
        let mut check = Check::FIRST;
        check.add(&self.line);
        let heads = header.project.is_none().then(|| header.heads.clone());
        let mut verifier = Verifier::new(key, heads);
        let mut damaged = None;
        while self.next()? && self.line.starts_with(RECORD_START) {
            let line = self.record(&mut check, &verifier)?;
            if damaged.is_none() {
                damaged = follow(&mut verifier, &header, &line).err().map(|broken| (self.number, broken));
            }
            report.records += 1;
            if report.records.is_multiple_of(1_000) {
                progress(Progress { records: report.records, total: verifier.progress().total });
            }
        }
        let footer = self.footer(&header, &check, report.records)?;
        self.end()?;
        if let Some((number, broken)) = damaged {
            self.number = number;
            return Err(broken.into());
        }
        verifier.reaches_heads()?;
        match footer.broken_at {
            Some(broken) => Err(broken.into()),
            None if !footer.ok => Err(self.fault("the trail was broken when it was exported")),
            None => Ok(()),
        }
    }

    /// Reads the next line, without its line break; `false` at the end.
    fn next(&mut self) -> Result<bool, Fault> {
        self.line.clear();
        self.number += 1;
        io::Read::take(&mut self.export, MAX_LINE).read_until(b'\n', &mut self.line)?;
        match self.line.pop() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) => Err(self.fault("the line is cut off or too long")),
        }
    }

    fn header(&mut self) -> Result<Header, Fault> {
        if !self.next()? {
            return Err(self.fault("the export is empty"));
        }
        let header: Header = serde_json::from_slice(&self.line)
            .map_err(|_| self.fault("this is no export of an audit trail"))?;
        if header.format != FORMAT || header.v != VERSION {
            return Err(self.fault("this is an export of another kind or version"));
        }
        Ok(header)
    }

    /// Takes the record out of its line and compares the digest.
    fn record(&self, check: &mut Check, verifier: &Verifier) -> Result<Vec<u8>, Fault> {
        let split = || {
            let rest = self.line.strip_prefix(RECORD_START)?.strip_suffix(b"\"}")?;
            let (rest, digest) = rest.split_last_chunk::<64>()?;
            Some((rest.strip_suffix(RECORD_CHECK)?, digest))
        };
        let (record, digest) = split().ok_or_else(|| self.fault("the line is not one of an export"))?;
        check.add(record);
        if check.text().as_bytes() != digest {
            let mut broken = verifier.name(record);
            broken.detail = "the line, or one before it, was edited".to_owned();
            return Err(broken.into());
        }
        Ok(record.to_vec())
    }

    fn footer(&self, header: &Header, check: &Check, records: u64) -> Result<Footer, Fault> {
        let split = || {
            let rest = self.line.strip_suffix(b"\"}")?;
            let (rest, signature) = rest.split_last_chunk::<128>()?;
            Some((rest.strip_suffix(SIGNATURE)?, signature))
        };
        let (signed, signature) =
            split().ok_or_else(|| self.fault("the export is cut off or edited here"))?;
        let footer: Footer = serde_json::from_slice(&[signed, b"}"].concat())
            .map_err(|_| self.fault("the last line is not one of an export"))?;
        if footer.check != check.text() || footer.records != records {
            return Err(self.fault("lines before this one are missing or were edited"));
        }
        if !is_signed(&header.public_key, signed, signature) {
            return Err(self.fault("the signature is not that of the key in the first line"));
        }
        Ok(footer)
    }

    fn end(&mut self) -> Result<(), Fault> {
        if self.next()? {
            return Err(self.fault("there are lines behind the last one"));
        }
        Ok(())
    }

    fn fault(&self, detail: &str) -> Fault {
        let broken = BrokenAt {
            chain: String::new(),
            seq: 0,
            id: None,
            damage: Damage::Altered,
            detail: format!("line {}: {detail}", self.number),
        };
        Fault::Broken(Box::new(broken))
    }
}

/// Follows the chain of a record; all of them must belong to what the header says.
fn follow(verifier: &mut Verifier, header: &Header, line: &[u8]) -> Result<(), BrokenAt> {
    let record = verifier.read(line, "")?;
    let foreign = header.project.as_ref().is_some_and(|project| *project != record.project);
    match verifier.record(&record)? {
        Seen::Verified if !foreign => Ok(()),
        _ => Err(super::follow::broken(&record, Damage::Reordered, "it does not belong to this export")),
    }
}
