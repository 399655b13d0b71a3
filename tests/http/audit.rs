// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The audit trail.

use cms_tests::served;
use serde_json::{Value, json};

#[test]
fn the_trail_tells_who_did_what_newest_first() {
    served(async |it| {
        it.empty_project("p").await;
        let eve = it.member("eve", "p", "project-admin").await;
        let wrote = eve.put("projects/p/data/x?message=because", json!({})).await;
        wrote.is(201);
        let records = it.trail("project=p&action=data:write").await;
        let record = &records[0];
        assert_eq!(
            (
                &record["actor"],
                &record["outcome"],
                &record["resource"],
                &record["request_id"],
                &record["address"]
            ),
            (
                &json!("user:eve"),
                &json!("success"),
                &json!("projects/p/data/x"),
                &json!(wrote.header("x-request-id")),
                &json!("127.0.0.1")
            ),
            "{record}"
        );
        assert!(
            record["seq"].is_u64()
                && record["hash"].as_str().unwrap().len() == 64
                && record["prev"].is_string()
        );
        let times: Vec<String> =
            it.trail("").await.iter().map(|record| record["time"].as_str().unwrap().to_owned()).collect();
        assert!(times.len() > 5 && times.is_sorted_by(|later, earlier| later >= earlier), "{times:?}");
    });
}

#[test]
fn filters_narrow_and_pages_go_on() {
    served(async |it| {
        it.empty_project("p").await;
        it.empty_project("q").await;
        let eve = it.member("eve", "p", "project-user").await;
        for at in 0..5 {
            it.root().put(&format!("projects/p/secrets/s{at}"), json!({"data": {"v": at}})).await.is(201);
        }
        eve.put("projects/p/secrets/s1", json!({"data": {"v": 1}})).await.is(403);
        let count = async |query: &str| it.trail(query).await.len();
        assert_eq!(count("action=secret:write&outcome=success").await, 5);
        assert_eq!(count("actor=user:eve&outcome=denied").await, 1);
        assert_eq!(count("project=p&resource=projects/p/secret/s3").await, 1);
        assert_eq!(count("project=q&action=secret:write").await, 0);
        assert_eq!(count("from=2100-01-01T00:00:00Z").await, 0);
        assert_eq!(count("to=2001-01-01T00:00:00Z").await, 0);
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = it.root().get(&format!("audit?action=secret:write&limit=2{cursor}")).await.is(200);
            seen.extend(page["items"].as_array().unwrap().iter().map(|record| record["id"].to_string()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen.len(), 6);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 6);
        for wrong in ["outcome=maybe", "from=yesterday", "limit=0", "color=red", "cursor=%00"] {
            assert_eq!(it.root().get(&format!("audit?{wrong}")).await.status, 400, "{wrong}");
        }
    });
}

#[test]
fn the_trail_verifies_and_exports() {
    served(async |it| {
        it.project("p").await;
        it.root().post("projects/p/decisions", json!({"path": "rag/authz/allow", "input": {}})).await.is(200);
        let verified = it.root().get("audit/-/verify").await.is(200);
        assert_eq!(verified["ok"], true);
        assert!(verified["records"].as_u64().unwrap() >= 2 && verified["head"].is_string(), "{verified}");
        let export = it.root().get("audit/-/export").await;
        assert_eq!(export.status, 200);
        let lines: Vec<Value> =
            export.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.len() as u64 > verified["records"].as_u64().unwrap(), "{} lines", lines.len());
    });
}

#[test]
fn everybody_sees_their_own_project_s_trail_only() {
    served(async |it| {
        it.empty_project("p").await;
        it.empty_project("q").await;
        let eve = it.member("eve", "p", "project-admin").await;
        let records = eve.get("audit?project=p").await.is(200);
        assert!(!records["items"].as_array().unwrap().is_empty());
        eve.get("audit?project=q").await.problem(404, "not_found");
        eve.get("audit").await.is(403);
        eve.get("audit/-/verify").await.is(403);
        let key = it.holder(&it.key("p", json!(["audit:read"])).await);
        let own = key.get("audit").await.is(200);
        assert!(own["items"].as_array().unwrap().iter().all(|record| record["project"] == "p"), "{own}");
        it.user("aud", Some("auditor")).await.get("audit").await.is(200);
        assert!(it.trail("actor=user:eve&outcome=denied").await.len() >= 3);
    });
}

#[test]
fn failed_logins_are_on_the_trail_without_what_was_typed() {
    served(async |it| {
        it.user("eve", None).await;
        it.nobody()
            .post("auth/login", json!({"username": "eve", "password": "not-my-password"}))
            .await
            .is(401);
        it.nobody()
            .post("auth/login", json!({"username": "hunter2-in-the-wrong-field", "password": "x"}))
            .await
            .is(401);
        let failed = it.trail("action=auth:login&outcome=denied").await;
        assert_eq!(failed.len(), 2);
        let all = format!("{:?}", it.trail("").await);
        assert!(!all.contains("not-my-password") && !all.contains("hunter2"), "{all}");
    });
}

#[test]
fn the_trail_is_followed_without_gaps_or_repetitions() {
    served(async |it| {
        it.empty_project("p").await;
        let begin = it.root().get("audit?after=latest").await.is(200);
        assert!(begin["items"].as_array().unwrap().is_empty(), "{begin}");
        let mut cursor = begin["next_cursor"].as_str().unwrap().to_owned();
        // Many writers, so that several chains are written to at the same time.
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let root = it.root();
                tokio::spawn(async move {
                    for at in 0..25 {
                        let path = format!("projects/p/secrets/w{writer}/s{at}");
                        root.put(&path, json!({"data": {"v": at}})).await.is(201);
                    }
                })
            })
            .collect();
        let mut seen = Vec::new();
        while seen.len() < 200 {
            let asked = format!("audit?after=latest&action=secret:write&limit=7&cursor={cursor}");
            let page = it.root().get(&asked).await.is(200);
            seen.extend(page["items"].as_array().unwrap().iter().map(|record| record["id"].to_string()));
            cursor = page["next_cursor"].as_str().unwrap().to_owned();
        }
        for writer in writers {
            writer.await.unwrap();
        }
        let mut ids = seen.clone();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), seen.len()), (200, 200));
        let asked = format!("audit?after=latest&action=secret:write&cursor={cursor}");
        assert!(it.root().get(&asked).await.is(200)["items"].as_array().unwrap().is_empty());

        // By the id of a record: exactly what was seen after it, in the same order.
        let from = seen[49].trim_matches('"');
        let page = it.root().get(&format!("audit?after={from}&action=secret:write&limit=200")).await.is(200);
        let after: Vec<String> =
            page["items"].as_array().unwrap().iter().map(|record| record["id"].to_string()).collect();
        assert_eq!(after, seen[50..]);
        for wrong in
            ["after=yesterday", "after=00000000-0000-7000-8000-000000000000", "after=latest&cursor=x"]
        {
            it.root().get(&format!("audit?{wrong}")).await.is(400);
        }
    });
}

#[test]
fn whoever_follows_sees_their_own_project_only() {
    served(async |it| {
        it.empty_project("p").await;
        it.empty_project("q").await;
        let key = it.holder(&it.key("p", json!(["audit:read"])).await);
        let begin = key.get("audit?after=latest").await.is(200);
        it.root().put("projects/q/data/x", json!({})).await.is(201);
        it.root().put("projects/p/data/x", json!({})).await.is(201);
        let cursor = begin["next_cursor"].as_str().unwrap();
        let page = key.get(&format!("audit?after=latest&cursor={cursor}")).await.is(200);
        let items = page["items"].as_array().unwrap();
        assert!(!items.is_empty() && items.iter().all(|record| record["project"] == "p"), "{page}");
        it.user("olaf", None).await.get("audit?after=latest").await.is(403);
    });
}
