// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms policy bench`: how long a decision of local policies takes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::app::App;
use crate::cli::decide::Question;
use crate::cli::failure::Failure;
use crate::cli::offline;

/// Measure how long a decision of local policies takes in this process
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms policy bench rag/authz/allow -i input.json --local policies/ data.json\n\n\
    Each decision is evaluated anew on one thread, with no cache of answers and no network."
)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    question: Question,
    /// Files and directories with policies and data
    #[arg(short, long, visible_alias = "data", value_name = "PATH", num_args = 1.., required = true)]
    local: Vec<PathBuf>,
    /// For how many seconds to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Stop after so many decisions
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    count: usize,
}

/// Measures and tells the figures.
///
/// # Errors
/// What keeps the policies from deciding.
pub(crate) fn run(args: &BenchArgs, app: &App) -> Result<(), Failure> {
    let (snapshot, path, input) = offline::ready(app, &args.local, &args.question)?;
    let limit = Duration::try_from_secs_f64(args.seconds)
        .map_err(|_| Failure::usage("`--seconds` takes a positive number"))?;
    let (started, mut took) = (Instant::now(), Vec::new());
    while took.len() < args.count.max(1) && (took.is_empty() || started.elapsed() < limit) {
        let one = Instant::now();
        snapshot.evaluate(&path, &input).map_err(|error| Failure::error(error.to_string()))?;
        took.push(u64::try_from(one.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    took.sort_unstable();
    let share = |percent: usize| took.get((took.len() - 1) * percent / 100).copied().unwrap_or_default();
    let count = u64::try_from(took.len()).unwrap_or(u64::MAX);
    let mean = took.iter().sum::<u64>() / count.max(1);
    let figures = [
        ("decisions", count),
        ("mean_ns", mean),
        ("min_ns", share(0)),
        ("p50_ns", share(50)),
        ("p90_ns", share(90)),
        ("p99_ns", share(99)),
        ("max_ns", share(100)),
    ];
    let told: Map<String, Value> =
        figures.iter().map(|(name, figure)| ((*name).to_owned(), json!(figure))).collect();
    app.out.value(&Value::Object(told), |_| {
        figures.map(|(name, figure)| format!("{name:<10} {figure:>12}")).join("\n")
    })
}
