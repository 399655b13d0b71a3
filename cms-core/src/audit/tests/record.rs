// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The form of records on disk and on the wire, and how they are found again.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::ids::UserId;

/// Version 1 as it was written first. If this fails, old trails no longer verify.
#[test]
fn a_record_of_version_1_is_still_read_and_vouched_for() {
    let line = include_bytes!("../../../testdata/audit_record_v1.jsonl").trim_ascii_end();
    let key = super::super::chain::ChainKey::new(&Sensitive::new(KEY));
    assert!(key.vouches_for(line));
    let record = super::super::chain::parse_record(line).unwrap();
    assert_eq!(serde_json::to_vec(&record).unwrap(), line);
    assert_eq!((record.v, record.seq, record.version), (1, 42, Some(7)));
    assert_eq!(record.links["00000000000000bb"].seq, 9);
}

#[test]
fn fields_that_are_unknown_are_refused() {
    let line = include_str!("../../../testdata/audit_record_v1.jsonl").trim_end();
    let more = line.replacen("{\"v\":1,", "{\"v\":1,\"root\":true,", 1);
    assert!(super::super::chain::parse_record(more.as_bytes()).is_err());
}

#[tokio::test]
async fn a_record_says_who_did_what_from_where() {
    let store = MemoryStore::new();
    let audit = open(&store, AuditSettings::default());
    let user = UserId::parse("eve").unwrap();
    let kind = crate::auth::PrincipalKind::User { user, role: None, session: "s".into() };
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let ctx = RequestContext::new(Arc::new(Principal { kind }))
        .with_request_id("req-1")
        .with_address(Some(address));
    let new = record("secret:reveal")
        .version(3)
        .release("r1")
        .reason(Some("incident 7".into()))
        .outcome(AuditOutcome::Failure);
    audit.access(&ctx, new).await.unwrap();
    let found = listed(&audit, AuditQuery::default()).await;
    let [kept] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((kept.actor.as_str(), kept.action.as_str()), ("user:eve", "secret:reveal"));
    assert_eq!((kept.project.as_str(), kept.resource.as_str()), ("rag", "projects/rag/secret/db"));
    assert_eq!((kept.request_id.as_str(), kept.address.as_deref()), ("req-1", Some("192.0.2.7")));
    assert_eq!((kept.version, kept.release.as_deref()), (Some(3), Some("r1")));
    assert_eq!((kept.reason.as_deref(), kept.outcome), (Some("incident 7"), AuditOutcome::Failure));
}

#[tokio::test]
async fn injected_text_stays_within_its_field_and_line() {
    let store = MemoryStore::new();
    let audit = open(&store, AuditSettings::default());
    let evil = "x\",\"actor\":\"root\"}\n{\"v\":1}\r\n\u{1b}[31m\u{0}\u{202e}\u{2028}";
    let ctx = root().with_request_id(evil);
    let mut new = record("auth:login").reason(Some(evil.repeat(10_000))).release(evil);
    new.resource = format!("projects/{}", "/../".repeat(300_000));
    audit.access(&ctx, new.clone()).await.unwrap();
    audit.commit(&ctx, new, put("a")).await.unwrap();
    let records = listed(&audit, AuditQuery::default()).await;
    assert_eq!(records.len(), 2);
    for record in records {
        let line = serde_json::to_string(&record).unwrap();
        assert!(line.len() < 16 * 1024, "{} bytes", line.len());
        assert!(!line.chars().any(char::is_control), "{line}");
        assert_eq!(record.actor, "root");
    }
    assert!(verified(&audit).await.ok);
}

#[tokio::test]
async fn lists_are_filtered_and_newest_first() {
    let store = MemoryStore::new();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    let audit = Audit::open(
        Db::new(Arc::new(store.clone())),
        clock.clone(),
        &Sensitive::new(KEY),
        AuditSettings::default(),
    )
    .unwrap();
    for n in 0..300_u64 {
        let mut new = record(if n % 3 == 0 { "secret:reveal" } else { "policy:write" }).version(n);
        new.resource = format!("projects/rag/secret/s{}", n % 10);
        if n % 7 == 0 {
            new = new.outcome(AuditOutcome::Denied);
        }
        if n % 2 == 0 {
            audit.access(&root(), new).await.unwrap()
        } else {
            audit.commit(&root(), new, put(format!("k/{n}"))).await.unwrap();
        }
        clock.advance(Duration::from_secs(1));
    }
    let query = AuditQuery::default;
    let versions = |records: Vec<Record>| records.iter().filter_map(|r| r.version).collect::<Vec<_>>();
    assert_eq!(versions(listed(&audit, query()).await), (0..300).rev().collect::<Vec<_>>());
    let small = AuditQuery { limit: Some(7), ..query() };
    assert_eq!(versions(listed(&audit, small).await), (0..300).rev().collect::<Vec<_>>());
    let reveals = AuditQuery { action: Some("secret:reveal".into()), ..query() };
    assert_eq!(listed(&audit, reveals).await.len(), 100);
    let denied = AuditQuery { outcome: Some(AuditOutcome::Denied), ..query() };
    assert_eq!(listed(&audit, denied).await.len(), 43);
    let under = AuditQuery { resource: Some("projects/rag/secret/s4".into()), ..query() };
    assert_eq!(listed(&audit, under).await.len(), 30);
    let (from, to) = (clock.now().as_millis() - 200_000, clock.now().as_millis() - 100_000);
    let window = AuditQuery {
        from: Some(Timestamp::from_millis(from)),
        to: Some(Timestamp::from_millis(to)),
        ..query()
    };
    assert_eq!(versions(listed(&audit, window).await), (100..200).rev().collect::<Vec<_>>());
    let other = AuditQuery { project: Some("other".into()), ..query() };
    assert!(listed(&audit, other).await.is_empty());
}

#[tokio::test]
async fn a_group_is_paged_through_record_by_record() {
    let store = MemoryStore::new();
    let audit = open(&store, AuditSettings::default());
    let ctx = root();
    let accesses = (0..300).map(|n| audit.access(&ctx, record("decide").version(n)));
    for done in futures_util::future::join_all(accesses).await {
        done.unwrap();
    }
    assert!(all(&store, SEGMENTS).await.len() < 20, "accesses are written in groups");
    let found = listed(&audit, AuditQuery { limit: Some(11), ..AuditQuery::default() }).await;
    let mut versions: Vec<u64> = found.iter().filter_map(|record| record.version).collect();
    versions.sort_unstable();
    assert_eq!(versions, (0..300).collect::<Vec<_>>());
}

#[test]
fn filters_and_cursors_are_checked() {
    assert!(Filter::new(&AuditQuery { project: Some("../x".into()), ..AuditQuery::default() }).is_err());
    assert!(Filter::new(&AuditQuery { actor: Some("x".repeat(5_000)), ..AuditQuery::default() }).is_err());
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let audit = open(&MemoryStore::new(), AuditSettings::default());
    let cursor = crate::api::Page::<u8>::new(Vec::new(), Some("rag/authz")).next_cursor;
    let page = PageQuery { limit: None, cursor };
    let error = list(&audit.shared.db, &Filter::default(), &page).await.unwrap_err();
    assert_eq!(error.kind(), crate::error::ErrorKind::Invalid);
}

#[tokio::test]
async fn ids_grow_along_a_chain_whatever_the_clock_does() {
    let store = MemoryStore::new();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    let db = Db::new(Arc::new(store.clone()));
    let audit = Audit::open(db, clock.clone(), &Sensitive::new(KEY), AuditSettings::default()).unwrap();
    for jump in [0, 3_600_000, -3_600_000, -315_360_000_000, 1, 0] {
        clock.set(Timestamp::from_millis(clock.now().as_millis() + jump));
        for n in 0..3 {
            audit.commit(&root(), record("a:b"), put(format!("{jump}/{n}"))).await.unwrap();
            audit.access(&root(), record("a:b")).await.unwrap();
        }
    }
    let verification = verified(&audit).await;
    assert!(verification.ok, "{verification:?}");
    assert_eq!(verification.records, 36);
    for records in chains(&store).await.into_values() {
        assert!(records.is_sorted_by(|a, b| a.id < b.id && a.seq + 1 == b.seq));
    }
}
