// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A tower layer that guards a host's own routes: it finds out who asks by the credentials of CMS,
//! asks a policy rule of a project, and lets the request through only if the answer is `true`.
//! What it cannot decide, it refuses.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use cms_core::auth::{Principal, PrincipalKind};
use cms_core::decisions::query_path;
use cms_core::ids::{EnvironmentId, ProjectId};
use cms_core::policies::engine::QueryPath;
use cms_core::sensitive::Sensitive;
use cms_core::{Cms, Error, ErrorKind, RequestContext, Result};
use futures_util::future::BoxFuture;
use serde_json::json;
use tower::{Layer, Service};

use crate::http::{credential, refusal};

/// A rule that guards routes. Cloning shares it.
///
/// The rule's input is `{"method", "path", "query", "principal": {"kind", "id"}}`; it must come to
/// `true`, or to an object whose field `allow` is `true`. The handler finds a [`Permit`] in the
/// request's extensions.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Rule>);

#[derive(Debug)]
struct Rule {
    cms: Cms,
    project: ProjectId,
    environment: Option<EnvironmentId>,
    path: QueryPath,
}

/// That a request was let through: for whom, and by which decision.
#[derive(Debug, Clone)]
pub struct Permit {
    /// Who asks.
    pub principal: Arc<Principal>,
    /// The id of the decision.
    pub decision_id: String,
    /// The release that decided.
    pub release: Arc<str>,
}

impl Guard {
    /// Guards by a rule of a project, such as `rag/http/allow`; in the environment of the caller's
    /// key, or else the project's default one.
    ///
    /// # Errors
    /// `Invalid` if the path can name no rule.
    pub fn new(cms: Cms, project: ProjectId, rule: &str) -> Result<Self> {
        Ok(Self(Arc::new(Rule { cms, project, environment: None, path: query_path(rule)? })))
    }

    /// Guards by the rule of this environment.
    #[must_use]
    pub fn in_environment(self, environment: EnvironmentId) -> Self {
        let rule = &self.0;
        Self(Arc::new(Rule {
            cms: rule.cms.clone(),
            project: rule.project.clone(),
            environment: Some(environment),
            path: rule.path.clone(),
        }))
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { rule: self.0.clone(), inner }
    }
}

/// A service behind a [`Guard`].
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    rule: Arc<Rule>,
    inner: S,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let rule = self.rule.clone();
        // The service that was polled ready is the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let question = Question::of(&request);
        Box::pin(async move {
            match rule.permit(&question).await {
                Ok(permit) => {
                    request.extensions_mut().insert(permit);
                    inner.call(request).await
                }
                Err(error) => Ok(refusal(closed(error), &question.request_id, &question.path)),
            }
        })
    }
}

/// What is known of a request without its body.
struct Question {
    request_id: String,
    address: Option<IpAddr>,
    credential: Option<Sensitive<String>>,
    method: String,
    path: String,
    query: Option<String>,
}

impl Question {
    fn of(request: &Request<Body>) -> Self {
        Self {
            request_id: new_request_id(),
            address: request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip()),
            credential: credential(request.headers()).map(|text| Sensitive::new(text.to_owned())),
            method: request.method().as_str().to_owned(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
        }
    }
}

impl Rule {
    async fn permit(&self, question: &Question) -> Result<Permit> {
        let text = question.credential.as_ref().ok_or_else(Error::unauthenticated)?;
        let principal = self.cms.auth().authenticate(text.expose(), question.address).await?;
        let ctx = RequestContext::new(principal.clone())
            .with_address(question.address)
            .with_request_id(question.request_id.as_str());
        let input = json!({
            "method": question.method,
            "path": question.path,
            "query": question.query,
            "principal": described(&principal),
        });
        let environment = self.environment.as_ref().map(EnvironmentId::as_str);
        let decisions = self.cms.decisions();
        let evaluated = decisions
            .evaluate(&ctx, &self.project, environment, &self.path, Some(&input.to_string()))
            .await?;
        if !evaluated.is_allowed() {
            return Err(Error::denied("the policy does not allow this request")
                .with_hint(format!("decision {}", evaluated.decision_id)));
        }
        Ok(Permit { principal, decision_id: evaluated.decision_id, release: evaluated.release })
    }
}

/// A guarded request has an id of CMS's own: the host may have none.
fn new_request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

fn described(principal: &Principal) -> serde_json::Value {
    match &principal.kind {
        PrincipalKind::User { user, .. } => json!({"kind": "user", "id": user.as_str()}),
        PrincipalKind::Key { id, .. } => json!({"kind": "key", "id": &**id}),
        PrincipalKind::Root => json!({"kind": "root", "id": "root"}),
        PrincipalKind::System | PrincipalKind::Anonymous => json!({"kind": "none", "id": null}),
    }
}

/// Whoever may not even ask is refused; what cannot be decided is the service's failure, not the
/// caller's, and is refused as well.
fn closed(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unauthenticated | ErrorKind::Denied | ErrorKind::TooMany => error,
        ErrorKind::NotFound
        | ErrorKind::Invalid
        | ErrorKind::Conflict
        | ErrorKind::Stale
        | ErrorKind::TooLarge
        | ErrorKind::UnsupportedMedia
        | ErrorKind::Unprocessable
        | ErrorKind::Sealed
        | ErrorKind::Unavailable
        | ErrorKind::Unknown
        | ErrorKind::Internal => {
            Error::unavailable("cannot_decide", "it cannot be decided whether this request is allowed")
                .with_source(error)
        }
    }
}
