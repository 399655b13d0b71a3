// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logging in, carrying on and logging out; guessing, replaying and racing.

use std::time::{Duration, Instant};

use super::super::fixture::{PASSWORD, World, within_a_second};
use super::super::{ADDRESS_FAILURES, THROTTLE_WINDOW, USER_FAILURES};
use super::*;
use crate::api::users::PatchUser;

fn with(token: &str) -> Refresh {
    Refresh { refresh_token: token.to_owned() }
}

async fn context(world: &World, pair: &TokenPair) -> RequestContext {
    RequestContext::new(world.who(&pair.access_token).await.unwrap())
}

#[tokio::test]
async fn a_session_is_carried_on_and_ended() {
    let world = World::new().await;
    world.user("eve", None).await;
    let sessions = world.auth.sessions();
    let first = world.login("EVE", PASSWORD).await.unwrap();
    assert_eq!((first.token_type.as_str(), first.expires_in), ("Bearer", 900));
    let second = sessions.refresh(&world.stranger(), with(&first.refresh_token)).await.unwrap();
    assert!(world.who(&first.access_token).await.is_ok() && world.who(&second.access_token).await.is_ok());
    sessions.logout(&context(&world, &second).await).await.unwrap();
    for gone in [&first.access_token, &second.access_token] {
        assert!(world.who(gone).await.is_err());
    }
    assert!(sessions.refresh(&world.stranger(), with(&second.refresh_token)).await.is_err());
    assert_eq!(world.count("auth/session/").await + world.count("auth/refresh/").await, 0);
}

#[tokio::test]
async fn a_logout_is_in_force_everywhere_within_a_second() {
    let world = World::new().await;
    let other = world.another().await;
    world.user("eve", None).await;
    let pair = world.login("eve", PASSWORD).await.unwrap();
    assert!(other.who(&pair.access_token).await.is_ok());
    world.auth.sessions().logout(&context(&world, &pair).await).await.unwrap();
    assert!(within_a_second(async || other.who(&pair.access_token).await.is_err()).await);
}

#[tokio::test]
async fn tokens_expire_on_time() {
    let world = World::new().await;
    world.user("eve", None).await;
    let pair = world.login("eve", PASSWORD).await.unwrap();
    world.clock.advance(ACCESS_LIFETIME - Duration::from_secs(1));
    assert!(world.who(&pair.access_token).await.is_ok());
    world.clock.advance(Duration::from_secs(1));
    assert!(world.who(&pair.access_token).await.is_err());
    world.clock.advance(REFRESH_LIFETIME);
    assert!(world.auth.sessions().refresh(&world.stranger(), with(&pair.refresh_token)).await.is_err());
}

#[tokio::test]
async fn a_session_ends_however_often_it_is_refreshed() {
    let world = World::new().await;
    world.user("eve", None).await;
    let mut pair = world.login("eve", PASSWORD).await.unwrap();
    let start = world.kit.now();
    let mut refreshed = 0;
    while let Ok(next) = world.auth.sessions().refresh(&world.stranger(), with(&pair.refresh_token)).await {
        pair = next;
        refreshed += 1;
        world.clock.advance(Duration::from_secs(20 * 24 * 60 * 60));
    }
    assert!(refreshed > 1 && world.kit.now().since(start) >= SESSION_LIFETIME, "{refreshed}");
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_the_session() {
    let world = World::new().await;
    world.user("eve", None).await;
    let sessions = world.auth.sessions();
    let first = world.login("eve", PASSWORD).await.unwrap();
    let unrelated = world.login("eve", PASSWORD).await.unwrap();
    let second = sessions.refresh(&world.stranger(), with(&first.refresh_token)).await.unwrap();
    let error = sessions.refresh(&world.stranger(), with(&first.refresh_token)).await.unwrap_err();
    let nonsense = sessions.refresh(&world.stranger(), with("cmsr_x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert_eq!(error.message(), nonsense.message(), "the answer does not tell that it was one once");
    assert!(world.who(&second.access_token).await.is_err());
    assert!(sessions.refresh(&world.stranger(), with(&second.refresh_token)).await.is_err());
    assert!(world.who(&unrelated.access_token).await.is_ok(), "other sessions go on");
    let records = world.records("auth:refresh").await;
    let reuse =
        records.iter().find(|record| record.reason.as_deref().is_some_and(|why| why.contains("twice")));
    assert!(reuse.is_some(), "{records:#?}");
}

#[tokio::test]
async fn guessing_a_refresh_token_ends_nobodys_session() {
    let world = World::new().await;
    world.user("eve", None).await;
    let pair = world.login("eve", PASSWORD).await.unwrap();
    let (sid, _) = pair.refresh_token[5..].split_once('_').unwrap();
    let guess = format!("cmsr_{sid}_{}.{}", "0".repeat(64), "A".repeat(43));
    for wrong in [guess.as_str(), "", "cmsr_", &pair.access_token, &format!("{} ", pair.refresh_token)] {
        assert!(world.auth.sessions().refresh(&world.stranger(), with(wrong)).await.is_err());
    }
    assert!(world.who(&pair.access_token).await.is_ok());
    assert!(world.auth.sessions().refresh(&world.stranger(), with(&pair.refresh_token)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_uses_of_a_refresh_token_one_succeeds() {
    let world = World::new().await;
    world.user("eve", None).await;
    let token = world.login("eve", PASSWORD).await.unwrap().refresh_token;
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (sessions, ctx, token) = (world.auth.sessions().clone(), world.stranger(), token.clone());
            tokio::spawn(async move { sessions.refresh(&ctx, with(&token)).await.is_ok() })
        })
        .collect();
    let mut successes = 0;
    for task in tasks {
        successes += u32::from(task.await.unwrap());
    }
    assert_eq!(successes, 1);
}

#[tokio::test]
async fn unknown_users_and_wrong_passwords_get_the_same_answer_in_the_same_time() {
    let world = World::new().await;
    let eve = world.user("eve", None).await;
    let disabled = world.user("gone", None).await;
    let patch = PatchUser { disabled: Some(true), ..PatchUser::default() };
    world.auth.users().patch(&world.root(), &disabled, patch, None).await.unwrap();
    world.login(eve.as_str(), "warm up!").await.unwrap_err();
    let mut seen = Vec::new();
    for (name, password) in
        [("eve", "wrong horse"), ("nobody", "wrong horse"), ("gone", PASSWORD), ("no name!", "x"), ("", "")]
    {
        let start = Instant::now();
        let error = world.login(name, password).await.unwrap_err();
        seen.push((error.kind(), error.code(), error.message().to_owned(), start.elapsed()));
    }
    assert!(seen.iter().all(|answer| (answer.0, answer.1, &answer.2) == (seen[0].0, seen[0].1, &seen[0].2)));
    // Each has hashed once, which takes some 15 ms; answering without would take microseconds.
    let floor = seen.iter().map(|answer| answer.3).min().unwrap();
    assert!(floor > Duration::from_millis(3), "{seen:?}");
}

#[tokio::test]
async fn after_too_many_failures_even_the_right_password_waits() {
    let world = World::new().await;
    world.user("eve", None).await;
    for at in 0..USER_FAILURES {
        let name = ["eve", "EVE", "Eve"][at as usize % 3];
        assert_eq!(world.login(name, "wrong horse").await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
    let other = world.another().await;
    for process in [&world, &other] {
        let error = process.login("eve", PASSWORD).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooMany);
        assert_eq!(error.retry_after(), Some(THROTTLE_WINDOW));
    }
    // Those who do not exist are counted as well, or the difference would tell.
    for _ in 0..USER_FAILURES {
        world.login("nobody", "wrong horse").await.unwrap_err();
    }
    assert_eq!(world.login("nobody", "wrong horse").await.unwrap_err().kind(), ErrorKind::TooMany);
    world.clock.advance(THROTTLE_WINDOW);
    assert!(world.login("eve", PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a_success_forgives_the_failures_before() {
    let world = World::new().await;
    world.user("eve", None).await;
    for _ in 0..3 {
        for _ in 0..USER_FAILURES - 1 {
            world.login("eve", "wrong horse").await.unwrap_err();
        }
        assert!(world.login("eve", PASSWORD).await.is_ok());
    }
}

#[tokio::test]
async fn an_address_that_tries_many_users_is_throttled_and_others_are_not() {
    let world = World::new().await;
    world.user("eve", None).await;
    let attempt = Attempt::new(Some(&UserId::parse("x").unwrap()), world.stranger().address);
    for _ in 0..ADDRESS_FAILURES - 1 {
        throttle::fail(&world.kit.db, &attempt, world.kit.now()).await.unwrap();
    }
    assert!(world.login("eve", PASSWORD).await.is_ok());
    world.login("nobody", "wrong horse").await.unwrap_err();
    assert_eq!(world.login("eve", PASSWORD).await.unwrap_err().kind(), ErrorKind::TooMany);
    assert_eq!(world.login("no name!", "x").await.unwrap_err().kind(), ErrorKind::TooMany);
    let elsewhere = world.stranger().with_address(Some("198.51.100.1".parse().unwrap()));
    let request = Login { username: "eve".into(), password: PASSWORD.into(), otp: None };
    assert!(world.auth.sessions().login(&elsewhere, request).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_guesses_gets_no_more_tries_than_a_patient_one() {
    let world = World::new().await;
    world.user("eve", None).await;
    let tasks: Vec<_> = (0..40)
        .map(|_| {
            let (sessions, ctx) = (world.auth.sessions().clone(), world.stranger());
            let request = Login { username: "eve".into(), password: "wrong horse".into(), otp: None };
            tokio::spawn(async move { sessions.login(&ctx, request).await.unwrap_err().kind() })
        })
        .collect();
    let mut tried = 0;
    for task in tasks {
        tried += u32::from(task.await.unwrap() == ErrorKind::Unauthenticated);
    }
    assert_eq!(tried, USER_FAILURES);
}

#[tokio::test]
async fn every_login_failure_and_refusal_is_on_the_trail() {
    let world = World::new().await;
    world.user("eve", None).await;
    world.login("eve", PASSWORD).await.unwrap();
    world.login("hunter2-is-my-password", "wrong horse").await.unwrap_err();
    for _ in 0..=USER_FAILURES {
        world.login("eve", "wrong horse").await.unwrap_err();
    }
    let records = world.records("auth:login").await;
    assert_eq!(records.len(), 13);
    let count =
        |reason: Option<&str>| records.iter().filter(|record| record.reason.as_deref() == reason).count();
    assert_eq!(count(None), 1);
    assert_eq!(count(Some("wrong password")), 10);
    assert_eq!((count(Some("no such user")), count(Some("too many failed logins"))), (1, 1));
    let success = records.iter().find(|record| record.reason.is_none()).unwrap();
    assert_eq!((success.actor.as_str(), success.address.as_deref()), ("user:eve", Some("192.0.2.1")));
    let dump = world.dump().await;
    assert!(!dump.contains("hunter2"), "what was typed as a name may be a password");
}

#[tokio::test]
async fn a_login_that_cannot_be_recorded_fails() {
    let world = World::new().await;
    world.user("eve", None).await;
    world.kit.audit.seal_up();
    assert!(world.login("eve", PASSWORD).await.is_err());
    assert_eq!(world.count("auth/session/").await, 0);
}

#[tokio::test]
async fn a_user_has_so_many_sessions_and_loses_the_oldest() {
    let world = World::new().await;
    let eve = world.user("eve", None).await;
    let first = world.login("eve", PASSWORD).await.unwrap();
    for at in 1..MAX_SESSIONS {
        world.clock.advance(Duration::from_millis(1));
        let change = Transaction::new().put(session_key(&eve, &new_sid(world.kit.now()).unwrap()), "x");
        world.kit.db.commit(change).await.unwrap();
        assert_eq!(world.count("auth/session/eve/").await, at + 1);
    }
    world.clock.advance(Duration::from_millis(1));
    assert!(world.who(&first.access_token).await.is_ok());
    let last = world.login("eve", PASSWORD).await.unwrap();
    assert!(world.who(&first.access_token).await.is_err() && world.who(&last.access_token).await.is_ok());
    assert_eq!(world.count("auth/session/eve/").await, MAX_SESSIONS);
}

#[tokio::test]
async fn sweeping_removes_what_has_ended_and_nothing_else() {
    let world = World::new().await;
    world.user("eve", None).await;
    let bob = world.user("bob", None).await;
    world.login("bob", PASSWORD).await.unwrap();
    let kept = world.login("eve", PASSWORD).await.unwrap();
    world.login("eve", "wrong horse").await.unwrap_err();
    world.auth.users().delete(&world.root(), &bob, None).await.unwrap();
    assert_eq!(world.auth.sessions().sweep().await.unwrap(), 1, "bob's session with its refresh token");
    assert!(world.who(&kept.access_token).await.is_ok());
    world.clock.advance(THROTTLE_WINDOW);
    assert_eq!(world.auth.sessions().sweep().await.unwrap(), 2, "the failures of eve and of the address");
    world.clock.advance(SESSION_LIFETIME);
    world.auth.sessions().sweep().await.unwrap();
    assert_eq!(world.count("auth/session/").await + world.count("auth/refresh/").await, 0);
}

#[tokio::test]
async fn a_key_has_no_session_to_end() {
    let world = World::new().await;
    let key = world.key(&["decide"]).await;
    let ctx = RequestContext::new(world.who(&key.key).await.unwrap());
    assert_eq!(world.auth.sessions().logout(&ctx).await.unwrap_err().kind(), ErrorKind::Invalid);
}
