// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Decisions in process, beside OPA's own engine in the same process: how fast, how they grow with the
//! data, what two threads give, what data costs in memory and how soon a change of it is in force.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::hint::black_box;
use std::process::id;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cms_benches::Result;
use cms_benches::harness::measure::{Contender, Timing, interleaved, median, one_by_one};
use cms_benches::harness::opa_ffi::{self, Opa};
use cms_benches::harness::process::resident;
use cms_benches::harness::table::{Table, Target, rate, time};
use cms_benches::harness::{Effort, peers, wanted};
use cms_benches::scenarios::{self, Scenario};
use cms_core::policies::engine::Value;

/// A part of this benchmark, which can be asked for by its name.
type Part = (&'static str, fn(Effort) -> Result<()>);

fn main() -> Result<()> {
    let effort = Effort::from_env();
    let parts: [Part; 5] = [
        ("memory", memory),
        ("compare", compare),
        ("growth", growth),
        ("threads", threads),
        ("change", change),
    ];
    parts.iter().filter(|(part, _)| wanted(part)).try_for_each(|(_, run)| run(effort))
}

/// Row 1: every scenario, CMS with parsed input and with JSON text, OPA with JSON text.
fn compare(effort: Effort) -> Result<()> {
    let scenarios = [
        scenarios::rbac(1_000),
        scenarios::rbac(10_000),
        scenarios::rbac(100_000),
        scenarios::rbac_keyed(100_000),
        scenarios::abac(),
        scenarios::filter(),
        scenarios::budget(),
        scenarios::admission(),
        scenarios::table(1_000),
        scenarios::many_rules(1_000),
        scenarios::scan(1_000),
        scenarios::scan(10_000),
        scenarios::rbac_siblings(1_000),
        scenarios::rbac_siblings(100_000),
    ];
    let head = format!(
        "{:<42} {:<58} how many times faster (parsed input)",
        "scenario", "CMS parsed / CMS JSON in and out / OPA engine"
    );
    let mut table = Table::new("1. decision in process against OPA's engine", &head);
    for scenario in &scenarios {
        compare_one(effort, scenario, &mut table)?;
    }
    table.close();
    Ok(())
}

fn compare_one(effort: Effort, scenario: &Scenario, table: &mut Table) -> Result<()> {
    let prepared = scenario.snapshot()?;
    let opa = peers::opa();
    let texts: Vec<CString> =
        scenario.inputs.iter().map(|input| Ok(CString::new(input.as_str())?)).collect::<Result<_>>()?;
    let path = CString::new(scenario.dotted())?;
    let mut contenders = vec![
        Contender::new("parsed", |number| prepared.ask(number)),
        Contender::new("json", |number| {
            prepared.ask_text(scenario.inputs.get(number % scenario.inputs.len()).ok_or("no input")?)
        }),
    ];
    if let Some(opa) = &opa {
        scenario.teach(opa)?;
        agree(scenario, opa)?;
        contenders.push(Contender::new("opa", |number| {
            opa.evaluate(&path, texts.get(number % texts.len()).ok_or("no input")?)
        }));
    }
    let timings = interleaved(effort, &mut contenders)?;
    drop(contenders);
    let figures: Vec<String> = timings.iter().map(|timing| time(timing.median())).collect();
    match timings.as_slice() {
        [own, _, theirs] => {
            let faster = own.times_faster_than(theirs);
            table.row(&scenario.name, &figures.join(" / "), faster, "x", Target::AtLeast(scenario.target));
        }
        _ => table.note(&scenario.name, &figures.join(" / ")),
    }
    Ok(())
}

/// A comparison of speed is void if the answers differ.
fn agree(scenario: &Scenario, opa: &Opa) -> Result<()> {
    let prepared = scenario.snapshot()?;
    for input in &scenario.inputs {
        let own: Option<serde_json::Value> =
            prepared.ask_text(input)?.map(|text| serde_json::from_slice(&text)).transpose()?;
        let theirs = opa_ffi::value(
            &opa.evaluate(&CString::new(scenario.dotted())?, &CString::new(input.as_str())?)?,
        )?;
        if own != theirs {
            return Err(format!("{}: {input}: CMS says {own:?}, OPA {theirs:?}", scenario.name).into());
        }
    }
    Ok(())
}

/// Row 3: what more data costs one decision.
fn growth(effort: Effort) -> Result<()> {
    let mut table = Table::new(
        "3. growth of one decision",
        &format!("{:<42} {:<58} growth", "from → to", "small / large"),
    );
    let pairs = [
        ("RBAC, 1k → 100k bindings", scenarios::rbac(1_000), scenarios::rbac(100_000), Target::AtMost(1.1)),
        (
            "keyed RBAC, 1k → 100k bindings",
            scenarios::rbac_keyed(1_000),
            scenarios::rbac_keyed(100_000),
            Target::AtMost(1.1),
        ),
        (
            "0 → 100k unrelated keys",
            scenarios::rbac_siblings(0),
            scenarios::rbac_siblings(100_000),
            Target::AtMost(1.05),
        ),
        (
            "10 → 1k equality rules",
            scenarios::many_rules(10),
            scenarios::many_rules(1_000),
            Target::AtMost(1.6),
        ),
        (
            // The target says 10k. The machine's programs end at 65,535 instructions: 7,281 such rules.
            "10 → 7k equality rules",
            scenarios::many_rules(10),
            scenarios::many_rules(7_000),
            Target::AtMost(1.6),
        ),
    ];
    for (name, small, large, target) in pairs {
        let (few, many) = (small.snapshot()?, large.snapshot()?);
        let mut contenders = [
            Contender::new("small", |number| few.ask(number)),
            Contender::new("large", |number| many.ask(number)),
        ];
        let timings = interleaved(effort, &mut contenders)?;
        if let [small, large] = timings.as_slice() {
            let figures = format!("{} / {}", time(small.median()), time(large.median()));
            table.row(name, &figures, large.growth_from(small), "x", target);
        }
    }
    table.close();
    Ok(())
}

/// Row 13: one snapshot, asked by one thread and by two.
fn threads(effort: Effort) -> Result<()> {
    let mut table =
        Table::new("13. two threads against one", &format!("{:<42} {:<58} gain", "scenario", "one / two"));
    for scenario in [scenarios::rbac(10_000), scenarios::rbac_keyed(10_000), scenarios::filter()] {
        let prepared = scenario.snapshot()?;
        // No two requests share an input.
        let own = [scenario.parsed(&prepared.snapshot)?, scenario.parsed(&prepared.snapshot)?];
        let ask = |thread: usize, number: usize| {
            let inputs = own.get(thread).map_or(&[][..], Vec::as_slice);
            drop(black_box(prepared.ask_with(inputs, number)));
        };
        let mut figures = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            let one = together(1, effort.slice * 4, ask);
            let two = together(2, effort.slice * 4, ask);
            figures.0.push(one);
            figures.1.push(two);
            figures.2.push(two / one);
        }
        let text = format!("{} / {}", rate(median(figures.0)), rate(median(figures.1)));
        table.row(&scenario.name, &text, median(figures.2), "x", Target::AtLeast(1.8));
    }
    table.close();
    Ok(())
}

/// Operations a second of some threads at once.
fn together(threads: usize, length: Duration, operation: impl Fn(usize, usize) + Sync) -> f64 {
    let (start, stop) = (Barrier::new(threads + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (start, stop, operation) = (&start, &stop, &operation);
                scope.spawn(move || {
                    start.wait();
                    let begun = Instant::now();
                    let mut done = 0_usize;
                    while !stop.load(Ordering::Relaxed) {
                        (0..64).for_each(|number| operation(thread, thread * 5 + done + number));
                        done += 64;
                    }
                    done as f64 / begun.elapsed().as_secs_f64()
                })
            })
            .collect();
        start.wait();
        thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().filter_map(|worker| worker.join().ok()).sum()
    })
}

/// Row 14: what the data of 100k bindings takes in memory. First of all parts, while the heap is fresh.
fn memory(_: Effort) -> Result<()> {
    let mut table = Table::new("14. memory of 100k bindings", &format!("{:<42} {:<58} resident", "", ""));
    let scenario = scenarios::rbac(100_000);
    let before = resident(id())?;
    let prepared = scenario.snapshot()?;
    prepared.ask(0)?;
    let taken = resident(id())? - before;
    table.row("compiled policy and data", "", taken, " MiB", Target::AtMost(20.0));
    table.close();
    Ok(())
}

/// Row 15: from a changed value to the first decision over it. Nobody waits for the old one to be let go.
fn change(effort: Effort) -> Result<()> {
    let mut table = Table::new("15. one change of data in force", &format!("{:<42} {:<58} time", "", ""));
    for (users, target) in [(1_000, Target::Shown), (100_000, Target::AtMost(2.0))] {
        let scenario = scenarios::rbac(users);
        let prepared = scenario.snapshot()?;
        let roles = Value::from(vec![Value::from("role-1")]);
        let timing = one_by_one(effort, |number| {
            // What a change costs on top of what is shared: the level of the map that holds the user.
            let mut bindings = prepared.data.document("bindings").cloned().ok_or("no bindings")?;
            let user = Value::from(scenarios::user(number % users));
            bindings.as_object_mut()?.insert(user, roles.clone());
            let data =
                prepared.data.with_value("bindings", Some(bindings)).map_err(|found| found.to_string())?;
            let snapshot = prepared.snapshot.with_data(&data).map_err(|found| format!("{found:?}"))?;
            snapshot.evaluate(&prepared.path, prepared.inputs.first().ok_or("no input")?)?;
            Ok((data, snapshot))
        })?;
        let taken = timing.median() / 1e6;
        table.row(
            &format!("one user of {users}"),
            "copy, join with the program, decide",
            taken,
            " ms",
            target,
        );
    }
    whole_document(effort, &table)?;
    table.close();
    Ok(())
}

/// For comparison: the same change written as a whole new document, as a client of the HTTP surface does.
fn whole_document(effort: Effort, table: &Table) -> Result<()> {
    let scenario = scenarios::rbac(100_000);
    let prepared = scenario.snapshot()?;
    let texts: BTreeMap<_, _> = scenario.data.iter().cloned().collect();
    let text = texts.get("bindings").ok_or("no bindings")?;
    let limits = prepared.snapshot.program().limits().clone();
    let mut contenders = [Contender::new("document", |_| {
        let data =
            prepared.data.with_document("bindings", text, &limits).map_err(|found| found.to_string())?;
        prepared.snapshot.with_data(&data).map_err(|found| format!("{found:?}").into())
    })];
    let timings = interleaved(effort.rounds(5), &mut contenders)?;
    let taken = timings.first().map_or(0.0, Timing::median);
    table.note(
        "the whole document of 100000 parsed anew",
        &format!("{} for {} KiB", time(taken), text.len() / 1024),
    );
    Ok(())
}
