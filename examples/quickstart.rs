// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The main job in one process, without a server: onboard a project, write a policy, decide, keep
//! and reveal a secret, and verify the record of it all.
//!
//! Run it with `cargo run -p cms-examples --example quickstart`.

use std::io::Write;
use std::sync::Arc;

use cms_core::Expected;
use cms_core::api::decisions::Decide;
use cms_core::api::documents::{Kind, PutDocument};
use cms_core::api::projects::CreateProject;
use cms_core::api::secrets::{PutSecret, RevealSecret};
use cms_core::auth::Principal;
use cms_core::crypto::DevSeal;
use cms_core::ids::{Name, ProjectId};
use cms_core::store::MemoryStore;
use cms_core::{Cms, RequestContext};

const POLICY: &str = r#"package search

default allow := false

allow if input.user.team == data.search.owners[input.index]
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A store in memory; `cms_store::open("embedded:/var/lib/cms")` gives a durable one.
    let (cms, _root) = Cms::builder(Arc::new(MemoryStore::new()), Arc::new(DevSeal)).initialize().await?;
    let admin = RequestContext::new(Principal::root());

    let project = ProjectId::parse("search")?;
    let new = CreateProject { id: project.to_string(), name: "Search".into(), ..CreateProject::default() };
    let onboarded = cms.projects().create(&admin, new).await?;
    say(&format!("onboarded {} at release {}", onboarded.project.id, onboarded.release));

    let put = |content: &str| PutDocument { content: content.into(), ..PutDocument::default() };
    let owners = put(r#"{"owners": {"handbook": "docs"}}"#);
    cms.documents().put(&admin, &project, Kind::Data, &Name::parse("search")?, owners, Expected::Any).await?;
    cms.documents()
        .put(&admin, &project, Kind::Policy, &Name::parse("search")?, put(POLICY), Expected::Absent)
        .await?;

    let input =
        serde_json::value::to_raw_value(&serde_json::json!({"user": {"team": "docs"}, "index": "handbook"}))?;
    let ask = Decide { path: "search/allow".into(), input: Some(&input), environment: None, explain: false };
    let decision = cms.decisions().decide(&admin, &project, &ask).await?;
    say(&format!("allow = {} (decision {})", decision.result, decision.decision_id));

    let path = Name::parse("openai/api-key")?;
    let secret: PutSecret = serde_json::from_str(r#"{"data": {"value": "sk-example-0123456789"}}"#)?;
    cms.secrets().put(&admin, &project, &path, secret, None).await?;
    let shown = cms.secrets().masked(&admin, &project, &path, None).await?;
    say(&format!("masked: {}", serde_json::to_string(&shown)?));
    let revealed = cms.secrets().reveal(&admin, &project, &path, RevealSecret::default()).await?;
    say(&format!("revealed version {}", revealed.version));

    let verified = cms.audit().verify(&admin, &|_| ()).await?;
    say(&format!("audit: ok = {}, records = {}", verified.ok, verified.records));
    cms.shutdown().await;
    Ok(())
}

fn say(line: &str) {
    // A reader that has left is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{line}");
}
