// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Changes of several kinds at once: all or nothing, one release, a record for each document.

use super::*;
use crate::api::PageQuery;
use crate::api::audit::AuditQuery;
use crate::api::projects::CreateProject;
use crate::auth::{Action, Principal};
use crate::cms::Cms;
use crate::crypto::DevSeal;
use crate::store::MemoryStore;

const POLICY: &str = "package search\n\nallow if input.team == data.search.owner\n\ntest_owner if data.search.owner == \"law\"\n";

/// Changes that are known beforehand.
struct Fixed(Vec<Change>);

#[async_trait]
impl Plan for Fixed {
    async fn changes(&self, _: &Scope, _: &SetRecord) -> Result<Vec<Change>> {
        Ok(self.0.clone())
    }
}

fn change(kind: Kind, name: &str, content: Option<&str>) -> Change {
    Change::new(kind, Name::parse(name).unwrap(), content.map(str::to_owned))
}

/// A project without documents, and what it takes to write to it.
struct Fixture {
    cms: Cms,
    root: RequestContext,
    project: ProjectId,
}

impl Fixture {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let (cms, _) = Cms::builder(store, Arc::new(DevSeal)).initialize().await.unwrap();
        let root = RequestContext::new(Principal::root());
        let project = ProjectId::parse("search").unwrap();
        let new = CreateProject {
            id: "search".into(),
            name: "Search".into(),
            template: Some("empty".into()),
            ..CreateProject::default()
        };
        cms.projects().create(&root, new).await.unwrap();
        Self { cms, root, project }
    }

    async fn write(&self, changes: Vec<Change>) -> Result<bool> {
        let writer = &self.cms.documents().writer;
        let target = Target::new(&self.project, "policy").named("search");
        let proof = self.cms.kit().authorize(&self.root, Action::PolicyWrite, target).await?;
        writer.write_planned(&self.root, &proof, None, &Fixed(changes)).await
    }

    async fn names(&self, kind: Kind) -> Vec<String> {
        let documents = self.cms.documents();
        let page = documents.list(&self.root, &self.project, kind, None, &PageQuery::default()).await;
        page.unwrap().items.into_iter().map(|document| document.name).collect()
    }

    async fn records(&self) -> Vec<(String, Option<String>)> {
        let query = AuditQuery { project: Some("search".into()), ..AuditQuery::default() };
        let page = self.cms.audit().list(&self.root, &query).await.unwrap();
        let writes = page.items.into_iter().filter(|record| record.action.ends_with(":write"));
        writes.map(|record| (record.resource.clone(), record.release.clone())).collect()
    }

    async fn verify(self) {
        let report = self.cms.verify(&self.root, &|_| ()).await.unwrap();
        assert!(report.ok, "{report:#?}");
        self.cms.shutdown().await;
    }
}

#[tokio::test]
async fn policies_are_tested_with_the_data_that_comes_with_them() {
    let it = Fixture::new().await;
    let policy = change(Kind::Policy, "search", Some(POLICY));
    let refused = it.write(vec![policy.clone()]).await.unwrap_err();
    assert_eq!(refused.code(), "tests_failed");
    let data = change(Kind::Data, "search", Some(r#"{"owner": "law"}"#));
    assert!(it.write(vec![data, policy]).await.unwrap());
    assert_eq!(
        (it.names(Kind::Policy).await, it.names(Kind::Data).await),
        (vec!["search".into()], vec!["search".into()])
    );
    let records = it.records().await;
    let [(first, first_release), (second, second_release)] = records.as_slice() else {
        panic!("{records:?}")
    };
    let mut resources = [first.as_str(), second.as_str()];
    resources.sort_unstable();
    assert_eq!(resources, ["projects/search/data/search", "projects/search/policy/search"]);
    assert!(first_release.is_some() && first_release == second_release, "one release for all: {records:?}");
    it.verify().await;
}

#[tokio::test]
async fn one_change_that_is_not_accepted_keeps_all_out() {
    let it = Fixture::new().await;
    let good = change(Kind::Data, "good", Some("{}"));
    for bad in [
        change(Kind::Data, "bad", Some("no JSON")),
        change(Kind::Policy, "bad", Some("no Rego")),
        change(Kind::Policy, "bad", Some("package bad\n\ntest_never if false\n")),
    ] {
        assert!(it.write(vec![good.clone(), bad]).await.is_err());
    }
    assert_eq!((it.names(Kind::Data).await, it.records().await), (Vec::<String>::new(), Vec::new()));
    it.verify().await;
}

#[tokio::test]
async fn documents_of_the_same_text_go_together() {
    let it = Fixture::new().await;
    assert!(
        it.write(vec![change(Kind::Data, "a", Some("{}")), change(Kind::Data, "b", Some("{}"))])
            .await
            .unwrap()
    );
    assert!(
        it.write(vec![change(Kind::Data, "a", None), change(Kind::Data, "c", Some("{}"))]).await.unwrap()
    );
    assert_eq!(it.names(Kind::Data).await, ["b", "c"]);
    it.verify().await;
}
