// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes note of what instrumented policies report while they are evaluated, and bounds it.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use regorus::{Engine, Value};

use super::instrument::{ENTER, FRESH, LEAVE, ROW, Site};
use super::{Failure, Outcome, Shown, Tried, items, single};

/// How many bodies are told of one decision.
const MAX_TRIED: usize = 500;
/// How deep they nest.
const MAX_DEPTH: usize = 32;
/// How many ways to satisfy a body are told.
const MAX_ROWS: usize = 3;

/// What is done with one report.
type Report = fn(&mut Recorder, Vec<Value>) -> Value;

/// What one evaluation has reported.
#[derive(Debug)]
pub(super) struct Recorder {
    sites: Arc<[Site]>,
    open: Vec<Frame>,
    /// What was told: bodies, with the input and the arguments.
    seen: BTreeSet<(usize, Value, Value)>,
    pub(super) told: Vec<Tried>,
    pub(super) is_cut: bool,
}

/// A body that is being evaluated.
#[derive(Debug)]
struct Frame {
    site: usize,
    is_fresh: bool,
    arguments: Value,
    /// For each question: how often it was satisfied, and with which values.
    rows: Vec<(usize, Vec<Row>)>,
    because: Vec<Tried>,
}

#[derive(Debug)]
struct Row {
    variables: Value,
    terms: Value,
}

impl Recorder {
    pub(super) fn new(sites: Arc<[Site]>) -> Arc<Mutex<Self>> {
        let (open, seen, told) = Default::default();
        Arc::new(Mutex::new(Self { sites, open, seen, told, is_cut: false }))
    }

    /// Lets an engine report.
    pub(super) fn listen(recorder: &Arc<Mutex<Self>>, engine: &mut Engine) -> Result<(), String> {
        let functions: [(&str, u8, Report); 4] = [
            (ENTER, 3, Self::enter),
            (FRESH, 1, |recorder, _| Value::Bool(recorder.is_fresh())),
            (ROW, 3, Self::row),
            (LEAVE, 3, Self::leave),
        ];
        for (name, arity, work) in functions {
            let recorder = Arc::clone(recorder);
            let extension = move |arguments: Vec<Value>| Ok(work(&mut recorder.lock(), arguments));
            engine
                .add_extension(name.to_owned(), arity, Box::new(extension))
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Ends what an evaluation that stopped half-way has left open.
    pub(super) fn close(&mut self) {
        while !self.open.is_empty() {
            self.end(false);
        }
    }

    fn enter(&mut self, arguments: Vec<Value>) -> Value {
        let [site, input, given] = take(arguments);
        let site = site.as_u32().ok().and_then(|site| usize::try_from(site).ok()).unwrap_or(usize::MAX);
        let has_room = self.seen.len() < MAX_TRIED && self.open.len() < MAX_DEPTH;
        let is_new = !self.seen.contains(&(site, input.clone(), given.clone()));
        self.is_cut |= is_new && !has_room;
        let is_fresh = has_room && is_new && self.seen.insert((site, input, given.clone()));
        let questions = self.sites.get(site).map_or(0, |site| site.steps.len() + 1);
        let rows = (0..questions).map(|_| (0, Vec::new())).collect();
        self.open.push(Frame { site, is_fresh, arguments: given, rows, because: Vec::new() });
        Value::Null
    }

    fn is_fresh(&self) -> bool {
        self.open.last().is_some_and(|frame| frame.is_fresh)
    }

    fn row(&mut self, arguments: Vec<Value>) -> Value {
        let [step, variables, terms] = take(arguments);
        let step = step.as_u32().ok().and_then(|step| usize::try_from(step).ok()).unwrap_or(usize::MAX);
        let rows = self.open.last_mut().and_then(|frame| frame.rows.get_mut(step));
        if let Some((count, kept)) = rows {
            *count += 1;
            if kept.len() < MAX_ROWS {
                kept.push(Row { variables, terms });
            }
        }
        Value::Bool(true)
    }

    fn leave(&mut self, _: Vec<Value>) -> Value {
        self.end(true);
        Value::Bool(true)
    }

    fn end(&mut self, is_whole: bool) {
        let Some(frame) = self.open.pop() else { return };
        if !frame.is_fresh {
            return;
        }
        let Some(told) = self.sites.get(frame.site).map(|site| frame.told(site, is_whole)) else { return };
        match self.open.last_mut() {
            Some(outer) => outer.because.push(told),
            None => self.told.push(told),
        }
    }
}

impl Frame {
    fn told(self, site: &Site, is_whole: bool) -> Tried {
        let failed = self.rows.iter().position(|(count, _)| *count == 0).filter(|_| is_whole);
        let before = failed.and_then(|step| step.checked_sub(1));
        let samples =
            |at: Option<usize>| at.and_then(|at| self.rows.get(at)).map(|(_, rows)| rows.as_slice());
        // The values before the statement that failed; of a body that held, those at its end.
        let last = match (failed, is_whole) {
            (None, true) => self.rows.len().checked_sub(1),
            _ => before,
        };
        let rows = samples(last).unwrap_or_default();
        let variables = rows.first().map(|row| shown_entries(&row.variables)).unwrap_or_default();
        let outcome = match (failed, is_whole) {
            (None, true) => Outcome::Held,
            (Some(_), true) => Outcome::Failed,
            (_, false) => Outcome::Stopped,
        };
        let failure = before.and_then(|step| {
            let step = site.steps.get(step)?;
            let values = rows.first().map(|row| named(&step.operands, &row.terms)).unwrap_or_default();
            Some(Failure { line: step.line, text: step.text.clone(), values })
        });
        let values = match outcome {
            Outcome::Held => rows.iter().map(|row| Shown::joined(&row.terms)).collect(),
            _ => Vec::new(),
        };
        Tried {
            rule: site.rule.clone(),
            document: site.document.clone(),
            line: site.line,
            outcome,
            arguments: named(&site.arguments, &self.arguments)
                .into_iter()
                .filter(|argument| argument.name != "_")
                .collect(),
            values,
            variables,
            failure,
            because: self.because,
        }
    }
}

/// The names of terms with their values.
fn named(names: &[String], values: &Value) -> Vec<Shown> {
    names.iter().zip(items(values)).map(|(name, value)| Shown::of(name, single(value))).collect()
}

fn shown_entries(variables: &Value) -> Vec<Shown> {
    match variables {
        Value::Object(entries) => entries
            .iter()
            .map(|(name, value)| {
                Shown::of(&name.as_string().map(|name| name.to_string()).unwrap_or_default(), value)
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn take<const COUNT: usize>(arguments: Vec<Value>) -> [Value; COUNT] {
    let mut arguments = arguments.into_iter();
    std::array::from_fn(|_| arguments.next().unwrap_or(Value::Undefined))
}
