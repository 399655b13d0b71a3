// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sample project of `cms dev`: two environments, a RAG policy with data, a secret, a
//! config with variables, a key.

use cms_core::Expected;
use cms_core::api::documents::{Kind, PutDocument};
use cms_core::api::projects::CreateProject;
use cms_core::api::secrets::PutSecret;
use cms_core::auth::Principal;
use cms_core::ids::{Name, ProjectId};
use cms_core::{Cms, RequestContext, Result};

use super::failure::Failure;
use super::serve::failed;

/// A question that the sample answers with yes.
pub(crate) const QUESTION: &str = r#"{"path": "rag/authz/allow", "environment": "prod", "input": {"user": {"id": "alice", "tenant": "acme"}, "action": "query", "collection": "documents"}}"#;
/// The path of the sample's secret.
pub(crate) const SECRET: &str = "llm/openai";

/// The name of the sample's config.
pub(crate) const CONFIG: &str = "rag/retriever";

const PROJECT: &str = "demo";
const VARIABLES: [(&str, &str); 2] = [("base", "top_k: 5\n"), ("prod", "top_k: 20\n")];
const RETRIEVER: &str = "\
# Read it with `cms config resolve rag/retriever -e prod -p demo`.
index: https://{{ env }}.search.example.com/documents
top_k: '{{ top_k }}'
model:
  name: gpt-4o-mini
  api_key: ${{ secret:llm/openai#api_key }}
";
const ACCESS: &str = r#"{
  "users": {"alice": {"reader": true}, "bob": {"owner": true}},
  "roles": {
    "reader": {"query": {"*": true}},
    "editor": {"query": {"*": true}, "ingest": {"*": true}},
    "owner": {"query": {"*": true}, "ingest": {"*": true}, "delete": {"*": true}}
  },
  "clearances": {"reader": "internal", "editor": "confidential", "owner": "restricted"}
}
"#;
const SECRET_DATA: &str =
    r#"{"data": {"api_key": "sk-sample-0123456789abcdef", "organization": "acme"}, "message": "a sample"}"#;

/// Loads the sample; answers the text of its API key.
///
/// # Errors
/// If something of it cannot be made.
pub(crate) async fn load(cms: &Cms) -> std::result::Result<String, Failure> {
    make(cms).await.map_err(|error| failed(format!("the sample project cannot be made: {error}")))
}

async fn make(cms: &Cms) -> Result<String> {
    let ctx = RequestContext::new(Principal::root());
    let project = ProjectId::parse(PROJECT)?;
    let create = CreateProject {
        id: PROJECT.to_owned(),
        name: String::from("Demo"),
        description: Some(String::from("A RAG service to try things out with")),
        environments: Some(vec![String::from("dev"), String::from("prod")]),
        ..CreateProject::default()
    };
    let made = cms.projects().create(&ctx, create).await?;
    let access = PutDocument {
        content: ACCESS.to_owned(),
        message: Some(String::from("alice reads, bob owns")),
        schema: None,
    };
    let name = Name::parse("rag/access")?;
    cms.documents().put(&ctx, &project, Kind::Data, &name, access, Expected::Any).await?;
    let secret: PutSecret = serde_json::from_str(SECRET_DATA).map_err(cms_core::Error::internal)?;
    cms.secrets().put(&ctx, &project, &Name::parse(SECRET)?, secret, None).await?;
    let texts = VARIABLES.map(|(name, text)| (Kind::Variable, name, text));
    for (kind, name, text) in texts.into_iter().chain([(Kind::Config, CONFIG, RETRIEVER)]) {
        let put =
            PutDocument { content: text.to_owned(), message: Some(String::from("a sample")), schema: None };
        cms.documents().put(&ctx, &project, kind, &Name::parse(name)?, put, Expected::Any).await?;
    }
    let key = made.keys.into_iter().next().map(|key| key.key);
    key.ok_or_else(|| cms_core::Error::internal("onboarding made no key"))
}
