// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The main job on the memory store, from the handle's side.

use std::sync::Arc;

use serde_json::json;
use serde_json::value::to_raw_value;

use super::*;
use crate::ErrorKind;
use crate::api::PageQuery;
use crate::api::audit::AuditQuery;
use crate::api::decisions::Decide;
use crate::api::documents::{Kind, PutDocument, RollbackDocument};
use crate::api::keys::{CreateKey, NarrowedScope, Scope};
use crate::api::projects::{CreateProject, PatchProject};
use crate::api::releases::{Activate, CreateRelease, RollbackEnvironment};
use crate::api::secrets::RevealSecret;
use crate::auth::Principal;
use crate::crypto::DevSeal;
use crate::expected::Expected;
use crate::ids::{EnvironmentId, Name, ProjectId};
use crate::store::MemoryStore;

const POLICY: &str = "package search\n\ndefault allow := false\n\nallow if input.team == data.search.owner\n";

struct Fixture {
    cms: Cms,
    root: RequestContext,
    project: ProjectId,
}

async fn fixture() -> Fixture {
    let store = Arc::new(MemoryStore::new());
    let (cms, _) = Cms::builder(store, Arc::new(DevSeal)).initialize().await.unwrap();
    let root = RequestContext::new(Principal::root());
    let project = ProjectId::parse("search").unwrap();
    let new = CreateProject { id: "search".into(), name: "Search".into(), ..CreateProject::default() };
    cms.projects().create(&root, new).await.unwrap();
    Fixture { cms, root, project }
}

impl Fixture {
    async fn put(&self, kind: Kind, name: &str, content: &str) -> Result<crate::documents::Written> {
        let put = PutDocument { content: content.into(), ..PutDocument::default() };
        let name = Name::parse(name).unwrap();
        self.cms.documents().put(&self.root, &self.project, kind, &name, put, Expected::Any).await
    }

    async fn allow(&self, team: &str) -> String {
        let input = to_raw_value(&json!({"team": team})).unwrap();
        let ask =
            Decide { path: "search/allow".into(), input: Some(&input), environment: None, explain: false };
        self.cms.decisions().decide(&self.root, &self.project, &ask).await.unwrap().result.get().to_owned()
    }

    async fn verify(self) {
        let report = self.cms.verify(&self.root, &|_| ()).await.unwrap();
        assert!(report.ok, "{report:#?}");
        self.cms.shutdown().await;
    }
}

#[tokio::test]
async fn a_change_is_released_and_decides_at_once() {
    let it = fixture().await;
    it.put(Kind::Data, "search", r#"{"owner": "docs"}"#).await.unwrap();
    let written = it.put(Kind::Policy, "search", POLICY).await.unwrap();
    assert!(written.created && written.document.release.is_some());
    assert_eq!((it.allow("docs").await.as_str(), it.allow("law").await.as_str()), ("true", "false"));

    it.put(Kind::Data, "search", r#"{"owner": "law"}"#).await.unwrap();
    assert_eq!((it.allow("docs").await.as_str(), it.allow("law").await.as_str()), ("false", "true"));

    let again = it.put(Kind::Policy, "search", POLICY).await.unwrap();
    assert!(!again.created);
    assert_eq!(again.document.version, 1, "unchanged text is no new version");
    it.verify().await;
}

#[tokio::test]
async fn a_policy_that_does_not_compile_or_breaks_tests_is_refused() {
    let it = fixture().await;
    it.put(Kind::Data, "search", r#"{"owner": "docs"}"#).await.unwrap();
    let broken = it.put(Kind::Policy, "search", "package search\n\nallow if {\n").await.unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::Unprocessable);
    assert!(broken.places().iter().all(|place| place.line.is_some()), "{broken:?}");
    it.put(Kind::Policy, "search", POLICY).await.unwrap();
    let test = "package search_test\n\nimport data.search\n\ntest_docs if search.allow with input as {\"team\": \"docs\"}\n";
    it.put(Kind::Policy, "search_test", test).await.unwrap();
    let failing =
        it.put(Kind::Policy, "search", "package search\n\ndefault allow := false\n").await.unwrap_err();
    assert_eq!(failing.code(), "tests_failed", "{failing:?}");
    let reserved = it.put(Kind::Policy, "mine", "package cms.authz\n\nallow := true\n").await.unwrap_err();
    assert_eq!(reserved.kind(), ErrorKind::Unprocessable);
    it.verify().await;
}

#[tokio::test]
async fn environments_roll_back_step_by_step() {
    let it = fixture().await;
    let off = PatchProject { auto_release: Some(false), ..PatchProject::default() };
    it.cms.projects().patch(&it.root, &it.project, off, Expected::Any).await.unwrap();
    it.put(Kind::Policy, "search", POLICY).await.unwrap();
    let environment = EnvironmentId::parse("default").unwrap();
    let mut releases = Vec::new();
    for owner in ["a", "b", "c"] {
        it.put(Kind::Data, "search", &format!(r#"{{"owner": "{owner}"}}"#)).await.unwrap();
        let (release, is_new) =
            it.cms.releases().create(&it.root, &it.project, CreateRelease::default()).await.unwrap();
        assert!(is_new);
        let activate = Activate { release: release.id.clone(), expected: None, message: None };
        it.cms.releases().activate(&it.root, &it.project, &environment, activate).await.unwrap();
        releases.push(release.id);
    }
    assert_eq!(it.allow("c").await, "true");
    for owner in ["b", "a"] {
        let back = RollbackEnvironment::default();
        it.cms.releases().rollback(&it.root, &it.project, &environment, back).await.unwrap();
        assert_eq!(it.allow(owner).await, "true", "{owner}");
    }
    let stale = Activate { release: releases[2].clone(), expected: Some(releases[1].clone()), message: None };
    let refused = it.cms.releases().activate(&it.root, &it.project, &environment, stale).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "not_active"));
    let diff = it.cms.releases().diff(&it.root, &it.project, &releases[0], &releases[1]).await.unwrap();
    assert_eq!(diff.changes.len(), 1);
    assert!(diff.changes[0].diff.contains("+{\"owner\": \"b\"}"), "{}", diff.changes[0].diff);
    it.verify().await;
}

#[tokio::test]
async fn a_document_keeps_its_history_through_rollback_and_removal() {
    let it = fixture().await;
    let name = Name::parse("limits").unwrap();
    for text in ["{\"a\": 1}", "{\"a\": 2}"] {
        it.put(Kind::Data, "limits", text).await.unwrap();
    }
    let stale = PutDocument { content: "{}".into(), ..PutDocument::default() };
    let documents = it.cms.documents();
    let refused = documents.put(&it.root, &it.project, Kind::Data, &name, stale, Expected::version(1)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Stale);
    let back = RollbackDocument { version: 1, message: None };
    let written = documents.rollback(&it.root, &it.project, Kind::Data, &name, back).await.unwrap();
    assert_eq!(written.document.version, 3);
    let gone = documents.delete(&it.root, &it.project, Kind::Data, &name, None, Expected::Any).await.unwrap();
    assert!(gone.deleted && gone.version == 4);
    let missing = documents.get(&it.root, &it.project, Kind::Data, &name, None).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let old = documents.get(&it.root, &it.project, Kind::Data, &name, Some(2)).await.unwrap();
    assert_eq!(old.content, "{\"a\": 2}");
    let history =
        documents.versions(&it.root, &it.project, Kind::Data, &name, &PageQuery::default()).await.unwrap();
    assert_eq!(history.items.iter().map(|item| item.version).collect::<Vec<_>>(), [4, 3, 2, 1]);
    it.verify().await;
}

#[tokio::test]
async fn offboarding_leaves_nothing_but_the_record() {
    let it = fixture().await;
    let path = Name::parse("openai/key").unwrap();
    let secret = serde_json::from_str(r#"{"data": {"value": "sk-0123456789abcdef"}}"#).unwrap();
    it.cms.secrets().put(&it.root, &it.project, &path, secret, None).await.unwrap();
    let revealed =
        it.cms.secrets().reveal(&it.root, &it.project, &path, RevealSecret::default()).await.unwrap();
    assert_eq!(revealed.version, 1);
    let report = it.cms.projects().delete(&it.root, &it.project, None).await.unwrap();
    assert_eq!((report.keys_revoked, report.secrets_destroyed), (1, 1));
    let gone = it.cms.secrets().masked(&it.root, &it.project, &path, None).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let again = CreateProject { id: "search".into(), name: "Search".into(), ..CreateProject::default() };
    let refused = it.cms.projects().create(&it.root, again).await.unwrap_err();
    assert_eq!(refused.code(), "project_offboarded");
    let query = AuditQuery { project: Some("search".into()), ..AuditQuery::default() };
    let trail = it.cms.audit().list(&it.root, &query).await.unwrap();
    let actions: Vec<&str> = trail.items.iter().map(|record| record.action.as_ref()).collect();
    for action in ["project:create", "secret:write", "secret:reveal", "project:delete"] {
        assert!(actions.contains(&action), "{action} is missing from {actions:?}");
    }
    it.verify().await;
}

#[tokio::test]
async fn the_default_policies_of_a_new_project_pass_their_tests() {
    let it = fixture().await;
    let report = it.cms.documents().test(&it.root, &it.project, Default::default()).await.unwrap();
    assert!(report.passed > 10 && report.failed + report.errored == 0, "{report:#?}");
    it.verify().await;
}

#[tokio::test]
async fn a_bad_platform_policy_is_survived_with_the_root_credential() {
    let it = fixture().await;
    let platform = ProjectId::platform();
    let name = Name::parse("cms/authz").unwrap();
    let deny =
        "package cms.authz\n\ndecision := {\"allow\": false, \"visible\": true, \"reason\": \"closed\"}\n";
    let put = PutDocument { content: deny.into(), ..PutDocument::default() };
    it.cms.documents().put(&it.root, &platform, Kind::Policy, &name, put, Expected::Any).await.unwrap();
    it.cms.documents().delete(&it.root, &platform, Kind::Policy, &name, None, Expected::Any).await.unwrap();
    it.verify().await;
}

#[tokio::test]
async fn the_rules_of_cms_stand_under_their_own_name_only() {
    let it = fixture().await;
    let name = Name::parse("shared/models").unwrap();
    let put = |content: &str| PutDocument { content: content.into(), ..PutDocument::default() };
    let hidden = put("package cms.authz\n\ndecision := {\"allow\": true}\n");
    let platform = ProjectId::platform();
    let error = it.cms.documents().put(&it.root, &platform, Kind::Policy, &name, hidden, Expected::Any).await;
    assert_eq!(error.unwrap_err().code(), "invalid_policy");
    let fine = put("package shared.models\n\nallow := true\n");
    it.cms.documents().put(&it.root, &platform, Kind::Policy, &name, fine, Expected::Any).await.unwrap();
    it.verify().await;
}

#[tokio::test]
async fn a_key_is_narrowed_to_the_rules_under_a_prefix() {
    let it = fixture().await;
    it.put(Kind::Data, "search", r#"{"owner": "red"}"#).await.unwrap();
    it.put(Kind::Policy, "search", POLICY).await.unwrap();
    let scope = NarrowedScope { scope: "decide".into(), environment: None, prefix: Some("search".into()) };
    let new = CreateKey { name: "k".into(), scopes: vec![Scope::Narrowed(scope)], ..CreateKey::default() };
    let key = it.cms.auth().keys().create(&it.root, &it.project, new).await.unwrap();
    let ctx = RequestContext::new(it.cms.auth().authenticate(&key.key, None).await.unwrap());
    for (path, answered) in
        [("search/allow", true), ("data.search.allow", true), ("rag/authz/allow", false), ("", false)]
    {
        let ask = Decide { path: path.into(), input: None, environment: None, explain: false };
        let answer = it.cms.decisions().decide(&ctx, &it.project, &ask).await;
        assert_eq!(answer.is_ok(), answered, "{path}: {answer:?}");
    }
    it.verify().await;
}

#[tokio::test]
async fn who_asks_for_little_does_not_wait_for_what_takes_long() {
    let it = fixture().await;
    it.put(Kind::Data, "search", r#"{"owner": "docs"}"#).await.unwrap();
    it.put(Kind::Policy, "search", POLICY).await.unwrap();
    let other = ProjectId::parse("other").unwrap();
    let new = CreateProject { id: "other".into(), name: "Other".into(), ..CreateProject::default() };
    it.cms.projects().create(&it.root, new).await.unwrap();
    let slow = "package slow\n\nr := numbers.range(1, 3000)\n\nx := count([1 | some a in r; some b in r; a + b == 0])\n";
    let put = PutDocument { content: slow.into(), ..PutDocument::default() };
    let name = Name::parse("slow").unwrap();
    it.cms.documents().put(&it.root, &other, Kind::Policy, &name, put, Expected::Any).await.unwrap();

    // Until this is dropped, what takes long in that project waits, however long this test takes.
    let mut turns = Vec::new();
    while let Some(Some(turn)) = futures_util::FutureExt::now_or_never(it.cms.kit().lane.turn(&other)) {
        turns.push(turn);
    }
    let (cms, root) = (it.cms.clone(), it.root.clone());
    // All of this test is one thread: without another for it, nothing else would run meanwhile.
    let slow = tokio::spawn(async move {
        let ask = Decide { path: "slow/x".into(), input: None, environment: None, explain: false };
        cms.decisions().decide(&root, &other, &ask).await
    });
    tokio::task::yield_now().await;
    for team in ["docs", "law", "docs"] {
        assert_eq!(it.allow(team).await, (team == "docs").to_string());
        assert!(!slow.is_finished());
    }
    drop(turns);
    // Which of its limits comes first is a matter of the machine.
    let code = slow.await.unwrap().unwrap_err().code();
    assert!(["policy_time_limit", "policy_instruction_limit"].contains(&code), "{code}");
    it.verify().await;
}
