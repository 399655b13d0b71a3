// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Row 9: a config at the simple front door, resolved from layers and templates, with an API key, and the 304
//! of one that has not changed, beside FastAPI over etcd and over a dictionary, which render nothing.

use cms_benches::Result;
use cms_benches::harness::table::{Table, Target};
use cms_benches::harness::wrk::Request;
use cms_benches::harness::{Effort, cms, servers};

use crate::decisions::carrying;
use crate::{GENERATOR, Lane, SERVER, Shape, in_turns};

/// What a retrieval service is configured with, as it is written.
const WRITTEN: &str = r#"{"model":"large","top_k":8,"temperature":0.2,"rerank":true,"collections":["handbook","contracts","mail"],"prompt":"answer from the documents of {{ project }} only","timeout_ms":"{{ 4000 if env == 'default' else 9000 }}","cache":{"ttl":300}}"#;
/// A layer above.
const LAYER: &str = r#"{"top_k":20,"cache":{"ttl":60}}"#;
/// The same as it is read.
const READ: &str = r#"{"cache":{"ttl":60},"collections":["handbook","contracts","mail"],"model":"large","prompt":"answer from the documents of bench only","rerank":true,"temperature":0.2,"timeout_ms":4000,"top_k":20}"#;
/// Its tag: the hash of what is read.
const TAG: &str = "\"d05417ee71a3bbdda4a83d0f6e5d4f94340b7a8d1490901a7f6af6a4ea612f8c\"";

pub(crate) fn run(effort: Effort) -> Result<()> {
    let server = cms::serve(Some(SERVER))?;
    let key = cms::onboard(&server, "bench", &["config:read"])?;
    let place = |name: &str| format!("/api/v1/projects/bench/configs/{name}");
    server.client.send_text("PUT", &place("retrieval"), "application/json", WRITTEN)?;
    server.client.send_text("PUT", &place("_environments/default/retrieval"), "application/json", LAYER)?;
    let (_, found) = key.exchange("GET", "/config/retrieval", "", "")?;
    if !found.contains(READ) {
        return Err(format!("the config was resolved to something else: {found}").into());
    }
    // etcd shares the generator's core: its time is not FastAPI's.
    let etcd = servers::etcd(Some(GENERATOR))?;
    let over_etcd = servers::fastapi(Some(&etcd), READ, Some(SERVER))?;
    let over_dict = servers::fastapi(None, READ, Some(SERVER))?;

    let of = |client| carrying(client, Request::get(client.url("/config/retrieval")));
    let mut known = key.clone();
    known.headers.push(("If-None-Match".to_owned(), TAG.to_owned()));
    if known.exchange("GET", "/config/retrieval", "", "")?.0 != 304 {
        return Err("the tag of the config is another one".into());
    }
    let lanes = [
        Lane::new(of(&key), &server.process),
        Lane::new(of(&known), &server.process),
        Lane::new(of(&over_etcd.client), &over_etcd.process),
        Lane::new(of(&over_dict.client), &over_dict.process),
    ];
    let mut table = Table::new("9. resolved config read at the front door with an API key", "");
    if let [own, unchanged, over_etcd, over_dict] =
        in_turns(effort, Shape { connections: 16, pinned: true }, &lanes)?.as_slice()
    {
        table.note("FastAPI + etcd", &over_etcd.to_string());
        table.note("FastAPI + dictionary", &over_dict.to_string());
        let ratio = own.rate / over_etcd.rate;
        table.row("CMS, against FastAPI + etcd", &own.to_string(), ratio, "x", Target::AtLeast(30.0));
        let ratio = own.rate / over_dict.rate;
        table.row("CMS, against FastAPI + dictionary", "", ratio, "x", Target::AtLeast(10.0));
        let ratio = unchanged.rate / own.rate;
        table.row("CMS 304, against CMS 200", &unchanged.to_string(), ratio, "x", Target::AtLeast(1.0));
    }
    table.close();
    Ok(())
}
