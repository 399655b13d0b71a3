// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The caller's own view, and the root credential.

use std::time::Duration;

use super::super::fixture::{PASSWORD, World, rag};
use super::super::{Principal, Role};
use crate::api::auth::{CallerKind, HeldRole};
use crate::api::keys::{CreateKey, NarrowedScope, Scope};
use crate::context::RequestContext;
use crate::error::ErrorKind;
use crate::ids::ProjectId;
use crate::sensitive::Sensitive;
use crate::store::Transaction;

#[tokio::test]
async fn a_user_sees_all_roles_it_holds() {
    let world = World::new().await;
    world.user("eve", Some(Role::Auditor)).await;
    world.member("eve", "rag", Role::ProjectAdmin).await;
    world.member("eve", "other", Role::ProjectUser).await;
    world.member("eve2", "rag", Role::ProjectAdmin).await;
    let me = world.auth.me(&world.by("eve", Some(Role::Auditor))).await.unwrap();
    let role = |role, project: Option<&str>| HeldRole { role, project: project.map(str::to_owned) };
    assert_eq!((me.kind, me.id.as_str()), (CallerKind::User, "eve"));
    assert_eq!(
        me.roles,
        [
            role(Role::Auditor, None),
            role(Role::ProjectUser, Some("other")),
            role(Role::ProjectAdmin, Some("rag"))
        ]
    );
}

#[tokio::test]
async fn a_key_sees_its_project_and_scopes() {
    let world = World::new().await;
    let narrowed = NarrowedScope {
        scope: "secret:read".into(),
        environment: Some("prod".into()),
        prefix: Some("llm".into()),
    };
    let scopes = vec![Scope::Name("decide".into()), Scope::Narrowed(narrowed)];
    let request = CreateKey {
        name: "k".into(),
        scopes: scopes.clone(),
        environment: Some("prod".into()),
        ..CreateKey::default()
    };
    let key = world.auth.keys().create(&world.root(), &rag(), request).await.unwrap();
    let me = world.auth.me(&RequestContext::new(world.who(&key.key).await.unwrap())).await.unwrap();
    assert_eq!((me.kind, me.id), (CallerKind::Key, key.about.id));
    assert_eq!(
        (me.scopes, me.project.as_deref(), me.environment.as_deref()),
        (Some(scopes), Some("rag"), Some("prod"))
    );
    assert!(me.roles.is_empty());
}

#[tokio::test]
async fn nobody_has_no_view_of_itself() {
    let world = World::new().await;
    let error = world.auth.me(&RequestContext::new(Principal::anonymous())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert_eq!(world.auth.me(&world.root()).await.unwrap().kind, CallerKind::Root);
}

#[tokio::test]
async fn the_root_credential_is_replaced_by_itself_alone() {
    let world = World::new().await;
    let chosen = Sensitive::new("dev-token".to_owned());
    let (change, _) = world.auth.root_credential(Some(chosen), world.kit.now()).await.unwrap();
    world.kit.db.commit(change).await.unwrap();
    assert!(world.who("dev-token").await.is_ok());
    let admin = world.by("ada", Some(Role::CmsAdmin));
    assert_eq!(world.auth.replace_root(&admin).await.unwrap_err().kind(), ErrorKind::Denied);
    let new = world.auth.replace_root(&world.root()).await.unwrap();
    assert!(world.who("dev-token").await.is_err() && world.who(new.expose()).await.is_ok());
    assert_eq!(world.records("system:write").await.len(), 2, "the refusal and the replacement");
}

#[tokio::test]
async fn a_check_opens_every_record_and_names_what_is_damaged() {
    let world = World::new().await;
    let (change, _) = world.auth.root_credential(None, world.kit.now()).await.unwrap();
    world.kit.db.commit(change).await.unwrap();
    world.user("ada", Some(Role::CmsAdmin)).await;
    world.user("eve", None).await;
    world.login("eve", PASSWORD).await.unwrap();
    let key = world.key(&["decide"]).await.about.id;
    let report = world.auth.verify().await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.sealed_values, 7, "root, signing keys, two users, a session, its refresh token, a key");

    let eve = world.kit.db.fresh("auth/user/eve").await.unwrap().unwrap();
    let mut flipped = eve.value.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let change = Transaction::new()
        .put("auth/user/eve", flipped)
        .put("auth/admins", r#"{"v":1,"users":["ada","eve"]}"#)
        .put("auth/key/aaaaaaaaaaaaaaaa", "rag")
        .put("auth/key/bbbbbbbbbbbbbbbb", "../x")
        .delete("sys/root");
    world.kit.db.commit(change).await.unwrap();
    // A record that was moved to another key does not open there.
    let record = world.kit.db.fresh(&format!("p/rag/key/{key}")).await.unwrap().unwrap();
    let change = Transaction::new()
        .put("p/rag/key/cccccccccccccccc", record.value)
        .put("auth/key/cccccccccccccccc", "rag");
    world.kit.db.commit(change).await.unwrap();
    assert_eq!(
        world.auth.verify().await.unwrap().problems,
        [
            "the installation has no root credential",
            "the sealed record at `auth/user/eve` cannot be read",
            "the list of admins and the roles of the users disagree",
            "`auth/key/aaaaaaaaaaaaaaaa` leads to no key",
            "`auth/key/bbbbbbbbbbbbbbbb` leads to no project",
            "the sealed record at `p/rag/key/cccccccccccccccc` cannot be read",
        ]
    );
}

#[tokio::test]
async fn tending_removes_what_has_ended_once_an_hour() {
    let world = World::new().await;
    world.login("nobody", "wrong horse").await.unwrap_err();
    world.clock.advance(Duration::from_secs(59 * 60));
    world.auth.tend().await.unwrap();
    assert_eq!(world.count("auth/throttle/").await, 2);
    world.clock.advance(Duration::from_secs(60));
    world.auth.tend().await.unwrap();
    assert_eq!(world.count("auth/throttle/").await, 0);
}

#[tokio::test]
async fn a_gateway_is_not_told_of_a_project_that_is_not_the_callers() {
    let world = World::new().await;
    world.member("eve", "rag", Role::ProjectUser).await;
    let key = RequestContext::new(world.who(&world.key(&["decide"]).await.key).await.unwrap());
    for ctx in [key, world.by("eve", None)] {
        world.auth.check_relation(&ctx, &rag()).await.unwrap();
        let mut answers = Vec::new();
        for project in ["other", "nothere", "platform"] {
            let project = ProjectId::parse(project).unwrap();
            let error = world.auth.check_relation(&ctx, &project).await.unwrap_err();
            answers.push((error.kind(), error.message().replace(project.as_str(), "…")));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == ErrorKind::Denied));
    }
    assert!(world.auth.check_relation(&world.root(), &rag()).await.is_ok());
    assert_eq!(world.records("self:read").await.len(), 6);
}
