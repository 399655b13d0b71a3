// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lines in the field names of the Elastic Common Schema, so that Filebeat, Vector and the like ship
//! them as they are. A line holds its record whole: it is read back and checked like one in the store.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::{SinkLine, Start};
use crate::api::audit::{AuditOutcome, Link, Record};
use crate::clock::Timestamp;

/// The version of the schema whose names are used.
const ECS_VERSION: &str = "8.17.0";
const DATASET: &str = "cms.audit";
const START_ACTION: &str = "audit:start";
const VOID_TEXT: &str = "void: the change of this record did not come about";

/// One line. What is not in the schema stands under `cms`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "@timestamp")]
    timestamp: Timestamp,
    ecs: Ecs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    event: Event,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<Http>,
    cms: Cms,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ecs {
    version: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    kind: String,
    dataset: String,
    category: Vec<String>,
    #[serde(rename = "type")]
    types: Vec<String>,
    action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    id: String,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    ip: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    request: Request,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    id: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cms {
    v: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<AuditOutcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// In a record its links; in a start the ends of all chains. As pairs, so that indexes do not
    /// grow a field per chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    links: Vec<NamedLink>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prev: Option<String>,
    hash: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedLink {
    chain: String,
    seq: u64,
    hash: String,
}

/// The check of the line before the first.
pub(super) const FIRST_CHECK: [u8; 32] = [0; 32];
/// What stands between a line and its check.
const CHECK_FIELD: &[u8] = br#","check":""#;
/// What stands behind the check; it also ends the line without it.
const LINE_END: &[u8] = b"}}";

/// A line as it was read back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) line: SinkLine,
    /// What the line says of all lines up to it.
    pub(super) check: [u8; 32],
    /// What it should say, if the check of the line before is the one given.
    pub(super) expected: [u8; 32],
}

/// Appends the line, its check and its line break. The check is a digest of this line and the check
/// before, so that the order of all lines shows, also of those that belong to different chains.
///
/// # Errors
/// Never for what this crate makes; a serializer may fail.
pub(super) fn write(line: &SinkLine, check: &mut [u8; 32], out: &mut Vec<u8>) -> serde_json::Result<()> {
    let start = out.len();
    serde_json::to_writer(&mut *out, &shape(line))?;
    *check = next_check(check, out.get(start..).unwrap_or_default());
    out.truncate(out.len() - LINE_END.len());
    out.extend_from_slice(CHECK_FIELD);
    out.extend_from_slice(HEXLOWER.encode(check).as_bytes());
    out.extend_from_slice(b"\"}}\n");
    Ok(())
}

/// Reads a line back, without its line break; `None` if it is not, byte for byte, one that
/// [`write`] makes.
pub(super) fn read(text: &[u8], before: &[u8; 32]) -> Option<Read> {
    let (rest, check) = text.strip_suffix(b"\"}}")?.split_last_chunk::<64>()?;
    let check = HEXLOWER.decode(check).ok()?.try_into().ok()?;
    let bare = [rest.strip_suffix(CHECK_FIELD)?, LINE_END].concat();
    let line = parse(serde_json::from_slice(&bare).ok()?)?;
    let again = serde_json::to_vec(&shape(&line)).ok()?;
    (again == bare).then(|| Read { line, check, expected: next_check(before, &bare) })
}

/// What a line says of all lines up to it, whatever else it says.
pub(super) fn check_of(text: &[u8]) -> Option<[u8; 32]> {
    let (_, check) = text.strip_suffix(b"\"}}")?.split_last_chunk::<64>()?;
    HEXLOWER.decode(check).ok()?.try_into().ok()
}

fn next_check(before: &[u8; 32], line: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(before);
    context.update(line);
    context.finish().as_ref().try_into().unwrap_or(FIRST_CHECK)
}

fn shape(line: &SinkLine) -> Line {
    match line {
        SinkLine::Record(record) => of_record(record, false),
        SinkLine::Void(record) => of_record(record, true),
        SinkLine::Start(start) => of_start(start),
    }
}

fn of_record(record: &Record, void: bool) -> Line {
    let (_, name) = record.actor.split_once(':').unwrap_or(("", &record.actor));
    Line {
        timestamp: record.time,
        ecs: Ecs { version: ECS_VERSION.to_owned() },
        message: void.then(|| VOID_TEXT.to_owned()),
        event: Event {
            kind: "event".to_owned(),
            dataset: DATASET.to_owned(),
            category: vec![category(&record.action).to_owned()],
            types: types(&record.action, record.outcome),
            action: record.action.clone(),
            outcome: Some(if void { "unknown" } else { outcome(record.outcome) }.to_owned()),
            reason: record.reason.clone(),
            id: Some(record.id.clone()),
            sequence: Some(record.seq),
        },
        user: Some(User { id: record.actor.clone(), name: name.to_owned() }),
        source: record.address.clone().map(|ip| Source { ip }),
        http: Some(Http { request: Request { id: record.request_id.clone() } }),
        cms: Cms {
            v: record.v,
            chain: Some(record.chain.clone()),
            project: Some(record.project.clone()),
            resource: Some(record.resource.clone()),
            outcome: Some(record.outcome),
            release: record.release.clone(),
            version: record.version,
            links: named(&record.links),
            prev: Some(record.prev.clone()),
            hash: record.hash.clone(),
        },
    }
}

fn of_start(start: &Start) -> Line {
    Line {
        timestamp: start.time,
        ecs: Ecs { version: ECS_VERSION.to_owned() },
        message: None,
        event: Event {
            kind: "state".to_owned(),
            dataset: DATASET.to_owned(),
            category: vec!["configuration".to_owned()],
            types: vec!["start".to_owned()],
            action: START_ACTION.to_owned(),
            outcome: None,
            reason: None,
            id: None,
            sequence: None,
        },
        user: None,
        source: None,
        http: None,
        cms: Cms {
            v: start.v,
            chain: None,
            project: None,
            resource: None,
            outcome: None,
            release: None,
            version: None,
            links: named(&start.heads),
            prev: None,
            hash: start.hash.clone(),
        },
    }
}

fn parse(line: Line) -> Option<SinkLine> {
    let links = line.cms.links.into_iter();
    let links = links.map(|link| (link.chain, Link { seq: link.seq, hash: link.hash })).collect();
    if line.event.action == START_ACTION && line.cms.chain.is_none() {
        let (v, time, hash) = (line.cms.v, line.timestamp, line.cms.hash);
        return Some(SinkLine::Start(Box::new(Start { v, time, heads: links, hash })));
    }
    let record = Record {
        v: line.cms.v,
        id: line.event.id?,
        chain: line.cms.chain?,
        seq: line.event.sequence?,
        time: line.timestamp,
        actor: line.user?.id,
        action: line.event.action,
        project: line.cms.project?,
        resource: line.cms.resource?,
        outcome: line.cms.outcome?,
        reason: line.event.reason,
        request_id: line.http?.request.id,
        address: line.source.map(|source| source.ip),
        release: line.cms.release,
        version: line.cms.version,
        links,
        prev: line.cms.prev?,
        hash: line.cms.hash,
    };
    let line = if line.message.is_some() { SinkLine::Void } else { SinkLine::Record };
    Some(line(Box::new(record)))
}

fn named(links: &BTreeMap<String, Link>) -> Vec<NamedLink> {
    let named = |(chain, link): (&String, &Link)| NamedLink {
        chain: chain.clone(),
        seq: link.seq,
        hash: link.hash.clone(),
    };
    links.iter().map(named).collect()
}

/// The schema's outcome; it has no word for a refusal, which is a type there.
fn outcome(outcome: AuditOutcome) -> &'static str {
    match outcome {
        AuditOutcome::Success => "success",
        AuditOutcome::Denied | AuditOutcome::Failure => "failure",
    }
}

fn category(action: &str) -> &'static str {
    match action.split(':').next() {
        Some("auth" | "session") => "authentication",
        Some("user" | "self" | "member" | "key" | "project") => "iam",
        Some("secret") => "database",
        Some("decide") => "api",
        _ => "configuration",
    }
}

fn types(action: &str, outcome: AuditOutcome) -> Vec<String> {
    let verb = match action.split_once(':').map(|(_, verb)| verb) {
        Some("create") => "creation",
        Some("write" | "activate" | "rotate" | "undelete") => "change",
        Some("delete" | "destroy" | "revoke") => "deletion",
        Some("login" | "refresh") => "start",
        Some("logout") => "end",
        _ => "access",
    };
    let denied = (outcome == AuditOutcome::Denied).then_some("denied");
    [Some(verb), denied].into_iter().flatten().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::parse_record;

    fn record() -> Record {
        parse_record(include_bytes!("../../../testdata/audit_record_v1.jsonl")).unwrap()
    }

    /// The lines as they were written first: what is shipped and indexed elsewhere stays findable.
    #[test]
    fn lines_keep_the_names_that_shippers_know() {
        let golden = include_str!("../../../testdata/audit_ecs_v1.jsonl");
        let heads = record().links;
        let start = Start { v: 1, time: record().time, heads, hash: "ef".repeat(32) };
        let written = [
            SinkLine::Start(Box::new(start)),
            SinkLine::Record(Box::new(record())),
            SinkLine::Void(Box::new(record())),
        ];
        let mut text = Vec::new();
        let mut check = FIRST_CHECK;
        written.iter().for_each(|line| write(line, &mut check, &mut text).unwrap());
        assert_eq!(String::from_utf8(text).unwrap(), golden);
        let mut before = FIRST_CHECK;
        for (line, written) in golden.lines().zip(written) {
            let read = read(line.as_bytes(), &before).unwrap();
            assert_eq!((read.line, read.check), (written, read.expected));
            before = read.check;
        }
    }

    #[test]
    fn a_line_that_was_touched_anywhere_is_not_read() {
        let mut line = Vec::new();
        let record = SinkLine::Record(Box::new(record()));
        write(&record, &mut FIRST_CHECK.clone(), &mut line).unwrap();
        line.pop();
        for place in 0..line.len() {
            let mut touched = line.clone();
            touched[place] ^= 1;
            let read = read(&touched, &FIRST_CHECK);
            assert!(read.is_none_or(|read| read.check != read.expected), "at {place}");
        }
        let spaced = [b" ".as_slice(), &line].concat();
        assert_eq!(read(&spaced, &FIRST_CHECK), None);
    }
}
