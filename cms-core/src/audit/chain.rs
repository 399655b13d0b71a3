// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The links of a chain: the canonical bytes of a record, the keyed hash over them, ids that only
//! grow, and the head that says where a chain ends.
//!
//! A record is one line of JSON, its fields in the order of [`Record`]. The hash is HMAC-SHA-256
//! over the line as it is without its last field, `hash`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::sink::Start;
use crate::api::audit::{Link, Record};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::sensitive::Sensitive;
use crate::store::Entry;

/// The version of records and heads.
pub(super) const VERSION: u8 = 1;
/// The `prev` of a chain's first record.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Where the heads are.
pub(super) const HEADS: &str = "audit/h/";
/// Where the records are, in segments named by their first record.
pub(super) const SEGMENTS: &str = "audit/t/";
/// What stands between the canonical bytes and the hash.
const HASH_FIELD: &[u8] = br#","hash":""#;
/// The length of a hash in hexadecimal.
const HASH_LEN: usize = 64;

/// The key of the chains. Its bytes cannot be taken out again.
pub(super) struct ChainKey(hmac::Key);

impl ChainKey {
    pub(super) fn new(key: &Sensitive<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// The hash of a line that stands in two parts.
    pub(super) fn hash(&self, parts: &[&[u8]]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        HEXLOWER.encode(context.sign().as_ref())
    }

    /// A start line for a sink.
    pub(super) fn start(&self, time: Timestamp, heads: BTreeMap<String, Link>) -> Start {
        let hash = self.start_hash(time, &heads);
        Start { v: VERSION, time, heads, hash }
    }

    /// Whether a start line is one that this key has hashed.
    pub(super) fn vouches_for_start(&self, start: &Start) -> bool {
        start.v == VERSION && self.start_hash(start.time, &start.heads) == start.hash
    }

    fn start_hash(&self, time: Timestamp, heads: &BTreeMap<String, Link>) -> String {
        let mut text = format!("start {VERSION} {time}\n");
        for (chain, link) in heads {
            text.push_str(&format!("{chain} {} {}\n", link.seq, link.hash));
        }
        self.hash(&[text.as_bytes()])
    }

    /// Whether a line is one that this key has hashed, byte for byte.
    pub(super) fn vouches_for(&self, line: &[u8]) -> bool {
        let Some((canonical, hash)) = split_hash(line) else { return false };
        // Not a secret comparison: whoever can ask can also read the line.
        self.hash(&[canonical, b"}"]).as_bytes() == hash
    }
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainKey([redacted])")
    }
}

/// Splits a line into its canonical bytes (without the closing brace) and its hash.
fn split_hash(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_suffix(b"\"}")?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(HASH_LEN)?)?;
    Some((rest.strip_suffix(HASH_FIELD)?, hash))
}

/// Where a chain ends, as it is kept at `audit/h/{chain}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) v: u8,
    pub(super) seq: u64,
    pub(super) hash: String,
    pub(super) id: String,
}

impl Head {
    /// Reads a head.
    pub(super) fn parse(entry: &Entry) -> Result<Self> {
        let head: Self = serde_json::from_slice(&entry.value)
            .map_err(|error| Error::internal(format!("the chain head at `{}`: {error}", entry.key)))?;
        if head.v != VERSION {
            let text = format!("the chain head at `{}` has the version {}", entry.key, head.v);
            return Err(Error::internal(text));
        }
        Ok(head)
    }
}

/// The end of a chain that is being written.
#[derive(Debug, Clone)]
pub(super) struct Tip {
    pub(super) chain: Arc<str>,
    pub(super) seq: u64,
    pub(super) hash: String,
    stamp: Stamp,
}

impl Tip {
    /// The beginning of a new chain.
    pub(super) fn new(chain: Arc<str>) -> Self {
        Self { chain, seq: 0, hash: GENESIS.to_owned(), stamp: Stamp::default() }
    }

    /// The end of a chain that was written before.
    pub(super) fn from_head(chain: Arc<str>, head: &Head) -> Self {
        Self { chain, seq: head.seq, hash: head.hash.clone(), stamp: Stamp::parse(&head.id) }
    }

    /// The head that says so.
    pub(super) fn head(&self) -> Head {
        Head { v: VERSION, seq: self.seq, hash: self.hash.clone(), id: self.stamp.to_string() }
    }

    /// The moment of the last id, in milliseconds; it may be ahead of the clock.
    pub(super) fn millis(&self) -> i64 {
        self.stamp.millis()
    }

    /// The id of the last record.
    pub(super) fn id(&self) -> String {
        self.stamp.to_string()
    }

    /// Appends a record to the chain and its line, without a line break, to `out`.
    pub(super) fn append(
        &mut self,
        key: &ChainKey,
        moment: &Moment,
        draft: &Draft,
        links: &BTreeMap<String, Link>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let start = out.len();
        let stamp = self.stamp.next(moment.now.as_millis(), random()?);
        let seq = self.seq + 1;
        let chain = &self.chain;
        write!(
            out,
            r#"{{"v":{VERSION},"id":"{stamp}","chain":"{chain}","seq":{seq},"time":"{}","#,
            moment.text
        )
        .map_err(Error::internal)?;
        out.extend_from_slice(draft.fields());
        if !links.is_empty() {
            out.extend_from_slice(br#","links":"#);
            serde_json::to_writer(&mut *out, links).map_err(Error::internal)?;
        }
        out.extend_from_slice(br#","prev":""#);
        out.extend_from_slice(self.hash.as_bytes());
        out.push(b'"');
        let hash = key.hash(&[out.get(start..).unwrap_or_default(), b"}"]);
        out.extend_from_slice(HASH_FIELD);
        out.extend_from_slice(hash.as_bytes());
        out.extend_from_slice(b"\"}");
        (self.seq, self.hash, self.stamp) = (seq, hash, stamp);
        Ok(())
    }
}

/// The time of a batch, written out once for all its records.
#[derive(Debug)]
pub(super) struct Moment {
    now: Timestamp,
    text: String,
}

impl Moment {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, text: now.to_string() }
    }
}

/// A UUID of version 7: 48 bits of time, 12 bits that count within a millisecond, 62 random bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(u128);

/// The highest value of the counter.
const MAX_COUNT: u128 = 0xfff;

impl Stamp {
    /// The stamp that follows: later than this one, and not before `now`.
    fn next(self, now: i64, random: u64) -> Self {
        let now = u128::from(u64::try_from(now).unwrap_or(0)) & 0xffff_ffff_ffff;
        let (last, count) = (self.0 >> 80, (self.0 >> 64) & MAX_COUNT);
        let (millis, count) = match () {
            () if now > last => (now, 0),
            () if count < MAX_COUNT => (last, count + 1),
            () => (last + 1, 0),
        };
        Self(millis << 80 | 7 << 76 | count << 64 | 0b10 << 62 | u128::from(random >> 2))
    }

    /// Reads an id; what is none counts as the beginning of time.
    pub(super) fn parse(id: &str) -> Self {
        uuid::Uuid::try_parse(id).map_or_else(|_| Self::default(), |uuid| Self(uuid.as_u128()))
    }

    /// The least id of a moment, in milliseconds.
    pub(super) fn floor(millis: i64) -> Self {
        Self((u128::from(u64::try_from(millis).unwrap_or(0)) & 0xffff_ffff_ffff) << 80)
    }

    pub(super) fn millis(self) -> i64 {
        i64::try_from(self.0 >> 80).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = uuid::Uuid::encode_buffer();
        f.write_str(uuid::Uuid::from_u128(self.0).hyphenated().encode_lower(&mut text))
    }
}

/// The name of a chain that nobody else will choose.
pub(super) fn new_chain() -> Result<Arc<str>> {
    Ok(Arc::from(format!("{:016x}", random()?)))
}

/// Random bits from the operating system's generator.
pub(super) fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(Error::internal)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Reads a record; a field too many or too few is an error.
pub(super) fn parse_record(line: &[u8]) -> Result<Record, serde_json::Error> {
    serde_json::from_slice(line)
}

/// A digest over the ends of all chains, in hexadecimal.
pub(super) fn digest<'a>(heads: impl Iterator<Item = (&'a str, u64, &'a str)>) -> String {
    let sorted: BTreeMap<&str, (u64, &str)> = heads.map(|(chain, seq, hash)| (chain, (seq, hash))).collect();
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for (chain, (seq, hash)) in sorted {
        context.update(format!("{chain} {seq} {hash}\n").as_bytes());
    }
    HEXLOWER.encode(context.finish().as_ref())
}
