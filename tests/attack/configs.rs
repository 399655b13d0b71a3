// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Hostile configs, templates, schemas and references: each gets its clear error within its limit, and
//! nothing that was there is lost.

use cms_tests::{Caller, served};
use serde_json::{Value, json};

async fn refused(caller: &Caller, path: &str, text: &str, says: &str) {
    let shown: String = text.chars().take(60).collect();
    let reply = caller.put_text(&format!("projects/p/{path}"), text).await;
    assert!((400..500).contains(&reply.status), "{shown}: {} {}", reply.status, reply.text());
    let problem = reply.teaches();
    let told = problem.to_string();
    assert!(told.contains(says), "{shown}: {told}");
    assert!(told.len() < 20_000, "{shown} is answered with {} bytes", told.len());
}

/// What stands before and after everything hostile.
async fn unharmed(caller: &Caller) {
    let found = caller.get("/config/good?project=p").await.is(200);
    assert_eq!(found, json!({"v": "default", "n": 1}));
}

#[test]
fn row_32_hostile_templates_are_refused_and_lose_nothing() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        root.put("projects/p/configs/good", json!({"v": "{{ env }}", "n": 1})).await.is(201);
        let doubling = format!("{{% set x = 'xxxxxxxx' %}}{}", "{% set x = x ~ x %}".repeat(60));
        let chain = format!("{{{{ env{} }}}}", "|upper".repeat(5_000));
        let long = format!("{{% for i in range(600) %}}{{{{ '{}' }}}}{{% endfor %}}", "x".repeat(3_000));
        for (text, says) in [
            (
                "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}",
                "too many steps",
            ),
            (&long, "1048576 bytes"),
            ("{% include 'x' %}", "recursion"),
            (&doubling, "16384 bytes"),
            (&chain, "200 words"),
            ("{{ 'x' * 100000000 }}", "only numbers"),
            ("{{ '%4000000000d'|format(1) }}", "not available"),
            ("{{ 'a\nb'|indent(4000000000) }}", "16384 bytes"),
            ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "`macro`"),
            ("{{ self }}{{ __import__('os') }}", "`self` is not defined"),
            (&"{{ env }}".repeat(9_000), "65536 bytes"),
        ] {
            refused(&root, "templates/x", text, says).await;
            let inside = json!({ "a": text }).to_string();
            if !text.contains("include") {
                refused(&root, "configs/x", &inside, says).await;
            }
        }
        root.get("projects/p/templates/x").await.problem(404, "not_found");
        unharmed(&root).await;
    });
}

#[test]
fn row_33_hostile_schemas_are_refused_and_reach_nothing_outside() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        root.put("projects/p/configs/good", json!({"v": "{{ env }}", "n": 1})).await.is(201);
        // Whoever fetched it would end up here.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let remote = format!("http://{}/x.json", listener.local_addr().unwrap());
        for schema in [
            json!({"$ref": remote}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"$schema": remote}),
            json!({"$id": remote, "$ref": "other"}),
            json!({"properties": {"a": {"$dynamicRef": remote}}}),
            json!({"pattern": "(a{1000}){1000}"}),
        ] {
            refused(&root, "schemas/x", &schema.to_string(), "invalid_schema").await;
        }
        assert!(listener.accept().is_err(), "something was fetched");
        let mut doubling = serde_json::Map::new();
        for level in 0..24 {
            let below = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            doubling.insert(format!("d{level}"), json!({"allOf": [below, below]}));
        }
        doubling.insert("d24".to_owned(), json!({"type": "object"}));
        let slow = json!({"$ref": "#/$defs/d0", "$defs": doubling}).to_string();
        let put = root.put_text("projects/p/schemas/slow", &slow).await;
        if put.status == 201 {
            let bound = root.put("projects/p/configs/x?schema=slow", json!({"a": 1})).await;
            assert!(bound.problem(422, "schema_violation").to_string().contains("too many steps"));
        } else {
            put.problem(422, "invalid_schema");
        }
        // Backtracking would take years.
        root.put("projects/p/schemas/words", json!({"properties": {"a": {"pattern": "^(a+)+$"}}}))
            .await
            .is(201);
        let text = format!("{}!", "a".repeat(50_000));
        let bound = root.put("projects/p/configs/x?schema=words", json!({ "a": text })).await;
        bound.problem(422, "schema_violation");
        let deep = format!("{}1{}", "{\"not\":".repeat(50_000), "}".repeat(50_000));
        refused(&root, "schemas/x", &deep, "").await;
        unharmed(&root).await;
    });
}

#[test]
fn row_23_hostile_texts_and_references_are_refused() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        root.put("projects/p/configs/good", json!({"v": "{{ env }}", "n": 1})).await.is(201);
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        refused(&root, "configs/x", &bomb, "invalid_config").await;
        refused(&root, "configs/x", &format!("a: {}", "[".repeat(50_000)), "invalid_config").await;
        refused(&root, "configs/x", &format!("{{\"a\":{}", "[".repeat(50_000)), "invalid_config").await;
        refused(&root, "configs/x", "a: ${{ config:x }}", "reference_cycle").await;
        refused(&root, "configs/x", "a: ${{ secret:../../etc/passwd }}", "invalid_config").await;
        // A thousand times itself, by way of others.
        root.put("projects/p/configs/l0", json!({"t": "x".repeat(10_000)})).await.is(201);
        let mut last = 201;
        for level in 1..7 {
            let below = format!("${{{{ config:l{} }}}}", level - 1);
            let many: serde_json::Map<String, Value> =
                (0..10).map(|at| (at.to_string(), json!(below))).collect();
            let reply = root.put(&format!("projects/p/configs/l{level}"), Value::Object(many)).await;
            last = reply.status;
            if last != 201 {
                assert!(reply.problem(422, "unresolved_reference").to_string().contains("4194304 bytes"));
                break;
            }
        }
        assert_eq!(last, 422, "it grew without an end");
        // What a variable holds is data, and its reader needs the right to what it names.
        root.put("projects/p/secrets/k", json!({"data": {"value": "sk-hidden-value"}})).await.is(201);
        root.put("projects/p/variables/base", json!({"sneak": "${{ secret:k }}"})).await.is(201);
        root.put("projects/p/configs/sneaky", json!({"a": "{{ sneak }}"})).await.is(201);
        let reader = it.holder(&it.key("p", json!(["config:read"])).await);
        let kept = reader.get("projects/p/configs/-/resolve/sneaky").await;
        assert!(!kept.text().contains("sk-hidden"), "{}", kept.text());
        reader.get("/config/sneaky").await.problem(403, "denied");
        unharmed(&root).await;
    });
}
