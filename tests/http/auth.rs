// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logging in and out, refreshing, and who one is.

use std::time::Duration;

use cms_tests::{PASSWORD, served};
use serde_json::json;

#[test]
fn a_login_gives_tokens_that_work() {
    served(async |it| {
        it.project("search").await;
        it.member("eve", "search", "project-user").await;
        let pair = it.login("eve").await;
        assert_eq!(pair["token_type"], "Bearer");
        assert!(pair["expires_in"].as_u64().unwrap() >= 60, "{pair}");
        let me = it.holder(pair["access_token"].as_str().unwrap()).get("auth/me").await.is(200);
        assert_eq!((me["kind"].as_str(), me["id"].as_str()), (Some("user"), Some("eve")));
        assert_eq!(me["roles"], json!([{"role": "project-user", "project": "search"}]));
    });
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_answered_alike() {
    served(async |it| {
        it.user("eve", None).await;
        let ask = async |name: &str| {
            let reply =
                it.nobody().post("auth/login", json!({"username": name, "password": "wrong password"})).await;
            let mut problem = reply.problem(401, "unauthenticated");
            problem["request_id"] = json!("-");
            (problem, reply.header("www-authenticate").to_owned())
        };
        assert_eq!(ask("eve").await, ask("nobody-of-that-name").await);
    });
}

#[test]
fn logins_are_throttled_even_with_the_right_password() {
    served(async |it| {
        it.user("eve", None).await;
        let login = async |name: &str, password: &str| {
            it.nobody().post("auth/login", json!({"username": name, "password": password})).await
        };
        let mut last = 401;
        for attempt in 0..15 {
            // However the name is written, it is one user.
            let name = if attempt % 2 == 0 { "eve" } else { "EVE" };
            last = login(name, "wrong password").await.status;
        }
        assert_eq!(last, 429);
        let refused = login("eve", PASSWORD).await;
        refused.problem(429, "too_many_logins");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    });
}

#[test]
fn a_refresh_token_works_once_and_its_second_use_ends_the_session() {
    served(async |it| {
        it.user("eve", None).await;
        let first = it.login("eve").await;
        let refresh = async |token: &serde_json::Value| {
            it.nobody().post("auth/refresh", json!({"refresh_token": token})).await
        };
        let second = refresh(&first["refresh_token"]).await.is(200);
        assert_ne!(first["refresh_token"], second["refresh_token"]);
        let holder = it.holder(second["access_token"].as_str().unwrap());
        holder.get("auth/me").await.is(200);
        refresh(&first["refresh_token"]).await.problem(401, "unauthenticated");
        holder.get("auth/me").await.problem(401, "unauthenticated");
        refresh(&second["refresh_token"]).await.problem(401, "unauthenticated");
    });
}

#[test]
fn a_logout_ends_the_session_and_no_other() {
    served(async |it| {
        it.user("eve", None).await;
        let (one, other) = (it.login("eve").await, it.login("eve").await);
        let holder = it.holder(one["access_token"].as_str().unwrap());
        holder.post("auth/logout", json!(null)).await.is(204);
        tokio::time::sleep(Duration::from_millis(200)).await;
        holder.get("auth/me").await.problem(401, "unauthenticated");
        it.nobody().post("auth/refresh", json!({"refresh_token": one["refresh_token"]})).await.is(401);
        it.holder(other["access_token"].as_str().unwrap()).get("auth/me").await.is(200);
    });
}

#[test]
fn everybody_learns_who_they_are() {
    served(async |it| {
        it.project("search").await;
        let root = it.root().get("auth/me").await.is(200);
        assert_eq!((root["kind"].as_str(), root["id"].as_str()), (Some("root"), Some("root")));
        let body = json!({"name": "k", "scopes": ["decide"], "environment": "default"});
        let made = it.root().post("projects/search/keys", body).await.is(201);
        let me = it.holder(made["key"].as_str().unwrap()).get("auth/me").await.is(200);
        assert_eq!(me["id"], made["id"]);
        assert_eq!(
            (&me["kind"], &me["scopes"], &me["project"], &me["environment"]),
            (&json!("key"), &json!(["decide"]), &json!("search"), &json!("default"))
        );
        let admin = it.user("ada", Some("cms-admin")).await.get("auth/me").await.is(200);
        assert_eq!(admin["roles"], json!([{"role": "cms-admin"}]));
    });
}

#[test]
fn others_can_verify_access_tokens_with_the_published_keys() {
    served(async |it| {
        it.user("eve", None).await;
        let token = it.login("eve").await["access_token"].as_str().unwrap().to_owned();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let decode = |text: &str| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        let header: serde_json::Value =
            serde_json::from_slice(&decode(signed.split('.').next().unwrap())).unwrap();
        let keys = it.nobody().get("auth/jwks").await.is(200);
        let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
        assert_eq!(
            (&key["kty"], &key["crv"], &key["alg"]),
            (&json!("OKP"), &json!("Ed25519"), &header["alg"])
        );
        assert!(key.get("d").is_none(), "a private key is published");
        let public = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::ED25519,
            decode(key["x"].as_str().unwrap()),
        );
        public.verify(signed.as_bytes(), &decode(signature)).unwrap();
        let claims: serde_json::Value =
            serde_json::from_slice(&decode(signed.split('.').nth(1).unwrap())).unwrap();
        assert_eq!(claims["sub"], "eve");
        assert!(claims["exp"].as_u64().unwrap() > claims["iat"].as_u64().unwrap());
    });
}

#[test]
fn a_new_password_and_being_disabled_end_every_session() {
    served(async |it| {
        let eve = it.user("eve", None).await;
        eve.put("users/eve/password", json!({"password": "another long password"})).await.is(422);
        let body = json!({"password": "another long password", "current_password": PASSWORD});
        eve.put("users/eve/password", body).await.is(204);
        eve.get("auth/me").await.is(401);
        it.nobody().post("auth/login", json!({"username": "eve", "password": PASSWORD})).await.is(401);
        let body = json!({"username": "eve", "password": "another long password"});
        let pair = it.nobody().post("auth/login", body.clone()).await.is(200);
        it.root().patch("users/eve", json!({"disabled": true})).await.is(200);
        it.holder(pair["access_token"].as_str().unwrap()).get("auth/me").await.is(401);
        it.nobody().post("auth/login", body).await.is(401);
    });
}
