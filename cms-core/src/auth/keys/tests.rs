// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Making, listing, rotating and revoking keys.

use super::super::fixture::{World, rag};
use super::super::{Role, ScopeName};
use super::*;
use crate::api::keys::{NarrowedScope, Scope};
use crate::ids::ProjectId;

fn request(scopes: &[&str]) -> CreateKey {
    let scopes = scopes.iter().map(|name| Scope::Name((*name).to_owned())).collect();
    CreateKey { name: "gateway".into(), scopes, ..CreateKey::default() }
}

#[tokio::test]
async fn a_key_is_shown_once_and_masked_ever_after() {
    let world = World::new().await;
    let created = world.auth.keys().create(&world.root(), &rag(), request(&["decide"])).await.unwrap();
    let got = world.auth.keys().get(&world.root(), &rag(), &created.about.id).await.unwrap();
    assert_eq!(got, created.about);
    let text = serde_json::to_string(&got).unwrap();
    assert!(
        !text.contains(&created.key[21..]) && text.contains("••••") && text.contains(r#""state":"active""#)
    );
    assert_eq!((got.version, got.created_by.as_str()), (1, "root"));
}

#[tokio::test]
async fn every_change_of_a_key_has_its_record() {
    let world = World::new().await;
    let keys = world.auth.keys();
    let id = world.key(&["decide"]).await.about.id;
    keys.rotate(&world.root(), &rag(), &id, RotateKey::default(), None).await.unwrap();
    keys.revoke(&world.root(), &rag(), &id, None).await.unwrap();
    keys.revoke(&world.root(), &rag(), &id, None).await.unwrap();
    let records = world.records("key:write").await;
    assert_eq!(records.len(), 3, "revoking again changes nothing");
    let resource = format!("projects/rag/key/{id}");
    assert!(records.iter().all(|record| record.resource == resource && record.project == "rag"));
}

#[tokio::test]
async fn nobody_makes_a_key_that_may_do_more_than_they() {
    let world = World::new().await;
    world.member("eve", "rag", Role::ProjectAdmin).await;
    let eve = world.by("eve", None);
    for scope in ScopeName::ALL {
        world.auth.keys().create(&eve, &rag(), request(&[scope.as_str()])).await.unwrap();
    }
    // A platform admin may write policies of the platform, but not those that decide over CMS.
    let ada = world.by("ada", Some(Role::PlatformAdmin));
    let platform = ProjectId::platform();
    let keys = world.auth.keys();
    assert!(keys.create(&ada, &platform, request(&["decide"])).await.is_ok());
    assert!(keys.create(&ada, &rag(), request(&["policy:write"])).await.is_ok());
    for role in [Role::ProjectUser, Role::Auditor] {
        world.member("mallory", "rag", role).await;
        let mallory = world.by("mallory", None);
        let error = keys.create(&mallory, &rag(), request(&["decide"])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
}

#[tokio::test]
async fn a_policy_may_keep_admins_from_granting_what_they_lack() {
    use crate::policies::engine::{Data, Limits, Module, Options, Program, Snapshot};
    let world = World::new().await;
    world.member("eve", "rag", Role::ProjectAdmin).await;
    let policy = "package cms.authz\n\
        decision := {\"allow\": true, \"visible\": true, \"reason\": \"\"} if input.action != \"secret:reveal\"\n\
        decision := {\"allow\": true, \"visible\": true, \"reason\": \"\"} if {\n\
          input.action == \"secret:reveal\"\n\
          input.principal.kind == \"key\"\n\
        }";
    let options = Options::platform(Limits::default());
    let program = Program::compile(&[Module::new("cms/authz", policy)], &options).unwrap();
    let data = Data::from_documents(std::iter::empty::<(&str, &str)>(), &options.limits).unwrap();
    let snapshot = Snapshot::new(std::sync::Arc::new(program), &data).unwrap();
    world.kit.authorizer.use_release(Some(std::sync::Arc::new(snapshot)));
    let error = world.auth.keys().create(&world.by("eve", None), &rag(), request(&["secret:read"])).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains("`secret:read` goes beyond"), "{error}");
    assert_eq!(world.count("p/rag/key/").await, 0);
    assert_eq!(world.records("key:write").await.len(), 1, "the refusal is on the trail");
}

#[tokio::test]
async fn an_environment_that_does_not_exist_is_refused() {
    let world = World::new().await;
    let narrowed = NarrowedScope { scope: "decide".into(), environment: Some("qa".into()), prefix: None };
    let narrowed = CreateKey { scopes: vec![Scope::Narrowed(narrowed)], ..request(&[]) };
    let bound = CreateKey { environment: Some("qa".into()), ..request(&["decide"]) };
    for request in [narrowed, bound] {
        let error = world.auth.keys().create(&world.root(), &rag(), request).await.unwrap_err();
        assert_eq!(error.code(), "unknown_environment");
    }
}

#[tokio::test]
async fn a_list_goes_page_by_page_through_one_project() {
    let world = World::new().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(world.key(&["decide"]).await.about.id);
    }
    made.sort();
    let other = ProjectId::parse("other").unwrap();
    world.auth.keys().create(&world.root(), &other, request(&["decide"])).await.unwrap();
    let mut seen = Vec::new();
    let mut query = PageQuery { limit: Some(2), cursor: None };
    loop {
        let page = world.auth.keys().list(&world.root(), &rag(), &query).await.unwrap();
        seen.extend(page.items.into_iter().map(|key| key.id));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn a_key_is_found_in_its_own_project_only() {
    let world = World::new().await;
    let id = world.key(&["decide"]).await.about.id;
    let other = ProjectId::parse("other").unwrap();
    let keys = world.auth.keys();
    let root = world.root();
    assert_eq!(keys.get(&root, &other, &id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(keys.revoke(&root, &other, &id, None).await.unwrap_err().kind(), ErrorKind::NotFound);
    for id in ["", "..", "abcdefghijklmnop/x", "ABCDEFGHIJKLMNOP", "zzzzzzzzzzzzzzzz", &"a".repeat(500)] {
        assert_eq!(keys.get(&root, &rag(), id).await.unwrap_err().kind(), ErrorKind::NotFound, "{id}");
    }
}

#[tokio::test]
async fn a_stale_version_changes_nothing() {
    let world = World::new().await;
    let id = world.key(&["decide"]).await.about.id;
    let keys = world.auth.keys();
    let rotated = keys.rotate(&world.root(), &rag(), &id, RotateKey::default(), Some(1)).await.unwrap();
    assert_eq!(rotated.about.version, 2);
    let error = keys.revoke(&world.root(), &rag(), &id, Some(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    keys.revoke(&world.root(), &rag(), &id, Some(2)).await.unwrap();
    let error = keys.rotate(&world.root(), &rag(), &id, RotateKey::default(), None).await.unwrap_err();
    assert_eq!(error.code(), "key_not_active");
    assert_eq!(keys.get(&world.root(), &rag(), &id).await.unwrap().state, KeyState::Revoked);
}

#[tokio::test]
async fn an_overlap_has_its_limit() {
    let world = World::new().await;
    let id = world.key(&["decide"]).await.about.id;
    for (seconds, fits) in [(MAX_OVERLAP_SECONDS, true), (MAX_OVERLAP_SECONDS + 1, false), (u64::MAX, false)]
    {
        let request = RotateKey { overlap_seconds: Some(seconds) };
        let answer = world.auth.keys().rotate(&world.root(), &rag(), &id, request, None).await;
        assert_eq!(answer.is_ok(), fits, "{seconds}");
    }
}

#[tokio::test]
async fn a_project_has_room_for_so_many_keys_and_forgets_dead_ones_first() {
    let world = World::new().await;
    let keys = world.auth.keys();
    let dead = world.key(&["decide"]).await.about.id;
    keys.revoke(&world.root(), &rag(), &dead, None).await.unwrap();
    for _ in 0..MAX_KEYS - 1 {
        let (change, _) =
            keys.mint(&rag(), NewKey::with_scope("k", ScopeName::Decide, "root")).await.unwrap();
        world.kit.db.commit(change).await.unwrap();
    }
    world.key(&["decide"]).await;
    assert_eq!(keys.get(&world.root(), &rag(), &dead).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.count("auth/key/").await, MAX_KEYS);
    let error = keys.create(&world.root(), &rag(), request(&["decide"])).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::TooMany, "quota_exceeded"));
}

#[tokio::test]
async fn the_keys_of_a_project_go_with_it() {
    let world = World::new().await;
    let key = world.key(&["decide"]).await;
    let (changes, active) = world.auth.keys().offboard(&rag()).await.unwrap();
    assert_eq!((changes.len(), active), (1, 1));
    for change in changes {
        world.kit.db.commit(change.delete_prefix("p/rag/")).await.unwrap();
    }
    assert!(world.who(&key.key).await.is_err());
    assert_eq!(world.count("auth/key/").await, 0);
    // A late note of its use brings nothing back.
    world.auth.tend().await.unwrap();
    assert_eq!(world.count("p/rag/").await, 0);
}
