// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What one project's decisions cost while another project's policies misbehave: as long as they may, and
//! as many at a time as the server takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use cms_benches::Result;
use cms_benches::harness::table::{Table, Target};
use cms_benches::harness::wrk::{self, Request};
use cms_benches::harness::{Effort, cms};
use serde_json::json;

use crate::decisions::carrying;
use crate::{GENERATOR, Lane, Shape, in_turns};

/// Ends at its time limit, whatever it is asked.
const ENDLESS: &str = "package endless\n\nr := numbers.range(1, 3000)\n\n\
    allow if count([1 | some a in r; some b in r; a * b == input.n]) < 0\n";
const GOOD: &str = "package good\n\nallow if input.user == \"ada\"\n";

pub(crate) fn run(effort: Effort) -> Result<()> {
    let server = cms::serve(None)?;
    let quiet = cms::onboard(&server, "quiet", &["decide"])?;
    let noisy = cms::onboard(&server, "noisy", &["decide"])?;
    for (project, name, text) in [("quiet", "good", GOOD), ("noisy", "endless", ENDLESS)] {
        let path = format!("/api/v1/projects/{project}/policies/{name}");
        server.client.send_text("PUT", &path, "text/plain", text)?;
    }
    // Each question differs, or it would be answered from memory.
    let ask =
        |path: &str| format!("{{\"path\": \"{path}\", \"input\": {{\"user\": \"ada\", \"n\": {{n}}}}}}");
    let good =
        carrying(&quiet, Request::post(quiet.url("/api/v1/projects/quiet/decisions"), ask("good/allow")));
    let bad =
        carrying(&noisy, Request::post(noisy.url("/api/v1/projects/noisy/decisions"), ask("endless/allow")));
    let answer = noisy.send("POST", "/api/v1/projects/quiet/decisions", Some(&json!({"path": "good/allow"})));
    if answer.is_ok() {
        return Err("one project's key decides in another's".into());
    }

    let lanes = [Lane::new(good, &server.process)];
    let mut table = Table::new("A quiet project beside one whose policies take all they may", "");
    for connections in [1, 4] {
        let shape = Shape { connections, pinned: true };
        let alone = in_turns(effort, shape, &lanes)?;
        let stop = AtomicBool::new(false);
        let beside = thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // Refusals are what it is to get.
                    drop(wrk::run(&bad, &[&server.process], 16, Duration::from_secs(1), Some(GENERATOR)));
                }
            });
            thread::sleep(Duration::from_millis(500));
            let beside = in_turns(effort, shape, &lanes);
            stop.store(true, Ordering::Relaxed);
            beside
        })?;
        if let ([alone], [beside]) = (alone.as_slice(), beside.as_slice()) {
            table.note(&format!("alone, {connections} connections"), &alone.to_string());
            table.row(
                "beside 16 endless questions, p99",
                &beside.to_string(),
                beside.p99 / alone.p99,
                "x",
                Target::AtMost(2.0),
            );
        }
    }
    table.close();
    Ok(())
}
