// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Row 5: a decision and a batch of a hundred over HTTP, beside OPA's engine behind hyper.

use std::path::Path;

use cms_benches::Result;
use cms_benches::harness::http::Client;
use cms_benches::harness::table::{Table, Target, rate, time};
use cms_benches::harness::wrk::Request;
use cms_benches::harness::{Effort, cms, servers};
use cms_benches::scenarios::{Scenario, rbac};
use serde_json::{Map, Value, json};

use crate::{Lane, SERVER, Shape, in_turns};

pub(crate) fn run(effort: Effort) -> Result<()> {
    let scenario = rbac(10_000);
    let server = cms::serve(Some(SERVER))?;
    let key = cms::onboard(&server, "bench", &["decide"])?;
    publish(&server.client, &scenario)?;
    let opa = servers::opa(
        Path::new(env!("CARGO_BIN_EXE_opa-http")),
        &scenario.policy,
        &merged(&scenario)?,
        Some(SERVER),
    )?;

    let input: Value = serde_json::from_str(scenario.inputs.first().ok_or("no input")?)?;
    let question = json!({"path": scenario.path, "input": input});
    let batch = json!({"path": scenario.path, "inputs": vec![&input; 100]});
    let asking = |path: &str, body: &Value| carrying(&key, Request::post(key.url(path), body.to_string()));
    let same = asking("/opa/bench/default/v1/data/bench/rbac/allow", &json!({"input": input}));
    let theirs =
        Request::post(opa.client.url("/v1/data/bench/rbac/allow"), json!({"input": input}).to_string());
    let answer = key.send("POST", "/api/v1/projects/bench/decisions", Some(&question))?;
    if answer.get("result") != Some(&Value::Bool(true)) {
        return Err(format!("the decision is {answer}").into());
    }

    let lanes = [
        Lane::new(asking("/api/v1/projects/bench/decisions", &question), &server.process),
        Lane::new(same, &server.process),
        Lane::new(asking("/api/v1/projects/bench/decisions/-/batch", &batch), &server.process),
        Lane::new(theirs, &opa.process),
    ];
    let shape = Shape { connections: 16, pinned: true };
    let mut table = Table::new("5. decision over HTTP (RBAC, 10k bindings, API key)", "");
    if let [own, opa_surface, batch, theirs] = in_turns(effort, shape, &lanes)?.as_slice() {
        table.note("OPA's engine behind hyper, no credential", &theirs.to_string());
        table.row("CMS decision", &own.to_string(), own.rate / theirs.rate, "x", Target::AtLeast(4.0));
        table.row(
            "CMS through OPA's REST API",
            &opa_surface.to_string(),
            opa_surface.rate / theirs.rate,
            "x",
            Target::Shown,
        );
        let decisions = batch.rate * 100.0;
        let figures = format!(
            "{} {} a decision, p99 of a batch {}",
            rate(decisions),
            time(batch.cpu / 100.0),
            time(batch.p99)
        );
        table.row("CMS batch of 100, decisions", &figures, decisions / 1e3, "k/s", Target::AtLeast(300.0));
    }
    table.close();
    Ok(())
}

/// Puts the scenario's documents into the project; every accepted change is released by itself.
fn publish(client: &Client, scenario: &Scenario) -> Result<()> {
    for (name, text) in &scenario.data {
        client.send_text("PUT", &format!("/api/v1/projects/bench/data/{name}"), "application/json", text)?;
    }
    client.send_text("PUT", "/api/v1/projects/bench/policies/bench/rbac", "text/plain", &scenario.policy)?;
    Ok(())
}

fn merged(scenario: &Scenario) -> Result<String> {
    let documents = scenario.data.iter().map(|(name, text)| Ok((name.clone(), serde_json::from_str(text)?)));
    Ok(Value::from(documents.collect::<Result<Map<_, _>>>()?).to_string())
}

/// The request with the credential of a client.
pub(crate) fn carrying(client: &Client, request: Request) -> Request {
    client.headers.iter().fold(request, |request, (name, value)| request.header(name, value.as_str()))
}
