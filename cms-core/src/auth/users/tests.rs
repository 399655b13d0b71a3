// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Adding, changing and removing users.

use super::super::fixture::{PASSWORD, World};
use super::*;
use crate::error::ErrorKind;

fn request(name: &str, role: Option<Role>) -> CreateUser {
    CreateUser { username: name.into(), password: PASSWORD.into(), role, ..CreateUser::default() }
}

#[tokio::test]
async fn a_name_is_one_user_in_every_case() {
    let world = World::new().await;
    let users = world.auth.users();
    let made = users.create(&world.root(), request("Eve.Adams", None)).await.unwrap();
    assert_eq!(made.username, "eve.adams");
    for twin in ["eve.adams", "EVE.ADAMS", "Eve.adams"] {
        let error = users.create(&world.root(), request(twin, None)).await.unwrap_err();
        assert_eq!(error.code(), "user_exists", "{twin}");
    }
    let found = users.get(&world.root(), &UserId::parse("EVE.adams").unwrap()).await.unwrap();
    assert_eq!(found, made);
    for bad in ["", " eve", "eve ", "e/ve", "évé", "a\0", &"x".repeat(129)] {
        assert_eq!(
            users.create(&world.root(), request(bad, None)).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}

#[tokio::test]
async fn an_answer_holds_neither_password_nor_hash() {
    let world = World::new().await;
    let made = world.auth.users().create(&world.root(), request("eve", None)).await.unwrap();
    let text = serde_json::to_string(&made).unwrap();
    assert!(!text.contains("password") && !text.contains("argon2"), "{text}");
}

#[tokio::test]
async fn only_an_admin_changes_users_and_everybody_reads_themselves() {
    let world = World::new().await;
    let eve = world.user("eve", None).await;
    let bob = world.user("bob", None).await;
    let users = world.auth.users();
    let by_eve = world.by("eve", None);
    assert!(users.get(&by_eve, &eve).await.is_ok());
    assert_eq!(users.get(&by_eve, &bob).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(users.list(&by_eve, &PageQuery::default()).await.unwrap_err().kind(), ErrorKind::Denied);
    for role in [None, Some(Role::PlatformAdmin), Some(Role::Auditor)] {
        let caller = world.by("eve", role);
        let patch = PatchUser { role: Some(Some(Role::CmsAdmin)), ..PatchUser::default() };
        assert_eq!(users.patch(&caller, &eve, patch, None).await.unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(users.delete(&caller, &bob, None).await.unwrap_err().kind(), ErrorKind::Denied);
        let error = users.create(&caller, request("x", None)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
}

#[tokio::test]
async fn a_role_of_a_project_is_refused_here() {
    let world = World::new().await;
    for role in [Role::ProjectAdmin, Role::ProjectUser] {
        let error = world.auth.users().create(&world.root(), request("eve", Some(role))).await.unwrap_err();
        assert_eq!(error.code(), "role_not_global");
    }
}

#[tokio::test]
async fn the_last_admin_stays() {
    let world = World::new().await;
    let users = world.auth.users();
    let ada = world.user("ada", Some(Role::CmsAdmin)).await;
    let root = world.root();
    let disable = PatchUser { disabled: Some(true), ..PatchUser::default() };
    let demote = PatchUser { role: Some(Some(Role::Auditor)), ..PatchUser::default() };
    let refused = [
        users.delete(&root, &ada, None).await.unwrap_err(),
        users.patch(&root, &ada, disable.clone(), None).await.unwrap_err(),
        users.patch(&root, &ada, demote.clone(), None).await.unwrap_err(),
    ];
    assert!(refused.iter().all(|error| error.code() == "last_admin"));

    let bob = world.user("bob", Some(Role::CmsAdmin)).await;
    users.patch(&root, &ada, disable, None).await.unwrap();
    assert_eq!(
        users.delete(&root, &bob, None).await.unwrap_err().code(),
        "last_admin",
        "a disabled one is none"
    );
    let enable = PatchUser { disabled: Some(false), ..PatchUser::default() };
    users.patch(&root, &ada, enable, None).await.unwrap();
    users.delete(&root, &bob, None).await.unwrap();
    assert_eq!(users.patch(&root, &ada, demote, None).await.unwrap_err().code(), "last_admin");
}

#[tokio::test]
async fn of_two_admins_who_remove_each_other_one_remains() {
    for _ in 0..10 {
        let world = World::new().await;
        let ada = world.user("ada", Some(Role::CmsAdmin)).await;
        let bob = world.user("bob", Some(Role::CmsAdmin)).await;
        let (users, root) = (world.auth.users(), world.root());
        let (one, two) = tokio::join!(users.delete(&root, &ada, None), users.delete(&root, &bob, None));
        assert!(one.is_ok() != two.is_ok());
        assert_eq!(world.count("auth/user/").await, 1);
    }
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_knows_versions() {
    let world = World::new().await;
    let eve = world.user("eve", None).await;
    let users = world.auth.users();
    let patch = PatchUser {
        display_name: Some(Some("Eve".into())),
        email: Some(Some("eve@example.org".into())),
        ..PatchUser::default()
    };
    let patched = users.patch(&world.root(), &eve, patch, Some(1)).await.unwrap();
    assert_eq!((patched.display_name.as_deref(), patched.version), (Some("Eve"), 2));
    let clear = PatchUser { email: Some(None), ..PatchUser::default() };
    assert_eq!(
        users.patch(&world.root(), &eve, clear.clone(), Some(1)).await.unwrap_err().kind(),
        ErrorKind::Stale
    );
    let cleared = users.patch(&world.root(), &eve, clear, Some(2)).await.unwrap();
    assert_eq!((cleared.display_name.as_deref(), cleared.email), (Some("Eve"), None));
    assert_eq!(users.delete(&world.root(), &eve, Some(1)).await.unwrap_err().kind(), ErrorKind::Stale);
}

#[tokio::test]
async fn changing_ones_own_password_takes_the_present_one() {
    let world = World::new().await;
    let eve = world.user("eve", None).await;
    let by_eve = world.by("eve", None);
    let users = world.auth.users();
    let set = |current: Option<&str>| SetPassword {
        password: "another horse".into(),
        current_password: current.map(str::to_owned),
    };
    assert_eq!(
        users.set_password(&by_eve, &eve, set(None), None).await.unwrap_err().code(),
        "current_password_needed"
    );
    let error = users.set_password(&by_eve, &eve, set(Some("wrong horse")), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    users.set_password(&by_eve, &eve, set(Some(PASSWORD)), None).await.unwrap();
    assert!(world.login("eve", "another horse").await.is_ok());
    let outcomes: Vec<_> = world.records("self:write").await.iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [crate::audit::AuditOutcome::Success, crate::audit::AuditOutcome::Denied]);
}

#[tokio::test]
async fn guessing_ones_own_password_is_throttled_like_a_login() {
    let world = World::new().await;
    let eve = world.user("eve", None).await;
    let by_eve = world.by("eve", None);
    let set =
        || SetPassword { password: "another horse".into(), current_password: Some("wrong horse".into()) };
    for _ in 0..super::super::USER_FAILURES {
        let error = world.auth.users().set_password(&by_eve, &eve, set(), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
    let right = SetPassword { current_password: Some(PASSWORD.into()), ..set() };
    let error = world.auth.users().set_password(&by_eve, &eve, right, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooMany);
}

#[tokio::test]
async fn a_list_goes_page_by_page() {
    let world = World::new().await;
    for name in ["carol", "ada", "bob"] {
        world.user(name, None).await;
    }
    let query = PageQuery { limit: Some(2), cursor: None };
    let first = world.auth.users().list(&world.root(), &query).await.unwrap();
    let names = |page: &Page<User>| page.items.iter().map(|user| user.username.clone()).collect::<Vec<_>>();
    assert_eq!(names(&first), ["ada", "bob"]);
    let query = PageQuery { limit: Some(2), cursor: first.next_cursor };
    let second = world.auth.users().list(&world.root(), &query).await.unwrap();
    assert_eq!((names(&second), second.next_cursor), (vec!["carol".to_owned()], None));
}

#[tokio::test]
async fn every_change_of_a_user_has_its_record() {
    let world = World::new().await;
    let eve = world.user("eve", None).await;
    world.member("eve", "rag", Role::ProjectUser).await;
    let users = world.auth.users();
    users
        .patch(&world.root(), &eve, PatchUser { disabled: Some(true), ..PatchUser::default() }, None)
        .await
        .unwrap();
    users.delete(&world.root(), &eve, None).await.unwrap();
    let records = world.records("user:write").await;
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record.resource == "projects/platform/user/eve"));
    let left = world.records("member:write").await;
    assert_eq!((left.len(), left[0].project.as_str()), (1, "rag"));
}
