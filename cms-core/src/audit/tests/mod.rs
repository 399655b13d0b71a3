// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The trail as its users and its enemies meet it, on the memory store.

mod damage;
mod edit;
mod exports;
mod record;
mod sinks;
mod vectors;
mod writers;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chain::SEGMENTS;
use super::query::{Filter, list};
use super::verify::verify;
use super::*;
use crate::api::PageQuery;
use crate::api::audit::{AuditQuery, AuditVerification, BrokenAt, Record};
use crate::auth::Principal;
use crate::clock::SystemClock;
use crate::context::RequestContext;
use crate::ids::ProjectId;
use crate::sensitive::Sensitive;
use crate::store::{Db, Entry, MemoryStore, Range, Store, Transaction};

const KEY: [u8; 32] = [7; 32];

fn root() -> RequestContext {
    RequestContext::new(Principal::root())
}

fn record(action: &'static str) -> NewRecord {
    NewRecord::new(action, "projects/rag/secret/db", ProjectId::parse("rag").unwrap())
}

fn open(store: &MemoryStore, settings: AuditSettings) -> Audit {
    let db = Db::new(Arc::new(store.clone()));
    Audit::open(db, Arc::new(SystemClock), &Sensitive::new(KEY), settings).unwrap()
}

async fn verified(audit: &Audit) -> AuditVerification {
    verify(&audit.shared, &|_| {}).await.unwrap()
}

async fn broken(audit: &Audit) -> BrokenAt {
    let verification = verified(audit).await;
    assert!(!verification.ok, "the damage was not seen");
    verification.broken_at.unwrap()
}

async fn all(store: &MemoryStore, prefix: &str) -> Vec<Entry> {
    let mut range = Range::prefix(prefix);
    range.limit = 1_000_000;
    store.range(range).await.unwrap().entries
}

/// Every record, by chain, in order.
async fn chains(store: &MemoryStore) -> BTreeMap<String, Vec<Record>> {
    let mut chains: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for entry in all(store, SEGMENTS).await {
        for line in super::verify::lines(&entry) {
            let record = super::chain::parse_record(line).unwrap();
            assert_eq!(serde_json::to_vec(&record).unwrap(), line, "a record has one form only");
            chains.entry(record.chain.clone()).or_default().push(record);
        }
    }
    chains
}

async fn listed(audit: &Audit, query: AuditQuery) -> Vec<Record> {
    let filter = Filter::new(&query).unwrap();
    let mut page = PageQuery { limit: query.limit, cursor: None };
    let mut found = Vec::new();
    loop {
        let read = list(&audit.shared.db, &filter, &page).await.unwrap();
        found.extend(read.items);
        match read.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => return found,
        }
    }
}

fn put(key: impl Into<String>) -> Transaction {
    Transaction::new().put(key, "x")
}
