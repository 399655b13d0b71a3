// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Changes that are live at once: for surfaces whose clients write policies and data and expect the
//! next answer to know of it, as OPA's do. The documents are the project's; an environment that does
//! not release by itself is moved in the same commit, if the caller may activate there.

use super::write::Change;
use super::{Documents, write_action};
use crate::api::documents::Kind;
use crate::auth::{Action, Authorized, Target};
use crate::context::RequestContext;
use crate::documents::Written;
use crate::error::{Error, Result};
use crate::expected::Expected;
use crate::ids::{EnvironmentId, Name, ProjectId};
use crate::releases::activate::read_environment;
use crate::releases::read_project;

/// An environment in which a change is to be live.
#[derive(Debug)]
pub(crate) struct Live {
    environment: EnvironmentId,
    /// That the caller may activate there; needed where releases are not made by themselves.
    proof: Option<Authorized>,
}

/// Where a change is to be live beside the environments that release by themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim<'a> {
    /// Nowhere.
    Auto,
    /// In this one, as its caller may activate there.
    Live(&'a Live),
    /// Where a change request says, and with its approvals.
    Request(Option<&'a str>),
}

impl<'a> From<Option<&'a Live>> for Aim<'a> {
    fn from(live: Option<&'a Live>) -> Self {
        live.map_or(Self::Auto, Self::Live)
    }
}

impl<'a> Aim<'a> {
    /// Whether the change is to be activated in this environment in any case.
    pub(crate) fn is_at(self, environment: &str) -> bool {
        match self {
            Self::Auto => false,
            Self::Live(live) => live.proof.is_some() && live.environment.as_str() == environment,
            Self::Request(target) => target == Some(environment),
        }
    }

    /// That the caller may activate, where that was asked.
    pub(crate) fn proof(self) -> Option<&'a Authorized> {
        match self {
            Self::Live(live) => live.proof.as_ref(),
            Self::Auto | Self::Request(_) => None,
        }
    }
}

impl Documents {
    /// Writes a policy (`None`: removes it) that is live in an environment at once.
    ///
    /// # Errors
    /// As [`Documents::put`] and [`Documents::delete`]; `Denied` where the environment does not release
    /// by itself and the caller may not activate in it.
    pub async fn put_live_policy(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: &EnvironmentId,
        name: &Name,
        content: Option<String>,
    ) -> Result<Written> {
        let proof = self.authorize(ctx, project, Kind::Policy, write_action, Some(name)).await?;
        let live = self.live(ctx, &proof, environment).await?;
        let change = Change::new(Kind::Policy, name.clone(), content);
        self.writer.write(ctx, &proof, change, None, &Expected::Any, Some(&live)).await
    }

    /// What it takes for a change to be live in an environment.
    pub(super) async fn live(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        environment: &EnvironmentId,
    ) -> Result<Live> {
        let scope = self.kit.scope(proof);
        let read = read_environment(&scope, environment.as_str()).await?;
        if read.entry.is_none() {
            return Err(Error::not_found(format!("environment `{environment}`")));
        }
        let is_auto = match read.record.auto_release {
            Some(is_auto) => is_auto,
            None => read_project(&scope).await?.1.auto_release,
        };
        let target = Target::new(proof.project(), "environment").environment(Some(environment));
        let activate = async || {
            let target = target.named(environment.as_str());
            self.kit.authorize(ctx, Action::EnvironmentActivate, target).await
        };
        let proof = if is_auto { None } else { Some(activate().await?) };
        Ok(Live { environment: environment.clone(), proof })
    }
}
