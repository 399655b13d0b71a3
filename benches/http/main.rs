// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `cms` server over HTTP, beside the servers that a platform team runs today: requests a second,
//! latency, and processor time a request. Servers are pinned to core 0 and the load generator to core 1,
//! so a rate is that of one core; where a row says "box", neither is pinned.

mod config;
mod decisions;
mod documents;
mod neighbour;
mod propagation;
mod secrets;
mod startup;

use std::time::Duration;

use cms_benches::Result;
use cms_benches::harness::measure::median;
use cms_benches::harness::process::Process;
use cms_benches::harness::table::{rate, time};
use cms_benches::harness::wrk::{self, Load, Request};
use cms_benches::harness::{Effort, wanted};

/// A part of this benchmark, which can be asked for by its name.
type Part = (&'static str, fn(Effort) -> Result<()>);

const SERVER: usize = 0;
const GENERATOR: usize = 1;

fn main() -> Result<()> {
    if !wrk::installed("wrk") {
        println!("skipped: wrk is not installed; `bash benches/peers/install.sh` does that");
        return Ok(());
    }
    let effort = Effort::from_env();
    let parts: [Part; 8] = [
        ("startup", startup::run),
        ("decisions", decisions::run),
        ("reveal", secrets::reveal),
        ("write", secrets::write),
        ("documents", documents::run),
        ("config", config::run),
        ("propagation", propagation::run),
        ("neighbour", neighbour::run),
    ];
    parts.iter().filter(|(part, _)| wanted(part)).try_for_each(|(_, run)| run(effort))
}

/// One contender: what to send, and the processes that answer.
struct Lane<'a> {
    request: Request,
    servers: Vec<&'a Process>,
}

impl<'a> Lane<'a> {
    fn new(request: Request, server: &'a Process) -> Self {
        Self { request, servers: vec![server] }
    }
}

/// How the load is made: connections, and the core of the generator, if it has one of its own.
#[derive(Clone, Copy)]
struct Shape {
    connections: usize,
    pinned: bool,
}

/// The medians of some runs.
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} p50 {} p99 {} cpu {}", rate(self.rate), time(self.p50), time(self.p99), time(self.cpu))
    }
}

/// Runs the contenders in turns.
fn in_turns(effort: Effort, shape: Shape, lanes: &[Lane<'_>]) -> Result<Vec<Figures>> {
    let mut loads: Vec<Vec<Load>> = lanes.iter().map(|_| Vec::new()).collect();
    for lane in lanes {
        // A server that has not answered yet compiles, connects and fills its caches first.
        send(lane, shape, Duration::from_secs(1))?;
    }
    for _ in 0..effort.rounds(3).rounds {
        for (lane, loads) in lanes.iter().zip(&mut loads) {
            loads.push(send(lane, shape, effort.load)?);
        }
    }
    Ok(loads.iter().map(|loads| middle(loads)).collect())
}

fn send(lane: &Lane<'_>, shape: Shape, length: Duration) -> Result<Load> {
    let core = shape.pinned.then_some(GENERATOR);
    let load = wrk::run(&lane.request, &lane.servers, shape.connections, length, core)?;
    if load.failures > 0 {
        return Err(format!("{} requests to {} failed", load.failures, lane.request.url).into());
    }
    Ok(load)
}

fn middle(loads: &[Load]) -> Figures {
    let of = |figure: fn(&Load) -> f64| median(loads.iter().map(figure).collect());
    Figures {
        rate: of(|load| load.rate),
        p50: of(|load| load.p50),
        p99: of(|load| load.p99),
        cpu: of(|load| load.cpu),
    }
}
