// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Credentials of every kind, right and wrong.

use std::time::{Duration, Instant};

use super::super::fixture::{PASSWORD, World, rag, within_a_second};
use super::super::{PrincipalKind, Role, credential};
use crate::api::keys::{CreateKey, RotateKey, Scope};
use crate::api::users::{PatchUser, SetPassword};
use crate::error::ErrorKind;

#[tokio::test]
async fn each_kind_of_credential_names_its_caller() {
    let world = World::new().await;
    world.user("eve", Some(Role::Auditor)).await;
    let key = world.key(&["decide"]).await;
    let token = world.login("eve", PASSWORD).await.unwrap().access_token;
    let (change, root) = world.auth.root_credential(None, world.kit.now()).await.unwrap();
    world.kit.db.commit(change).await.unwrap();
    assert_eq!(world.who(&key.key).await.unwrap().to_string(), format!("key:{}", key.about.id));
    assert_eq!(world.who(&token).await.unwrap().to_string(), "user:eve");
    assert_eq!(world.who(root.expose()).await.unwrap().to_string(), "root");
}

#[tokio::test]
async fn every_wrong_credential_gets_the_same_answer() {
    let world = World::new().await;
    let key = world.key(&["decide"]).await.key;
    let (change, root) = world.auth.root_credential(None, world.kit.now()).await.unwrap();
    world.kit.db.commit(change).await.unwrap();
    let unknown = credential::new_key(&credential::new_key_id().unwrap()).unwrap().expose().clone();
    let other_secret = credential::new_key(credential::key_id(&key).unwrap()).unwrap().expose().clone();
    let swapped: String =
        key.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c }).collect();
    let mut answers = Vec::new();
    for wrong in [
        String::new(),
        " ".into(),
        "cms_".into(),
        key[..key.len() - 1].into(),
        format!("{key} "),
        format!(" {key}"),
        format!("{key},{key}"),
        format!("Bearer {key}"),
        swapped,
        unknown,
        other_secret,
        root.expose()[..20].into(),
        root.expose().to_uppercase(),
        "e30.e30.".into(),
        "ey".into(),
        "x".repeat(20_000),
        "\0".into(),
        "ключ".into(),
    ] {
        let error = world.who(&wrong).await.unwrap_err();
        answers.push((error.kind(), error.code(), error.message().to_owned()));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == ErrorKind::Unauthenticated));
}

#[tokio::test]
async fn a_wrong_secret_costs_as_much_as_an_unknown_id() {
    let world = World::new().await;
    let id = world.key(&["decide"]).await.about.id;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..200 {
        let known = credential::new_key(&id).unwrap();
        let unknown = credential::new_key(&credential::new_key_id().unwrap()).unwrap();
        for (which, text) in [known, unknown].iter().enumerate() {
            let start = Instant::now();
            assert!(world.who(text.expose()).await.is_err());
            times[which].push(start.elapsed());
        }
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    // Both are a few microseconds here; the bar of a factor of two is for the whole request.
    let floor = Duration::from_micros(20);
    assert!(known < unknown * 2 + floor && unknown < known * 2 + floor, "{known:?} against {unknown:?}");
}

#[tokio::test]
async fn only_hashes_of_credentials_are_kept_and_those_sealed() {
    let world = World::new().await;
    world.user("eve", None).await;
    let key = world.key(&["decide"]).await.key;
    let pair = world.login("eve", PASSWORD).await.unwrap();
    let (change, root) = world.auth.root_credential(None, world.kit.now()).await.unwrap();
    world.kit.db.commit(change).await.unwrap();
    let dump = world.dump().await;
    let digest = |text: &str| credential::Digest::of(text).to_text();
    for secret in [
        PASSWORD,
        "argon2id",
        &key[21..],
        &pair.refresh_token[38..],
        &pair.access_token[..],
        root.expose(),
        &digest(&key),
        &digest(root.expose()),
    ] {
        assert!(!dump.contains(secret), "the store holds `{secret}`");
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_every_process_within_a_second() {
    let world = World::new().await;
    let other = world.another().await;
    let key = world.key(&["decide"]).await;
    assert!(world.who(&key.key).await.is_ok() && other.who(&key.key).await.is_ok());
    world.auth.keys().revoke(&world.root(), &rag(), &key.about.id, None).await.unwrap();
    assert!(world.who(&key.key).await.is_err(), "at once where it was revoked");
    assert!(within_a_second(async || other.who(&key.key).await.is_err()).await);
}

#[tokio::test]
async fn a_key_expires_on_time() {
    let world = World::new().await;
    let end = world.kit.now().after(Duration::from_secs(60));
    let request = CreateKey {
        name: "short".into(),
        scopes: vec![Scope::Name("decide".into())],
        expires_at: Some(end),
        ..CreateKey::default()
    };
    let key = world.auth.keys().create(&world.root(), &rag(), request).await.unwrap();
    world.clock.advance(Duration::from_millis(59_999));
    assert!(world.who(&key.key).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    assert!(world.who(&key.key).await.is_err());
}

#[tokio::test]
async fn a_rotated_key_keeps_its_id_and_for_a_while_its_old_secret() {
    let world = World::new().await;
    let old = world.key(&["decide"]).await;
    let keys = world.auth.keys();
    let request = RotateKey { overlap_seconds: Some(60) };
    let new = keys.rotate(&world.root(), &rag(), &old.about.id, request, None).await.unwrap();
    assert_eq!(new.about.id, old.about.id);
    assert!(world.who(&old.key).await.is_ok() && world.who(&new.key).await.is_ok());
    world.clock.advance(Duration::from_secs(60));
    assert!(world.who(&old.key).await.is_err() && world.who(&new.key).await.is_ok());
    let newest = keys.rotate(&world.root(), &rag(), &old.about.id, RotateKey::default(), None).await.unwrap();
    assert!(world.who(&new.key).await.is_err() && world.who(&newest.key).await.is_ok());
}

#[tokio::test]
async fn a_key_works_from_its_addresses_only() {
    let world = World::new().await;
    let request = CreateKey {
        name: "inside".into(),
        scopes: vec![Scope::Name("decide".into())],
        allowed_ips: Some(vec!["10.0.0.0/8".into()]),
        ..CreateKey::default()
    };
    let key = world.auth.keys().create(&world.root(), &rag(), request).await.unwrap().key;
    let from = |address: &str| Some(address.parse().unwrap());
    assert!(world.auth.authenticate(&key, from("10.9.8.7")).await.is_ok());
    assert!(world.auth.authenticate(&key, from("192.0.2.1")).await.is_err());
    assert!(world.auth.authenticate(&key, None).await.is_err());
}

#[tokio::test]
async fn a_change_of_a_user_acts_on_the_next_request_everywhere() {
    let world = World::new().await;
    let other = world.another().await;
    let eve = world.user("eve", Some(Role::PlatformAdmin)).await;
    let token = world.login("eve", PASSWORD).await.unwrap().access_token;
    let role = async |world: &World| match &world.who(&token).await.unwrap().kind {
        PrincipalKind::User { role, .. } => *role,
        _ => None,
    };
    assert_eq!(
        (role(&world).await, role(&other).await),
        (Some(Role::PlatformAdmin), Some(Role::PlatformAdmin))
    );
    let users = world.auth.users();
    let demote = PatchUser { role: Some(None), ..PatchUser::default() };
    users.patch(&world.root(), &eve, demote, None).await.unwrap();
    assert_eq!(role(&world).await, None);
    assert!(within_a_second(async || role(&other).await.is_none()).await);

    let disable = PatchUser { disabled: Some(true), ..PatchUser::default() };
    users.patch(&world.root(), &eve, disable, None).await.unwrap();
    assert!(world.who(&token).await.is_err());
    assert!(within_a_second(async || other.who(&token).await.is_err()).await);
    let enable = PatchUser { disabled: Some(false), ..PatchUser::default() };
    users.patch(&world.root(), &eve, enable, None).await.unwrap();
    assert!(world.who(&token).await.is_err(), "who is let in again must log in again");
}

#[tokio::test]
async fn the_tokens_of_a_removed_user_do_not_serve_a_namesake() {
    let world = World::new().await;
    let eve = world.user("eve", None).await;
    world.member("eve", "rag", Role::ProjectAdmin).await;
    let pair = world.login("eve", PASSWORD).await.unwrap();
    world.auth.users().delete(&world.root(), &eve, None).await.unwrap();
    assert!(world.who(&pair.access_token).await.is_err());
    world.user("eve", None).await;
    assert!(world.who(&pair.access_token).await.is_err());
    let request = crate::api::auth::Refresh { refresh_token: pair.refresh_token };
    assert!(world.auth.sessions().refresh(&world.stranger(), request).await.is_err());
    let me = world.auth.me(&world.by("eve", None)).await.unwrap();
    assert!(me.roles.is_empty(), "the roles in projects went with the user: {:?}", me.roles);
    assert_eq!(world.count("p/rag/member/").await, 0);
}

#[tokio::test]
async fn a_new_password_ends_every_session() {
    let world = World::new().await;
    let eve = world.user("eve", None).await;
    let token = world.login("eve", PASSWORD).await.unwrap().access_token;
    let request = SetPassword { password: "another horse".into(), current_password: None };
    world.auth.users().set_password(&world.root(), &eve, request, None).await.unwrap();
    assert!(world.who(&token).await.is_err());
    assert!(world.login("eve", PASSWORD).await.is_err());
    assert!(world.login("eve", "another horse").await.is_ok());
}

#[tokio::test]
async fn nothing_is_checked_while_sealed() {
    let world = World::new().await;
    world.user("eve", None).await;
    let key = world.key(&["decide"]).await.key;
    assert!(world.who(&key).await.is_ok());
    world.kit.barrier.seal_up();
    assert_eq!(world.who(&key).await.unwrap_err().kind(), ErrorKind::Sealed);
    assert_eq!(world.who("nonsense").await.unwrap_err().kind(), ErrorKind::Sealed);
    assert_eq!(world.login("eve", PASSWORD).await.unwrap_err().kind(), ErrorKind::Sealed);
    assert_eq!(world.auth.jwks().await.unwrap_err().kind(), ErrorKind::Sealed);
}

#[tokio::test]
async fn the_last_use_is_written_once_in_a_while() {
    let world = World::new().await;
    let key = world.key(&["decide"]).await;
    let keys = world.auth.keys();
    let used = async || keys.get(&world.root(), &rag(), &key.about.id).await.unwrap().last_used_at;
    world.who(&key.key).await.unwrap();
    assert_eq!(used().await, None);
    world.auth.tend().await.unwrap();
    assert_eq!(used().await, Some(world.kit.now()));
    world.clock.advance(Duration::from_secs(90));
    world.who(&key.key).await.unwrap();
    world.auth.tend().await.unwrap();
    assert_eq!(used().await, Some(world.kit.now()));
    assert!(world.who(&key.key).await.is_ok(), "a note of its use does not change the key");
}
