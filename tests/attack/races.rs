// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many at once for what only one may have.

use cms_tests::{Caller, Reply, served};
use serde_json::{Value, json};

/// Sends the same request a hundred times at once.
async fn raced(
    caller: &Caller,
    method: &'static str,
    path: &str,
    body: impl Fn(usize) -> Value,
) -> Vec<Reply> {
    let requests: Vec<_> = (0..100)
        .map(|at| {
            let (caller, path, body) = (caller.clone(), path.to_owned(), body(at));
            tokio::spawn(async move { caller.call(method, &path, &body).await })
        })
        .collect();
    let mut replies = Vec::new();
    for request in requests {
        replies.push(request.await.unwrap());
    }
    replies
}

#[track_caller]
fn one_wins(what: &str, replies: &[Reply], losers: &[u16]) {
    let won = replies.iter().filter(|reply| reply.status < 300).count();
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(won, 1, "{what}: {statuses:?}");
    assert!(statuses.iter().all(|status| *status < 300 || losers.contains(status)), "{what}: {statuses:?}");
}

#[test]
fn row_42_one_refresh_token_is_used_once() {
    served(async |it| {
        it.user("eve", None).await;
        let pair = it.login("eve").await;
        let replies =
            raced(&it.nobody(), "POST", "auth/refresh", |_| json!({"refresh_token": pair["refresh_token"]}))
                .await;
        let won = replies.iter().filter(|reply| reply.status == 200).count();
        assert!(won <= 1, "{won} sessions of one token");
        assert!(replies.iter().all(|reply| [200, 401, 503].contains(&reply.status)));
        // Whoever was second gave the theft away: nothing of the family works any more.
        assert_eq!(it.holder(pair["access_token"].as_str().unwrap()).get("auth/me").await.status, 401);
    });
}

#[test]
fn row_42_one_writer_creates() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let secret =
            raced(&root, "PUT", "projects/p/secrets/raced", |at| json!({"data": {"v": at}, "cas": 0})).await;
        one_wins("a secret", &secret, &[409]);
        let document =
            raced(&root.with("if-none-match", "*"), "PUT", "projects/p/data/raced", |at| json!({"v": at}))
                .await;
        one_wins("a document", &document, &[409, 412]);
        let project = raced(
            &root,
            "POST",
            "projects",
            |_| json!({"id": "raced", "name": "raced", "template": "empty"}),
        )
        .await;
        one_wins("a project", &project, &[409, 503]);
        let won = secret.iter().position(|reply| reply.status == 201).unwrap();
        let revealed = root.post("projects/p/secrets/-/reveal/raced", json!(null)).await.is(200);
        assert_eq!((&revealed["version"], &revealed["data"]["v"]), (&json!(1), &json!(won)));
    });
}

#[test]
fn row_42_one_activation_swaps() {
    served(async |it| {
        it.empty_project("p").await;
        it.root().patch("projects/p", json!({"auto_release": false})).await.is(200);
        let active = it.root().get("projects/p/environments/default").await.is(200)["release"].clone();
        it.root().put("projects/p/data/x", json!({"a": 1})).await.is(201);
        let next = it.root().post("projects/p/releases", json!(null)).await.is(201)["id"].clone();
        let body = |_| json!({"release": next, "expected": active});
        one_wins(
            "an activation",
            &raced(&it.root(), "POST", "projects/p/environments/default/activate", body).await,
            &[409],
        );
        let history = it.root().all("projects/p/environments/default/history").await;
        assert_eq!(history[0]["release"], next);
        assert_ne!(history[1]["release"], next);
    });
}

#[test]
fn row_42_every_accepted_write_is_a_version() {
    served(async |it| {
        it.empty_project("p").await;
        let replies = raced(&it.root(), "PUT", "projects/p/data/x", |at| json!({"v": at})).await;
        let mut versions: Vec<u64> = replies
            .iter()
            .filter(|reply| reply.status < 300)
            .map(|reply| reply.json()["version"].as_u64().unwrap())
            .collect();
        versions.sort_unstable();
        let accepted = versions.len() as u64;
        assert_eq!(
            versions,
            (1..=accepted).collect::<Vec<_>>(),
            "two writers got one version, or one is lost"
        );
        assert!(replies.iter().all(|reply| [200, 201, 409, 503].contains(&reply.status)));
        assert_eq!(it.root().get("projects/p/data/x").await.is(200)["version"], accepted);
    });
}
