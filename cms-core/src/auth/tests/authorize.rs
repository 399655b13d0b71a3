// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What callers may do, what they may know, and what is written down of it.

use std::sync::Arc;

use super::super::fixture::{World, rag};
use super::super::{Action, Role, Target};
use crate::context::RequestContext;
use crate::error::ErrorKind;
use crate::ids::ProjectId;
use crate::policies::engine::{Data, Limits, Module, Options, Program, Snapshot};

async fn ask(
    world: &World,
    ctx: &RequestContext,
    action: Action,
    project: &str,
) -> Result<(), (ErrorKind, String)> {
    let target = Target::new(&ProjectId::parse(project).unwrap(), "policy").named("rag/authz");
    let answer = world.kit.authorize(ctx, action, target).await;
    answer.map(|_| ()).map_err(|error| (error.kind(), error.message().to_owned()))
}

/// The context of an API key of the project `rag`.
async fn with_key(world: &World, scopes: &[&str]) -> RequestContext {
    let key = world.key(scopes).await;
    RequestContext::new(world.who(&key.key).await.unwrap())
}

fn release(policy: &str) -> Arc<Snapshot> {
    let module = Module::new("cms/authz", policy);
    let options = Options::platform(Limits::default());
    let program = Program::compile(&[module], &options).unwrap();
    let data = Data::from_documents(std::iter::empty::<(&str, &str)>(), &options.limits).unwrap();
    Arc::new(Snapshot::new(Arc::new(program), &data).unwrap())
}

#[tokio::test]
async fn a_strangers_project_is_answered_like_one_that_does_not_exist() {
    let world = World::new().await;
    world.user("eve", None).await;
    for ctx in [world.by("eve", None), with_key(&world, &["policy:read", "policy:write"]).await] {
        for action in [Action::PolicyRead, Action::PolicyWrite, Action::SecretReveal, Action::AuditRead] {
            let (kind, text) = ask(&world, &ctx, action, "other").await.unwrap_err();
            let (none, none_text) = ask(&world, &ctx, action, "nothere").await.unwrap_err();
            assert_eq!((kind, none), (ErrorKind::NotFound, ErrorKind::NotFound), "{action}");
            assert_eq!(text.replace("other", "nothere"), none_text);
        }
    }
}

#[tokio::test]
async fn who_belongs_to_a_project_is_told_that_it_may_not() {
    let world = World::new().await;
    world.member("eve", "rag", Role::ProjectUser).await;
    let eve = world.by("eve", None);
    assert!(ask(&world, &eve, Action::PolicyRead, "rag").await.is_ok());
    let (kind, text) = ask(&world, &eve, Action::PolicyWrite, "rag").await.unwrap_err();
    assert_eq!(kind, ErrorKind::Denied);
    assert!(text.contains("policy:write") && text.contains("no role of the caller allows it"), "{text}");
}

#[tokio::test]
async fn every_denial_is_on_the_trail_with_its_reason() {
    let world = World::new().await;
    world.member("eve", "rag", Role::ProjectUser).await;
    let eve = world.by("eve", None);
    ask(&world, &eve, Action::PolicyWrite, "rag").await.unwrap_err();
    ask(&world, &eve, Action::PolicyWrite, "other").await.unwrap_err();
    ask(&world, &eve, Action::PolicyWrite, "nothere").await.unwrap_err();
    let records = world.records("policy:write").await;
    let seen: Vec<_> = records
        .iter()
        .rev()
        .map(|record| (record.project.as_str(), record.resource.as_str(), record.reason.as_deref()))
        .collect();
    let stranger = Some("the caller has no role in this project");
    assert_eq!(
        seen,
        [
            ("rag", "projects/rag/policy/rag/authz", Some("no role of the caller allows it")),
            ("other", "projects/other/policy/rag/authz", stranger),
            ("platform", "projects/nothere/policy/rag/authz", stranger),
        ]
    );
    assert!(records.iter().all(|record| record.actor == "user:eve"));
}

#[tokio::test]
async fn a_denial_that_cannot_be_recorded_is_an_error_of_its_own() {
    let world = World::new().await;
    world.member("eve", "rag", Role::ProjectUser).await;
    world.kit.audit.seal_up();
    let (kind, _) = ask(&world, &world.by("eve", None), Action::PolicyWrite, "rag").await.unwrap_err();
    assert_ne!(kind, ErrorKind::Denied);
}

#[tokio::test]
async fn an_admin_hears_that_a_project_does_not_exist_but_may_make_it() {
    let world = World::new().await;
    for ctx in [world.root(), world.by("ada", Some(Role::CmsAdmin))] {
        let (kind, _) = ask(&world, &ctx, Action::PolicyRead, "nothere").await.unwrap_err();
        assert_eq!(kind, ErrorKind::NotFound);
        assert!(ask(&world, &ctx, Action::ProjectCreate, "nothere").await.is_ok());
        assert!(
            ask(&world, &ctx, Action::AuditRead, "nothere").await.is_ok(),
            "the trail outlives a project"
        );
    }
}

#[tokio::test]
async fn nobody_is_asked_to_log_in_first() {
    let world = World::new().await;
    let (kind, _) = ask(&world, &world.stranger(), Action::PolicyRead, "rag").await.unwrap_err();
    assert_eq!(kind, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_change_of_membership_acts_at_once() {
    let world = World::new().await;
    let eve = world.by("eve", None);
    assert!(ask(&world, &eve, Action::PolicyRead, "rag").await.is_err());
    world.member("eve", "rag", Role::ProjectAdmin).await;
    assert!(ask(&world, &eve, Action::PolicyWrite, "rag").await.is_ok());
    world.member("eve", "rag", Role::ProjectUser).await;
    assert!(ask(&world, &eve, Action::PolicyWrite, "rag").await.is_err());
}

#[tokio::test]
async fn a_released_policy_decides_for_everybody_but_the_root_credential() {
    let world = World::new().await;
    world.member("eve", "rag", Role::ProjectAdmin).await;
    let (eve, ada) = (world.by("eve", None), world.by("ada", Some(Role::CmsAdmin)));
    let stricter = "package cms.authz\n\
                    decision := {\"allow\": input.principal.id == \"ada\", \"visible\": true, \"reason\": \"only ada\"}";
    world.kit.authorizer.use_release(Some(release(stricter)));
    let (_, text) = ask(&world, &eve, Action::PolicyRead, "rag").await.unwrap_err();
    assert!(text.ends_with("only ada"), "{text}");
    assert!(ask(&world, &ada, Action::PolicyRead, "rag").await.is_ok());

    // One that denies all, or is broken, locks everybody out, but not the root credential.
    for bad in ["package cms.authz\ndecision := {\"allow\": false}", "package cms.authz\ndecision := 1 / 0"] {
        world.kit.authorizer.use_release(Some(release(bad)));
        assert!(ask(&world, &ada, Action::PolicyRead, "rag").await.is_err());
        assert!(ask(&world, &world.root(), Action::PolicyWrite, "rag").await.is_ok());
    }
    world.kit.authorizer.use_release(None);
    assert!(ask(&world, &eve, Action::PolicyRead, "rag").await.is_ok());
}

#[tokio::test]
async fn asking_without_a_record_leaves_none() {
    let world = World::new().await;
    let eve = world.by("eve", None);
    let target = Target::new(&rag(), "project");
    assert!(!world.kit.authorizer.permits(&eve.principal, Action::ProjectRead, &target).await.unwrap());
    assert!(world.records("project:read").await.is_empty());
}
