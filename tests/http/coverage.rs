// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What must hold for every operation of the OpenAPI description: nobody gets in without a credential,
//! no tenant learns of another, each role gets what the table in `access.txt` says, and whatever changes
//! something leaves its record. An operation that is described but unknown to [`SAMPLES`] fails here.

use std::collections::{BTreeMap, BTreeSet};

use cms_tests::{Caller, PASSWORD, Reply, Served, served};
use serde_json::{Value, json};

/// Operations that need no credential, one a line.
const PUBLIC: &str = include_str!("public.txt");
/// Who is admitted to what.
const ACCESS: &str = include_str!("access.txt");
const GLOBAL: [&str; 3] = ["auditor", "platform-admin", "cms-admin"];
const LOCAL: [&str; 3] = ["project-user", "project-auditor", "project-admin"];
const SCOPES: [&str; 9] = [
    "decide",
    "policy:read",
    "policy:write",
    "config:read",
    "config:write",
    "secret:read",
    "secret:write",
    "bundle:read",
    "audit:read",
];

/// A well-formed request of an operation that changes as little as possible: where it can, it names
/// something that does not exist.
struct Sample {
    method: &'static str,
    template: &'static str,
    /// The path for the project `{p}`.
    path: &'static str,
    body: &'static str,
}

const fn sample(
    method: &'static str,
    template: &'static str,
    path: &'static str,
    body: &'static str,
) -> Sample {
    Sample { method, template, path, body }
}

/// One request of each operation. What ends sessions and projects comes last.
const SAMPLES: &[Sample] = &[
    sample(
        "POST",
        "/api/v1/auth/login",
        "auth/login",
        r#"{"username":"absent","password":"not the password"}"#,
    ),
    sample("POST", "/api/v1/auth/refresh", "auth/refresh", r#"{"refresh_token":"none"}"#),
    sample("GET", "/api/v1/auth/me", "auth/me", ""),
    sample("GET", "/api/v1/auth/jwks", "auth/jwks", ""),
    sample("GET", "/api/v1/auth/verify", "auth/verify", ""),
    sample("POST", "/api/v1/users", "users", r#"{"username":"acme-owner","password":"long enough for all"}"#),
    sample("GET", "/api/v1/users", "users", ""),
    sample("GET", "/api/v1/users/{user}", "users/absent", ""),
    sample("PATCH", "/api/v1/users/{user}", "users/absent", "{}"),
    sample("DELETE", "/api/v1/users/{user}", "users/absent", ""),
    sample(
        "PUT",
        "/api/v1/users/{user}/password",
        "users/absent/password",
        r#"{"password":"long enough for all"}"#,
    ),
    sample("POST", "/api/v1/projects", "projects", r#"{"id":"platform","name":"again"}"#),
    sample("GET", "/api/v1/projects", "projects", ""),
    sample("GET", "/api/v1/projects/{project}", "projects/{p}", ""),
    sample("PATCH", "/api/v1/projects/{project}", "projects/{p}", "{}"),
    sample("GET", "/api/v1/projects/{project}/members", "projects/{p}/members", ""),
    sample(
        "PUT",
        "/api/v1/projects/{project}/members/{user}",
        "projects/{p}/members/absent",
        r#"{"role":"project-user"}"#,
    ),
    sample("DELETE", "/api/v1/projects/{project}/members/{user}", "projects/{p}/members/absent", ""),
    sample(
        "POST",
        "/api/v1/projects/{project}/keys",
        "projects/{p}/keys",
        r#"{"name":"k","scopes":["decide"]}"#,
    ),
    sample("GET", "/api/v1/projects/{project}/keys", "projects/{p}/keys", ""),
    sample("GET", "/api/v1/projects/{project}/keys/{id}", "projects/{p}/keys/aaaaaaaaaaaaaaaa", ""),
    sample("DELETE", "/api/v1/projects/{project}/keys/{id}", "projects/{p}/keys/aaaaaaaaaaaaaaaa", ""),
    sample(
        "POST",
        "/api/v1/projects/{project}/keys/{id}/rotate",
        "projects/{p}/keys/aaaaaaaaaaaaaaaa/rotate",
        "",
    ),
    sample("GET", "/api/v1/projects/{project}/{kind}", "projects/{p}/data", ""),
    sample("GET", "/api/v1/projects/{project}/{kind}/{name}", "projects/{p}/data/some/data", ""),
    sample("PUT", "/api/v1/projects/{project}/{kind}/{name}", "projects/{p}/data/some/data", r#"{"a":1}"#),
    sample("DELETE", "/api/v1/projects/{project}/{kind}/{name}", "projects/{p}/data/absent", ""),
    sample(
        "GET",
        "/api/v1/projects/{project}/{kind}/-/versions/{name}",
        "projects/{p}/data/-/versions/some/data",
        "",
    ),
    sample(
        "GET",
        "/api/v1/projects/{project}/{kind}/-/diff/{name}",
        "projects/{p}/data/-/diff/some/data",
        "",
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/{kind}/-/rollback/{name}",
        "projects/{p}/data/-/rollback/absent",
        r#"{"version":1}"#,
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/documents",
        "projects/{p}/documents",
        r#"{"changes":[{"kind":"data","name":"absent","op":"delete","base_version":1}]}"#,
    ),
    sample("GET", "/api/v1/policies", "policies", ""),
    sample("GET", "/api/v1/policies/{name}", "policies/absent", ""),
    sample("PUT", "/api/v1/policies/{name}", "policies/house", "package house\n\nquiet := true\n"),
    sample("DELETE", "/api/v1/policies/{name}", "policies/absent", ""),
    sample("GET", "/api/v1/policies/-/versions/{name}", "policies/-/versions/absent", ""),
    sample("GET", "/api/v1/policies/-/diff/{name}", "policies/-/diff/absent", ""),
    sample("POST", "/api/v1/policies/-/rollback/{name}", "policies/-/rollback/absent", r#"{"version":1}"#),
    sample(
        "POST",
        "/api/v1/projects/{project}/policies/-/validate",
        "projects/{p}/policies/-/validate",
        r#"{"content":"package a"}"#,
    ),
    sample("POST", "/api/v1/projects/{project}/policies/-/test", "projects/{p}/policies/-/test", ""),
    sample("POST", "/api/v1/projects/{project}/releases", "projects/{p}/releases", ""),
    sample("GET", "/api/v1/projects/{project}/releases", "projects/{p}/releases", ""),
    sample(
        "GET",
        "/api/v1/projects/{project}/releases/{id}",
        "projects/{p}/releases/0000000000000000000000000000000000000000000000000000000000000000",
        "",
    ),
    sample(
        "GET",
        "/api/v1/projects/{project}/releases/-/diff",
        "projects/{p}/releases/-/diff?from=0000000000000000000000000000000000000000000000000000000000000000&to=1111111111111111111111111111111111111111111111111111111111111111",
        "",
    ),
    sample("GET", "/api/v1/projects/{project}/environments", "projects/{p}/environments", ""),
    sample(
        "GET",
        "/api/v1/projects/{project}/environments/{environment}",
        "projects/{p}/environments/default",
        "",
    ),
    sample(
        "PUT",
        "/api/v1/projects/{project}/environments/{environment}",
        "projects/{p}/environments/default",
        "{}",
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/environments/{environment}/activate",
        "projects/{p}/environments/default/activate",
        r#"{"release":"0000000000000000000000000000000000000000000000000000000000000000"}"#,
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/environments/{environment}/promote",
        "projects/{p}/environments/default/promote",
        r#"{"from":"default","dry_run":true}"#,
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/environments/{environment}/rollback",
        "projects/{p}/environments/default/rollback",
        r#"{"to":"0000000000000000000000000000000000000000000000000000000000000000"}"#,
    ),
    sample(
        "GET",
        "/api/v1/projects/{project}/environments/{environment}/history",
        "projects/{p}/environments/default/history",
        "",
    ),
    sample(
        "GET",
        "/api/v1/projects/{project}/environments/{environment}/bundle.tar.gz",
        "projects/{p}/environments/default/bundle.tar.gz",
        "",
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/requests",
        "projects/{p}/requests",
        r#"{"title":"t","changes":[{"kind":"data","name":"absent","op":"delete","base_version":1}]}"#,
    ),
    sample("GET", "/api/v1/projects/{project}/requests", "projects/{p}/requests", ""),
    sample(
        "GET",
        "/api/v1/projects/{project}/requests/{id}",
        "projects/{p}/requests/00000000-0000-7000-8000-000000000000",
        "",
    ),
    sample(
        "PATCH",
        "/api/v1/projects/{project}/requests/{id}",
        "projects/{p}/requests/00000000-0000-7000-8000-000000000000",
        "{}",
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/requests/{id}/approve",
        "projects/{p}/requests/00000000-0000-7000-8000-000000000000/approve",
        r#"{"hash":""}"#,
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/requests/{id}/reject",
        "projects/{p}/requests/00000000-0000-7000-8000-000000000000/reject",
        r#"{"reason":"r"}"#,
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/requests/{id}/withdraw",
        "projects/{p}/requests/00000000-0000-7000-8000-000000000000/withdraw",
        "",
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/requests/{id}/apply",
        "projects/{p}/requests/00000000-0000-7000-8000-000000000000/apply",
        "",
    ),
    sample("GET", "/api/v1/projects/{project}/mails", "projects/{p}/mails", ""),
    sample(
        "POST",
        "/api/v1/projects/{project}/mails/{id}/resend",
        "projects/{p}/mails/evt_00000000-0000-7000-8000-000000000000/resend",
        "",
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/webhooks",
        "projects/{p}/webhooks",
        r#"{"url":"https://hooks.example.org/"}"#,
    ),
    sample("GET", "/api/v1/projects/{project}/webhooks", "projects/{p}/webhooks", ""),
    sample(
        "DELETE",
        "/api/v1/projects/{project}/webhooks/{id}",
        "projects/{p}/webhooks/00000000-0000-7000-8000-000000000000",
        "",
    ),
    sample(
        "GET",
        "/api/v1/projects/{project}/webhooks/{id}/deliveries",
        "projects/{p}/webhooks/00000000-0000-7000-8000-000000000000/deliveries",
        "",
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/webhooks/{id}/deliveries/{event}/resend",
        "projects/{p}/webhooks/00000000-0000-7000-8000-000000000000/deliveries/evt_00000000-0000-7000-8000-000000000000/resend",
        "",
    ),
    sample("GET", "/api/v1/projects/{project}/bundle-keys", "projects/{p}/bundle-keys", ""),
    sample("POST", "/api/v1/projects/{project}/bundle-keys/rotate", "projects/{p}/bundle-keys/rotate", ""),
    sample("GET", "/api/v1/projects/{project}/events", "projects/{p}/events", ""),
    sample(
        "POST",
        "/api/v1/projects/{project}/decisions",
        "projects/{p}/decisions",
        r#"{"path":"thing/rule","input":{}}"#,
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/decisions/-/batch",
        "projects/{p}/decisions/-/batch",
        r#"{"path":"thing/rule","inputs":[]}"#,
    ),
    sample("GET", "/api/v1/projects/{project}/decisions", "projects/{p}/decisions", ""),
    sample("GET", "/api/v1/projects/{project}/decisions/{id}", "projects/{p}/decisions/absent", ""),
    sample("GET", "/api/v1/projects/{project}/decisions/-/export", "projects/{p}/decisions/-/export", ""),
    sample(
        "POST",
        "/api/v1/projects/{project}/decisions/-/replay",
        "projects/{p}/decisions/-/replay",
        r#"{"release":"0000000000000000000000000000000000000000000000000000000000000000"}"#,
    ),
    sample("GET", "/opa/{project}/{environment}/v1/data/{path}", "/opa/{p}/default/v1/data/thing/rule", ""),
    sample(
        "POST",
        "/opa/{project}/{environment}/v1/data/{path}",
        "/opa/{p}/default/v1/data/thing/rule",
        "{}",
    ),
    sample("POST", "/opa/{project}/{environment}/v0/data/{path}", "/opa/{p}/default/v0/data/some/data", "{}"),
    sample("POST", "/opa/{project}/{environment}/", "/opa/{p}/default/", "{}"),
    sample(
        "POST",
        "/opa/{project}/{environment}/v1/batch/data/{path}",
        "/opa/{p}/default/v1/batch/data/thing/rule",
        r#"{"inputs":{}}"#,
    ),
    sample("GET", "/opa/{project}/{environment}/v1/policies", "/opa/{p}/default/v1/policies", ""),
    sample(
        "GET",
        "/opa/{project}/{environment}/v1/policies/{path}",
        "/opa/{p}/default/v1/policies/thing",
        "",
    ),
    sample(
        "PUT",
        "/opa/{project}/{environment}/v1/data/{path}",
        "/opa/{p}/default/v1/data/some/data",
        r#"{"a":1}"#,
    ),
    sample(
        "PATCH",
        "/opa/{project}/{environment}/v1/data/{path}",
        "/opa/{p}/default/v1/data/some/data",
        "[]",
    ),
    sample("DELETE", "/opa/{project}/{environment}/v1/data/{path}", "/opa/{p}/default/v1/data/absent", ""),
    sample(
        "PUT",
        "/opa/{project}/{environment}/v1/policies/{path}",
        "/opa/{p}/default/v1/policies/thing",
        "package thing\n\nrule := true\n",
    ),
    sample(
        "DELETE",
        "/opa/{project}/{environment}/v1/policies/{path}",
        "/opa/{p}/default/v1/policies/absent",
        "",
    ),
    sample("GET", "/opa/{project}/{environment}/v1/query", "/opa/{p}/default/v1/query?q=true", ""),
    sample(
        "POST",
        "/opa/{project}/{environment}/v1/query",
        "/opa/{p}/default/v1/query",
        r#"{"query":"true"}"#,
    ),
    sample("POST", "/opa/{project}/{environment}/v1/compile", "/opa/{p}/default/v1/compile", "{}"),
    sample("GET", "/opa/{project}/{environment}/v1/status", "/opa/{p}/default/v1/status", ""),
    sample("GET", "/opa/{project}/{environment}/v1/config", "/opa/{p}/default/v1/config", ""),
    sample("GET", "/opa/{project}/{environment}/health", "/opa/{p}/default/health", ""),
    sample("GET", "/api/v1/projects/{project}/secrets", "projects/{p}/secrets", ""),
    sample(
        "PUT",
        "/api/v1/projects/{project}/secrets/{path}",
        "projects/{p}/secrets/some/secret",
        r#"{"data":{"v":1}}"#,
    ),
    sample("GET", "/api/v1/projects/{project}/secrets/{path}", "projects/{p}/secrets/some/secret", ""),
    sample("DELETE", "/api/v1/projects/{project}/secrets/{path}", "projects/{p}/secrets/absent", ""),
    sample(
        "POST",
        "/api/v1/projects/{project}/secrets/-/reveal/{path}",
        "projects/{p}/secrets/-/reveal/some/secret",
        "",
    ),
    sample(
        "GET",
        "/api/v1/projects/{project}/secrets/-/versions/{path}",
        "projects/{p}/secrets/-/versions/some/secret",
        "",
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/secrets/-/undelete/{path}",
        "projects/{p}/secrets/-/undelete/absent",
        "",
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/secrets/-/destroy/{path}",
        "projects/{p}/secrets/-/destroy/absent",
        r#"{"versions":[1]}"#,
    ),
    sample(
        "POST",
        "/api/v1/projects/{project}/secrets/-/rotate/{path}",
        "projects/{p}/secrets/-/rotate/absent",
        "",
    ),
    sample("GET", "/api/v1/audit", "audit?project={p}", ""),
    sample("GET", "/api/v1/audit/-/verify", "audit/-/verify", ""),
    sample("GET", "/api/v1/audit/-/export", "audit/-/export", ""),
    sample("GET", "/api/v1/health", "health", ""),
    sample("GET", "/api/v1/health/live", "health/live", ""),
    sample("GET", "/api/v1/health/ready", "health/ready", ""),
    sample("GET", "/metrics", "/metrics", ""),
    sample(
        "GET",
        "/api/v1/projects/{project}/configs/-/resolve/{name}",
        "projects/{p}/configs/-/resolve/some/config?environment=default",
        "",
    ),
    sample(
        "GET",
        "/api/v1/projects/{project}/templates/-/render/{name}",
        "projects/{p}/templates/-/render/some/template?environment=default",
        "",
    ),
    sample("GET", "/config/{name}", "/config/some/config?project={p}", ""),
    sample("PUT", "/config/{name}", "/config/some/config?project={p}", r#"{"a":1}"#),
    sample("GET", "/config/health", "/config/health", ""),
    sample("GET", "/api/v1/projects/{project}/data-key", "projects/{p}/data-key", ""),
    sample("POST", "/api/v1/projects/{project}/data-key/rotate", "projects/{p}/data-key/rotate", ""),
    sample("POST", "/api/v1/system/root-key/rotate", "system/root-key/rotate", ""),
    sample("POST", "/api/v1/system/unseal", "system/unseal", ""),
    sample("DELETE", "/api/v1/projects/{project}", "projects/{p}", ""),
    sample("POST", "/api/v1/auth/logout", "auth/logout", ""),
    sample("POST", "/api/v1/system/seal", "system/seal", ""),
];

impl Sample {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }

    /// Sends it. Of an endless stream only the head is read.
    async fn send(&self, caller: &Caller, project: &str) -> Reply {
        let path = self.path.replace("{p}", project);
        let mut request = caller.request(self.method, &path);
        if !self.body.is_empty() {
            let is_text = self.body.starts_with("package");
            let media_type = if is_text { "text/plain" } else { "application/json" };
            request = request.header("content-type", media_type).body(self.body);
        }
        let asked = format!("{} {path}", self.method);
        if !self.template.ends_with("/events") {
            return cms_tests::caller::reply(request, asked).await;
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = if status == 200 { Vec::new() } else { response.bytes().await.unwrap().to_vec() };
        Reply { asked, status, headers, body }
    }
}

/// The operations of the description: `METHOD path`.
async fn described(it: &Served) -> BTreeSet<String> {
    let api = it.nobody().get("openapi.json").await.is(200);
    let mut operations = BTreeSet::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "patch", "delete"] {
            if item.get(method).is_some() {
                operations.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    operations
}

/// A project with something of everything in it.
async fn furnished(it: &Served, id: &str) {
    it.empty_project(id).await;
    it.root()
        .put_text(&format!("projects/{id}/policies/thing"), "package thing\n\nrule := true\n")
        .await
        .is(201);
    it.root().put(&format!("projects/{id}/data/some/data"), json!({"a": 1})).await.is(201);
    it.root().put(&format!("projects/{id}/secrets/some/secret"), json!({"data": {"v": 1}})).await.is(201);
}

#[test]
fn every_operation_has_a_sample() {
    served(async |it| {
        let known: BTreeSet<String> = SAMPLES.iter().map(Sample::name).collect();
        let described = described(it).await;
        let missing: Vec<_> = described.symmetric_difference(&known).collect();
        assert!(missing.is_empty(), "described and no sample here, or the reverse: {missing:#?}");
    });
}

#[test]
fn nobody_gets_in_without_a_credential() {
    served(async |it| {
        furnished(it, "acme").await;
        let public: BTreeSet<&str> = PUBLIC.lines().filter(|line| !line.starts_with('#')).collect();
        let mut challenged = BTreeSet::new();
        for sample in SAMPLES {
            let reply = sample.send(&it.nobody(), "acme").await;
            let wrong = sample.send(&it.holder("cms_aaaaaaaaaaaaaaaa_wrong"), "acme").await;
            if public.contains(&*sample.name()) {
                assert_eq!(reply.status, wrong.status, "{}", sample.name());
                continue;
            }
            for reply in [&reply, &wrong] {
                assert_eq!(reply.status, 401, "{}: {}", sample.name(), reply.text());
                challenged.insert(reply.header("www-authenticate").to_owned());
            }
        }
        assert_eq!(challenged.into_iter().collect::<Vec<_>>(), ["Bearer realm=\"cms\""]);
    });
}

#[test]
fn another_tenant_cannot_tell_whether_a_project_exists() {
    served(async |it| {
        furnished(it, "acme").await;
        furnished(it, "other").await;
        let scopes = SCOPES.iter().map(|scope| json!(scope)).collect();
        let key = it.holder(&it.key("other", Value::Array(scopes)).await);
        let strangers = [it.member("eve", "other", "project-admin").await, key, it.user("olaf", None).await];
        let mut asked = 0;
        for sample in SAMPLES
            .iter()
            .filter(|sample| sample.template.contains("{project}") && !sample.name().contains("health"))
        {
            for stranger in &strangers {
                let blank = |reply: Reply, project: &str| {
                    let id = reply.header("x-request-id").to_owned();
                    let headers: BTreeMap<String, String> = reply
                        .headers
                        .iter()
                        .filter(|(name, _)| {
                            !["date", "x-request-id", "content-length"].contains(&name.as_str())
                        })
                        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                        .collect();
                    (reply.status, headers, reply.text().replace(&id, "-").replace(project, "-"))
                };
                let existing = blank(sample.send(stranger, "acme").await, "acme");
                let missing = blank(sample.send(stranger, "nowhere").await, "nowhere");
                assert_eq!(existing.0, 404, "{}: {}", sample.name(), existing.2);
                assert_eq!(existing, missing, "{}", sample.name());
                asked += 1;
            }
        }
        assert!(asked > 100, "{asked}");
        assert_eq!(it.root().get("projects/acme").await.status, 200, "nothing was done");
    });
}

#[test]
fn each_role_gets_what_the_table_says() {
    served(async |it| {
        furnished(it, "acme").await;
        let mut callers: Vec<(String, Caller)> = Vec::new();
        for scope in SCOPES {
            callers.push((scope.to_owned(), it.holder(&it.key("acme", json!([scope])).await)));
        }
        for role in LOCAL {
            let local = if role == "project-auditor" { "auditor" } else { role };
            callers.push((role.to_owned(), it.member(&format!("local-{role}"), "acme", local).await));
        }
        for role in GLOBAL {
            callers.push((role.to_owned(), it.user(role, Some(role)).await));
        }
        let public: BTreeSet<&str> = PUBLIC.lines().collect();
        let mut table = String::new();
        let mut denials = BTreeMap::new();
        // Ending one's session and sealing have tests of their own: nothing could be asked afterwards.
        let last = ["auth/logout", "system/seal"];
        let asked = |sample: &&Sample| !public.contains(&*sample.name()) && !last.contains(&sample.path);
        for sample in SAMPLES.iter().filter(asked) {
            let mut admitted = Vec::new();
            for (name, caller) in &callers {
                let id = format!("d-{}", denials.len());
                let reply = sample.send(&caller.with("x-request-id", &id), "acme").await;
                assert_ne!(reply.status, 401, "{name} at {}", sample.name());
                assert!(reply.status < 500, "{name} at {}: {}", sample.name(), reply.text());
                if reply.status >= 400 && !sample.template.starts_with("/opa") {
                    reply.teaches();
                }
                if reply.status == 403 {
                    denials.insert(id, sample.name());
                } else {
                    admitted.push(name.as_str());
                }
            }
            table.push_str(&format!("{}: {}\n", sample.name(), admitted.join(" ")));
        }
        let expected: String =
            ACCESS.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        let different: Vec<String> = table
            .lines()
            .filter(|line| !expected.contains(&format!("{line}\n")))
            .map(|line| {
                let name = line.split(": ").next().unwrap();
                let wanted = expected.lines().find(|wanted| wanted.starts_with(&format!("{name}:")));
                format!("is   {line}\nwant {}", wanted.unwrap_or("(no such line)"))
            })
            .collect();
        assert!(different.is_empty(), "{}\n\nthe whole table:\n{table}", different.join("\n"));
        let recorded = it.trail("outcome=denied").await;
        let recorded: BTreeSet<&str> =
            recorded.iter().filter_map(|record| record["request_id"].as_str()).collect();
        let unrecorded: Vec<_> = denials.iter().filter(|(id, _)| !recorded.contains(id.as_str())).collect();
        assert!(unrecorded.is_empty(), "denied without a record: {unrecorded:#?}");
    });
}

/// Operations with a body that change nothing and give nothing away.
const HARMLESS: [&str; 11] = [
    "POST /api/v1/projects/{project}/policies/-/validate",
    "POST /api/v1/projects/{project}/policies/-/test",
    "POST /api/v1/projects/{project}/decisions",
    "POST /api/v1/projects/{project}/decisions/-/batch",
    "POST /api/v1/projects/{project}/decisions/-/replay",
    "POST /opa/{project}/{environment}/v1/data/{path}",
    "POST /opa/{project}/{environment}/v0/data/{path}",
    "POST /opa/{project}/{environment}/",
    "POST /opa/{project}/{environment}/v1/batch/data/{path}",
    "POST /opa/{project}/{environment}/v1/query",
    "POST /opa/{project}/{environment}/v1/compile",
];

#[test]
fn every_change_and_every_reveal_leaves_its_record() {
    served(async |it| {
        furnished(it, "acme").await;
        it.user("bob", None).await;
        let root = it.root();
        let key = root.post("projects/acme/keys", json!({"name": "k", "scopes": ["decide"]})).await.is(201);
        let key = format!("projects/acme/keys/{}", key["id"].as_str().unwrap());
        let release = root.get("projects/acme/environments/default").await.is(200)["release"].clone();
        let kind = "/api/v1/projects/{project}/{kind}";
        let environment = "/api/v1/projects/{project}/environments/{environment}";
        let secrets = "/api/v1/projects/{project}/secrets";
        let mut changes = Changes { it, made: BTreeMap::new(), operations: BTreeSet::new() };
        let session = changes
            .make(
                &it.nobody(),
                "POST",
                "/api/v1/auth/login",
                "auth/login",
                json!({"username": "bob", "password": PASSWORD}),
            )
            .await;
        let refresh = json!({"refresh_token": session["refresh_token"]});
        let session =
            changes.make(&it.nobody(), "POST", "/api/v1/auth/refresh", "auth/refresh", refresh).await;
        let bob = it.holder(session["access_token"].as_str().unwrap());
        changes.make(&bob, "POST", "/api/v1/auth/logout", "auth/logout", Value::Null).await;
        for (method, template, path, body) in [
            (
                "POST",
                "/api/v1/users".to_owned(),
                "users".to_owned(),
                json!({"username": "cyd", "password": PASSWORD}),
            ),
            ("PATCH", "/api/v1/users/{user}".into(), "users/cyd".into(), json!({"email": "c@example.org"})),
            (
                "PUT",
                "/api/v1/users/{user}/password".into(),
                "users/cyd/password".into(),
                json!({"password": "another long one"}),
            ),
            ("POST", "/api/v1/projects".into(), "projects".into(), json!({"id": "new", "name": "new"})),
            ("PATCH", "/api/v1/projects/{project}".into(), "projects/new".into(), json!({"name": "newer"})),
            (
                "PUT",
                "/api/v1/projects/{project}/members/{user}".into(),
                "projects/acme/members/cyd".into(),
                json!({"role": "auditor"}),
            ),
            (
                "DELETE",
                "/api/v1/projects/{project}/members/{user}".into(),
                "projects/acme/members/cyd".into(),
                Value::Null,
            ),
            ("DELETE", "/api/v1/users/{user}".into(), "users/cyd".into(), Value::Null),
            (
                "POST",
                "/api/v1/projects/{project}/keys".into(),
                "projects/acme/keys".into(),
                json!({"name": "k", "scopes": ["decide"]}),
            ),
            (
                "POST",
                "/api/v1/projects/{project}/keys/{id}/rotate".into(),
                format!("{key}/rotate"),
                Value::Null,
            ),
            ("DELETE", "/api/v1/projects/{project}/keys/{id}".into(), key.clone(), Value::Null),
            ("PUT", format!("{kind}/{{name}}"), "projects/acme/data/some/data".into(), json!({"a": 2})),
            (
                "POST",
                format!("{kind}/-/rollback/{{name}}"),
                "projects/acme/data/-/rollback/some/data".into(),
                json!({"version": 1}),
            ),
            ("DELETE", format!("{kind}/{{name}}"), "projects/acme/data/some/data".into(), Value::Null),
            (
                "PUT",
                "/opa/{project}/{environment}/v1/data/{path}".into(),
                "/opa/acme/default/v1/data/by/path".into(),
                json!({"a": 2}),
            ),
            (
                "PATCH",
                "/opa/{project}/{environment}/v1/data/{path}".into(),
                "/opa/acme/default/v1/data/by/path".into(),
                json!([{"op": "add", "path": "/b", "value": 1}]),
            ),
            (
                "DELETE",
                "/opa/{project}/{environment}/v1/data/{path}".into(),
                "/opa/acme/default/v1/data/by/path".into(),
                Value::Null,
            ),
            (
                "PUT",
                "/opa/{project}/{environment}/v1/policies/{path}".into(),
                "/opa/acme/default/v1/policies/by/id.rego".into(),
                json!("package by"),
            ),
            (
                "DELETE",
                "/opa/{project}/{environment}/v1/policies/{path}".into(),
                "/opa/acme/default/v1/policies/by/id.rego".into(),
                Value::Null,
            ),
            ("PUT", "/api/v1/policies/{name}".into(), "policies/house".into(), json!("package house")),
            ("DELETE", "/api/v1/policies/{name}".into(), "policies/house".into(), Value::Null),
            (
                "POST",
                "/api/v1/policies/-/rollback/{name}".into(),
                "policies/-/rollback/house".into(),
                json!({"version": 1}),
            ),
            (
                "PUT",
                environment.into(),
                "projects/acme/environments/prod".into(),
                json!({"auto_release": false}),
            ),
            (
                "POST",
                format!("{environment}/activate"),
                "projects/acme/environments/prod/activate".into(),
                json!({"release": release}),
            ),
            (
                "POST",
                format!("{environment}/rollback"),
                "projects/acme/environments/default/rollback".into(),
                Value::Null,
            ),
            (
                "PUT",
                format!("{secrets}/{{path}}"),
                "projects/acme/secrets/some/secret".into(),
                json!({"data": {"v": "secret"}}),
            ),
            (
                "POST",
                format!("{secrets}/-/reveal/{{path}}"),
                "projects/acme/secrets/-/reveal/some/secret".into(),
                Value::Null,
            ),
            (
                "POST",
                format!("{secrets}/-/rotate/{{path}}"),
                "projects/acme/secrets/-/rotate/some/secret".into(),
                Value::Null,
            ),
            (
                "DELETE",
                format!("{secrets}/{{path}}"),
                "projects/acme/secrets/some/secret".into(),
                Value::Null,
            ),
            (
                "POST",
                format!("{secrets}/-/undelete/{{path}}"),
                "projects/acme/secrets/-/undelete/some/secret".into(),
                json!({"versions": [3]}),
            ),
            (
                "POST",
                format!("{secrets}/-/destroy/{{path}}"),
                "projects/acme/secrets/-/destroy/some/secret".into(),
                json!({"versions": [1]}),
            ),
            (
                "POST",
                "/api/v1/projects/{project}/documents".into(),
                "projects/acme/documents".into(),
                json!({"changes": [
                    {"kind": "data", "name": "together", "op": "put", "content": "{}", "base_version": 0},
                ]}),
            ),
        ] {
            changes.make(&root, method, &template, &path, body).await;
        }
        let hooks = "/api/v1/projects/{project}/webhooks";
        let body = json!({"url": "http://127.0.0.1:1/"});
        let hook = changes.make(&root, "POST", hooks, "projects/acme/webhooks", body).await;
        decide_requests(it, &mut changes).await;
        let path = format!("projects/acme/webhooks/{}", hook["id"].as_str().unwrap());
        let event = root.all(&format!("{path}/deliveries")).await[0]["id"].clone();
        let resend = format!("{path}/deliveries/{}/resend", event.as_str().unwrap());
        let template = format!("{hooks}/{{id}}/deliveries/{{event}}/resend");
        changes.make(&root, "POST", &template, &resend, Value::Null).await;
        changes.make(&root, "DELETE", &format!("{hooks}/{{id}}"), &path, Value::Null).await;
        let mail = root.all("projects/acme/mails").await[0]["id"].clone();
        let resend = format!("projects/acme/mails/{}/resend", mail.as_str().unwrap());
        let template = "/api/v1/projects/{project}/mails/{id}/resend";
        changes.make(&root, "POST", template, &resend, Value::Null).await;
        changes.make(&root, "PUT", "/config/{name}", "/config/new?project=acme", json!({"a": 1})).await;
        root.put("projects/acme/environments/later", json!({"auto_release": false})).await.is(201);
        let promote = format!("{environment}/promote");
        let path = "projects/acme/environments/later/promote";
        changes.make(&root, "POST", &promote, path, json!({"from": "default"})).await;
        root.patch("projects/new", json!({"auto_release": false})).await.is(200);
        root.put("projects/new/data/x", json!({})).await.is(201);
        changes
            .make(&root, "POST", "/api/v1/projects/{project}/releases", "projects/new/releases", Value::Null)
            .await;
        changes.make(&root, "DELETE", "/api/v1/projects/{project}", "projects/new", Value::Null).await;
        let rotate = "/api/v1/projects/{project}/bundle-keys/rotate";
        changes.make(&root, "POST", rotate, "projects/acme/bundle-keys/rotate", Value::Null).await;
        let rotate = "/api/v1/projects/{project}/data-key/rotate";
        changes.make(&root, "POST", rotate, "projects/acme/data-key/rotate", Value::Null).await;
        for path in ["system/root-key/rotate", "system/seal", "system/unseal"] {
            changes.make(&root, "POST", &format!("/api/v1/{path}"), path, Value::Null).await;
        }
        changes.check().await;
    });
}

/// Every way that a change request can go.
async fn decide_requests(it: &Served, changes: &mut Changes<'_>) {
    const ALL: &str = "/api/v1/projects/{project}/requests";
    let (root, ann) = (it.root(), it.member("ann", "acme", "project-admin").await);
    it.address("ann", "ann@example.org").await;
    let draft = json!({"kind": "data", "name": "drafted", "op": "put", "content": "{}", "base_version": 0});
    let draft = json!({"title": "t", "changes": [draft]});
    for ends in [&["reject"] as &[&str], &["withdraw"], &["approve", "apply"]] {
        let made = changes.make(&root, "POST", ALL, "projects/acme/requests", draft.clone()).await;
        let path = format!("projects/acme/requests/{}", made["id"].as_str().unwrap());
        changes.make(&root, "PATCH", &format!("{ALL}/{{id}}"), &path, json!({"title": "u"})).await;
        for verb in ends {
            let who = if *verb == "withdraw" { &root } else { &ann };
            let body = match *verb {
                "approve" => json!({"hash": made["hash"]}),
                "reject" => json!({"reason": "no"}),
                _ => Value::Null,
            };
            changes.make(who, "POST", &format!("{ALL}/{{id}}/{verb}"), &format!("{path}/{verb}"), body).await;
        }
    }
}

/// Changes that were made, by request id.
struct Changes<'a> {
    it: &'a Served,
    made: BTreeMap<String, String>,
    operations: BTreeSet<String>,
}

impl Changes<'_> {
    async fn make(
        &mut self,
        caller: &Caller,
        method: &str,
        template: &str,
        path: &str,
        body: Value,
    ) -> Value {
        let id = format!("change-{}", self.made.len());
        let caller = caller.with("x-request-id", &id);
        let reply = match body.as_str() {
            Some(text) => caller.send(method, path, "text/plain", text.to_owned()).await,
            None => caller.call(method, path, &body).await,
        };
        assert!((200..300).contains(&reply.status), "{method} {path}: {}", reply.text());
        self.made.insert(id, format!("{method} {path}"));
        self.operations.insert(format!("{method} {template}"));
        if reply.body.is_empty() { Value::Null } else { reply.json() }
    }

    async fn check(self) {
        let known: BTreeSet<&str> = self.operations.iter().map(String::as_str).chain(HARMLESS).collect();
        let described = described(self.it).await;
        let untried: Vec<_> = described
            .iter()
            .filter(|operation| !operation.starts_with("GET") && !known.contains(operation.as_str()))
            .collect();
        assert!(untried.is_empty(), "these may change something and are not tried here: {untried:#?}");
        let trail = self.it.trail("outcome=success").await;
        let recorded: BTreeSet<&str> =
            trail.iter().filter_map(|record| record["request_id"].as_str()).collect();
        let silent: Vec<_> = self.made.iter().filter(|(id, _)| !recorded.contains(id.as_str())).collect();
        assert!(silent.is_empty(), "no record of: {silent:#?}");
    }
}
