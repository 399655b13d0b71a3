// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets in configs: resolved when somebody reads, for who may reveal them, and put on the trail as
//! reveals are. What is put together here is kept nowhere.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use zeroize::Zeroizing;

use super::answers::Answer;
use super::references::{Part, Reference, parts};
use super::resolve::Resolution;
use super::{Active, Configs};
use crate::api::configs::{ConfigContent, UnresolvedReference};
use crate::api::secrets::{RevealSecret, RevealedSecret};
use crate::auth::{Action, Target};
use crate::context::RequestContext;
use crate::documents::set::hash;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Name;

/// What the trail says why a secret was revealed.
const REASON: &str = "referred to by a config";

/// The references as they stand, for who does not want them resolved.
pub(super) fn kept(resolution: &Resolution) -> Vec<UnresolvedReference> {
    let kept = |(pointer, reference): &(String, Reference)| UnresolvedReference {
        pointer: pointer.clone(),
        reference: reference.to_string(),
        reason: "kept as it is written".to_owned(),
    };
    resolution.secrets.iter().map(kept).collect()
}

/// The secrets that a reader was given, or why not.
type Revealed = BTreeMap<Name, std::result::Result<RevealedSecret, String>>;

impl Configs {
    /// Puts secrets into a config where the reader may have them, and tells of the others.
    pub(super) async fn reveal(
        &self,
        ctx: &RequestContext,
        active: &Active,
        resolution: &Resolution,
        content: &mut ConfigContent,
    ) -> Result<Vec<UnresolvedReference>> {
        let mut revealed = Revealed::new();
        for (_, reference) in &resolution.secrets {
            let Reference::Secret { path, .. } = reference else { continue };
            if revealed.contains_key(path) {
                continue;
            }
            let found = match self.may_reveal(ctx, active, path).await? {
                true => self.revealed_secret(ctx, active, path).await?,
                false => Err("the reader may not read this secret".to_owned()),
            };
            revealed.insert(path.clone(), found);
        }
        let mut unresolved = Vec::new();
        for (pointer, reference) in &resolution.secrets {
            if let Err(reason) = value(&revealed, reference) {
                let (pointer, reference) = (pointer.clone(), reference.to_string());
                unresolved.push(UnresolvedReference { pointer, reference, reason });
            }
        }
        for (pointer, _) in &resolution.secrets {
            if let Some(Value::String(text)) = content.0.pointer_mut(pointer) {
                *text = filled(text, &revealed);
            }
        }
        Ok(unresolved)
    }

    /// The whole config with its secrets as JSON, and its tag: made of versions, not of values.
    pub(super) async fn revealed(
        &self,
        ctx: &RequestContext,
        active: &Active,
        answer: &Answer,
    ) -> Result<(Bytes, String)> {
        let mut revealed = Revealed::new();
        let mut versions = answer.tag.clone();
        for (_, reference) in &answer.resolution.secrets {
            let Reference::Secret { path, .. } = reference else { continue };
            if revealed.contains_key(path) {
                continue;
            }
            if !self.may_reveal(ctx, active, path).await? {
                let target = Target::new(active.scope.project(), "secret").path(path);
                let reason = format!("the config refers to `{reference}`, which the caller may not read");
                return Err(self.kit.authorizer.refuse(ctx, Action::SecretReveal, &target, &reason).await);
            }
            let found = self.revealed_secret(ctx, active, path).await?;
            if let Ok(secret) = &found {
                versions.push_str(&format!(" {path}@{}", secret.version));
            }
            revealed.insert(path.clone(), found);
        }
        let (mut content, mut bytes) = (ConfigContent(answer.resolution.value.clone()), answer.json.len());
        for (pointer, reference) in &answer.resolution.secrets {
            let value = value(&revealed, reference).map_err(|reason| unresolvable(reference, &reason))?;
            // As much as escaping can make of it.
            bytes += value.len() * 6;
            if let Some(Value::String(text)) = content.0.pointer_mut(pointer) {
                *text = filled(text, &revealed);
            }
        }
        // Large enough from the beginning: growing would leave copies behind.
        let mut json = Zeroizing::new(Vec::with_capacity(bytes));
        serde_json::to_writer(&mut *json, &content).map_err(Error::internal)?;
        Ok((Bytes::from_owner(json), hash(versions.as_bytes())))
    }

    async fn may_reveal(&self, ctx: &RequestContext, active: &Active, path: &Name) -> Result<bool> {
        let target = Target::new(active.scope.project(), "secret").path(path);
        self.kit.authorizer.permits(&ctx.principal, Action::SecretReveal, &target).await
    }

    async fn revealed_secret(
        &self,
        ctx: &RequestContext,
        active: &Active,
        path: &Name,
    ) -> Result<std::result::Result<RevealedSecret, String>> {
        let reveal = RevealSecret { reason: Some(REASON.to_owned()), ..RevealSecret::default() };
        match self.secrets.reveal(ctx, active.scope.project(), path, reveal).await {
            Ok(secret) => Ok(Ok(secret)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Err(error.message().to_owned())),
            Err(error) => Err(error),
        }
    }
}

/// The text that a reference stands for.
fn value(revealed: &Revealed, reference: &Reference) -> std::result::Result<Zeroizing<String>, String> {
    let Reference::Secret { path, field } = reference else { return Err("it is no secret".to_owned()) };
    let secret = revealed.get(path).ok_or("it was not read")?.as_ref().map_err(Clone::clone)?;
    secret
        .data
        .text_of(field)
        .ok_or_else(|| format!("the secret `{path}` has no field `{field}` with a text"))
}

/// A string with its references replaced, as far as they are known.
fn filled(text: &str, revealed: &Revealed) -> String {
    let known = |part: Part<'_>| match part {
        Part::Text(text) => Zeroizing::new(text.to_owned()),
        Part::Reference(reference, written) => {
            value(revealed, &reference).unwrap_or_else(|_| Zeroizing::new(written.to_owned()))
        }
    };
    let known: Vec<_> = parts(text).unwrap_or_default().into_iter().map(known).collect();
    // Joined at once: growing would leave copies behind.
    let mut whole = String::with_capacity(known.iter().map(|part| part.len()).sum());
    known.iter().for_each(|part| whole.push_str(part));
    whole
}

fn unresolvable(reference: &Reference, reason: &str) -> Error {
    let text = format!("the config refers to `{reference}`, which cannot be resolved: {reason}");
    Error::unprocessable("unresolved_reference", text)
}
