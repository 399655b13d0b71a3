// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Row 9: reading a document with an API key, and the 304 of one that has not changed, beside FastAPI
//! over etcd and over a dictionary.

use cms_benches::Result;
use cms_benches::harness::table::{Table, Target};
use cms_benches::harness::wrk::Request;
use cms_benches::harness::{Effort, cms, servers};

use crate::decisions::carrying;
use crate::{GENERATOR, Lane, SERVER, Shape, in_turns};

/// About 200 bytes of what a retrieval service is configured with.
const DOCUMENT: &str = r#"{"model":"large","top_k":8,"temperature":0.2,"rerank":true,"collections":["handbook","contracts","mail"],"prompt":"answer from the documents only","timeout_ms":4000,"cache":{"ttl":300}}"#;

pub(crate) fn run(effort: Effort) -> Result<()> {
    let server = cms::serve(Some(SERVER))?;
    let key = cms::onboard(&server, "bench", &["policy:read"])?;
    let path = "/api/v1/projects/bench/data/retrieval";
    server.client.send_text("PUT", path, "application/json", DOCUMENT)?;
    // etcd shares the generator's core: its time is not FastAPI's.
    let etcd = servers::etcd(Some(GENERATOR))?;
    let over_etcd = servers::fastapi(Some(&etcd), DOCUMENT, Some(SERVER))?;
    let over_dict = servers::fastapi(None, DOCUMENT, Some(SERVER))?;

    let own = || carrying(&key, Request::get(key.url(path)));
    let theirs = |server: &servers::Server| {
        carrying(&server.client, Request::get(server.client.url("/config/retrieval")))
    };
    let lanes = [
        Lane::new(own(), &server.process),
        Lane::new(own().header("If-None-Match", "\"1\""), &server.process),
        Lane::new(own().header("Accept", "text/plain"), &server.process),
        Lane::new(theirs(&over_etcd), &over_etcd.process),
        Lane::new(theirs(&over_dict), &over_dict.process),
    ];
    let mut table = Table::new("9. document read with an API key", "");
    if let [own, unchanged, text, over_etcd, over_dict] =
        in_turns(effort, Shape { connections: 16, pinned: true }, &lanes)?.as_slice()
    {
        table.note("FastAPI + etcd", &over_etcd.to_string());
        table.note("FastAPI + dictionary", &over_dict.to_string());
        table.row(
            "CMS, against FastAPI + etcd",
            &own.to_string(),
            own.rate / over_etcd.rate,
            "x",
            Target::AtLeast(30.0),
        );
        table.row(
            "CMS, against FastAPI + dictionary",
            "",
            own.rate / over_dict.rate,
            "x",
            Target::AtLeast(10.0),
        );
        table.row(
            "CMS 304, against CMS 200",
            &unchanged.to_string(),
            unchanged.rate / own.rate,
            "x",
            Target::AtLeast(1.0),
        );
        table.row(
            "CMS as plain text, against CMS as JSON",
            &text.to_string(),
            text.rate / own.rate,
            "x",
            Target::Shown,
        );
    }
    table.close();
    Ok(())
}
