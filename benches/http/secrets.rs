// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rows 7 and 8: revealing a secret beside OpenBao with an audit file, and writing one durably beside
//! OpenBao on raft.

use cms_benches::Result;
use cms_benches::harness::servers::{self, Keeping};
use cms_benches::harness::table::{Table, Target};
use cms_benches::harness::wrk::Request;
use cms_benches::harness::{Effort, cms};
use serde_json::json;

use crate::decisions::carrying;
use crate::{Lane, SERVER, Shape, in_turns};

const VALUE: &str = "sk-0123456789abcdefghijklmnopqrstuvwxyz0123456789";

pub(crate) fn reveal(effort: Effort) -> Result<()> {
    let server = cms::serve(Some(SERVER))?;
    let key = cms::onboard(&server, "bench", &["secret:read"])?;
    let value = json!({"data": {"api_key": VALUE}});
    server.client.send("PUT", "/api/v1/projects/bench/secrets/openai", Some(&value))?;
    let bao = servers::openbao(Keeping::Memory, Some(SERVER))?;
    bao.client.send("POST", "/v1/secret/data/openai", Some(&value))?;

    let own = Request::post(key.url("/api/v1/projects/bench/secrets/-/reveal/openai"), "{}");
    let theirs = Request::get(bao.client.url("/v1/secret/data/openai"));
    let masked = Request::get(key.url("/api/v1/projects/bench/secrets/openai"));
    let lanes = [
        Lane::new(carrying(&key, own), &server.process),
        Lane::new(carrying(&bao.client, theirs), &bao.process),
        Lane::new(carrying(&key, masked), &server.process),
    ];
    let mut table = Table::new("7. secret reveal, authorized and on the audit trail", "");
    if let [own, theirs, masked] =
        in_turns(effort, Shape { connections: 16, pinned: true }, &lanes)?.as_slice()
    {
        table.note("OpenBao KV read, in memory, audit file", &theirs.to_string());
        table.row(
            "CMS reveal: requests",
            &own.to_string(),
            own.rate / theirs.rate,
            "x",
            Target::AtLeast(20.0),
        );
        table.row("CMS reveal: processor time", "", own.cpu / theirs.cpu, "x", Target::AtMost(1.0 / 20.0));
        table.row("CMS reveal: p99", "", own.p99 / theirs.p99, "x", Target::AtMost(1.0 / 10.0));
        // A masked read decrypts the same value and leaves no record: the rest of the difference is its.
        let share = 1.0 - own.rate / masked.rate;
        table.row(
            "12. CMS reveal: share of the record",
            &masked.to_string(),
            share * 100.0,
            " %",
            Target::AtMost(10.0),
        );
    }
    table.close();
    let records = std::fs::metadata(bao.files.path().join("audit.log"))?.len();
    if records == 0 {
        return Err("OpenBao wrote no audit records: the comparison is void".into());
    }
    Ok(())
}

pub(crate) fn write(effort: Effort) -> Result<()> {
    let server = cms::serve(None)?;
    let key = cms::onboard(&server, "bench", &["secret:write"])?;
    let bao = servers::openbao(Keeping::Raft, None)?;
    let value = json!({"data": {"api_key": VALUE}}).to_string();
    let own = Request {
        method: "PUT".into(),
        suffix: "/s{n}".into(),
        ..Request::post(key.url("/api/v1/projects/bench/secrets/bench"), value.as_str())
    };
    let theirs = Request {
        suffix: "/s{n}".into(),
        ..Request::post(bao.client.url("/v1/secret/data/bench"), value.as_str())
    };
    let lanes = [
        Lane::new(carrying(&key, own), &server.process),
        Lane::new(carrying(&bao.client, theirs), &bao.process),
    ];
    let mut table = Table::new(
        "8. durable secret write, the whole box",
        "the disk is virtual: its host may answer a flush from a cache",
    );
    if let [own, theirs] = in_turns(effort, Shape { connections: 32, pinned: false }, &lanes)?.as_slice() {
        table.note("OpenBao raft, 32 connections", &theirs.to_string());
        table.row(
            "CMS, 32 connections: requests",
            &own.to_string(),
            own.rate / theirs.rate,
            "x",
            Target::AtLeast(6.0),
        );
    }
    if let [own, theirs] = in_turns(effort, Shape { connections: 1, pinned: false }, &lanes)?.as_slice() {
        table.note("OpenBao raft, 1 connection", &theirs.to_string());
        table.row(
            "CMS, 1 connection: p50",
            &own.to_string(),
            own.p50 / theirs.p50,
            "x",
            Target::AtMost(1.0 / 3.0),
        );
    }
    table.close();
    Ok(())
}
