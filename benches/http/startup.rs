// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Row 14: how long the server takes to become ready, what it takes in memory when idle, how large the
//! program is; beside OpenBao.

use std::time::{Duration, Instant};

use cms_benches::Result;
use cms_benches::harness::measure::median;
use cms_benches::harness::peers;
use cms_benches::harness::process::resident;
use cms_benches::harness::servers::{self, Keeping};
use cms_benches::harness::table::{Table, Target, show};
use cms_benches::harness::{Effort, cms};

pub(crate) fn run(effort: Effort) -> Result<()> {
    let files = tempfile::tempdir()?;
    let token = cms::init(files.path())?;
    let (mut ready, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let (process, _, taken) = cms::start(files.path(), &token, None)?;
        std::thread::sleep(Duration::from_millis(500));
        ready.push(taken.as_secs_f64() * 1e3);
        memory.push(resident(process.id())?);
    }
    let size = std::fs::metadata(cms::program()?)?.len() as f64 / f64::from(1 << 20);
    let mut table = Table::new("14. start, idle memory, size", "");
    table.note("OpenBao", &openbao()?);
    table.row(
        "CMS: start to ready",
        "an installation of a moment ago",
        median(ready),
        " ms",
        Target::AtMost(50.0),
    );
    table.row("CMS: idle memory", "", median(memory), " MiB", Target::AtMost(30.0));
    table.row("CMS: program", "", size, " MiB", Target::AtMost(45.0));
    table.close();
    Ok(())
}

fn openbao() -> Result<String> {
    let begun = Instant::now();
    let server = servers::openbao(Keeping::Memory, None)?;
    let ready = begun.elapsed().as_secs_f64() * 1e3;
    std::thread::sleep(Duration::from_millis(500));
    let size = std::fs::metadata(peers::file("openbao/bao")?)?.len() as f64 / f64::from(1 << 20);
    let memory = resident(server.process.id())?;
    Ok(format!(
        "{} with initialisation and a KV engine, {}, {}",
        show(ready, " ms"),
        show(memory, " MiB"),
        show(size, " MiB")
    ))
}
