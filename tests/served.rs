// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server in the process of the test, on a store of its own, that is verified when the test ends.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cms_core::auth::Principal;
use cms_core::crypto::DevSeal;
use cms_core::ids::{EnvironmentId, ProjectId};
use cms_core::mails::{Mail, Mailer};
use cms_core::store::{MemoryStore, Store};
use cms_core::{Cms, RequestContext};
use cms_server::Options;
use cms_server::notify::HttpNotifier;
use cms_server::server::{OpaPlace, Server};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::caller::Caller;
use crate::{etcd, openbao};

/// The password of every user that tests make.
pub const PASSWORD: &str = "correct horse battery";

/// A running server.
#[derive(Debug)]
pub struct Served {
    /// The CMS behind it.
    pub cms: Cms,
    /// The store behind that.
    pub store: Arc<dyn Store>,
    nobody: Caller,
    opa: Caller,
    root: String,
    letters: Arc<Letters>,
}

/// Mails that would have been sent.
#[derive(Debug, Default)]
struct Letters(Mutex<Vec<Mail>>);

#[async_trait]
impl Mailer for Letters {
    async fn send(&self, mail: &Mail) -> Result<(), String> {
        self.0.lock().unwrap().push(mail.clone());
        if mail.to.starts_with("refused") {
            Err(String::from("the mail server refused it with 550"))
        } else {
            Ok(())
        }
    }
}

/// Runs a test against a new installation, in memory or on what [`etcd::chosen`] and
/// [`openbao::chosen`] say, and verifies everything in it afterwards.
pub fn served(test: impl AsyncFnOnce(&Served)) {
    served_with(Options::default(), test);
}

/// The same with other settings of the router.
pub fn served_with(options: Options, test: impl AsyncFnOnce(&Served)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let etcd = etcd::chosen();
        let store: Arc<dyn Store> = match &etcd {
            Some(etcd) => cms_store::open(&etcd.url("cms")).await.unwrap(),
            None => Arc::new(MemoryStore::new()),
        };
        let notifier = HttpNotifier::new(vec!["127.0.0.1/32".parse().unwrap()]).unwrap();
        let letters = Arc::<Letters>::default();
        let builder = Cms::builder(store.clone(), Arc::new(DevSeal)).notifier(Arc::new(notifier));
        let builder = builder.mailer(letters.clone());
        let bao = openbao::chosen();
        let builder = match &bao {
            Some(bao) => builder.material(bao.material()),
            None => builder,
        };
        let (cms, root) = builder.initialize().await.unwrap();
        let server =
            Server::bind(cms.clone(), "127.0.0.1:0".parse().unwrap(), None, 20_000, options).await.unwrap();
        let server = server.with_opa(opa_place(), 20_000).await.unwrap();
        let nobody = Caller::new(&server.url());
        let opa = Caller::new(&server.opa_url().unwrap());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(stop.clone()));
        let it = Served { cms, store, nobody, opa, root: root.expose().clone(), letters };
        test(&it).await;
        it.verify_clean().await;
        drop(it);
        stop.cancel();
        serving.await.unwrap();
    });
}

/// The environment that the second listener serves: `default` of the project `p`, whether it exists or not.
fn opa_place() -> OpaPlace {
    let (project, environment) = (ProjectId::parse("p").unwrap(), EnvironmentId::parse("default").unwrap());
    OpaPlace { listen: "127.0.0.1:0".parse().unwrap(), project, environment }
}

impl Served {
    /// Somebody without a credential.
    pub fn nobody(&self) -> Caller {
        self.nobody.clone()
    }

    /// The holder of the root credential.
    pub fn root(&self) -> Caller {
        self.nobody.with_token(&self.root)
    }

    /// Somebody with this credential at the listener that serves OPA's API of `p/default` alone.
    pub fn opa(&self, token: &str) -> Caller {
        self.opa.with_token(token)
    }

    /// The root credential itself.
    pub fn root_token(&self) -> &str {
        &self.root
    }

    /// Somebody with this credential.
    pub fn holder(&self, token: &str) -> Caller {
        self.nobody.with_token(token)
    }

    /// Onboards a project with the default documents; answers what onboarding answers.
    pub async fn project(&self, id: &str) -> Value {
        self.root().post("projects", json!({"id": id, "name": id})).await.is(201)
    }

    /// Onboards a project without documents; answers its first key.
    pub async fn empty_project(&self, id: &str) -> String {
        let made =
            self.root().post("projects", json!({"id": id, "name": id, "template": "empty"})).await.is(201);
        made["keys"][0]["key"].as_str().unwrap().to_owned()
    }

    /// Makes a user and logs in.
    pub async fn user(&self, name: &str, role: Option<&str>) -> Caller {
        self.root()
            .post("users", json!({"username": name, "password": PASSWORD, "role": role}))
            .await
            .is(201);
        self.holder(self.login(name).await["access_token"].as_str().unwrap())
    }

    /// Makes a user with a role in a project and logs in.
    pub async fn member(&self, name: &str, project: &str, role: &str) -> Caller {
        let caller = self.user(name, None).await;
        self.root().put(&format!("projects/{project}/members/{name}"), json!({"role": role})).await.is(201);
        caller
    }

    /// Logs a user in; answers the pair of tokens.
    pub async fn login(&self, name: &str) -> Value {
        self.nobody().post("auth/login", json!({"username": name, "password": PASSWORD})).await.is(200)
    }

    /// Gives a user a mail address.
    pub async fn address(&self, name: &str, email: &str) {
        self.root().patch(&format!("users/{name}"), json!({"email": email})).await.is(200);
    }

    /// The mails that were sent so far.
    pub fn letters(&self) -> Vec<Mail> {
        self.letters.0.lock().unwrap().clone()
    }

    /// Makes an API key with these scopes; answers its text.
    pub async fn key(&self, project: &str, scopes: Value) -> String {
        let made = self
            .root()
            .post(&format!("projects/{project}/keys"), json!({"name": "test", "scopes": scopes}))
            .await;
        made.is(201)["key"].as_str().unwrap().to_owned()
    }

    /// The records of the audit trail that these parameters select, newest first.
    pub async fn trail(&self, query: &str) -> Vec<Value> {
        self.root().all(&format!("audit?{query}")).await
    }

    /// Verifies that everything decrypts, that the audit trail re-hashes, that indexes agree with data.
    pub async fn verify_clean(&self) {
        let report = self.cms.verify(&RequestContext::new(Principal::root()), &|_| ()).await.unwrap();
        assert!(report.ok, "{report:#?}");
    }
}
