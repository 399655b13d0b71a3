// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is too large, too deep, too often or not what was announced.

use std::io::Write;
use std::num::NonZeroU32;

use cms_server::Options;
use cms_tests::{served, served_with};
use serde_json::json;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(plain).unwrap();
    packer.finish().unwrap()
}

#[test]
fn large_bodies_are_refused() {
    served(async |it| {
        it.empty_project("p").await;
        let large = "x".repeat(1024 * 1024 + 1);
        it.root().send("POST", "projects", "application/json", large.clone()).await.problem(413, "too_large");
        it.root().put_text("projects/p/data/x", &format!("\"{large}\"")).await.problem(413, "too_large");
        it.root()
            .send("PUT", "projects/p/data/x", "text/plain", "x".repeat(64 * 1024 * 1024))
            .await
            .problem(413, "too_large");
        let bomb = it.root().with("content-encoding", "gzip");
        let reply = bomb.send("PUT", "projects/p/data/x", "text/plain", gzip(&vec![b' '; 200 << 20])).await;
        reply.problem(413, "too_large");
        let packed = bomb.send("PUT", "projects/p/data/x", "application/json", gzip(b"{\"a\":1}")).await;
        packed.is(201);
        it.root().with("content-encoding", "br").put("projects/p/data/x", json!({})).await.is(415);
    });
}

#[test]
fn bodies_of_other_types_are_refused() {
    served(async |it| {
        for media_type in [
            "text/plain",
            "application/xml",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ] {
            let reply = it.root().send("POST", "projects", media_type, "{\"id\":\"x\",\"name\":\"x\"}").await;
            reply.problem(415, "unsupported_media_type");
        }
        let none = it.root().request("POST", "projects").body("{\"id\":\"x\",\"name\":\"x\"}");
        cms_tests::caller::reply(none, "POST projects".to_owned()).await.is(201);
    });
}

#[test]
fn json_is_parsed_strictly() {
    served(async |it| {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for body in [
            "",
            "{",
            "null",
            "[]",
            "{}",
            "{\"id\":\"x\"}",
            "{\"id\":\"x\",\"name\":\"x\",\"id\":\"y\"}",
            "{\"id\":\"x\",\"name\":\"x\",\"role\":\"cms-admin\"}",
            "{\"id\":\"x\",\"name\":7}",
            "{\"id\":\"x\",\"name\":\"\\ud800\"}",
            "{\"id\":\"x\",\"name\":\"x\"} trailing",
            "{'id':'x'}",
            "{\"id\":\"x\",\"name\":\"x\",\"auto_release\":1e99999999}",
            &deep,
            &format!("{{\"id\":\"x\",\"name\":{deep}}}"),
        ] {
            let reply = it.root().send("POST", "projects", "application/json", body.to_owned()).await;
            assert_eq!(reply.status, 400, "{:.80}: {}", body, reply.text());
            reply.teaches();
        }
        let reply = it
            .root()
            .send("POST", "projects", "application/json", b"{\"id\":\"x\",\"name\":\"\xff\"}".to_vec())
            .await;
        assert_eq!(reply.status, 400);
        let named =
            it.root().post("projects", json!({"id": "x", "name": "x", "created_by": "me"})).await.is(400);
        assert!(
            named["detail"].as_str().unwrap().contains("created_by")
                || named["errors"].to_string().contains("created_by"),
            "{named}"
        );
    });
}

#[test]
fn a_stranger_s_body_is_not_looked_at() {
    served(async |it| {
        for body in ["{", "[[[[", "{\"id\":1}"] {
            it.nobody()
                .send("POST", "projects", "application/json", body)
                .await
                .problem(401, "unauthenticated");
        }
    });
}

#[test]
fn callers_are_limited_and_told_when_to_come_back() {
    let mut options = Options::default();
    options.caller_per_minute = NonZeroU32::new(60);
    served_with(options, async |it| {
        it.empty_project("p").await;
        let (busy, quiet) = (
            it.holder(&it.key("p", json!(["decide"])).await),
            it.holder(&it.key("p", json!(["decide"])).await),
        );
        let mut refused = None;
        for _ in 0..200 {
            let reply = busy.get("auth/me").await;
            assert!(
                !reply.header("ratelimit-limit").is_empty() || !reply.header("ratelimit").is_empty(),
                "{:?}",
                reply.headers
            );
            if reply.status == 429 {
                refused = Some(reply);
                break;
            }
        }
        let refused = refused.expect("a limit");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
        refused.teaches();
        quiet.get("auth/me").await.is(200);
    });
}
