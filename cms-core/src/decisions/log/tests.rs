// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log of decisions on the memory store.

use std::sync::Arc;

use serde_json::json;
use serde_json::value::to_raw_value;

use super::*;
use crate::Cms;
use crate::api::decision_log::{
    DecisionLog, DecisionOutcome, DecisionQuery, LoggedDecision, ReplayDecisions,
};
use crate::api::decisions::{Decide, DecideBatch};
use crate::api::documents::{Kind, PutDocument};
use crate::api::projects::CreateProject;
use crate::api::releases::PutEnvironment;
use crate::auth::Principal;
use crate::clock::{Clock, ManualClock};
use crate::context::RequestContext;
use crate::counts::Reading;
use crate::crypto::DevSeal;
use crate::error::ErrorKind;
use crate::expected::Expected;
use crate::ids::Name;
use crate::store::{MemoryStore, Range, Store};

const POLICY: &str = "package rag\n\ndefault allow := false\n\nallow if input.user == \"eve\"\n";

struct It {
    cms: Cms,
    root: RequestContext,
    project: ProjectId,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
}

impl It {
    async fn new(every: u32) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let ported: Arc<dyn Clock> = clock.clone();
        let builder = Cms::builder(store.clone(), Arc::new(DevSeal)).clock(ported);
        let (cms, _) = builder.initialize().await.unwrap();
        let root = RequestContext::new(Principal::root());
        let project = ProjectId::parse("rag").unwrap();
        let empty = Some("empty".to_owned());
        let new = CreateProject {
            id: "rag".into(),
            name: "RAG".into(),
            template: empty,
            ..CreateProject::default()
        };
        cms.projects().create(&root, new).await.unwrap();
        let it = Self { cms, root, project, store, clock };
        it.log(DecisionLog { every, keep_days: 2 }).await.unwrap();
        it.policy("rag", POLICY).await;
        it
    }

    async fn log(&self, log: DecisionLog) -> Result<()> {
        let put = PutEnvironment { decision_log: Some(log), ..PutEnvironment::default() };
        let name = EnvironmentId::parse("default").unwrap();
        self.cms
            .releases()
            .put_environment(&self.root, &self.project, &name, put, Expected::Any)
            .await
            .map(drop)
    }

    /// Writes a policy; the release that it made.
    async fn policy(&self, name: &str, text: &str) -> String {
        let put = PutDocument { content: text.to_owned(), ..PutDocument::default() };
        let name = Name::parse(name).unwrap();
        let documents = self.cms.documents();
        let written =
            documents.put(&self.root, &self.project, Kind::Policy, &name, put, Expected::Any).await.unwrap();
        written.document.release.unwrap()
    }

    async fn decide(&self, path: &str, input: serde_json::Value) -> String {
        let input = to_raw_value(&input).unwrap();
        let ask = Decide { path: path.into(), input: Some(&input), environment: None, explain: false };
        self.cms.decisions().decide(&self.root, &self.project, &ask).await.unwrap().decision_id
    }

    async fn find(&self, query: DecisionQuery) -> Vec<LoggedDecision> {
        self.cms.decisions().logged(&self.root, &self.project, &query).await.unwrap().items
    }

    fn counted(&self, outcome: &str) -> u64 {
        let measured = self.cms.measured();
        let log = measured.iter().find(|measured| measured.name == "decision_log").unwrap();
        match log.series.iter().find(|(label, _)| *label == outcome) {
            Some((_, Reading::Counter(count))) => *count,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until so many decisions have had their fate.
    async fn settle(&self, decisions: u64) {
        for _ in 0..400 {
            let all = ["logged", "queue_full", "too_large", "dropped_by_policy", "failed"];
            if all.iter().map(|outcome| self.counted(outcome)).sum::<u64>() >= decisions {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not settled: {:?}", self.cms.measured());
    }

    /// Every key and value, as the backend has them.
    async fn dump(&self) -> String {
        let page = self.store.range(Range::prefix("")).await.unwrap();
        page.entries
            .iter()
            .map(|entry| format!("{}={}\n", entry.key, String::from_utf8_lossy(&entry.value)))
            .collect()
    }
}

fn query() -> DecisionQuery {
    DecisionQuery::default()
}

#[tokio::test]
async fn decisions_are_found_by_whom_what_and_when() {
    let it = It::new(1).await;
    let eve = it.decide("rag/allow", json!({"user": "eve"})).await;
    it.clock.advance(Duration::from_secs(60));
    let middle = it.clock.now();
    let bob = it.decide("data.rag.allow", json!({"subject": {"id": "bob"}})).await;
    it.decide("rag/nothing", json!({"user": 7})).await;
    it.settle(3).await;

    let all = it.find(query()).await;
    assert_eq!(all.len(), 3);
    assert_eq!(all[2].decision_id, eve, "the newest comes first");
    let (first, outcomes) = (&all[2], all.iter().map(|one| one.outcome).collect::<Vec<_>>());
    assert_eq!(outcomes, [DecisionOutcome::Undefined, DecisionOutcome::Deny, DecisionOutcome::Allow]);
    assert_eq!(
        (first.user.as_deref(), first.caller.as_str(), first.path.as_str()),
        (Some("eve"), "root", "rag/allow")
    );
    assert_eq!(first.input.as_ref().unwrap().get(), r#"{"user":"eve"}"#);
    assert_eq!(first.labels["project"], "rag");

    let ids = async |query| it.find(query).await.into_iter().map(|one| one.decision_id).collect::<Vec<_>>();
    assert_eq!(ids(DecisionQuery { user: Some("bob".into()), ..query() }).await, std::slice::from_ref(&bob));
    assert_eq!(ids(DecisionQuery { user: Some("root".into()), ..query() }).await.len(), 3, "who asked");
    assert_eq!(
        ids(DecisionQuery { outcome: Some(DecisionOutcome::Allow), ..query() }).await,
        std::slice::from_ref(&eve)
    );
    assert_eq!(ids(DecisionQuery { path: Some("rag/allow".into()), ..query() }).await, [bob, eve.clone()]);
    assert_eq!(ids(DecisionQuery { path: Some("data.rag".into()), ..query() }).await.len(), 3);
    assert_eq!(ids(DecisionQuery { path: Some("ra".into()), ..query() }).await.len(), 0, "no part of a name");
    assert_eq!(ids(DecisionQuery { from: Some(middle), ..query() }).await.len(), 2);
    assert_eq!(ids(DecisionQuery { to: Some(middle), ..query() }).await, std::slice::from_ref(&eve));
    let release = first.release().map(str::to_owned);
    assert_eq!(ids(DecisionQuery { release, ..query() }).await.len(), 3);
    assert_eq!(ids(DecisionQuery { release: Some("other".into()), ..query() }).await.len(), 0);

    let one = it.cms.decisions().logged_one(&it.root, &it.project, None, &eve).await.unwrap();
    assert_eq!(one.decision_id, eve);
    for missing in ["x", "019a0000-0000-7000-8000-000000000000"] {
        let error = it.cms.decisions().logged_one(&it.root, &it.project, None, missing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    it.cms.shutdown().await;
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let it = It::new(1).await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(it.decide("rag/allow", json!({ "user": format!("u{number}") })).await);
        if number == 3 {
            it.settle(4).await;
            it.clock.advance(Duration::from_millis(5));
        }
    }
    it.settle(7).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let asked = DecisionQuery { limit: Some(2), cursor, ..query() };
        let page = it.cms.decisions().logged(&it.root, &it.project, &asked).await.unwrap();
        seen.extend(page.items.into_iter().map(|one| one.decision_id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    made.reverse();
    assert_eq!(seen, made);
    let lines = it.cms.decisions().export_logged(&it.root, &it.project, query()).await.unwrap();
    let lines: Vec<_> = futures_util::TryStreamExt::try_collect(lines).await.unwrap();
    assert_eq!(lines.len(), 7);
    it.cms.shutdown().await;
}

#[tokio::test]
async fn a_policy_hides_parts_and_drops_whole_decisions() {
    let it = It::new(1).await;
    it.policy(
        "log",
        "package system.log\n\nmask contains \"/input/password\" if input.input.password\n\n\
         mask contains {\"op\": \"upsert\", \"path\": \"/input/card\", \"value\": \"****\"} if input.input.card\n\n\
         drop if input.input.user == \"probe\"\n",
    )
    .await;
    it.decide("rag/allow", json!({"user": "probe"})).await;
    it.decide("rag/allow", json!({"user": "eve", "password": "hunter2", "card": "4711"})).await;
    it.settle(2).await;
    let all = it.find(query()).await;
    assert_eq!((all.len(), it.counted("dropped_by_policy"), it.counted("logged")), (1, 1, 1));
    let input: serde_json::Value = serde_json::from_str(all[0].input.as_ref().unwrap().get()).unwrap();
    assert_eq!(input, json!({"user": "eve", "card": "****"}));
    assert_eq!(
        (all[0].erased.as_slice(), all[0].masked.as_slice()),
        (&["/input/password".to_owned()][..], &["/input/card".to_owned()][..])
    );

    it.policy("log", "package system.log\n\nmask contains \"/labels\"\n").await;
    it.decide("rag/allow", json!({"user": "eve", "password": "hunter2"})).await;
    it.settle(3).await;
    assert_eq!(
        (it.find(query()).await.len(), it.counted("failed")),
        (1, 1),
        "what cannot be masked is not kept"
    );
    it.cms.shutdown().await;
}

#[tokio::test]
async fn the_store_sees_no_plain_input() {
    let it = It::new(1).await;
    it.decide("rag/allow", json!({"user": "eve", "question": "what-is-the-merger-price"})).await;
    it.settle(1).await;
    let dump = it.dump().await;
    assert!(dump.contains("p/rag/declog/default/"), "{dump}");
    assert!(!dump.contains("merger-price"));
    let report = it.cms.verify(&it.root, &|_| ()).await.unwrap();
    assert!(report.ok, "{report:#?}");
    it.cms.shutdown().await;
}

#[tokio::test]
async fn some_or_none_are_logged_where_so_set() {
    let it = It::new(0).await;
    it.decide("rag/allow", json!({})).await;
    it.log(DecisionLog { every: 4, keep_days: 1 }).await.unwrap();
    let inputs: Vec<_> = (0..400).map(|number| to_raw_value(&json!({ "n": number })).unwrap()).collect();
    let ask = DecideBatch {
        path: "rag/allow".into(),
        inputs: inputs.iter().map(|input| &**input).collect(),
        environment: None,
    };
    it.cms.decisions().decide_batch(&it.root, &it.project, &ask).await.unwrap();
    it.cms.shutdown().await;
    let logged = it.counted("logged");
    assert!((50..=150).contains(&logged), "{logged} of 400 were logged");
    for bad in [DecisionLog { every: 1, keep_days: 0 }, DecisionLog { every: 2_000_000, keep_days: 1 }] {
        assert_eq!(it.log(bad).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn what_is_decided_before_the_end_is_logged() {
    let it = It::new(1).await;
    it.decide("rag/allow", json!({"user": "eve"})).await;
    it.cms.shutdown().await;
    assert_eq!(it.counted("logged"), 1);
}

#[tokio::test]
async fn a_replay_tells_what_would_change() {
    let it = It::new(1).await;
    let eve = it.decide("rag/allow", json!({"user": "eve"})).await;
    it.decide("rag/allow", json!({"user": "bob"})).await;
    it.settle(2).await;
    let stricter = it.policy("rag", "package rag\n\ndefault allow := false\n").await;
    let ask = ReplayDecisions { release: stricter, ..ReplayDecisions::default() };
    let replay = it.cms.decisions().replay(&it.root, &it.project, &ask).await.unwrap();
    assert_eq!((replay.replayed, replay.incomplete, replay.changed.len()), (2, 0, 1));
    let changed = &replay.changed[0];
    assert_eq!(changed.decision_id, eve);
    let text =
        |value: &Option<Box<serde_json::value::RawValue>>| value.as_ref().map(|value| value.get().to_owned());
    assert_eq!((text(&changed.before), text(&changed.after)), (Some("true".into()), Some("false".into())));
    let missing = ReplayDecisions { release: "0".repeat(64), ..ReplayDecisions::default() };
    let error = it.cms.decisions().replay(&it.root, &it.project, &missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    it.cms.shutdown().await;
}

#[tokio::test]
async fn decisions_go_when_their_time_is_over() {
    let it = It::new(1).await;
    it.decide("rag/allow", json!({"user": "eve"})).await;
    it.settle(1).await;
    it.clock.advance(Duration::from_secs(3 * 24 * 60 * 60));
    it.decide("rag/allow", json!({"user": "bob"})).await;
    it.settle(2).await;
    assert_eq!(sweep(it.cms.kit(), &it.project).await.unwrap(), 1);
    let left = it.find(query()).await;
    assert_eq!(left.iter().map(|one| one.user.as_deref()).collect::<Vec<_>>(), [Some("bob")]);
    it.cms.shutdown().await;
}
